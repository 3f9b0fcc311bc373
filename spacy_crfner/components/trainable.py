"""What every trainable component of the package has in common."""

import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..files import fingerprint
from ..schedules import Followers
from ..user_data_keys import RARE_LABELS, REPEATED
from ..white_space import entities
from .accumulation import Accumulation
from .configured import ConfiguredComponent, SavedPart
from .models import check_finite, load_model, remember_model

SAMPLE_DOCS = 10
"""Docs that a model is initialized with, to find out its widths."""

DIVERGED = "training has diverged. Lower the learning rate, clip gradients, or check the encoder's features."
"""What to do where numbers are not finite."""

WATCHED = 20
"""Updates whose losses are looked at together."""
FAR_ABOVE_CHANCE = 3.0
"""Training has diverged where its mean loss is so many times that of a model that knows nothing."""
STANDING = 5
"""Updates with a learning rate of 0, from the first one on, after which somebody is told."""


@dataclass
class Sample:
    """What a component sees of the training examples when it is initialized.

    docs: a few. labels: how often each entity label occurs. n_examples: their number.
    digest: of their texts and entities, in order.
    rare: the labels that a balanced reader takes as rare; None without such a reader.
    """

    docs: List[Doc] = field(default_factory=list)
    labels: "Counter[str]" = field(default_factory=Counter)
    n_examples: int = 0
    digest: str = ""
    rare: Optional[List[str]] = None


