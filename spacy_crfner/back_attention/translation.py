"""What a translator gives, and what the component asks of one."""

import unicodedata
from dataclasses import dataclass
from typing import Callable, List, Protocol, Sequence, runtime_checkable

import numpy as np

from ..files import Files

CLOSING = ("Po", "Pe", "Pf")
"""Categories of Unicode: other punctuation, and closing brackets and quotes. After them a long sentence may be cut."""
NOT_CLOSING = frozenset("\u00bf\u00a1\"'&%@#*/\\\u00a7\u00b6\u2020\u2021")
"""Other punctuation that opens something, may do either, or belongs to what follows."""


@dataclass(frozen=True, eq=False)
class Translation:
    """An English translation of a sentence of m words.

    words: n English words. attention: (m, n) float32, what of the attention to each source word belongs to each
        English word; the sum over the source words is at most 1.
    """

    words: List[str]
    attention: np.ndarray


@runtime_checkable
class Translator(Protocol):
    """Translate into English and say which word comes from where."""

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """Translate sentences of words, none of them empty."""
        ...

    @property
    def kind(self) -> str:
        """The registered function (in `registry.misc`) that makes a translator of its files."""
        ...

    def files(self) -> Files:
        """Save all that translating needs, and that its translations depend on."""
        ...


class TranslationError(ValueError):
    """A translator failed. The message names the sentence."""


def translate_in_parts(
    sentences: Sequence[Sequence[str]],
    longest: int,
    translate: Callable[[List[List[str]]], List[Translation]],
    fits: Callable[[List[str]], bool] = lambda part: True,
) -> List[Translation]:
    """Translate sentences of any length with a translator of short ones.

    A long one is cut, after punctuation where there is some, and its parts are put together.

    longest: words of a part. translate: gets all parts of all sentences at once.
    fits: whether a translator can read a part; one that it cannot is halved, unless it is a single word.
    """
    cuts = [[part for whole in cut(sentence, longest) for part in _halve(whole, fits)] for sentence in sentences]
    parts = iter(translate([part for parts in cuts for part in parts]))
    return [_join([next(parts) for _ in own]) for own in cuts]


def cut(words: Sequence[str], longest: int) -> List[List[str]]:
    """Cut a sentence into parts, none longer than `longest` words (1 or more), and none of them empty."""
    parts, start = [], 0
    while len(words) - start > longest:
        window = range(start + longest, start + longest // 2, -1)
        end = next((index for index in window if _closes(words[index - 1])), start + longest)
        parts.append(list(words[start:end]))
        start = end
    return [*parts, list(words[start:])]


def _halve(words: List[str], fits: Callable[[List[str]], bool]) -> List[List[str]]:
    if len(words) < 2 or fits(words):
        return [words]
    middle = len(words) // 2
    return [*_halve(words[:middle], fits), *_halve(words[middle:], fits)]


def _closes(word: str) -> bool:
    """Decide whether a word is punctuation after which a sentence may be cut."""
    return all(unicodedata.category(character) in CLOSING and character not in NOT_CLOSING for character in word)


def _join(parts: Sequence[Translation]) -> Translation:
    if len(parts) == 1:
        return parts[0]
    rows, columns = (sum(part.attention.shape[axis] for part in parts) for axis in (0, 1))
    attention = np.zeros((rows, columns), dtype=np.float32)
    row = column = 0
    for part in parts:
        height, width = part.attention.shape
        attention[row : row + height, column : column + width] = part.attention
        row, column = row + height, column + width
    return Translation([word for part in parts for word in part.words], attention)
