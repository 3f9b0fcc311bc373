"""The `weak_class_router` pipeline component."""

import logging
import math
import sys
import warnings
from typing import Any, Callable, ClassVar, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..components.falling_rate import check_falling_rate
from ..components.requirements import note_requirements
from ..components.settings import Settings, check_function, check_label_list, is_number
from ..components.span_groups import check_span_groups
from ..components.trainable import DIVERGED, Sample, TrainableComponent
from ..components.weights import doc_weights
from ..corpora.sampling import rare_labels
from ..portions import TOKENS_AT_ONCE, portions
from ..quoting import printable
from ..sentences import batch_lengths
from ..tagging.entity_sentences import UNANNOTATED, WITH, entity_sentences
from ..tags import check_labels
from ..wrapping import shim_of
from .annotation import register_extensions, write_sentences
from .losses import RouterLoss, log_sigmoid
from .model import RouterScores
from .settings import ROUTER_SETTINGS

LOGGER = logging.getLogger("spacy")


class WeakClassRouter(TrainableComponent):
    """Says of each sentence how probable it is that it holds an entity with a weak (rare) label.

    Arguments and defaults: see `make_weak_class_router`.
    """

    declared: ClassVar[Settings] = ROUTER_SETTINGS

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], RouterScores],
        name: str = "weak_class_router",
        *,
        loss: RouterLoss,
        scorer: Optional[Callable] = None,
        **settings: Any,
    ):
        check_function(loss, ("logits", "truth", "share"), "loss", name, "spacy_crfner.weighted_cross_entropy.v1")
        if "per_sentence" not in model.attrs:
            raise ValueError(f"The model of {name!r} is not one of a router: choose one such as spacy_crfner.RCNN.v1.")
        state: Dict[str, Any] = {"labels": [], "added": [], "strong_labels": [], "share": 0.0}
        super().__init__(vocab, model, name, settings, state)
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
        """What `spacy init labels` stores and `initialize(labels=...)` takes.

        The weak labels, the others, and the share of the sentences that hold a weak one.
        """
        return {"labels": list(self.labels), "strong": list(self.strong_labels), "share": self.cfg["share"]}

    @property
    def per_sentence(self) -> bool:
        """Whether there is one probability for each sentence, or for each Doc."""
        return self.model.attrs["per_sentence"]

    @property
    def span_groups(self) -> List[str]:
        """See ConfiguredComponent."""
        return [self.cfg["spans_key"]]

    def add_label(self, label: str) -> int:
        """Count one more label as weak; the model's weights stay. Returns 1, or 0 if the label was there.

        Raises ValueError for a label that no tag can hold.
        """
        if label in self.labels:
            return 0
        self.cfg["labels"] = list(check_labels([*self.labels, label]))
        self.cfg["added"] = [*self.cfg["added"], label]
        self.cfg["strong_labels"] = [strong for strong in self.strong_labels if strong != label]
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
        Labels that were added before are weak too.
        Raises ValueError where there are no examples, or where no label is weak.
        """
        check_label_list(labels, self.name, "['ART', 'EVE']")
        if nlp is not None:
            check_span_groups(nlp, self.name)
            note_requirements(nlp)
            check_falling_rate(nlp)
        given = self._read_label_data(labels) if isinstance(labels, dict) else None
        seen = self.look_at(get_examples, count=given is None)
        wanted = given["labels"] if given is not None else labels
        weak = self._choose(seen) if wanted is None else list(wanted)
        if given is None and wanted is not None:
            self._warn_of_absent(weak, seen.labels, "labels")
        self.cfg["labels"] = list(check_labels([*weak, *(label for label in self.cfg["added"] if label not in weak)]))
        known = sorted(seen.labels) if given is None else given["strong"]
        self.cfg["strong_labels"] = [label for label in known if label not in self.labels]
        self.cfg["share"] = float(given["share"]) if given is not None else self._count(get_examples(), nlp)
        self.model.initialize(X=seen.docs)
        self.begin_anew()

    def _read_label_data(self, data: Dict[str, Any]) -> Dict[str, Any]:
        """Check that label data look like those of `label_data`, and give them back.

        Raises ValueError where they do not.
        """
        share = data.get("share")
        if not data.get("labels") or "strong" not in data or not is_number(share, sys.float_info.min, 1.0):
            raise ValueError(
                f"The label data of {self.name!r} are not as `spacy init labels` writes them: they hold `labels`, the "
                "weak ones, `strong`, the others, and `share`, a number between 0 and 1. Make them anew."
            )
        return data

    def _choose(self, seen: Sample) -> List[str]:
        """Choose the weak labels: those of the settings, of a balanced reader, or those that few entities have."""
        total = sum(seen.labels.values())
        weak = self.cfg["weak_labels"]
        if weak is not None:
            self._warn_of_absent(weak, seen.labels, "weak_labels")
            return list(weak)
        weak = seen.rare
        chosen = "those that the reader of the training corpus takes as rare"
        if weak is None:
            weak = rare_labels(seen.labels, self.cfg["rare"])
            chosen = f"those that each less than {self.cfg['rare']:.1%} of the {total} entities have"
        if not weak:
            raise ValueError(
                f"{self.name!r} found no label that less than {self.cfg['rare']:.1%} of the {total} entities have: "
                "name the weak_labels, or raise `rare`."
            )
        # spaCy shows warnings only, and this choice is one to look at.
        LOGGER.warning(
            "%s takes these labels as weak, %s: %s. Name them in weak_labels ([routing] in the shipped configs) to "
            "choose others.",
            self.name,
            chosen,
            printable(", ".join(f"{label} ({seen.labels[label]})" for label in weak)),
        )
        return list(weak)

    def _warn_of_absent(self, weak: Sequence[str], counts: Mapping[str, int], setting: str) -> None:
        """Warn of weak labels that are not in the training data.

        Raises ValueError where none is.
        """
        absent = [label for label in weak if not counts.get(label)]
        if not counts:
            raise ValueError(f"{self.name!r} found no entities in the training data: annotate some in doc.ents.")
        message = printable(
            f"{self.name!r} has the {setting} {', '.join(absent)}, but the training data has only "
            f"{', '.join(sorted(counts))}: correct the names."
        )
        if len(absent) == len(weak):
            raise ValueError(message)
        if absent:
            warnings.warn(message, UserWarning, stacklevel=4)

    def _count(self, examples: Iterable[Example], nlp: Optional[Language]) -> float:
        """Compute the share of the annotated sentences that hold a weak label, counted as training will read them.

        Where a component in front finds sentences, those of the references are counted in their stead.
        Smoothed, so that no class is ever without weight.
        """
        finds_sentences = self._reads_sentences(nlp)
        weak, known = 0, 0
        for example in examples:
            read = Example(example.reference, example.reference) if finds_sentences else example
            states = entity_sentences(read, self.labels, batch_lengths([read.predicted], self.per_sentence))
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

    def _reads_sentences(self, nlp: Optional[Language]) -> bool:
        """Tell whether a component in front sets sentence boundaries."""
        names = [] if nlp is None or self.name not in nlp.pipe_names else nlp.pipe_names
        before = names[: names.index(self.name)] if names else []
        borders = {"doc.sents", "token.is_sent_start"}
        return any(nlp is not None and borders & set(nlp.get_pipe_meta(name).assigns) for name in before)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch. See TrainablePipe.update."""
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if not any(len(example.predicted) for example in examples):
            return self.add_loss(losses)
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update([example.predicted for example in examples])
        loss, gradient, size = self._compute_loss(examples, scores)
        size = 0.0 if self.listens else size
        backprop(gradient.times(self._accumulation.share_of(size)))
        self._accumulation.add(size)
        self.watch(loss, math.log(2.0))
        return self.add_loss(losses, loss, sgd)

    def get_loss(self, examples: Iterable[Example], scores: RouterScores) -> Tuple[float, RouterScores]:
        """Compute the mean loss a sentence, and its gradient by the scores.

        Sentences without annotation cost nothing. A sentence counts as much as its weight says, see
        `spacy_crfner.user_data_keys`. Raises ValueError where the scores are not finite numbers.
        """
        return self._compute_loss(list(examples), scores)[:2]

    def _compute_loss(self, examples: Sequence[Example], scores: RouterScores) -> Tuple[float, RouterScores, float]:
        """Compute loss and gradient, and the size of the batch: its sentences, each times its weight."""
        lengths = [batch_lengths([example.predicted], self.per_sentence) for example in examples]
        states = [entity_sentences(e, self.labels, sizes) for e, sizes in zip(examples, lengths, strict=True)]
        truth = np.concatenate([*states, np.zeros(0, dtype=np.int64)])
        ops = self.model.ops
        known = truth != UNANNOTATED
        of_docs = doc_weights(examples)
        weights = np.ones(len(truth)) if of_docs is None else np.repeat(of_docs, [len(sizes) for sizes in lengths])
        size = float(weights.sum())
        weights /= size or 1.0
        losses, derivatives = np.zeros(len(truth)), np.zeros(len(truth))
        logits = ops.to_numpy(scores.logits).astype(np.float64)
        if not np.isfinite(logits).all():
            raise ValueError(f"The scores of {self.name!r} are not finite numbers: {DIVERGED}")
        losses[known], derivatives[known] = self.loss(logits[known], truth[known] == WITH, self.cfg["share"])
        penalty = self.cfg["penalty"] * known * weights
        total = float((losses * weights).sum() + (penalty * ops.to_numpy(scores.penalties)).sum())
        return total, RouterScores(self._array(derivatives * weights), self._array(penalty)), size

    def compute_divergence(
        self, docs: Sequence[Doc], scores: RouterScores, taught: RouterScores
    ) -> Tuple[float, RouterScores]:
        """Compute the divergence between the probabilities of sentences. See TrainableComponent."""
        ops = self.model.ops
        goal, logits = (ops.to_numpy(one.logits).astype(np.float64) for one in (taught, scores))
        target = np.exp(log_sigmoid(goal))
        divergence = target * (log_sigmoid(goal) - log_sigmoid(logits))
        divergence += (1.0 - target) * (log_sigmoid(-goal) - log_sigmoid(-logits))
        derivatives = (np.exp(log_sigmoid(logits)) - target) / len(logits)
        gradient = RouterScores(self._array(derivatives), self._array(np.zeros(len(logits))))
        return float(divergence.mean()), gradient

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> List[np.ndarray]:
        """Compute for each Doc the (sentences,) probabilities that they hold a weak label.

        Raises ValueError before the component is initialized, and where weights or scores are not finite numbers.
        """
        docs = list(docs)
        sizes = [len(batch_lengths([doc], self.per_sentence)) for doc in docs]
        if not sum(sizes):
            return [np.zeros(0, dtype=np.float32) for _ in docs]
        self._require_weights()
        self.check_weights()
        runs = portions([len(doc) for doc in docs], TOKENS_AT_ONCE)
        logits = np.concatenate([self.model.ops.to_numpy(self.model.predict(docs[run]).logits) for run in runs])
        if not np.isfinite(logits).all():
            raise ValueError(f"The scores of {self.name!r} are not finite numbers: {DIVERGED}")
        probabilities = np.exp(log_sigmoid(logits.astype(np.float64))).astype(np.float32)
        return np.split(probabilities, np.cumsum(sizes[:-1]))

    def set_annotations(self, docs: Iterable[Doc], predictions: Iterable[np.ndarray]) -> None:
        """Write doc.spans[spans_key]: the sentences, with their probabilities in attrs["scores"]."""
        self.check()
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
