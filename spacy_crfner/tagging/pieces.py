"""Decoding of large batches in pieces, so that it needs a bounded amount of memory beside its results."""

from dataclasses import dataclass, replace
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from thinc.api import get_array_module

from ..crf.potentials import LONG
from ..portions import portions
from .head import CRFScores
from .sequences import TokenSequences

SCORES_AT_ONCE = 1 << 22
"""Emissions (tokens times tags) that are decoded together; a longer sequence is decoded by itself."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive sequences of a batch.

    sequences: of the tokens of the piece alone, as if each Doc were only what is in the piece.
    docs: for each Doc of those, its index in the batch, and the token of it that the piece begins with.
    scores: for the tokens of the piece. allowed: (N, K) booleans, or None.
    """

    sequences: TokenSequences
    docs: List[Tuple[int, int]]
    scores: CRFScores
    allowed: Optional[np.ndarray]


def fits(sequences: TokenSequences, n_tags: int) -> bool:
    """Tell whether a batch is decoded as it is."""
    return len(_portions(sequences, n_tags)) == 1


def pieces(scores: CRFScores, sequences: TokenSequences, allowed: Optional[np.ndarray]) -> Iterator[Piece]:
    """Cut a batch into pieces, in order.

    Long sequences, for which the CRF takes double precision, are pieces of their own: what is found in the others must
    not depend on them.
    """
    xp = get_array_module(scores.start)
    emissions = xp.concatenate(scores.emissions) if len(scores.emissions) > 1 else scores.emissions[0]
    starts, offsets = sequences.starts, sequences.doc_offsets
    for portion in _portions(sequences, len(scores.start)):
        rows = slice(int(starts[portion.start]), int(starts[portion.stop]))
        own = sequences.rows[rows]
        first, end = int(own[0]), int(own[-1]) + 1
        first_doc = int(np.searchsorted(offsets, first, side="right")) - 1
        end_doc = int(np.searchsorted(offsets, end, side="left"))
        clipped = np.clip(offsets[first_doc : end_doc + 1], first, end)
        begins = clipped[:-1] - offsets[first_doc:end_doc]
        yield Piece(
            sequences=TokenSequences(own - first, sequences.lengths[portion], clipped - first),
            docs=list(zip(range(first_doc, end_doc), begins.tolist(), strict=True)),
            scores=replace(scores, emissions=[emissions[first:end]]),
            allowed=None if allowed is None else allowed[rows],
        )


def _portions(sequences: TokenSequences, n_tags: int) -> Sequence[slice]:
    return portions(sequences.lengths, max(1, SCORES_AT_ONCE // n_tags), alone=LONG)
