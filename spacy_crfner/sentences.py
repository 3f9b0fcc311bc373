"""Where the sentences of a Doc begin, and which of them a router has flagged."""

from dataclasses import dataclass
from typing import Iterable, List, Tuple

import numpy as np
from spacy.attrs import SENT_START
from spacy.tokens import Doc


def sentence_lengths(doc: Doc) -> List[int]:
    """The tokens of each sentence of a Doc: one sentence, the Doc, where no boundary is set; none if it is empty."""
    if not len(doc):
        return []
    starts = np.flatnonzero(doc.to_array(SENT_START)[1:] == 1) + 1
    # Most training Docs are one sentence, and np.diff is slow.
    return np.diff(starts, prepend=0, append=len(doc)).tolist() if len(starts) else [len(doc)]


def batch_lengths(docs: Iterable[Doc], per_sentence: bool) -> List[int]:
    """The lengths of the sequences that a batch of Docs is read as: its sentences, or its Docs; empty ones left out."""
    if per_sentence:
        return [length for doc in docs for length in sentence_lengths(doc)]
    return [len(doc) for doc in docs if len(doc)]


WEAK = "weak"
"""The label of a sentence in the span group of a router in which it expects a weak label."""

STRONG = "strong"
"""The label of a sentence in which it expects none."""


@dataclass(frozen=True)
class RoutedSentence:
    """A sentence that a router has read: tokens from `start` to before `end`, how probable a weak label is in it, and
    whether that is enough for the router to flag it."""

    start: int
    end: int
    probability: float
    flagged: bool


def routed_sentences(doc: Doc, router: str) -> List[RoutedSentence]:
    """The sentences as a router has read them.

    router: the router's span group. Raises ValueError where the Doc has no such group, or another component's.
    """
    if router not in doc.spans:
        raise ValueError(
            f"The Doc {doc.text[:40]!r} has no doc.spans[{router!r}]: put a weak_class_router that writes it in front, "
            "in training also into [training.annotating_components], with the tok2vec that it listens to."
        )
    group = doc.spans[router]
    try:
        labels = [span.label_ for span in group]
        flags = [label == WEAK for label in labels]
    except IndexError:
        raise ValueError(
            f"The sentences in doc.spans[{router!r}] do not fit the Doc {doc.text[:40]!r} any more: merge or split "
            "tokens after the taggers."
        ) from None
    if not {WEAK, STRONG}.issuperset(labels):
        raise ValueError(
            f"doc.spans[{router!r}] of the Doc {doc.text[:40]!r} holds no sentences of a weak_class_router: name its "
            "spans_key in `router`."
        )
    # A group that was written by hand may hold labels alone.
    scores = group.attrs.get("scores", flags)
    return [
        RoutedSentence(span.start, span.end, float(score), flagged)
        for span, score, flagged in zip(group, scores, flags, strict=True)
    ]


def weak_sentences(doc: Doc, router: str) -> List[Tuple[int, int]]:
    """(start, end) of the sentences that a router has flagged, in tokens of the Doc. See `routed_sentences`."""
    return [(sentence.start, sentence.end) for sentence in routed_sentences(doc, router) if sentence.flagged]
