"""What `bcrf_ner` writes into a Doc, and how its confidence is read back."""

import warnings
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Tuple

from spacy.tokens import Doc, Span

from ..known_spans import (
    KnownSpan,
    carry,
    find_score,
    is_place,
    is_probability,
    known_spans,
    owned_places,
    spans_of_group,
    write_known_spans,
)
from ..tags import LabelledSpan
from ..text_files import HALF_PAIR

ANNOTATIONS = ("confidence", "marginals", "n_best")


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


def write_prediction(
    doc: Doc, prediction: DocPrediction, *, component: str, owner: str, spans_key: Optional[str]
) -> None:
    """Set doc.ents, or the span group `spans_key`, and with it what the component has to say about its entities.

    component: its name, which the group has without `spans_key`. owner: the same, as in KnownSpan. The entities in
    doc.ents that stay keep what others have said of them.
    """
    spans = [Span(doc, start, end, label=label) for start, end, label in prediction.spans]
    scores = prediction.attrs.get("scores")
    values = [None] * len(spans) if scores is None else scores.tolist()
    known = [KnownSpan.of(span, score, owner) for span, score in zip(spans, values, strict=True)]
    group = spans_key or component
    if spans_key is None:
        given = set(prediction.kept)
        kept = [span for span in doc.ents if (span.start, span.end, span.label_) in given]
        doc.set_ents(kept + spans, blocked=[doc[start:end] for start, end in prediction.blocked])
        if kept and group in doc.spans:
            places = {(span.start_char, span.end_char, span.label_) for span in kept}
            said = spans_of_group(doc.spans[group])
            known += [one for one in said if one.place in places and one.owner != owner]
    attrs = dict(prediction.attrs)
    if "n_best" in attrs:
        attrs["n_best"] = [[_with_characters(path, doc) for path in paths] for paths in attrs["n_best"]]
    own_spans = () if spans_key is None else spans
    write_known_spans(doc, group, known, component=component, owner=owner, spans=own_spans, attrs=attrs)


def _with_characters(path: Dict[str, Any], doc: Doc) -> Dict[str, Any]:
    """Give the entities of a tag sequence as spaCy's annotation does, by characters."""
    spans = [doc[start:end] for start, end, _ in path["ents"]]
    labels = [label for *_, label in path["ents"]]
    ents = [[span.start_char, span.end_char, label] for span, label in zip(spans, labels, strict=True)]
    return {**path, "ents": ents}


def own_entities(doc: Doc, owner: str) -> List[LabelledSpan]:
    """List the entities in doc.ents that a component has found before."""
    return _entities(doc, owner, own=True)


def entities_of_others(doc: Doc, owner: str) -> List[LabelledSpan]:
    """List the entities in doc.ents that another one than this component has found."""
    return _entities(doc, owner, own=False)


def _entities(doc: Doc, owner: str, own: bool) -> List[LabelledSpan]:
    if not doc.ents:
        return []
    places = owned_places(doc, owner)
    ents = [ent for ent in doc.ents if ((ent.start_char, ent.end_char, ent.label_) in places) is own]
    return [(ent.start, ent.end, ent.label_) for ent in ents]


def carry_own_entities(doc: Doc, entities: Iterable[LabelledSpan], owner: str) -> None:
    """Let a Doc say which of its entities a component has found before."""
    for start, end, label in entities:
        carry(doc, KnownSpan.of(Span(doc, start, end, label=label), None, owner))


def span_confidence(span: Span) -> Optional[float]:
    """Read the probability that the first component of this package which found a span gives it.

    The span is known by its characters and label. None if no component has found it.
    """
    return find_score(span)


def doc_confidences(doc: Doc) -> List[Dict[str, Any]]:
    """List the spans of a Doc that have a probability, in order, in the form of JSON; see `register_extensions`."""
    found = sorted({one for one in known_spans(doc) if one.score is not None}, key=lambda one: (one.start, one.end))
    return [
        {"start": one.start, "end": one.end, "label": one.label, "confidence": one.score, "owner": one.owner}
        for one in found
    ]


def set_doc_confidences(doc: Doc, values: Iterable[Dict[str, Any]]) -> None:
    """Give a Doc what `doc_confidences` read of another one of this text, such as before it became JSON.

    Raises ValueError for anything else; the Doc is what it was then.
    """
    listed: List[Any] = list(values) if isinstance(values, (list, tuple)) else [values]
    for value in listed:
        if not _is_confidence(value):
            raise ValueError(
                f"doc._.confidences takes the list that it gives, whose entries have start, end, label, confidence and "
                f"owner, not {repr(value)[:80]}: write the JSON again."
            )
    for value in listed:
        score = float(value["confidence"])
        carry(doc, KnownSpan(value["start"], value["end"], value["label"], score, value["owner"]))


def _is_confidence(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    texts = [value.get(key) for key in ("label", "owner")]
    return (
        is_place(value.get("start"), value.get("end"))
        and is_probability(value.get("confidence"))
        # JSON can write halves of characters, which no Doc can save.
        and all(isinstance(text, str) and not HALF_PAIR.search(text) for text in texts)
    )


def register_extensions() -> None:
    """Register `span._.confidence`, the probability of an entity, and `doc._.confidences`, all of those of a Doc.

    The second is for `doc.to_json(underscore=["confidences"])`, from which `Doc.from_json` brings them back.
    """
    if not Doc.has_extension("confidences"):
        Doc.set_extension("confidences", getter=doc_confidences, setter=set_doc_confidences)
    if not Span.has_extension("confidence"):
        Span.set_extension("confidence", getter=span_confidence)
    elif Span.get_extension("confidence")[2] is not span_confidence:
        warnings.warn(
            "The extension span._.confidence is somebody else's: the probabilities of entities are only in "
            "doc.spans[...].attrs['scores'].",
            UserWarning,
            stacklevel=2,
        )
