"""What `bcrf_ner` writes into a Doc, and how its confidence is read back."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

ANNOTATIONS = ("confidence", "marginals", "n_best")


@dataclass(eq=False)
class DocPrediction:
    """What a CRF finds in one Doc.

    spans: (start, end, label) of the entities, in tokens of the Doc, in order, never overlapping.
    kept: entities that were in doc.ents before and stay.
    attrs: `scores` (entities,) span posteriors, and what else was asked for.
    """

    spans: List[Tuple[int, int, str]] = field(default_factory=list)
    kept: List[Tuple[int, int, str]] = field(default_factory=list)
    attrs: Dict[str, Any] = field(default_factory=dict)

    def keep(self, given: List[Tuple[int, int, str]]) -> None:
        """Let entities that were in the Doc before stand, and count none of them as found."""
        if not given:
            return
        taken = {token for start, end, _ in given for token in range(start, end)}
        found = [k for k, (start, end, _) in enumerate(self.spans) if taken.isdisjoint(range(start, end))]
        self.kept = given
        self.spans = [self.spans[k] for k in found]
        if "scores" in self.attrs:
            self.attrs["scores"] = self.attrs["scores"][found]


def write_prediction(doc: Doc, prediction: DocPrediction, *, group: str, write_ents: bool) -> None:
    """Set doc.spans[group] and, with write_ents, doc.ents."""
    spans = [Span(doc, start, end, label=label) for start, end, label in prediction.spans]
    if write_ents:
        kept = [span for span in doc.ents if (span.start, span.end, span.label_) in set(prediction.kept)]
        doc.set_ents(kept + spans)
    doc.spans[group] = SpanGroup(doc, name=group, spans=spans, attrs=prediction.attrs)


def span_confidence(span: Span) -> Optional[float]:
    """The posterior of a span in the first span group that holds it with a score; None if none does."""
    for group in span.doc.spans.values():
        scores = group.attrs.get("scores")
        if scores is None or len(scores) != len(group):
            continue
        for other, score in zip(group, np.asarray(scores).tolist(), strict=True):
            if other.start == span.start and other.end == span.end and other.label == span.label:
                return score
    return None


def register_extensions() -> None:
    """`span._.confidence`: the probability of an entity, read from doc.spans; None where there is none."""
    if not Span.has_extension("confidence"):
        Span.set_extension("confidence", getter=span_confidence)
