"""What components know of the spans that they found, kept with the Doc by character offsets.

Tokens may be merged or split later, Docs joined, cut, copied and saved. A token's index then names another token, the
characters of a span stay the same. What is known of a span is found again by its characters and its label alone.

It stands twice: in the attrs of a span group, which every way of saving a Doc keeps; and in `doc.user_data` under the
kind of key by which spaCy moves what belongs to characters along (`Doc.from_docs`, `Span.as_doc(copy_user_data=True)`).

A Doc may come from somebody else: of what stands there, only what has the right form is taken as known.
"""

import math
from dataclasses import dataclass
from numbers import Integral, Real
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

LAST = 2**31 - 1
"""No text has so many characters."""

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
    others = [entry for entry in _entries(carried.get(key)) if (entry[0], entry[2]) != (one.label, one.owner)]
    carried[key] = [*others, [one.label, one.score, one.owner]]


def _forget(doc: Doc, owner: str) -> None:
    carried = _user_data(doc)
    for key in [key for key in carried if _is_carried(key)]:
        others = [entry for entry in _entries(carried[key]) if entry[2] != owner]
        if others:
            carried[key] = others
        else:
            del carried[key]


def known_spans(doc: Doc) -> Iterator[KnownSpan]:
    """Give all that is known of spans of a Doc; what stands twice comes twice."""
    for group in doc.spans.values():
        yield from spans_of_group(group)
    for key, entries in _user_data(doc).items():
        if _is_carried(key) and is_place(key[2], key[3]):
            for label, score, owner in _entries(entries):
                yield KnownSpan(key[2], key[3], label, score, owner)


@dataclass(frozen=True, eq=False)
class Rows:
    """What the attrs of a span group say of spans, a row each; that they have the right form is all that is sure.

    offsets: (n, 2) whole numbers. labels: n of whatever kind. owners: n of whatever kind, or None.
    scores: (n,) numbers, or None.
    """

    offsets: np.ndarray
    labels: Sequence[Any]
    owners: Optional[Sequence[Any]]
    scores: Optional[np.ndarray]

    @classmethod
    def of(cls, group: SpanGroup) -> "Optional[Rows]":
        """Take them out of a group; None where it has none. The time does not grow with their number."""
        attrs = attrs_of(group)
        if OFFSETS not in attrs or LABELS not in attrs:
            return None
        offsets, labels, owners = array_of(attrs[OFFSETS], "iu", 2), attrs[LABELS], attrs.get(OWNERS)
        if offsets is None or offsets.shape[1] != 2:
            return None
        scores = array_of(attrs.get(SCORES), "fiu", 1)
        texts = (labels,) if owners is None else (labels, owners)
        if any(not isinstance(column, (list, tuple)) or len(column) != len(offsets) for column in texts):
            return None
        return cls(offsets, labels, owners, scores) if scores is None or len(scores) == len(offsets) else None


def attrs_of(group: SpanGroup) -> Dict[str, Any]:
    """Get the attrs of a group; none where a file has something else in their place."""
    return group.attrs if isinstance(group.attrs, dict) else {}


def array_of(value: Any, kinds: str, dimensions: int) -> Optional[np.ndarray]:
    """Make an array of numbers of the attrs of a group; None where it is of another form.

    kinds: of numbers, as numpy names them.
    """
    try:
        array = np.asarray(value)
    # Lists may hold anything, in any shape.
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.ndim == dimensions and array.dtype.kind in kinds else None


def spans_of_group(group: SpanGroup) -> List[KnownSpan]:
    """Read what the attrs of a group say of spans, in order of the text; nothing where they are not of this package."""
    rows = Rows.of(group)
    if rows is None or rows.owners is None:
        return []
    scores = [None] * len(rows.labels) if rows.scores is None else [_number(score) for score in rows.scores.tolist()]
    columns = zip(rows.offsets.tolist(), rows.labels, scores, rows.owners, strict=True)
    return [
        KnownSpan(start, end, label, score, owner)
        for (start, end), label, score, owner in columns
        if isinstance(label, str) and isinstance(owner, str)
    ]


def spans_on_tokens(doc: Doc, group: SpanGroup) -> Optional[List[Span]]:
    """Find the spans of a group on the tokens that the Doc has now, in the order of the group's attrs.

    A group that was written by hand, without offsets, is taken as it is. Returns None where tokens have been merged or
    split across the border of a span, or where the group is damaged.
    """
    attrs = attrs_of(group)
    # What spaCy and numpy raise for places and names that cannot be.
    try:
        if OFFSETS not in attrs:
            by_hand = list(group)
            return by_hand if all(doc[span.start].idx == span.start_char for span in by_hand) else None
        rows = Rows.of(group if LABELS in attrs else _with_labels(group))
        if rows is None:
            return None
        places = rows.offsets.tolist()
        spans = [doc.char_span(start, end, label=name) for (start, end), name in zip(places, rows.labels, strict=True)]
    except (IndexError, ValueError, TypeError, OverflowError):
        return None
    found = [span for span in spans if span is not None and len(span)]
    return found if len(found) == len(spans) else None


def _with_labels(group: SpanGroup) -> SpanGroup:
    return SpanGroup(group.doc, attrs={**group.attrs, LABELS: [span.label_ for span in group]})


def find_score(span: Span) -> Optional[float]:
    """Look up the probability of a span: in the first group that has one for its characters and label."""
    start, end, label = span.start_char, span.end_char, span.label_
    for group in span.doc.spans.values():
        rows = Rows.of(group)
        if rows is None or rows.owners is None or rows.scores is None:
            continue
        offsets = rows.offsets
        row = int(np.searchsorted(offsets[:, 0], start))
        while row < len(offsets) and offsets[row, 0] == start:
            name = rows.labels[row]
            if offsets[row, 1] == end and isinstance(name, str) and name == label:
                score = _number(rows.scores[row])
                if score is not None:
                    return score
            row += 1
    for name, score, _ in _entries(_user_data(span.doc).get(_carried_key(start, end))):
        if name == label and score is not None:
            return score
    return None


def owned_places(doc: Doc, owner: str) -> Set[Place]:
    """Collect the places of the spans that a component has found in a Doc, or in one that it was made of."""
    return {one.place for one in known_spans(doc) if one.owner == owner}


def is_place(start: Any, end: Any) -> bool:
    """Tell whether two values can be the first character of a span, and the one after its last."""
    return all(isinstance(at, Integral) and not isinstance(at, bool) for at in (start, end)) and 0 <= start < end < LAST


def is_probability(value: Any) -> bool:
    """Tell whether a value is a number from 0 to 1, or above it by no more than sums in single precision may be."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= cast(float, value) <= 1.001


def _number(score: Any) -> Optional[float]:
    return float(score) if is_probability(score) else None


def _entries(value: Any) -> List[Tuple[str, Optional[float], str]]:
    """Take (label, score, owner) out of what stands under a key of doc.user_data, as far as they have that form."""
    rows = [entry for entry in value if isinstance(entry, (list, tuple))] if isinstance(value, (list, tuple)) else []
    return [
        (row[0], _number(row[1]), row[2])
        for row in rows
        if len(row) == 3 and isinstance(row[0], str) and isinstance(row[2], str)
    ]


def _user_data(doc: Doc) -> Dict[Any, Any]:
    return cast(Dict[Any, Any], doc.user_data)


def _carried_key(start: int, end: int) -> Tuple[str, str, int, int]:
    return "._.", CARRIED, start, end


def _is_carried(key: Any) -> bool:
    return isinstance(key, tuple) and len(key) == 4 and key[:2] == ("._.", CARRIED)
