"""Where an entity begins and ends: white space does not count.

Readers, training and scores agree on that, whoever has made a Doc: an entity has no white space at its ends, and what
holds nothing else is none.
"""

from typing import Iterable, List, Sequence, Tuple, Union

from spacy.tokens import Doc, Span


def trim(words: Union[Sequence[str], Doc], start: int, end: int) -> Tuple[int, int]:
    """Leave white space out at both ends of a span; start and end are equal where nothing else is in it.

    words: strings; a Doc; or a text, whose characters are counted then.
    """
    while start < end and str(words[start]).isspace():
        start += 1
    while end > start and str(words[end - 1]).isspace():
        end -= 1
    return start, end


def entities(spans: Iterable[Span]) -> List[Tuple[int, int, str]]:
    """List start, end (exclusive) and label of spans of Docs, such as doc.ents, trimmed; those left empty are none."""
    trimmed = ((*trim(span.doc, span.start, span.end), span.label_) for span in spans)
    return [(start, end, label) for start, end, label in trimmed if start < end]
