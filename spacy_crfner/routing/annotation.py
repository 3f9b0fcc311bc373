"""What `weak_class_router` writes into a Doc, and how it is read back."""

from typing import Optional

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

from ..sentences import STRONG, WEAK, batch_lengths
from ..tagging.annotation import SOURCE


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
    attrs = {"scores": probabilities, "threshold": threshold, SOURCE: component}
    doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=spans, attrs=attrs)


def is_of_router(group: SpanGroup) -> bool:
    """Whether a router has written a span group."""
    return "threshold" in group.attrs


def weak_probability(span: Span) -> Optional[float]:
    """The probability that a sentence holds a weak label, by the first router that has read it; None if none has.

    None too where the Doc's tokens have been merged or split since. Any span of tokens of the sentence may ask.
    """
    for group in span.doc.spans.values():
        scores = group.attrs.get("scores")
        if scores is None or not is_of_router(group) or len(scores) != len(group):
            continue
        try:
            for sentence, score in zip(group, scores, strict=True):
                if sentence.start <= span.start and span.end <= sentence.end:
                    return float(score)
        except IndexError:
            continue  # stale after retokenization, as in span_confidence
    return None


def register_extensions() -> None:
    """`span._.weak_probability`: that of the sentence that a span stands in."""
    if not Span.has_extension("weak_probability"):
        Span.set_extension("weak_probability", getter=weak_probability)