class TrainableComponent(ConfiguredComponent, TrainablePipe):
    """A trainable pipe whose settings are saved with it.

    settings: what the config says. state: what training finds out, see `ConfiguredComponent.keep_settings`.
    """

    def __init__(self, vocab: Vocab, model: Model, name: str, settings: Mapping[str, Any], state: Dict[str, Any]):
        self.vocab = vocab
        self.model = model
        self.name = name
        self._rehearsal_model: Optional[Model] = None
        self._is_finite = False
        self._first_share = 0.0
        self._watched = (0, 0.0, 0.0)
        self._has_warned = False
        self._standing = 0
        self._accumulation = Accumulation()
        self._followers = Followers()
        self.keep_settings(settings, state)

    @property
    def needs_whole_docs(self) -> bool:
        """Whether the model reads what others have computed for a Doc, which a sentence cut out of it lacks."""
        return self.listens or any(node.attrs.get("reads_annotation") for node in self.model.walk())

    @property
    def listens(self) -> bool:
        """Whether the model gets its vectors from a tok2vec that other components share."""
        return any(hasattr(node, "upstream_name") for node in self.model.walk())

    def refuse_listeners(self, what: str) -> None:
        """Check that the model does not listen to a shared tok2vec, which `what` cannot train.

        Raises ValueError where it does.
        """
        if self.listens:
            raise ValueError(
                f"{self.name!r} listens to a shared tok2vec, which {what} cannot train: give the component an encoder "
                "of its own (nlp.replace_listeners)."
            )

    def add_loss(
        self, losses: Optional[Dict[str, float]], loss: float = 0.0, sgd: Optional[Optimizer] = None
    ) -> Dict[str, float]:
        """Add the loss of an update to those of the pipeline, and let the optimizer, if there is one, take its step."""
        losses = {} if losses is None else losses
        losses[self.name] = losses.get(self.name, 0.0) + loss
        if sgd not in (None, False):
            self.finish_update(sgd)
        return losses

    def watch(self, loss: float, chance: float) -> None:
        """Warn once where training has diverged.

        loss: of an update. chance: about what it would be if the model knew nothing and all its scores were the same;
            where the first weights cost more than that, they are what knows nothing.
        """
        if not chance:
            return
        self._first_share = self._first_share or max(1.0, loss / chance)
        count, losses, chances = self._watched
        count, losses, chances = count + 1, losses + loss, chances + chance * self._first_share
        if count == WATCHED:
            if losses > FAR_ABOVE_CHANCE * chances and not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"The mean loss of {self.name!r} over {WATCHED} updates is {losses / WATCHED:,.1f}, where a model "
                    f"that knows nothing has about {chances / WATCHED:,.1f}: {DIVERGED}",
                    UserWarning,
                    stacklevel=4,
                )
            count, losses, chances = 0, 0.0, 0.0
        self._watched = (count, losses, chances)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score predictions. See TrainablePipe.score.

        A learning rate that follows the score hears of it, see `spacy_crfner.schedules`.
        """
        return self._followers.report(self.compute_scores(examples, **kwargs))

    def compute_scores(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score predictions with the component's scorer."""
        return super().score(examples, **kwargs)

    def begin_anew(self) -> None:
        """Note that the model has got new weights."""
        self._is_finite, self._has_warned, self._standing = False, False, 0
        self._first_share, self._watched = 0.0, (0, 0.0, 0.0)
        self._accumulation = Accumulation()

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
        **config: Any,
    ) -> Dict[str, float]:
        """Pull the model towards what it predicted when `nlp.resume_training()` was called: it must not forget.

        Raises ValueError where the model listens to a shared tok2vec, which rehearsal cannot train.
        """
        docs = [example.predicted for example in examples]
        if self._rehearsal_model is None or not any(len(doc) for doc in docs):
            return self.add_loss(losses)
        self.refuse_listeners("nlp.rehearse()")
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update(docs)
        loss, gradient = self.compute_divergence(docs, scores, self._rehearsal_model.predict(docs))
        backprop(gradient)
        return self.add_loss(losses, loss, sgd)

    def compute_divergence(self, docs: Sequence[Doc], scores: Any, taught: Any) -> Tuple[float, Any]:
        """Compute the Kullback-Leibler divergence of predictions from those of another model, and its gradient.

        scores, taught: what this model and the other one give for the Docs. The gradient has the form of the scores.
        """
        raise NotImplementedError

    def look_at(self, get_examples: Callable[[], Iterable[Example]], *, count: bool) -> Sample:
        """Look at the training examples as far as initialization needs them.

        count: False reads no more examples than the sample needs, and counts no labels. Docs that a balanced reader
            repeats are counted once.
        Raises ValueError where there are no examples.
        """
        if not callable(get_examples):
            validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        sample = Sample()
        for example in get_examples():
            sample.n_examples += 1
            validate_examples([example], f"{type(self).__name__}.initialize")
            marks = example.predicted.user_data
            own = entities(example.reference.ents)
            sample.digest = fingerprint(sample.digest, example.reference.text, own)
            sample.rare = marks.get(RARE_LABELS, sample.rare)
            if len(sample.docs) < SAMPLE_DOCS and len(example.reference):
                sample.docs.append(example.reference)
            elif len(sample.docs) == SAMPLE_DOCS and not count:
                break
            if count and REPEATED not in marks:
                sample.labels.update(label for _, _, label in own)
        if not sample.n_examples:
            raise ValueError(
                f"{self.name!r} cannot be initialized: the training corpus holds no examples. Check the path and "
                "that its Docs are not empty."
            )
        return sample

    # Weights

    def check_weights(self) -> None:
        """Check that all weights of the model are finite numbers, once after each time that they may have changed.

        Raises ValueError where one is not.
        """
        if not self._is_finite:
            try:
                check_finite(self.model)
            except ValueError as error:
                raise ValueError(f"{self.name!r} cannot be used, since {error}: {DIVERGED}") from None
            self._is_finite = True

    def finish_update(self, sgd: Optimizer) -> None:
        """Let the optimizer change the weights. See TrainablePipe.finish_update.

        What several updates have added up without it counts as the gradient of one batch.
        """
        self._followers.follow(sgd)
        self._accumulation.finish(self.model)
        try:
            super().finish_update(sgd)
        finally:
            # At the end: another thread may have looked at the weights in the meantime.
            self._is_finite = False
        self._watch_rate(sgd)

    def _watch_rate(self, sgd: Optimizer) -> None:
        """Warn where the learning rate is 0 from the first update on, and stays there."""
        if getattr(sgd, "learn_rate", None) != 0:
            self._standing = STANDING
        elif self._standing < STANDING:
            self._standing += 1
            if self._standing == STANDING:
                warnings.warn(
                    f"{self.name!r} has learned nothing in {STANDING} updates, since the learning rate is 0: one with "
                    "a warm-up rises with each optimizer.step_schedules(), which a loop of your own has to call after "
                    "each update; or set optimizer.learn_rate.",
                    UserWarning,
                    stacklevel=4,
                )

    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        """Put other weights, such as averages, in the place of the model's own. See TrainablePipe.use_params."""
        self._is_finite = False
        try:
            with self.model.use_params(params):
                yield
        finally:
            self._is_finite = False

    # Saving

    def companions(self) -> Optional[Collection[str]]:
        """See ConfiguredComponent: the tok2vec that the model listens to, and what stores features that it reads."""
        names = [getattr(node, "upstream_name", None) or node.attrs.get("component") for node in self.model.walk()]
        return None if "*" in names else {name for name in names if name}

    def remember(self, exclude: Iterable[str]) -> Callable[[], None]:
        """See ConfiguredComponent."""
        restore_cfg, restore_model = super().remember(exclude), remember_model(self.model)
        vocab = None if "vocab" in exclude else self.vocab.to_bytes(exclude=exclude)
        self._is_finite = False

        def restore() -> None:
            restore_cfg()
            restore_model()
            if vocab is not None:
                self.vocab.from_bytes(vocab, exclude=exclude)

        return restore

    def saved_parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        """See ConfiguredComponent."""
        vocab, model = self.vocab, self.model

        def write_model(path: Path) -> None:
            model.to_disk(path)

        return {
            "vocab": SavedPart(
                lambda: vocab.to_bytes(exclude=exclude),
                lambda data: vocab.from_bytes(data, exclude=exclude),
                lambda path: vocab.to_disk(path, exclude=exclude),
                lambda path: vocab.from_disk(path, exclude=exclude),
            ),
            "model": SavedPart(
                model.to_bytes,
                lambda data: load_model(model, data),
                write_model,
                lambda path: load_model(model, path.read_bytes()),
            ),
        }
