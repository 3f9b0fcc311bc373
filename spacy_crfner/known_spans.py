"""What components know of the spans that they found, kept with the Doc by character offsets.

Tokens may be merged or split later, Docs joined, cut, copied and saved. A token's index then names another token, the
characters of a span stay the same. What is known of a span is found again by its characters and its label alone.

It stands twice: in the attrs of a span group, which every way of saving a Doc keeps; and in `doc.user_data` under the
kind of key by which spaCy moves what belongs to characters along (`Doc.from_docs`, `Span.as_doc(copy_user_data=True)`).
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, cast

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup

SOURCE = "component"
"""The key of a span group's attrs that names the component of this package which wrote it."""

OWNER = "owner"
"""The key of a span group's attrs that says which component it was among all of that name."""

SCORES, OFFSETS, LABELS, OWNERS = "scores", "offsets", "labels", "owners"
"""The keys of what is known of its spans: probabilities (n,), first character and the one after the last (n, 2), labels
and owners, lists of n strings."""

CARRIED = "crfner"
"""The name under which doc.user_data has the same."""

Place = Tuple[int, int, str]
"""The first character of a span, the one after its last, and its label."""


@dataclass(frozen=True)
class KnownSpan:
    """A span that a component has found.

    start, end: its first character, and the one after its last. label: of the span.
    score: its probability; None where the component does not say.
    owner: who found it, such that no other component has the same, of whatever pipeline.
    """

    start: int
    end: int
    label: str
    score: Optional[float]
    owner: str

    @classmethod
    def of(cls, span: Span, score: Optional[float], owner: str) -> "KnownSpan":
        """Note a span of a Doc."""
        return cls(span.start_char, span.end_char, span.label_, score, owner)

    @property
    def place(self) -> Place:
        """What it is found again by."""
        return self.start, self.end, self.label


def write_known_spans(
    doc: Doc,
    key: str,
    known: Sequence[KnownSpan],
    *,
    component: str,
    owner: str,
    spans: Sequence[Span] = (),
    attrs: Mapping[str, Any],
) -> None:
    """Write what is known of spans with the Doc: into the attrs of doc.spans[key], and into doc.user_data.

    component: the name of who writes. owner: the same, as in KnownSpan; what it had noted before is dropped.
    spans: what the group shall hold beside. Spans of a group cannot follow when tokens are merged, and spaCy cannot
        save the Doc then, so entities that stand in doc.ents anyway are not among them.
    attrs: further attrs of the group.
    """
    known = sorted(known, key=lambda one: (one.start, one.end))
    columns: Dict[str, Any] = {
        SOURCE: component,
        OWNER: owner,
        OFFSETS: np.array([(one.start, one.end) for one in known], dtype=np.int64).reshape(-1, 2),
        LABELS: [one.label for one in known],
        OWNERS: [one.owner for one in known],
    }
    if SCORES in attrs or any(one.score is not None for one in known):
        scores = [math.nan if one.score is None else one.score for one in known]
        columns[SCORES] = np.array(scores, dtype=np.float32)
    doc.spans[key] = SpanGroup(doc, name=key, spans=spans, attrs={**attrs, **columns})
    _forget(doc, owner)
    for one in known:
        carry(doc, one)


def carry(doc: Doc, one: KnownSpan) -> None:
    """Note a span in doc.user_data, in the place of what its owner said of it before."""
    carried, key = _user_data(doc), _carried_key(one.start, one.end)
    others = [entry for entry in carried.get(key, []) if (entry[0], entry[2]) != (one.label, one.owner)]
    carried[key] = [*others, [one.label, one.score, one.owner]]


def _forget(doc: Doc, owner: str) -> None:
    carried = _user_data(doc)
    for key in [key for key in carried if _is_carried(key)]:
        others = [entry for entry in carried[key] if entry[2] != owner]
        if others:
            carried[key] = others
        else:
            del carried[key]


def known_spans(doc: Doc) -> Iterator[KnownSpan]:
    """Give all that is known of spans of a Doc; what stands twice comes twice."""
    for group in doc.spans.values():
        yield from spans_of_group(group)
    for key, entries in _user_data(doc).items():
        if _is_carried(key):
            for label, score, owner in entries:
                yield KnownSpan(key[2], key[3], label, score, owner)


def spans_of_group(group: SpanGroup) -> List[KnownSpan]:
    """Read what the attrs of a group say of spans, in order of the text; nothing where they are not of this package."""
    attrs = group.attrs
    if OWNERS not in attrs:
        return []
    scores = attrs.get(SCORES)
    values = [None] * len(attrs[LABELS]) if scores is None else [_number(score) for score in scores]
    rows = zip(np.asarray(attrs[OFFSETS]).tolist(), attrs[LABELS], values, attrs[OWNERS], strict=True)
    return [KnownSpan(start, end, label, score, owner) for (start, end), label, score, owner in rows]


def spans_on_tokens(doc: Doc, group: SpanGroup) -> Optional[List[Span]]:
    """Find the spans of a group on the tokens that the Doc has now, in the order of the group's attrs.

    A group that was written by hand, without offsets, is taken as it is. Returns None where tokens have been merged or
    split across the border of a span.
    """
    if OFFSETS not in group.attrs:
        try:
            by_hand = list(group)
        except IndexError:
            return None
        return by_hand if all(doc[span.start].idx == span.start_char for span in by_hand) else None
    labels = group.attrs.get(LABELS)
    places = np.asarray(group.attrs[OFFSETS]).tolist()
    names = [span.label_ for span in group] if labels is None else labels
    spans = [doc.char_span(start, end, label=name) for (start, end), name in zip(places, names, strict=True)]
    found = [span for span in spans if span is not None]
    return found if len(found) == len(spans) else None


def find_score(span: Span) -> Optional[float]:
    """Look up the probability of a span: in the first group that has one for its characters and label."""
    start, end, label = span.start_char, span.end_char, span.label_
    for group in span.doc.spans.values():
        attrs = group.attrs
        if OWNERS not in attrs or SCORES not in attrs:
            continue
        offsets = attrs[OFFSETS]
        row = int(np.searchsorted(offsets[:, 0], start))
        while row < len(offsets) and offsets[row, 0] == start:
            if offsets[row, 1] == end and attrs[LABELS][row] == label:
                score = _number(attrs[SCORES][row])
                if score is not None:
                    return score
            row += 1
    for name, score, _ in _user_data(span.doc).get(_carried_key(start, end), ()):
        if name == label and score is not None:
            return float(score)
    return None


def owned_places(doc: Doc, owner: str) -> Set[Place]:
    """Collect the places of the spans that a component has found in a Doc, or in one that it was made of."""
    return {one.place for one in known_spans(doc) if one.owner == owner}


def _number(score: Any) -> Optional[float]:
    return None if score is None or math.isnan(score) else float(score)


def _user_data(doc: Doc) -> Dict[Any, Any]:
    return cast(Dict[Any, Any], doc.user_data)


def _carried_key(start: int, end: int) -> Tuple[str, str, int, int]:
    return "._.", CARRIED, start, end


def _is_carried(key: Any) -> bool:
    return isinstance(key, tuple) and len(key) == 4 and key[:2] == ("._.", CARRIED)
