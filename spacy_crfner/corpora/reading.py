"""Annotated files of every format -> Docs, with what is worth reporting about each."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Collection, List, Optional, Tuple, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_lang_class
from spacy.vocab import Vocab, create_vocab

from ..quoting import quote
from ..text_files import CorpusError, Notes, Problems, parse_object, read_lines
from .columns import MISSING_TAGS, cut_sentences, group_sentences, make_doc, read_columns
from .jsonl import read_jsonl

NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,20})?")
JSONL_SUFFIX = ".jsonl"
FORMATS = ("auto", "columns", "jsonl")


@dataclass(frozen=True)
class ReadDoc:
    """A Doc of an annotated file.

    doc: tokens, entities and, of columns, sentence borders.
    line: where it begins in the file, counted from 1.
    skipped_spans: how many of its spans were left out.
    repaired_lines: lines whose tags contradict those before them.
    trimmed_lines: a line for each entity that had white space at an end.
    blank_lines: a line for each entity that was nothing but white space, and left out.
    """

    doc: Doc
    line: int = 1
    skipped_spans: int = 0
    repaired_lines: Tuple[int, ...] = ()
    trimmed_lines: Tuple[int, ...] = ()
    blank_lines: Tuple[int, ...] = ()


@dataclass(frozen=True)
class AnnotatedFile:
    """The Docs of an annotated file.

    docs: in the order of the file.
    skipped: how many examples were left out, since their answer is not "accept".
    notes: what is unusual in the file as a whole, a line for each.
    """

    docs: List[ReadDoc]
    skipped: int = 0
    notes: Tuple[str, ...] = ()


def read_docs(
    source: Union[str, Path],
    *,
    file_format: str = "auto",
    language: str = "en",
    limit: Union[int, str, None] = None,
    sentences_per_doc: int = 1,
    cut: bool = False,
    no_spaces: bool = False,
    token_column: int = 0,
    tag_column: int = -1,
    missing_tags: Collection[str] = MISSING_TAGS,
    comment_prefix: Optional[str] = None,
    bare_labels: bool = False,
    label: Optional[str] = None,
    alignment: str = "strict",
    binary: bool = False,
) -> AnnotatedFile:
    """Read the Docs of a column or JSON lines file.

    source: the file, plain or ``.gz``.
    file_format: "columns", "jsonl", or "auto": JSON lines if the name ends in ``.jsonl`` or ``.jsonl.gz``, and
        columns otherwise.
    language: code of the spaCy language whose vocabulary (and, for JSON lines, tokenizer) is used.
    limit: only the first sentences (of JSON lines: examples), a number or a share such as "10%"; the whole file
        is checked all the same.
    cut: for columns, cut sentences behind full stops, see :func:`~spacy_crfner.corpora.columns.cut_sentences`.
    sentences_per_doc, no_spaces, token_column, tag_column, missing_tags, comment_prefix, bare_labels, label: for
        columns, see :func:`~spacy_crfner.corpora.columns.read_columns`,
        :func:`~spacy_crfner.corpora.columns.group_sentences` and :func:`~spacy_crfner.corpora.columns.make_doc`.
    alignment, binary: for JSON lines, see :func:`~spacy_crfner.corpora.jsonl.read_jsonl`.

    Raises CorpusError where the source cannot be read (naming file and line), or an option is not one of the
    above.
    """
    source = Path(source)
    if file_format not in FORMATS:
        raise CorpusError(f"Unknown format {quote(file_format)}: choose one of {', '.join(FORMATS)}.")
    _count(limit, total=1)
    if file_format == "auto":
        file_format = guess_format(source)
    notes = Notes()
    if file_format == "jsonl":
        examples, skipped = read_jsonl(
            source, _load_language(language), alignment=alignment, binary=binary, notes=notes
        )
        docs = [
            ReadDoc(
                example.doc,
                example.line,
                skipped_spans=example.skipped_spans,
                trimmed_lines=(example.line,) * example.trimmed_spans,
                blank_lines=(example.line,) * example.blank_spans,
            )
            for example in examples[: _count(limit, len(examples))]
        ]
        return AnnotatedFile(docs, skipped, tuple(notes.lines()))
    vocab = _load_vocab(language)
    sentences = read_columns(
        source,
        token_column=token_column,
        tag_column=tag_column,
        missing_tags=missing_tags,
        comment_prefix=comment_prefix,
        bare_labels=bare_labels,
        label=label,
        notes=notes,
    )
    if cut:
        sentences = cut_sentences(sentences, vocab)
    sentences = sentences[: _count(limit, len(sentences))]
    docs = [
        ReadDoc(
            make_doc(group, vocab, no_spaces=no_spaces),
            group[0].line,
            repaired_lines=tuple(line for sentence in group for line in sentence.repaired_lines),
            trimmed_lines=tuple(line for sentence in group for line in sentence.trimmed_lines),
            blank_lines=tuple(line for sentence in group for line in sentence.blank_lines),
        )
        for group in group_sentences(sentences, sentences_per_doc)
    ]
    return AnnotatedFile(docs, notes=tuple(notes.lines()))


def guess_format(source: Path) -> str:
    """Guess "jsonl" or "columns" by the file's name.

    Raises CorpusError for names of formats that are neither, and where the name says columns, but the file begins with
    a JSON object.
    """
    suffix = Path(source.name.removesuffix(".gz")).suffix
    if suffix == JSONL_SUFFIX:
        return "jsonl"
    if suffix != ".spacy" and _begins_with_object(source):
        raise CorpusError(
            f"{source}: the file holds JSON lines, but its name does not end in {JSONL_SUFFIX}: rename it, or add "
            "--format jsonl."
        )
    if suffix in (".json", ".spacy"):
        raise CorpusError(
            f"{source}: {suffix} files are neither columns nor JSON lines: convert the file to one of these, or "
            "name its format (--format) if only its name misleads."
        )
    return "columns"


def _begins_with_object(source: Path) -> bool:
    # What cannot be read is said by the reader.
    for _, line in read_lines(source, Problems(source)):
        if line.strip():
            try:
                return bool(parse_object(line))
            except (ValueError, RecursionError):
                return False
    return False


def read_number(text: str) -> Optional[Fraction]:
    """Read a number such as "80" or "33.3"; None for any other text, also for numbers that nobody can mean."""
    # Fraction would read "1e999999999" too, and write out its zeros.
    return Fraction(text.strip()) if NUMBER.fullmatch(text.strip()) else None


def _count(limit: Union[int, str, None], total: int) -> int:
    """Count the sentences that a limit takes of `total`; of any share at least one."""
    if limit is None:
        return total
    text = str(limit)
    number = read_number(text.removesuffix("%"))
    is_share = text.endswith("%")
    if not number or (is_share and number > 100) or (not is_share and number.denominator != 1):
        raise CorpusError(
            f"The limit {quote(limit)} is neither a number of sentences nor a share such as '10%': correct it."
        )
    return max(1, int(total * number / 100)) if is_share else min(total, int(number))


def _load_vocab(language: str) -> Vocab:
    # Not spacy.blank: some languages' tokenizers need a further package, and columns need no tokenizer.
    try:
        return create_vocab(language, get_lang_class(language).Defaults)
    except ImportError:
        message = f"spaCy knows no language {quote(language)}: name one such as 'en', or 'xx' for any."
        raise CorpusError(message) from None


def _load_language(language: str) -> Language:
    _load_vocab(language)
    try:
        return spacy.blank(language)
    except ImportError as error:
        reason = str(error).strip().split("\n")[0]
        raise CorpusError(f"The tokenizer of the language {quote(language)} cannot be loaded: {reason}") from None
