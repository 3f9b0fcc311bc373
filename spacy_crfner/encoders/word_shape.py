"""How words are written: the types of their characters, and their capitalization."""

import unicodedata
from typing import Dict, Sequence

import numpy as np

UPPER, LOWER, PUNCTUATION, OTHER = range(4)
"""Types of a character. Digits are of the last; so are letters without case, such as Chinese ones."""
N_TYPES = 4

ALL_CAPS, INITIAL_CAP, LOWER_CASE, MIXED, NO_INFO = range(5)
"""Capitalizations of a word. A single capital is of the first; what has no letters with case, of the last."""
N_CAPITALIZATIONS = 5


def char_types(texts: Sequence[str]) -> np.ndarray:
    """Find the type of each character of words, (C,) for all words one after the other."""
    return np.frombuffer("".join(texts).translate(_TYPES).encode("ascii"), dtype=np.uint8).astype(np.int64)


def capitalizations(words: Sequence[str]) -> np.ndarray:
    """Find the capitalization of each of W words, (W,)."""
    return np.array([_capitalization(word) for word in words], dtype=np.int64)


def _capitalization(word: str) -> int:
    if word.islower():
        return LOWER_CASE
    if word.isupper():
        return ALL_CAPS
    if word.lower() == word.upper():
        return NO_INFO
    rest = word[1:]
    return INITIAL_CAP if rest == rest.lower() else MIXED


class _Types(Dict[int, str]):
    """Code points -> their types as characters, which `str.translate` asks for; each is found out once."""

    def __missing__(self, point: int) -> str:
        char = chr(point)
        if char.isupper() or char.istitle():
            found = UPPER
        elif char.islower():
            found = LOWER
        else:
            # Symbols too, such as $ and +.
            found = PUNCTUATION if unicodedata.category(char)[0] in "PS" else OTHER
        return self.setdefault(point, chr(found))


_TYPES = _Types()
