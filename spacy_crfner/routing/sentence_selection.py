"""`spacy_crfner.select_sentences.v1`: which sentences a tagger learns from and reads, by a router or by annotation."""

import random
import warnings
from dataclasses import dataclass
from typing import Any, Collection, List, Optional, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..sentences import batch_lengths
from ..tagging.entity_sentences import WITH, WITHOUT, entity_sentences
from ..tagging.sentence_selection import Chosen, SentenceSelection
from ..user_data_keys import REPEATED
from .annotation import STRONG, WEAK, weak_sentences

TRAIN = ("all", "once", "routed", "balanced")
PREDICT = ("all", "routed")
LABELS = (WEAK, STRONG)


def make_select_sentences_v1(
    train: str = "all", predict: str = "all", labels: Optional[str] = None, router: Optional[str] = None
) -> SentenceSelection:
    """Choose the sentences that a tagger learns from and reads.

    train: `all`; `once`: without those that a balanced reader repeats; `routed`: those that the router flags, and those
        with an entity; `balanced`: those with an entity, and as many others of the batch, drawn at random.
    predict: `all`, or those that the router flags (`routed`).
    labels: learn and find only the `weak` labels of the router, or only the `strong` ones, which are all others; `null`
        leaves the labels to the tagger.
    router: the span group of a `weak_class_router` in front; needed for `routed`, `weak` and `strong`.
    Raises ValueError for other values.
    """
    for name, value, known in (("train", train, TRAIN), ("predict", predict, PREDICT), ("labels", labels, LABELS)):
        if value not in known and not (name == "labels" and value is None):
            raise ValueError(
                f"{name} of spacy_crfner.select_sentences.v1 must be one of {', '.join(known)}, not {value!r}."
            )
    if router is None and (labels is not None or "routed" in (train, predict)):
        raise ValueError(
            "spacy_crfner.select_sentences.v1 asks a router for labels or sentences: name its span group in `router`."
        )
    return RoutedSelection(train, predict, labels, router)


@dataclass(frozen=True)
class RoutedSelection:
    """A selection by a router or by annotation; see `make_select_sentences_v1`."""

    train: str
    predict: str
    kind: Optional[str]
    router: Optional[str]

    @property
    def chooses_labels(self) -> bool:
        """See SentenceSelection."""
        return self.kind is not None

    def prepare(self, nlp: Optional[Language], component: str) -> Optional[List[str]]:
        """See SentenceSelection. Warns where there is no router to ask for sentences."""
        names = [] if nlp is None else nlp.pipe_names
        before = names[: names.index(component)] if component in names else names
        pipes: List[Any] = [] if nlp is None else [nlp.get_pipe(name) for name in before]
        routers = [pipe for pipe in pipes if hasattr(pipe, "weak_labels") and pipe.cfg["spans_key"] == self.router]
        problem = (
            f"the router {self.router!r}, but no weak_class_router before it writes this span group: put one in front"
        )
        if not routers and component in names and "routed" in (self.train, self.predict):
            warnings.warn(f"{component!r} takes its sentences from {problem}.", UserWarning, stacklevel=3)
        if self.kind is None:
            return None
        if not routers:
            raise ValueError(
                f"{component!r} takes its labels from {problem}, or name the labels in label_filter and none here."
            )
        labels = list(routers[-1].weak_labels if self.kind == WEAK else routers[-1].strong_labels)
        if not labels:
            raise ValueError(
                f"{component!r} has no labels: the router {self.router!r} takes none of the labels as {self.kind}."
            )
        return labels

    def for_training(self, examples: Sequence[Example], labels: Collection[str], per_sentence: bool) -> Chosen:
        """See SentenceSelection."""
        if self.train == "all":
            return None
        lengths = [batch_lengths([example.predicted], per_sentence) for example in examples]
        if self.train == "once":
            repeated = [REPEATED in example.predicted.user_data for example in examples]
            return [np.full(len(sizes), not again) for sizes, again in zip(lengths, repeated, strict=True)]
        states = [entity_sentences(e, labels, sizes) for e, sizes in zip(examples, lengths, strict=True)]
        chosen = [state == WITH for state in states]
        if self.train == "routed":
            flagged = [self._flagged(example.predicted, per_sentence) for example in examples]
            return [with_entity | own for with_entity, own in zip(chosen, flagged, strict=True)]
        without = [(doc, k) for doc, state in enumerate(states) for k in np.flatnonzero(state == WITHOUT).tolist()]
        for doc, k in random.sample(without, min(sum(int(own.sum()) for own in chosen), len(without))):
            chosen[doc][k] = True
        return chosen

    def for_prediction(self, docs: Sequence[Doc], per_sentence: bool) -> Chosen:
        """See SentenceSelection.

        Raises ValueError for a Doc that the router has not read.
        """
        return None if self.predict == "all" else [self._flagged(doc, per_sentence) for doc in docs]

    def _flagged(self, doc: Doc, per_sentence: bool) -> np.ndarray:
        """Say of each sentence, or without `per_sentence` of the Doc, whether the router flagged a token of it."""
        if not len(doc):
            return np.zeros(0, dtype=bool)
        weak = weak_sentences(doc, str(self.router))
        lengths = batch_lengths([doc], per_sentence)
        if not weak or len(lengths) == 1:
            return np.full(len(lengths), bool(weak))
        flagged = np.zeros(len(doc), dtype=bool)
        for start, end in weak:
            flagged[start:end] = True
        return np.logical_or.reduceat(flagged, np.cumsum([0, *lengths[:-1]]))
