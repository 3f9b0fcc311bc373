"""Training batches for a translator, made anew for every epoch."""

import random
from dataclasses import dataclass
from typing import Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from .names import shared_names
from .parallel_text import Pair
from .pieces import BEGIN, PAD, Pieces

MOST_JOINED = 4
"""Pairs that may be put together."""
POOL = 4096
"""Pairs among which those of a length are put into one batch."""

Encoded = Tuple[List[int], List[int]]


@dataclass(frozen=True)
class Batching:
    """How pairs become batches.

    size: pieces of a batch, with padding, on the longer side. longest: pieces of a text; longer pairs are left out.
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
    """Batches of an epoch, in random order: source (batch, source) with END, target (batch, target) with both ends."""
    order = list(pairs)
    random_state.shuffle(order)
    encoded = list(_encode(_join(order, batching.join, random_state), pieces, batching, random_state))
    batches: List[List[Encoded]] = []
    for first in range(0, len(encoded), POOL):
        batches += _by_length(encoded[first : first + POOL], batching.size)
    random_state.shuffle(batches)
    for batch in batches:
        yield pad([source for source, _ in batch]), pad([target for _, target in batch])


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """(rows, longest), with PAD at their ends."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])


def _join(pairs: Sequence[Pair], chance: float, random_state: random.Random) -> Iterator[Pair]:
    place = 0
    while place < len(pairs):
        count = random_state.randint(2, MOST_JOINED) if random_state.random() < chance else 1
        group = pairs[place : place + count]
        place += count
        yield [word for source, _ in group for word in source], [word for _, target in group for word in target]


def _encode(
    pairs: Iterator[Pair], pieces: Pieces, batching: Batching, random_state: random.Random
) -> Iterator[Encoded]:
    for source, target in pairs:
        shown_source, shown_target, _ = shared_names(source, target, batching.names, random_state)
        ids, english = pieces.encode(shown_source)[0], pieces.encode(shown_target)[0]
        if max(len(ids), len(english)) <= batching.longest:
            yield ids, [BEGIN, *english]


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
