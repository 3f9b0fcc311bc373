"""What a translator gives, and what the component asks of one."""

import unicodedata
from dataclasses import dataclass
from typing import Callable, List, Protocol, Sequence, runtime_checkable

import numpy as np

from .saving import Files

CLOSING = ("Po", "Pe", "Pf")
"""Categories of Unicode: other punctuation, and closing brackets and quotes. After them a long sentence may be cut."""


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
    """Translates into English and says which word comes from where."""

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """sentences: of words, none of them empty."""
        ...

    @property
    def kind(self) -> str:
        """The registered function (in `registry.misc`) that makes a translator of its files."""
        ...

    def files(self) -> Files:
        """All that translating needs, and that its translations depend on."""
        ...


class TranslationError(ValueError):
    """A translator failed. The message names the sentence."""


def translate_in_parts(
    sentences: Sequence[Sequence[str]],
    longest: int,
    translate: Callable[[List[List[str]]], List[Translation]],
) -> List[Translation]:
    """Translate sentences of any length with a translator of short ones: a long one is cut, after punctuation where
    there is some, and its parts are put together.

    longest: words of a part. translate: gets all parts of all sentences at once.
    """
    cuts = [cut(sentence, longest) for sentence in sentences]
    parts = iter(translate([part for parts in cuts for part in parts]))
    return [_join([next(parts) for _ in one]) for one in cuts]


def cut(words: Sequence[str], longest: int) -> List[List[str]]:
    """The parts of a sentence, none longer than `longest` words, and none of them empty."""
    parts, start = [], 0
    while len(words) - start > longest:
        window = range(start + longest, start + longest // 2, -1)
        end = next(
            (place for place in window if unicodedata.category(words[place - 1][-1]) in CLOSING), start + longest
        )
        parts.append(list(words[start:end]))
        start = end
    return [*parts, list(words[start:])]


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
