"""Translations that somebody else has made."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import numpy as np

from ..files import Files
from ..quoting import quote
from ..text_files import MAX_DIGITS, parse_object, read_lines
from .translation import Translation, TranslationError

FILE = "translations.jsonl"


class PrecomputedTranslator:
    """Look translations up by the words of the sentence.

    lines: a JSON text for each sentence; see `make_precomputed_v1`.
    name: of the file that they come from, for messages.
    Raises ValueError, naming the line, where one cannot be used.
    """

    kind = "spacy_crfner.saved_precomputed.v1"

    def __init__(self, lines: Sequence[str], name: str = FILE):
        self.lines = list(lines)
        self.translations: Dict[Tuple[str, ...], Translation] = {}
        for number, line in enumerate(self.lines, start=1):
            if line.strip():
                words, translation = _read(line, f"{name}, line {number}")
                self.translations[words] = translation

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """Look up the translation of each sentence. Raises TranslationError for one that has none."""
        missing = [words for words in sentences if tuple(words) not in self.translations]
        if missing:
            rest = f" (and {len(missing) - 1} others of this batch)" if len(missing) > 1 else ""
            raise TranslationError(
                f"There is no translation of {quote(' '.join(missing[0]))}{rest}: add a line with exactly these "
                f"{len(missing[0])} words to the file of translations."
            )
        return [self.translations[tuple(words)] for words in sentences]

    def files(self) -> Files:
        """Save the lines."""
        return {FILE: "\n".join(self.lines).encode("utf8")}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "PrecomputedTranslator":
        """Load what `files()` saved."""
        return cls(files[FILE].decode("utf8").split("\n"))


def read_precomputed(path: Union[str, Path]) -> PrecomputedTranslator:
    """Read a file of translations, plain or ``.gz``. Raises ValueError, naming the line, where that fails."""
    return PrecomputedTranslator([line for _, line in read_lines(path)], name=str(path))


def _read(line: str, where: str) -> Tuple[Tuple[str, ...], Translation]:
    try:
        record = parse_object(line)
        words, english = _words(record, "words"), _words(record, "translation")
        if ("alignment" in record) == ("attention" in record):
            raise ValueError("it needs an alignment or an attention, and not both")
        shape = (len(words), len(english))
        matrix = _aligned(record["alignment"], shape) if "alignment" in record else _matrix(record["attention"], shape)
    except ValueError as error:
        raise ValueError(f"{where} is no translation: {str(error).removesuffix('.')}.") from None
    return tuple(words), Translation(english, matrix)


def _words(record: Mapping[str, Any], key: str) -> List[str]:
    words = record.get(key)
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError(f"{key!r} must be a list of words")
    return words


def _aligned(pairs: str, shape: Tuple[int, int]) -> np.ndarray:
    """Divide an English word's attention among the source words that it is aligned to, by Pharaoh pairs."""
    if not isinstance(pairs, str):
        raise ValueError('the alignment must be a text such as "0-0 1-2"')
    matrix = np.zeros(shape, dtype=np.float32)
    for pair in pairs.split():
        source, dash, target = pair.partition("-")
        if not (source.isdecimal() and dash and target.isdecimal()):
            raise ValueError(f"{quote(pair)} is no pair such as 0-1")
        # Python does not read a number of thousands of digits.
        if max(len(source), len(target)) > MAX_DIGITS or int(source) >= shape[0] or int(target) >= shape[1]:
            raise ValueError(
                f"{quote(pair)} names a word that there is not ({shape[0]} words, {shape[1]} in the translation)"
            )
        matrix[int(source), int(target)] = 1.0
    return matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1.0)


def _matrix(rows: Any, shape: Tuple[int, int]) -> np.ndarray:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ValueError("the attention must be a list of lists of numbers")
    numbers = (isinstance(value, (int, float)) and not isinstance(value, bool) for row in rows for value in row)
    if len({len(row) for row in rows}) > 1 or not all(numbers):
        raise ValueError("the attention must be of rows of equally many numbers")
    with np.errstate(over="ignore"):
        matrix = np.array(rows, dtype=np.float64).astype(np.float32).reshape(len(rows), -1 if rows else 0)
    if matrix.shape != shape and matrix.size + shape[0] * shape[1]:
        shown = " by ".join(map(str, matrix.shape))
        raise ValueError(f"the attention is {shown}, not {shape[0]} words by {shape[1]} English words")
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise ValueError("the attention must be of finite numbers from 0")
    return matrix.reshape(shape)
