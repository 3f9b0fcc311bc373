"""Parallel text: two files, of which line n of one is the translation of line n of the other."""

import gzip
from pathlib import Path
from typing import Iterator, List, Tuple, Union

import spacy
from spacy.language import Language

from ..corpora import CorpusError

BOM = "utf-8-sig"
"""UTF-8, with or without a mark at its beginning."""

Pair = Tuple[List[str], List[str]]
"""The words of a sentence and of its English translation."""


def read_pairs(
    source: Union[str, Path], target: Union[str, Path], language: str, tokenized: bool = False
) -> List[Pair]:
    """The pairs of two text files (.gz or plain, UTF-8), as spaCy's tokenizers split them; without those of which one
    side is empty.

    language: code of the source language. tokenized: the text has spaces between its words, and nothing else is split.
    Raises CorpusError where a file cannot be read, the files differ in their number of lines, or nothing is left.
    """
    lines = [list(read_lines(Path(path))) for path in (source, target)]
    if len(lines[0]) != len(lines[1]):
        raise CorpusError(
            f"{source} has {len(lines[0]):,} lines, {target} has {len(lines[1]):,}: line n of one must be the "
            "translation of line n of the other."
        )
    sides: List[Iterator[List[str]]] = [
        map(str.split, side) if tokenized else split_words(_tokenizer(code), side)
        for code, side in zip((language, "en"), lines, strict=True)
    ]
    pairs = [(words, english) for words, english in zip(*sides, strict=True) if words and english]
    if not pairs:
        raise CorpusError(f"{source}: there are no sentences in this file.")
    return pairs


def split_words(nlp: Language, lines: List[str]) -> Iterator[List[str]]:
    """The words of each line, without white space."""
    for doc in map(nlp.make_doc, lines):
        yield [token.text for token in doc if not token.is_space]


def _tokenizer(language: str) -> Language:
    try:
        return spacy.blank(language)
    except ImportError as error:
        raise CorpusError(
            f"spaCy has no language {language!r}, or needs a package for it: choose 'xx', which is for any, or split "
            f"the words yourself ({error})."
        ) from None


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file (.gz or plain, UTF-8). Raises CorpusError where it cannot be read."""
    try:
        with gzip.open(path, "rt", encoding=BOM) if path.suffix == ".gz" else path.open(encoding=BOM) as file:
            for line in file:
                yield line.strip()
    except (OSError, EOFError) as error:
        raise CorpusError(f"{path}: the file cannot be read ({error}).") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: the file is not UTF-8 ({error.reason} at byte {error.start}).") from None
