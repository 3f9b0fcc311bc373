"""Annotated files of every format -> Docs, with what is worth reporting about each."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Collection, List, Optional, Tuple, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import get_lang_class
from spacy.vocab import Vocab, create_vocab

from ..text_files import CorpusError
from .columns import MISSING_TAGS, group_sentences, make_doc, read_columns
from .jsonl import read_jsonl

JSONL_SUFFIX = ".jsonl"
FORMATS = ("auto", "columns", "jsonl")


@dataclass(frozen=True)
class ReadDoc:
    """A Doc of an annotated file.

    doc: tokens, entities and, of columns, sentence borders.
    skipped_spans: how many of its spans were turned into missing annotation.
    repaired_lines: lines of the file, counted from 1, whose tags contradict those before them.
    """

    doc: Doc
    skipped_spans: int = 0
    repaired_lines: Tuple[int, ...] = ()


def read_docs(
    source: Union[str, Path],
    *,
    file_format: str = "auto",
    language: str = "en",
    limit: Union[int, str, None] = None,
    sentences_per_doc: int = 1,
    no_spaces: bool = False,
    token_column: int = 0,
    tag_column: int = -1,
    missing_tags: Collection[str] = MISSING_TAGS,
    comment_prefix: Optional[str] = None,
    alignment: str = "strict",
) -> Tuple[List[ReadDoc], int]:
    """Read the Docs of a column or JSON lines file; also count the examples skipped (answer not "accept").

    source: the file, plain or ``.gz``.
    file_format: "columns", "jsonl", or "auto": JSON lines if the name ends in ``.jsonl`` or ``.jsonl.gz``, and
        columns otherwise.
    language: code of the spaCy language whose vocabulary (and, for JSON lines, tokenizer) is used.
    limit: only the first sentences (of JSON lines: examples), a number or a share such as "10%"; the whole file
        is checked all the same.
    sentences_per_doc, no_spaces, token_column, tag_column, missing_tags, comment_prefix: for columns, see
        :func:`~spacy_crfner.corpora.columns.read_columns`, :func:`~spacy_crfner.corpora.columns.group_sentences`
        and :func:`~spacy_crfner.corpora.columns.make_doc`.
    alignment: for JSON lines, see :func:`~spacy_crfner.corpora.jsonl.read_jsonl`.

    Raises CorpusError where the source cannot be read (naming file and line), or an option is not one of the
    above.
    """
    source = Path(source)
    if file_format not in FORMATS:
        raise CorpusError(f"Unknown format {file_format!r}: choose one of {', '.join(FORMATS)}.")
    _count(limit, total=1)
    if file_format == "auto":
        file_format = guess_format(source)
    if file_format == "jsonl":
        examples, skipped = read_jsonl(source, _load_language(language), alignment=alignment)
        examples = examples[: _count(limit, len(examples))]
        return [ReadDoc(example.doc, skipped_spans=example.skipped_spans) for example in examples], skipped
    vocab = _load_vocab(language)
    sentences = read_columns(
        source,
        token_column=token_column,
        tag_column=tag_column,
        missing_tags=missing_tags,
        comment_prefix=comment_prefix,
    )
    sentences = sentences[: _count(limit, len(sentences))]
    docs = []
    for group in group_sentences(sentences, sentences_per_doc):
        repairs = tuple(line for sentence in group for line in sentence.repaired_lines)
        docs.append(ReadDoc(make_doc(group, vocab, no_spaces=no_spaces), repaired_lines=repairs))
    return docs, 0


def guess_format(source: Path) -> str:
    """Guess "jsonl" or "columns" by the file's name. Raises CorpusError for names of formats that are neither."""
    suffix = Path(source.name.removesuffix(".gz")).suffix
    if suffix in (".json", ".spacy"):
        raise CorpusError(
            f"{source}: {suffix} files are neither columns nor JSON lines: convert the file to one of these, or "
            "name its format (--format) if only its name misleads."
        )
    return "jsonl" if suffix == JSONL_SUFFIX else "columns"


def _count(limit: Union[int, str, None], total: int) -> int:
    """Count the sentences that a limit takes of `total`; of any share at least one."""
    if limit is None:
        return total
    text = str(limit)
    try:
        number = Fraction(text.removesuffix("%"))
    except (ValueError, ZeroDivisionError):
        number = Fraction(0)
    is_share = text.endswith("%")
    if number <= 0 or (is_share and number > 100) or (not is_share and number.denominator != 1):
        raise CorpusError(
            f"The limit {limit!r} is neither a number of sentences nor a share such as '10%': correct it."
        )
    return max(1, int(total * number / 100)) if is_share else min(total, int(number))


def _load_vocab(language: str) -> Vocab:
    # Not spacy.blank: some languages' tokenizers need a further package, and columns need no tokenizer.
    try:
        return create_vocab(language, get_lang_class(language).Defaults)
    except ImportError:
        raise CorpusError(f"spaCy knows no language {language!r}: name one such as 'en', or 'xx' for any.") from None


def _load_language(language: str) -> Language:
    _load_vocab(language)
    try:
        return spacy.blank(language)
    except ImportError as error:
        reason = str(error).strip().split("\n")[0]
        raise CorpusError(f"The tokenizer of the language {language!r} cannot be loaded: {reason}") from None
