"""Which pieces of a text are masked, and what is read in their place."""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

AS_MASK, AS_RANDOM = 0.8, 0.1
"""Shares of the pieces to find that are read as the mask and as another piece; the others are read as they are."""


@dataclass(frozen=True, eq=False)
class Masking:
    """Masks a share of the pieces, drawn anew for every batch (Devlin et al. 2019; Liu et al. 2019).

    share: of the pieces that are to be found again, on average.
    whole_words: mask all pieces of a word or none of them.
    mask: the piece that stands for a masked one.
    ordinary: (vocabulary,) bool, the pieces that may be masked: all but special ones.
    """

    share: float
    whole_words: bool
    mask: int
    ordinary: np.ndarray

    def draw(
        self, ids: np.ndarray, starts: np.ndarray, random_state: np.random.Generator
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Mask some of P pieces. Returns what is read, (P,), and the places of those to find, (M,), one at least.

        ids: (P,) one or more of which are ordinary. starts: (P,) bool, whether a word begins with a piece.
        """
        ordinary = self.ordinary[ids]
        words = np.cumsum(starts) - 1 if self.whole_words else np.arange(len(ids))
        # Each word by a draw of its own: the chance of a piece does not depend on how long its word is.
        draws = np.where(ordinary, random_state.random(len(ids))[words], 1.0)
        places = np.flatnonzero(draws < max(self.share, np.nextafter(draws.min(), 1.0)))
        read, kinds = ids.copy(), random_state.random(len(places))
        others = random_state.choice(np.flatnonzero(self.ordinary), len(places))
        read[places[kinds < AS_MASK]] = self.mask
        as_random = (kinds >= AS_MASK) & (kinds < AS_MASK + AS_RANDOM)
        read[places[as_random]] = others[as_random]
        return read, places
