"""JSON lines with entities at character offsets (Prodigy, doccano, spaCy 2) -> Docs."""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..tags import check_labels
from ..text_files import CorpusError, Problems, parse_object, read_lines

ALIGNMENTS = ("strict", "contract", "expand", "skip")
"""What happens to a span whose borders are not token borders: an error, the tokens inside it, all tokens that
it touches, or no span and no annotation on those tokens."""

SPAN_KEYS = ("spans", "entities", "labels", "label")
"""Where the spans of an example may stand."""

OFFSET_KEYS = (("start", "end"), ("start_offset", "end_offset"))

MAX_SHOWN = 60
"""Characters of a text that a message quotes."""


@dataclass(frozen=True)
class JsonlExample:
    """An example of a JSON lines file.

    doc: tokens and entities.
    line: where it stands in the file, counted from 1.
    skipped_spans: how many spans were turned into missing annotation (alignment ``skip``).
    """

    doc: Doc
    line: int
    skipped_spans: int


class _CharSpan(NamedTuple):
    start: int
    end: int
    label: str
    text: str

    def __str__(self) -> str:
        return f"{self.start}-{self.end} {_quote(self.text)} ({self.label})"


def read_jsonl(path: Union[str, Path], nlp: Language, *, alignment: str = "strict") -> Tuple[List[JsonlExample], int]:
    """Read the examples of a JSON lines file, plain or ``.gz``; also count those skipped (answer not "accept").

    Each line is an object with "text" and spans of that text: "spans" or "entities" with objects (offsets
    "start" and "end", or "start_offset" and "end_offset", and "label"), or "entities", "label" or "labels" with
    lists ``[start, end, label]``. White space at either end of a span is trimmed, and of identical spans one is kept.
    "tokens", a list of objects with "start" and "end", replaces `nlp`'s tokenizer.

    path: the file.
    nlp: its tokenizer and vocabulary make the Docs.
    alignment: what happens to a span whose borders are not token borders: "strict" is an error, "contract" takes
        the tokens inside it, "expand" all that it touches, "skip" turns those into missing annotation.

    Raises CorpusError, naming file and line, where the file cannot be read, holds no example, or has lines that
    are not such objects, or spans that overlap, leave the text or cannot be aligned.
    """
    if alignment not in ALIGNMENTS:
        raise CorpusError(f"Unknown alignment {alignment!r}: choose one of {', '.join(ALIGNMENTS)}.")
    path = Path(path)
    problems = Problems(path)
    examples: List[JsonlExample] = []
    skipped = 0
    for number, line in read_lines(path, problems):
        if not line.strip():
            continue
        try:
            record = parse_object(line)
            if _is_skipped(record):
                skipped += 1
                continue
            text = _text(record, nlp.max_length)
            spans = _spans(record, text)
            tokens = record.get("tokens")
            doc = nlp.make_doc(text) if tokens is None else _doc_of_tokens(tokens, text, nlp)
            examples.append(JsonlExample(doc, number, _set_entities(doc, spans, alignment)))
        except ValueError as error:
            problems.add(number, str(error))
    problems.check()
    if not examples:
        why = f" (the {skipped} in it have the answer 'reject' or 'ignore')" if skipped else ""
        raise CorpusError(
            f"{path}: the file holds no sentence to convert{why}: expected one JSON object a line, with its text."
        )
    return examples, skipped


def _quote(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "...")


def _is_skipped(record: Dict[str, Any]) -> bool:
    answer = record.get("answer", "accept")
    if answer not in ("accept", "reject", "ignore"):
        raise ValueError(f"the answer is {_quote(str(answer))}: write 'accept', 'reject' or 'ignore'.")
    return bool(answer != "accept")


def _text(record: Dict[str, Any], max_length: int) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError("there is no 'text', or it is not a string: each object needs its text.")
    if not text.strip():
        raise ValueError("the text is empty: remove the line.")
    if len(text) > max_length:
        raise ValueError(f"the text has {len(text)} characters, but spaCy takes {max_length}: split it.")
    return text


