"""The `weak_class_router` pipeline component."""

import logging
import warnings
from collections import Counter
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..corpora.sampling import rare_labels
from ..pipes import SettingsPipe
from ..sentences import batch_lengths
from ..tagging.blocks import check_block
from ..tagging.selection import UNANNOTATED, WITH, entity_sentences
from ..tags import check_labels
from ..wrapping import shim_of
from .annotation import register_extensions, write_sentences
from .losses import RouterLoss, log_sigmoid
from .model import RouterScores

LOGGER = logging.getLogger("spacy")


class WeakClassRouter(SettingsPipe):
    """Says of each sentence how probable it is that it holds an entity with a weak (rare) label.

    Arguments and defaults: see `make_weak_class_router`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], RouterScores],
        name: str = "weak_class_router",
        *,
        loss: RouterLoss,
        weak_labels: Optional[Sequence[str]] = None,
        rare: float = 0.02,
        threshold: float = 0.5,
        penalty: float = 0.0,
        spans_key: str = "weak_class_router",
        scorer: Optional[Callable] = None,
    ):
        check_block(loss, 3, "loss", name, "spacy_crfner.weighted_cross_entropy.v1")
        if weak_labels is not None and not weak_labels:
            raise ValueError(f"The weak_labels of {name!r} are empty: name labels, or give null to take the rare ones.")
        for key, value in (("threshold", threshold), ("rare", rare)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{key} of {name!r} is a number from 0 to 1, not {value}.")
        if penalty < 0.0:
            raise ValueError(f"The penalty of {name!r} must be 0 or more, not {penalty}.")
        super().__init__(
            vocab,
            model,
            name,
            {
                "weak_labels": None if weak_labels is None else list(check_labels(weak_labels)),
                "rare": rare,
                "threshold": threshold,
                "penalty": penalty,
                "spans_key": spans_key,
            },
            {"labels": [], "strong_labels": [], "share": 0.0},
        )
        self.loss = loss
        self.scorer = scorer
        register_extensions()

    @property
    def labels(self) -> Tuple[str, ...]:
        """The weak labels."""
        return tuple(self.cfg["labels"])

    @property
    def weak_labels(self) -> Tuple[str, ...]:
        """The weak labels."""
        return self.labels

    @property
    def strong_labels(self) -> Tuple[str, ...]:
        """The other labels of the training data."""
        return tuple(self.cfg["strong_labels"])

    @property
    def label_data(self) -> Dict[str, Any]:
        """What `spacy init labels` stores and `initialize(labels=...)` takes: the weak labels, the others, and the
        share of the sentences that hold a weak one."""
        return {"labels": list(self.labels), "strong": list(self.strong_labels), "share": self.cfg["share"]}

    @property
    def per_sentence(self) -> bool:
        """Whether there is one probability for each sentence, or for each Doc."""
        return self.model.attrs["per_sentence"]

    def add_label(self, label: str) -> int:
        """Count one more label as weak; the model's weights stay. Returns 1, or 0 if the label was there.

        Raises ValueError for a label that no tag can hold.
        """
        if label in self.labels:
            return 0
        self.cfg["labels"] = list(check_labels([*self.labels, label]))
        self.cfg["strong_labels"] = [other for other in self.strong_labels if other != label]
        return 1

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Union[Dict[str, Any], Sequence[str], None] = None,
    ) -> None:
        """Choose the weak labels, count the sentences that hold one, and make the model's weights.

        get_examples: gives the training examples.
        labels: as `spacy init labels` writes them; then the examples are not counted.
        Raises ValueError where there are no examples, or where no label is weak.
        """
        if isinstance(labels, (str, bytes)):
            raise ValueError(f"The labels of {self.name!r} must be a list such as ['ART', 'EVE'], not {labels!r}.")
        given = labels if isinstance(labels, dict) else None
        sample, counts, _ = self._look_at(get_examples, count=given is None)
        wanted = given["labels"] if given is not None else labels
        weak = self._choose(counts) if wanted is None else list(wanted)
        self.cfg["labels"] = list(check_labels(weak))
        known = sorted(counts) if given is None else given["strong"]
        self.cfg["strong_labels"] = [label for label in known if label not in weak]
        self.cfg["share"] = float(given["share"]) if given is not None else self._count(get_examples())
        self.model.initialize(X=sample)

    def _choose(self, counts: "Counter[str]") -> List[str]:
        """The weak labels: those of the settings, or those that few entities have."""
        total = sum(counts.values())
        weak = self.cfg["weak_labels"]
        if weak is not None:
            absent = [label for label in weak if not counts[label]]
            message = (
                f"{self.name!r} has the weak_labels {', '.join(absent)}, but the training data has only "
                f"{', '.join(sorted(counts)) or 'none'}: correct the names."
            )
            if len(absent) == len(weak):
                raise ValueError(message)
            if absent:
                warnings.warn(message, UserWarning, stacklevel=3)
            return list(weak)
        weak = rare_labels(counts, self.cfg["rare"])
        if not weak:
            raise ValueError(
                f"{self.name!r} found no label that less than {self.cfg['rare']:.1%} of the {total} entities have: "
                "name the weak_labels, or raise `rare`."
            )
        # spaCy shows warnings only, and this choice is one to look at.
        LOGGER.warning(
            "%s takes as weak the labels that each less than %.1f%% of the %d entities have: %s. Name them in "
            "weak_labels ([routing] in the shipped configs) to choose others.",
            self.name,
            100 * self.cfg["rare"],
            total,
            ", ".join(f"{label} ({counts[label]})" for label in weak),
        )
        return weak

    def _count(self, examples: Iterable[Example]) -> float:
        """The share of the annotated sentences that hold a weak label, as far as the references say where they begin.

        Smoothed, so that no class is ever without weight.
        """
        weak, known = 0, 0
        for example in examples:
            lengths = batch_lengths([example.reference], self.per_sentence)
            states = entity_sentences(Example(example.reference, example.reference), self.labels, lengths)
            weak += int((states == WITH).sum())
            known += int((states != UNANNOTATED).sum())
        LOGGER.info("%s: %d of %d sentences hold a weak label.", self.name, weak, known)
        if weak in (0, known):
            warnings.warn(
                f"{self.name!r} sees {'no sentence' if not weak else 'only sentences'} with a weak label "
                f"({', '.join(self.labels)}) in {known} annotated ones: there is nothing to tell apart.",
                UserWarning,
                stacklevel=3,
            )
        return (weak + 1) / (known + 2)

    def get_loss(self, examples: Iterable[Example], scores: RouterScores) -> Tuple[float, RouterScores]:
        """The mean loss a sentence, and its gradient by the scores; sentences without annotation count as 0."""
        examples = list(examples)
        lengths = [batch_lengths([example.predicted], self.per_sentence) for example in examples]
        states = [entity_sentences(e, self.labels, sizes) for e, sizes in zip(examples, lengths, strict=True)]
        truth = np.concatenate([*states, np.zeros(0, dtype=np.int64)])
        ops = self.model.ops
        known = truth != UNANNOTATED
        n = max(len(truth), 1)
        losses, derivatives = np.zeros(len(truth)), np.zeros(len(truth))
        logits = ops.to_numpy(scores.logits).astype(np.float64)
        if not np.isfinite(logits).all():
            raise ValueError(
                f"The scores of {self.name!r} are not finite numbers: training has diverged. Lower the learning rate, "
                "clip gradients, or check the encoder's features."
            )
        losses[known], derivatives[known] = self.loss(logits[known], truth[known] == WITH, self.cfg["share"])
        penalty = self.cfg["penalty"] * known
        total = float(losses.sum() + (penalty * ops.to_numpy(scores.penalties)).sum()) / n
        return total, RouterScores(self._array(derivatives / n), self._array(penalty / n))

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
        **config: Any,
    ) -> Dict[str, float]:
        """Pull the model towards the probabilities that it gave when `nlp.resume_training()` was called.

        Raises ValueError where the model listens to a shared tok2vec, to which spaCy's rehearsal cannot pass a
        gradient.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        docs = [example.predicted for example in examples]
        if self._rehearsal_model is None or not any(len(doc) for doc in docs):
            return losses
        self._refuse_listeners("nlp.rehearse()")
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update(docs)
        ops = self.model.ops
        taught = ops.to_numpy(self._rehearsal_model.predict(docs).logits).astype(np.float64)
        target = np.exp(log_sigmoid(taught))
        logits = ops.to_numpy(scores.logits).astype(np.float64)
        divergence = target * (log_sigmoid(taught) - log_sigmoid(logits))
        divergence += (1.0 - target) * (log_sigmoid(-taught) - log_sigmoid(-logits))
        derivatives = (np.exp(log_sigmoid(logits)) - target) / len(logits)
        backprop(RouterScores(self._array(derivatives), self._array(np.zeros(len(logits)))))
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += float(divergence.mean())
        return losses

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> List[np.ndarray]:
        """For each Doc, the (sentences,) probabilities that they hold a weak label.

        Raises ValueError before the component is initialized.
        """
        docs = list(docs)
        sizes = [len(batch_lengths([doc], self.per_sentence)) for doc in docs]
        if not sum(sizes):
            return [np.zeros(0, dtype=np.float32) for _ in docs]
        self._require_weights()
        logits = self.model.ops.to_numpy(self.model.predict(docs).logits)
        probabilities = np.exp(log_sigmoid(logits.astype(np.float64))).astype(np.float32)
        return np.split(probabilities, np.cumsum(sizes[:-1]))

    def set_annotations(self, docs: Iterable[Doc], predictions: Iterable[np.ndarray]) -> None:
        """Write doc.spans[spans_key]: the sentences, with their probabilities in attrs["scores"]."""
        for doc, probabilities in zip(docs, predictions, strict=True):
            write_sentences(
                doc,
                probabilities,
                threshold=self.cfg["threshold"],
                component=self.name,
                spans_key=self.cfg["spans_key"],
                per_sentence=self.per_sentence,
            )

    def _array(self, values: Any) -> Any:
        return self.model.ops.asarray(values, dtype="float32")

    def _require_weights(self) -> None:
        if not shim_of(self.model).is_built:
            raise ValueError(Errors.E109.format(name=self.name))
