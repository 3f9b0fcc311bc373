"""What `bcrf_ner` writes into a Doc, and how its confidence is read back."""

import warnings
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set, Tuple

from spacy.tokens import Doc, Span, SpanGroup

from ..tags import LabelledSpan

ANNOTATIONS = ("confidence", "marginals", "n_best")
SOURCE = "component"
"""The key of a span group's attrs that names the component of this package which wrote it."""


@dataclass(eq=False)
class DocPrediction:
    """What a CRF finds in one Doc.

    spans: (start, end, label) of the entities, in tokens of the Doc, in order, never overlapping.
    kept: entities that were in doc.ents before and stay.
    blocked: (start, end) of tokens that were blocked and stay so.
    attrs: `scores` (entities,) span posteriors, and what else was asked for.
    """

    spans: List[LabelledSpan] = field(default_factory=list)
    kept: List[LabelledSpan] = field(default_factory=list)
    blocked: List[Tuple[int, int]] = field(default_factory=list)
    attrs: Dict[str, Any] = field(default_factory=dict)

    def keep(self, given: List[LabelledSpan], blocked: List[Tuple[int, int]]) -> None:
        """Let entities that were in the Doc before and blocked tokens stand, and count none of them as found."""
        if not given and not blocked:
            return
        runs = [*((start, end) for start, end, _ in given), *blocked]
        taken = {token for start, end in runs for token in range(start, end)}
        free = [k for k, (start, end, _) in enumerate(self.spans) if taken.isdisjoint(range(start, end))]
        self.kept, self.blocked = given, blocked
        self.spans = [self.spans[k] for k in free]
        if "scores" in self.attrs:
            self.attrs["scores"] = self.attrs["scores"][free]


def write_prediction(doc: Doc, prediction: DocPrediction, *, component: str, spans_key: Optional[str]) -> None:
    """Set doc.ents, or the span group `spans_key`, and with it what the component has to say about its entities.

    Without `spans_key` the entities stand once more in the group `component`, if there is anything to say.
    """
    spans = [Span(doc, start, end, label=label) for start, end, label in prediction.spans]
    if spans_key is None:
        given = set(prediction.kept)
        kept = [span for span in doc.ents if (span.start, span.end, span.label_) in given]
        doc.set_ents(kept + spans, blocked=[doc[start:end] for start, end in prediction.blocked])
        if not prediction.attrs:
            doc.spans.pop(component, None)
            return
    group = spans_key or component
    doc.spans[group] = SpanGroup(doc, name=group, spans=spans, attrs={**prediction.attrs, SOURCE: component})


def own_entities(doc: Doc, component: str) -> Set[LabelledSpan]:
    """Collect the entities that a component has found in this Doc before, as far as its span group tells."""
    group = doc.spans.get(component)
    if group is None or group.attrs.get(SOURCE) != component:
        return set()
    try:
        return {(span.start, span.end, span.label_) for span in group}
    except IndexError:
        # Stale after retokenization: the group's spans do not fit into the Doc any more.
        return set()


def write_own_entities(doc: Doc, entities: List[LabelledSpan], component: str) -> None:
    """Let a Doc say which of its entities a component has found before."""
    spans = [Span(doc, start, end, label=label) for start, end, label in entities]
    doc.spans[component] = SpanGroup(doc, name=component, spans=spans, attrs={SOURCE: component})


def span_confidence(span: Span) -> Optional[float]:
    """Read the posterior of a span in the first span group of a component of this package that holds it.

    None if none does, or if the Doc's tokens have been merged or split since.
    """
    for group in span.doc.spans.values():
        scores = group.attrs.get("scores")
        if scores is None or SOURCE not in group.attrs or len(scores) != len(group):
            continue
        try:
            index = first_from(group, span.start)
            scored = group[index] if index < len(group) else None
        except IndexError:
            continue  # stale, as above
        if scored is not None and (scored.start, scored.end, scored.label) == (span.start, span.end, span.label):
            return float(scores[index])
    return None


def first_from(group: SpanGroup, start: int) -> int:
    """Find the index of the first span of a group, which is in order, that does not begin before a token."""
    low, high = 0, len(group)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if group[middle].start < start else (low, middle)
    return low


def register_extensions() -> None:
    """Register `span._.confidence`: the probability of an entity, read from doc.spans; None where there is none."""
    if not Span.has_extension("confidence"):
        Span.set_extension("confidence", getter=span_confidence)
    elif Span.get_extension("confidence")[2] is not span_confidence:
        warnings.warn(
            "The extension span._.confidence is somebody else's: the probabilities of entities are only in "
            "doc.spans[...].attrs['scores'].",
            UserWarning,
            stacklevel=2,
        )