def _offset(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is {_quote(json.dumps(value))}: offsets must be whole numbers.")
    return value


def _spans(record: Dict[str, Any], text: str) -> List[_CharSpan]:
    keys = [key for key in SPAN_KEYS if isinstance(record.get(key), list)]
    if len(keys) > 1:
        raise ValueError(f"spans stand in both {keys[0]!r} and {keys[1]!r}: keep one of them.")
    # Prodigy writes no "spans" where an annotator accepted a text without marking anything.
    if not keys and "answer" in record and "spans" not in record:
        return []
    if not keys:
        names = ", ".join(repr(key) for key in SPAN_KEYS)
        raise ValueError(f"there is no list of spans in one of {names}: write an empty list if there is no entity.")
    # A span that is given twice says nothing new.
    spans = sorted({_char_span(item, text) for item in record[keys[0]]})
    for left, right in pairwise(spans):
        if right.start < left.end:
            raise ValueError(f"the spans {left} and {right} overlap: keep one of them.")
    return spans


def _char_span(item: Any, text: str) -> _CharSpan:
    if isinstance(item, list) and len(item) == 3:
        values = dict(zip(("start", "end", "label"), item, strict=True))
    elif isinstance(item, dict):
        values = item
    else:
        shown = _quote(json.dumps(item))
        raise ValueError(f"the span {shown} is neither an object nor a list [start, end, label]: correct it.")
    start, end = _offsets(values, text, "span")
    if "label" not in values:
        raise ValueError(f"the span {start}-{end} {_quote(text[start:end])} has no 'label': name it.")
    (label,) = check_labels([values["label"]])
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start == end:
        raise ValueError(f"the span {start}-{end} ({label}) covers no text: remove it or correct its offsets.")
    return _CharSpan(start, end, label, text[start:end])


def _offsets(values: Dict[str, Any], text: str, role: str) -> Tuple[int, int]:
    for start_key, end_key in OFFSET_KEYS:
        if start_key in values and end_key in values:
            start, end = _offset(values[start_key], start_key), _offset(values[end_key], end_key)
            if not 0 <= start <= end <= len(text):
                raise ValueError(
                    f"the {role} {start}-{end} does not lie in the text, which has {len(text)} characters: "
                    "correct its offsets."
                )
            return start, end
    raise ValueError(f"the {role} {_quote(json.dumps(values))} has no 'start' and 'end': add them.")


def _doc_of_tokens(tokens: Any, text: str, nlp: Language) -> Doc:
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise ValueError("'tokens' is not a list of objects with 'start' and 'end': correct or remove it.")
    words: List[str] = []
    spaces: List[bool] = []
    last_end = 0
    for start, end in [*(_offsets(token, text, "token") for token in tokens), (len(text), len(text))]:
        gap = text[last_end:start]
        if start < last_end or gap.strip():
            shown = f"{start}-{end} {_quote(text[start:end])}"
            raise ValueError(
                f"'tokens' overlap or leave out text before {shown}: each must begin where the one before ends, "
                "with nothing but white space between."
            )
        # As in spaCy's tokenizer, one space belongs to the token before it; other white space is a token.
        if gap.startswith(" ") and words:
            spaces[-1] = True
            gap = gap[1:]
        for word in (gap, text[start:end]):
            if word:
                words.append(word)
                spaces.append(False)
        last_end = end
    return Doc(nlp.vocab, words=words, spaces=spaces)


def _set_entities(doc: Doc, spans: List[_CharSpan], alignment: str) -> int:
    """Write the spans to doc.ents; returns how many were skipped."""
    entities: List[Span] = []
    unknown: Set[int] = set()
    skipped = 0
    mode = "strict" if alignment == "skip" else alignment
    last: Optional[_CharSpan] = None
    for span in spans:
        entity = doc.char_span(span.start, span.end, label=span.label, alignment_mode=mode)
        if entity is None:
            touched = doc.char_span(span.start, span.end, alignment_mode="expand")
            assert touched is not None, "the tokens cover the text"
            if alignment != "skip":
                what = "covers no whole token" if alignment == "contract" else "does not begin and end with a token"
                choices = ", ".join(f'"{choice}"' for choice in ALIGNMENTS[1:] if choice != alignment)
                raise ValueError(
                    f"the span {span} {what} (the tokens there: {_quote(touched.text)}): correct it, or choose "
                    f"another alignment (--alignment), one of {choices}."
                )
            unknown.update(range(touched.start, touched.end))
            skipped += 1
        elif entities and last is not None and entity.start < entities[-1].end:
            raise ValueError(
                f"the spans {last} and {span} overlap when expanded to whole tokens: correct one of them, or "
                'choose another alignment (--alignment), one of "contract", "skip".'
            )
        else:
            entities.append(entity)
            last = span
    doc.set_ents(entities, missing=[doc[token : token + 1] for token in sorted(unknown)], default="outside")
    return skipped
