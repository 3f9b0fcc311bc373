"""JSON lines with entities at character offsets (Prodigy, doccano, spaCy 2) -> Docs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Optional, Tuple, Union

from spacy.language import Language
from spacy.tokens import Doc

from ..quoting import quote
from ..text_files import NESTED, CorpusError, Notes, Problems, parse_object, read_lines
from .binary_answers import BINARY_VIEW, INCORRECT_SPANS, Answers
from .char_spans import ALIGNMENTS, CharSpans, align_all, check_overlaps, read_offsets, read_spans

SPAN_KEYS = ("spans", "entities", "labels", "label")
"""Where the spans of an example may stand."""


@dataclass(frozen=True)
class JsonlExample:
    """An example of a JSON lines file.

    doc: tokens and entities.
    line: where it stands in the file, counted from 1.
    skipped_spans: how many spans were left out (alignment ``skip``).
    trimmed_spans: how many had white space at an end.
    blank_spans: how many were nothing but white space, and left out.
    """

    doc: Doc
    line: int
    skipped_spans: int = 0
    trimmed_spans: int = 0
    blank_spans: int = 0


def read_jsonl(
    path: Union[str, Path],
    nlp: Language,
    *,
    alignment: str = "strict",
    binary: bool = False,
    notes: Optional[Notes] = None,
) -> Tuple[List[JsonlExample], int]:
    """Read the examples of a JSON lines file, plain or ``.gz``; also count those skipped (answer not "accept").

    Each line is an object with "text" and spans of that text: "spans" or "entities" with objects (offsets
    "start" and "end", or "start_offset" and "end_offset", and "label"), or "entities", "label" or "labels" with
    lists ``[start, end, label]``. White space at either end of a span is trimmed, spans of white space alone are left
    out, and of identical spans one is kept. "tokens", a list of objects with "start" and "end", replaces `nlp`'s
    tokenizer.

    Records of Prodigy's binary interface are answers to one span each, and those of a text are one example:
    accepted spans are entities, rejected ones stand in the span group "incorrect_spans", and all other annotation is
    missing.

    path: the file.
    nlp: its tokenizer and vocabulary make the Docs.
    alignment: what happens to a span whose borders are not token borders: "strict" is an error, "contract" takes
        the tokens inside it, "expand" all that it touches, "skip" turns those into missing annotation.
    binary: all records are such answers, not only those that say so ("_view_id" is "ner").
    notes: takes what is unusual in the file as a whole.

    Raises CorpusError, naming file and line, where the file cannot be read, holds no example, or has lines that
    are not such objects, or spans that overlap, leave the text or cannot be aligned.
    """
    if alignment not in ALIGNMENTS:
        raise CorpusError(f"Unknown alignment {quote(alignment)}: choose one of {', '.join(ALIGNMENTS)}.")
    path = Path(path)
    problems = Problems(path)
    notes = notes or Notes()
    examples: List[JsonlExample] = []
    answers: Dict[str, Answers] = {}
    skipped = 0
    for number, line in read_lines(path, problems, notes):
        if not line.strip():
            continue
        try:
            record = parse_object(line)
            answer = _answer(record)
            if binary and answer is None:
                raise ValueError("there is no 'answer': leave --binary out, which is for answers to one span each.")
            is_answer = binary or record.get("_view_id") == BINARY_VIEW
            if answer == "ignore" or (answer == "reject" and not is_answer):
                skipped += 1
                continue
            text = _text(record, nlp.max_length)
            spans = _spans(record, text)
            if is_answer:
                known = answers.setdefault(text, Answers(text, number, record.get("tokens")))
                known.add(spans, answer != "reject", number, notes)
            else:
                check_overlaps(spans.spans, text)
                examples.append(_example(record, text, spans, nlp, number, alignment))
        except ValueError as error:
            problems.add(number, str(error))
        except RecursionError:
            problems.add(number, NESTED)
    for known in answers.values():
        try:
            doc = _make_doc(known.text, known.tokens, nlp)
            left_out = known.annotate(doc, alignment)
            examples.append(JsonlExample(doc, known.line, left_out, known.trimmed, known.blank))
        except ValueError as error:
            problems.add(known.line, str(error))
    problems.check()
    if not examples:
        why = f" (the {skipped} in it have the answer 'reject' or 'ignore')" if skipped else ""
        raise CorpusError(
            f"{path}: the file holds no sentence to convert{why}: expected one JSON object a line, with its text."
        )
    examples.sort(key=lambda example: example.line)
    _note_answers(list(answers.values()), examples, notes)
    _note_contradictions(examples, notes)
    return examples, skipped


def _answer(record: Dict[str, Any]) -> Optional[str]:
    """Read the answer of a record, of which Prodigy knows three; None where there is none."""
    answer = record.get("answer", "accept")
    if answer not in ("accept", "reject", "ignore"):
        raise ValueError(f"the answer is {quote(answer)}: write 'accept', 'reject' or 'ignore'.")
    return answer if "answer" in record else None


def _text(record: Dict[str, Any], max_length: int) -> str:
    text = record.get("text")
    if not isinstance(text, str):
        raise ValueError("there is no 'text', or it is not a string: each object needs its text.")
    if not text.strip():
        raise ValueError("the text is empty: remove the line.")
    if len(text) > max_length:
        raise ValueError(f"the text has {len(text)} characters, but spaCy takes {max_length}: split it.")
    return text


def _spans(record: Dict[str, Any], text: str) -> CharSpans:
    keys = [key for key in SPAN_KEYS if isinstance(record.get(key), list)]
    if len(keys) > 1:
        raise ValueError(f"spans stand in both {keys[0]!r} and {keys[1]!r}: keep one of them.")
    # Prodigy writes no "spans" where an annotator accepted a text without marking anything.
    if not keys and "answer" in record and "spans" not in record:
        return CharSpans([])
    if not keys:
        names = ", ".join(repr(key) for key in SPAN_KEYS)
        raise ValueError(f"there is no list of spans in one of {names}: write an empty list if there is no entity.")
    return read_spans(record[keys[0]], text)


def _example(
    record: Dict[str, Any], text: str, spans: CharSpans, nlp: Language, line: int, alignment: str
) -> JsonlExample:
    doc = _make_doc(text, record.get("tokens"), nlp)
    entities, unknown = align_all(doc, spans.spans, alignment)
    doc.set_ents(entities, missing=[doc[token : token + 1] for token in sorted(unknown)], default="outside")
    return JsonlExample(doc, line, len(spans.spans) - len(entities), spans.trimmed, spans.blank)


def _make_doc(text: str, tokens: Any, nlp: Language) -> Doc:
    if tokens is None:
        return nlp.make_doc(text)
    if not isinstance(tokens, list) or not all(isinstance(token, dict) for token in tokens):
        raise ValueError("'tokens' is not a list of objects with 'start' and 'end': correct or remove it.")
    words: List[str] = []
    spaces: List[bool] = []
    last_end = 0
    for start, end in [*(read_offsets(token, text, "token") for token in tokens), (len(text), len(text))]:
        gap = text[last_end:start]
        if start < last_end or gap.strip():
            shown = f"{start}-{end} {quote(text[start:end])}"
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


def _note_answers(answers: List[Answers], examples: List[JsonlExample], notes: Notes) -> None:
    if answers:
        wrong = sum(len(example.doc.spans.get(INCORRECT_SPANS, [])) for example in examples)
        notes.say(
            f"answers to one span each were merged to {len(answers):,} docs; {wrong:,} rejected spans stand in the "
            f"span group {INCORRECT_SPANS}: train with --components.bcrf_ner.incorrect_spans_key {INCORRECT_SPANS}"
        )


def _note_contradictions(examples: List[JsonlExample], notes: Notes) -> None:
    first: Dict[str, FrozenSet[Any]] = {}
    for example in examples:
        found = frozenset((entity.start_char, entity.end_char, entity.label) for entity in example.doc.ents)
        if first.setdefault(example.doc.text, found) != found:
            what = "texts that stood before with other entities (if records are answers to one span each: --binary)"
            notes.add(what, example.line)
