"""Text as the pieces of a transformer, in blocks of about the same length."""

from array import array
from dataclasses import dataclass
from itertools import islice
from typing import Any, Iterable, Iterator, Optional, Tuple

import numpy as np

from ..encoders.word_pieces import PieceReader

TEXTS_AT_ONCE = 1000
"""Texts that are cut into pieces at once."""
LONGEST_WORD = 10
"""Most pieces of a word: what is longer, as a text in a script without spaces may be, counts as a word a piece."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The P pieces of texts, one text behind the other, cut into B blocks.

    ids: (P,) int32, the pieces, without those that mark the ends of a block.
    starts: (P,) bool, whether a word begins with a piece.
    borders: (B + 1,) where the blocks begin, and P.
    n_texts: how many texts these are.
    """

    ids: np.ndarray
    starts: np.ndarray
    borders: np.ndarray
    n_texts: int

    @classmethod
    def of_texts(cls, texts: Iterable[str], reader: PieceReader, separator: Optional[int], size: int) -> "Blocks":
        """Cut texts into pieces, and these into blocks, between words where that can be.

        separator: a piece that stands behind each text. size: most pieces of a block, with those that mark its ends.
        """
        # Both grow in one piece each: an array for every text would take more memory than what it holds.
        ids, starts, n_texts = array("i"), bytearray(), 0
        for own_ids, own_starts in _pieces(texts, reader):
            ids.frombytes(own_ids.tobytes())
            starts += own_starts.tobytes()
            if separator is not None:
                ids.append(separator)
                starts.append(True)
            n_texts += 1
        joined = np.frombuffer(starts, dtype=bool)
        borders = _cut(joined, size - len(reader.before) - len(reader.after))
        return cls(np.frombuffer(ids, dtype=np.int32), joined, borders, n_texts)

    def __len__(self) -> int:
        return len(self.borders) - 1

    def counts(self, counted: np.ndarray) -> np.ndarray:
        """Count in each block the pieces of which `counted`, (P,) bool, is true: (B,)."""
        return np.diff(np.concatenate([[0], np.cumsum(counted)])[self.borders])

    def pick(self, chosen: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take some blocks, one behind the other: their pieces and starts, as above, and (chosen,) their lengths."""
        places = [np.arange(self.borders[block], self.borders[block + 1]) for block in chosen.tolist()]
        joined = np.concatenate(places)
        starts = self.starts[joined]
        lengths = np.array([len(own) for own in places])
        # A word that was too long for a block goes on in the next.
        starts[np.cumsum(lengths) - lengths] = True
        return self.ids[joined], starts, lengths


def _pieces(texts: Iterable[str], reader: PieceReader) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    """Cut each text into pieces. Gives ids and starts, as in `Blocks`; a text without pieces is left out."""
    stream = iter(texts)
    while portion := list(islice(stream, TEXTS_AT_ONCE)):
        for encoded in reader.tokenizer.encode_batch(
            [reader.space + text for text in portion], add_special_tokens=False
        ):
            if encoded.ids:
                yield reader.ids_of(encoded).astype(np.int32), _word_starts(encoded)


def _word_starts(encoded: Any) -> np.ndarray:
    """Tell of each piece whether it begins a word, as the tokenizer counts words."""
    words = np.array([-1 if word is None else word for word in encoded.word_ids], dtype=np.int64)
    starts = np.ones(len(words), dtype=bool)
    starts[1:] = (words[1:] != words[:-1]) | (words[1:] < 0)
    lengths = np.diff(np.append(np.flatnonzero(starts), len(words)))
    return starts | np.repeat(lengths > LONGEST_WORD, lengths)


def _cut(starts: np.ndarray, room: int) -> np.ndarray:
    """Choose borders so that no block has more than `room` pieces."""
    borders = [0]
    while borders[-1] < len(starts):
        begin, end = borders[-1], borders[-1] + room
        if end < len(starts):
            words = np.flatnonzero(starts[begin + 1 : end + 1])
            end = begin + 1 + int(words[-1]) if len(words) else end
        borders.append(min(end, len(starts)))
    return np.array(borders, dtype=np.int64)
