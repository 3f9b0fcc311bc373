"""Parallel text: two files, of which line n of one is the translation of line n of the other."""

from pathlib import Path
from typing import List, Tuple, Union

from ..raw_text import check_length, load_tokenizer, split_words
from ..text_files import CorpusError, read_lines

Pair = Tuple[List[str], List[str]]
"""The words of a sentence and of its English translation."""


def read_pairs(
    source: Union[str, Path], target: Union[str, Path], language: str, tokenized: bool = False
) -> List[Pair]:
    """Read the pairs of two text files (.gz or plain, UTF-8), as spaCy's tokenizers split them.

    Those of which one side is empty are left out.
    language: code of the source language. tokenized: the text has spaces between its words, and nothing else is split.
    Raises CorpusError where a file cannot be read, spaCy has no such language or a line is too long for it, the files
    differ in their number of lines, or nothing is left.
    """
    splitters = [None if tokenized else load_tokenizer(code) for code in (language, "en")]
    texts = [
        [check_length(line.strip(), nlp, path, number) for number, line in read_lines(path)]
        for path, nlp in zip((source, target), splitters, strict=True)
    ]
    if len(texts[0]) != len(texts[1]):
        raise CorpusError(
            f"{source} has {len(texts[0]):,} lines, {target} has {len(texts[1]):,}: line n of one must be the "
            "translation of line n of the other."
        )
    sides = [split_words(side, nlp or language, tokenized) for nlp, side in zip(splitters, texts, strict=True)]
    pairs = [(words, english) for words, english in zip(*sides, strict=True) if words and english]
    if not pairs:
        raise CorpusError(f"{source}: there are no sentences in this file.")
    return pairs
