"""What `weak_class_router` writes into a Doc, and how it is read back."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

from ..known_spans import LABELS, OFFSETS, SCORES, SOURCE, Rows, array_of, attrs_of, is_probability, spans_on_tokens
from ..sentences import batch_lengths

WEAK = "weak"
"""The label of a sentence in the span group of a router in which it expects a weak label."""

STRONG = "strong"
"""The label of a sentence in which it expects none."""


@dataclass(frozen=True)
class RoutedSentence:
    """A sentence that a router has read.

    start, end: its tokens are those from `start` to before `end`.
    probability: how probable a weak label is in it.
    flagged: whether that is enough for the router to flag it.
    """

    start: int
    end: int
    probability: float
    flagged: bool


def routed_sentences(doc: Doc, router: str) -> List[RoutedSentence]:
    """Read the sentences as a router has written them.

    router: the router's span group. Raises ValueError where the Doc has no such group, or another component's.
    """
    if router not in doc.spans:
        raise ValueError(
            f"The Doc {doc.text[:40]!r} has no doc.spans[{router!r}]: put a weak_class_router that writes it in front, "
            "in training also into [training.annotating_components], with the tok2vec that it listens to."
        )
    group = doc.spans[router]
    sentences = spans_on_tokens(doc, group)
    if sentences is None:
        raise ValueError(
            f"The sentences in doc.spans[{router!r}] do not fit the Doc {doc.text[:40]!r} any more, or are damaged: "
            "merge or split tokens after the taggers, and run the router again."
        )
    labels = [span.label_ for span in sentences]
    flags = [label == WEAK for label in labels]
    if not {WEAK, STRONG}.issuperset(labels):
        raise ValueError(
            f"doc.spans[{router!r}] of the Doc {doc.text[:40]!r} holds no sentences of a weak_class_router: name its "
            "spans_key in `router`."
        )
    # A group that was written by hand may hold labels alone.
    scores = array_of(attrs_of(group).get(SCORES, [float(flag) for flag in flags]), "fiu", 1)
    if scores is None or len(scores) != len(sentences) or not np.isfinite(scores).all():
        raise ValueError(
            f"doc.spans[{router!r}] of the Doc {doc.text[:40]!r} has no probability for each of its "
            f"{len(sentences)} sentences: run the router again."
        )
    return [
        RoutedSentence(span.start, span.end, score, flagged)
        for span, score, flagged in zip(sentences, scores.tolist(), flags, strict=True)
    ]


def weak_sentences(doc: Doc, router: str) -> List[Tuple[int, int]]:
    """Find the sentences, (start, end) in tokens of the Doc, that a router has flagged. See `routed_sentences`."""
    return [(sentence.start, sentence.end) for sentence in routed_sentences(doc, router) if sentence.flagged]


def write_sentences(
    doc: Doc, probabilities: np.ndarray, *, threshold: float, component: str, spans_key: str, per_sentence: bool
) -> None:
    """Write doc.spans[spans_key]: the sentences, labelled WEAK where the probability reaches the threshold.

    probabilities: (sentences,); they become attrs["scores"].
    """
    spans, start = [], 0
    for length, probability in zip(batch_lengths([doc], per_sentence), probabilities.tolist(), strict=True):
        spans.append(Span(doc, start, start + length, label=WEAK if probability >= threshold else STRONG))
        start += length
    attrs = {
        "scores": probabilities,
        "threshold": threshold,
        SOURCE: component,
        OFFSETS: np.array([(span.start_char, span.end_char) for span in spans], dtype=np.int64).reshape(-1, 2),
        LABELS: [span.label_ for span in spans],
    }
    doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=spans, attrs=attrs)


def is_of_router(group: SpanGroup) -> bool:
    """Tell whether a router has written a span group."""
    return "threshold" in attrs_of(group)


def weak_probability(span: Span) -> Optional[float]:
    """Read the probability that a sentence holds a weak label, by the first router that has read it; None if none has.

    Any span of tokens of the sentence may ask; sentences are known by their characters.
    """
    for group in span.doc.spans.values():
        rows = Rows.of(group) if is_of_router(group) else None
        if rows is None or rows.scores is None:
            continue
        row = int(np.searchsorted(rows.offsets[:, 0], span.start_char, side="right")) - 1
        inside = row >= 0 and rows.offsets[row, 0] <= span.start_char and span.end_char <= rows.offsets[row, 1]
        if inside and is_probability(rows.scores[row]):
            return float(rows.scores[row])
    return None


def register_extensions() -> None:
    """Register `span._.weak_probability`: that of the sentence that a span stands in."""
    if not Span.has_extension("weak_probability"):
        Span.set_extension("weak_probability", getter=weak_probability)
