"""Spans at character offsets, as JSON has them -> entities of a Doc."""

from itertools import pairwise
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Set, Tuple

from spacy.tokens import Doc, Span

from ..quoting import quote
from ..tags import check_labels
from ..white_space import trim

ALIGNMENTS = ("strict", "contract", "expand", "skip")
"""What happens to a span whose borders are not token borders: an error, the tokens inside it, all tokens that
it touches, or no span and no annotation on those tokens."""

OFFSET_KEYS = (("start", "end"), ("start_offset", "end_offset"))


class CharSpan(NamedTuple):
    """Start and end (exclusive) in characters, and label."""

    start: int
    end: int
    label: str

    def shown(self, text: str) -> str:
        """Show the span in a message."""
        return f"{self.start}-{self.end} {quote(text[self.start : self.end])} ({quote(self.label)[1:-1]})"


class CharSpans(NamedTuple):
    """The spans of a text.

    spans: by their places, without white space at their ends, each once.
    trimmed: how many had such.
    blank: how many held nothing else, and were left out.
    """

    spans: List[CharSpan]
    trimmed: int = 0
    blank: int = 0


def read_spans(items: List[Any], text: str) -> CharSpans:
    """Read spans. items: objects or lists of JSON. Raises ValueError for those that are no spans of the text."""
    given = [_read_span(item, text) for item in items]
    # A span that is given twice says nothing new.
    trimmed = [CharSpan(*trim(text, span.start, span.end), span.label) for span in given]
    kept = {span for span in trimmed if span.start < span.end}
    blank = sum(span.start == span.end for span in trimmed)
    changed = sum(old != new for old, new in zip(given, trimmed, strict=True))
    return CharSpans(sorted(kept), changed - blank, blank)


def check_overlaps(spans: List[CharSpan], text: str) -> None:
    """Raise ValueError where two spans, by their places, overlap."""
    for left, right in pairwise(spans):
        if right.start < left.end:
            raise ValueError(f"the spans {left.shown(text)} and {right.shown(text)} overlap: keep one of them.")


def _read_span(item: Any, text: str) -> CharSpan:
    if isinstance(item, list) and len(item) == 3:
        values = dict(zip(("start", "end", "label"), item, strict=True))
    elif isinstance(item, dict):
        values = item
    else:
        raise ValueError(f"the span {quote(item)} is neither an object nor a list [start, end, label]: correct it.")
    start, end = read_offsets(values, text, "span")
    if "label" not in values:
        raise ValueError(f"the span {start}-{end} {quote(text[start:end])} has no 'label': name it.")
    (label,) = check_labels([values["label"]])
    if start == end:
        raise ValueError(f"the span {start}-{end} ({quote(label)[1:-1]}) covers no text: remove it or correct it.")
    return CharSpan(start, end, label)


def read_offsets(values: Dict[str, Any], text: str, role: str) -> Tuple[int, int]:
    """Read start and end out of an object. role: what it is. Raises ValueError where they are not in the text."""
    for start_key, end_key in OFFSET_KEYS:
        if start_key in values and end_key in values:
            start, end = _offset(values[start_key], start_key), _offset(values[end_key], end_key)
            if not 0 <= start <= end <= len(text):
                raise ValueError(
                    f"the {role} {quote(start)}-{quote(end)} does not lie in the text, which has {len(text)} "
                    "characters: correct its offsets."
                )
            return start, end
    raise ValueError(f"the {role} {quote(values)} has no 'start' and 'end': add them.")


def _offset(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is {quote(value)}: offsets must be whole numbers.")
    return value


def align(doc: Doc, span: CharSpan, alignment: str) -> Optional[Span]:
    """Find the tokens of a span, without white space at its ends; None where they are to be skipped.

    Raises ValueError where there are none that fit.
    """
    mode = "strict" if alignment == "skip" else alignment
    found = doc.char_span(span.start, span.end, label=span.label, alignment_mode=mode)
    if found is not None:
        start, end = trim(doc, found.start, found.end)
        if start < end:
            return Span(doc, start, end, label=span.label)
    if alignment == "skip":
        return None
    what = "covers no whole token" if alignment == "contract" else "does not begin and end with a token"
    choices = ", ".join(f'"{choice}"' for choice in ALIGNMENTS[1:] if choice != alignment)
    raise ValueError(
        f"the span {span.shown(doc.text)} {what} (the tokens there: {quote(touched(doc, span).text)}): correct it, or "
        f"choose another alignment (--alignment), one of {choices}."
    )


def touched(doc: Doc, span: CharSpan) -> Span:
    """Find all tokens that a span touches."""
    tokens = doc.char_span(span.start, span.end, alignment_mode="expand")
    assert tokens is not None, "the tokens cover the text"
    return tokens


def align_all(doc: Doc, spans: Collection[CharSpan], alignment: str) -> Tuple[List[Span], Set[int]]:
    """Find the tokens of spans that do not overlap, and the tokens of those that are skipped.

    spans: by their places. Raises ValueError where one cannot be aligned, or two of them overlap then.
    """
    entities: List[Span] = []
    unknown: Set[int] = set()
    last: Optional[CharSpan] = None
    for span in spans:
        entity = align(doc, span, alignment)
        if entity is None:
            unknown.update(token.i for token in touched(doc, span))
        elif last is not None and entity.start < entities[-1].end:
            raise ValueError(
                f"the spans {last.shown(doc.text)} and {span.shown(doc.text)} overlap when expanded to whole tokens: "
                'correct one of them, or choose another alignment (--alignment), one of "contract", "skip".'
            )
        else:
            entities.append(entity)
            last = span
    return entities, unknown
