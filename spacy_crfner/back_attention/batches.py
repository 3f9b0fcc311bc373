"""Training batches for a translator, made anew for every epoch."""

import random
from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from .names import shared_names
from .parallel_text import Pair
from .pieces import BEGIN, PAD, Pieces

MOST_JOINED = 8
"""Pairs that may be put together."""
POOL = 4096
"""Pairs among which those of a length are put into one batch."""

Encoded = Tuple[List[int], List[int]]


@dataclass(frozen=True)
class Batching:
    """How pairs become batches.

    size: pieces of a batch, with padding, on the longer side.
    longest: pieces of a text; pairs with more, on either side, are left out, and no more are joined.
    names: the chance of a name that both sides share to be replaced by its number.
    join: the chance of a pair to be put together with others, so that long texts are learned from short ones.
    """

    size: int = 3000
    longest: int = 128
    names: float = 0.5
    join: float = 0.3


def make_batches(
    pairs: Sequence[Pair], pieces: Pieces, batching: Batching, random_state: random.Random
) -> Iterator[Tuple[Tensor, Tensor]]:
    """Make the batches of an epoch, in random order.

    Each is source (batch, source) with END, and target (batch, target) with both ends.
    """
    order = [pair for pair in pairs if piece_count(pair, pieces) <= batching.longest]
    random_state.shuffle(order)
    encoded = [
        _encode(pair, pieces, batching.names, random_state) for pair in _join(order, pieces, batching, random_state)
    ]
    batches: List[List[Encoded]] = []
    for first in range(0, len(encoded), POOL):
        batches += _by_length(encoded[first : first + POOL], batching.size)
    random_state.shuffle(batches)
    for batch in batches:
        yield pad([source for source, _ in batch]), pad([target for _, target in batch])


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Make rows of ids one array (rows, longest), with PAD at their ends."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def piece_count(pair: Pair, pieces: Pieces) -> int:
    """Count the pieces of the longer side of a pair, with an END."""
    return max(len(pieces.encode(words)[0]) for words in pair)


def _join(pairs: Sequence[Pair], pieces: Pieces, batching: Batching, random_state: random.Random) -> Iterator[Pair]:
    first = 0
    while first < len(pairs):
        wanted = random_state.randint(2, MOST_JOINED) if random_state.random() < batching.join else 1
        count, length = 1, piece_count(pairs[first], pieces)
        while count < wanted and first + count < len(pairs):
            length += piece_count(pairs[first + count], pieces)
            if length > batching.longest:
                break
            count += 1
        group = pairs[first : first + count]
        first += count
        yield [word for source, _ in group for word in source], [word for _, target in group for word in target]


def _encode(pair: Pair, pieces: Pieces, names: float, random_state: random.Random) -> Encoded:
    """Split both sides into pieces; no more than without names instead of words."""
    source, target, _ = shared_names(*pair, names, random_state)
    return pieces.encode(source)[0], [BEGIN, *pieces.encode(target)[0]]


def _by_length(encoded: Sequence[Encoded], size: int) -> List[List[Encoded]]:
    batches: List[List[Encoded]] = [[]]
    longest = 0
    for pair in sorted(encoded, key=lambda pair: (len(pair[0]), len(pair[1]))):
        longest = max(longest, *map(len, pair))
        if batches[-1] and longest * (len(batches[-1]) + 1) > size:
            batches.append([])
            longest = max(map(len, pair))
        batches[-1].append(pair)
    return batches if batches[0] else []
