"""The best tag sequences of a linear-chain CRF."""

from typing import Tuple

import torch
from torch import Tensor

from .potentials import Potentials
from .single import Chain, best_path

CANDIDATES_AT_ONCE = 1 << 21
"""Steps from tag to tag, of all sequences, that are compared at once: more would not fit into the caches."""
FEW = 16
"""Fewer sequences than this are compared one by one: a table whose last dimension is short is slow."""

SORTED_AT_ONCE = 1 << 13
"""The same where the best n of them are wanted."""


@torch.no_grad()
def viterbi(potentials: Potentials) -> Tuple[Tensor, Tensor]:
    """Find the best tag sequence of each sequence.

    Returns (N,) tags of the rows in packed order, and (B,) scores of the packed sequences (-inf, with
    meaningless tags, where no tag sequence is possible), in double precision where a sequence is long.
    """
    packing = potentials.packing
    if packing.n_sequences == 1 and packing.device.type == "cpu" and not potentials.is_long:
        return _viterbi_of_one(potentials)
    potentials = potentials.exact_if_long()
    sizes = packing.batch_sizes
    # (K from, K to, sequences): the largest dimension last and the compared one first is what vector units like.
    emissions = potentials.masked_emissions.T.contiguous().split(sizes, dim=1)
    transitions = potentials.transitions[:, :, None]
    scores = [potentials.start[:, None] + emissions[0]]
    room = sequences_at_once(potentials.n_tags**2)
    candidates = emissions[0].new_empty((potentials.n_tags, potentials.n_tags, min(packing.n_sequences, room)))
    for size, emission in zip(sizes[1:], emissions[1:], strict=True):
        before = scores[-1]
        if before.shape[1] > size:
            before, candidates = before[:, :size], candidates[:, :, :size]
        if size <= room:
            torch.add(before[:, None, :], transitions, out=candidates)
            scores.append(candidates.amax(0).add_(emission))
        else:
            best = torch.empty_like(emission)
            for piece, own in zip(before.split(room, dim=1), best.split(room, dim=1), strict=True):
                few = candidates[:, :, : piece.shape[1]]
                own.copy_(torch.add(piece[:, None, :], transitions, out=few).amax(0))
            scores.append(best.add_(emission))

    # Only the tags on the best paths need to know where they came from: found again on the way back.
    tags = torch.empty(len(packing), dtype=torch.int64, device=emissions[0].device)
    best = emissions[0].new_empty(packing.n_sequences)
    following = tags[:0]
    to_from = potentials.transitions.T.contiguous()
    for score, now in zip(reversed(scores), reversed(tags.split(sizes)), strict=True):
        running = len(following)
        if running:
            reached = to_from.index_select(0, following).T.add(score[:, :running])
            torch.argmax(reached, 0, out=now[:running])
        if running < len(now):
            best[running : len(now)], now[running:] = (score[:, running:] + potentials.end[:, None]).max(0)
        following = now
    return tags, best


def sequences_at_once(candidates: int) -> int:
    """Count the sequences that are compared at once, each of which has so many candidates."""
    room = CANDIDATES_AT_ONCE // candidates
    return room if room >= FEW else 1


def _viterbi_of_one(potentials: Potentials) -> Tuple[Tensor, Tensor]:
    parts = potentials.masked_emissions, potentials.start, potentials.transitions, potentials.end
    best = best_path(Chain(*(part.detach().numpy() for part in parts)))
    return torch.tensor(best.tags), potentials.emissions.new_tensor([best.score])


@torch.no_grad()
def n_best(potentials: Potentials, n: int) -> Tuple[Tensor, Tensor]:
    """Find the n best distinct tag sequences of each sequence, best first.

    Returns (N, n) tags of the rows in packed order, and (B, n) scores of the packed sequences, in double precision
    where a sequence is long: -inf, with meaningless tags, where a sequence has fewer than n possible tag sequences.
    Raises ValueError for an n below 1.
    """
    if n < 1:
        raise ValueError(f"n_best must be 1 or more, but is {n}.")
    packing = potentials.packing
    potentials = potentials.exact_if_long()
    steps = packing.steps()
    emissions = potentials.masked_emissions
    n_tags = potentials.n_tags
    # score is (sequences, n ranks, K): the best n prefixes that end in each tag.
    score = emissions.new_full((packing.n_sequences, n, n_tags), float("-inf"))
    score[:, 0] = potentials.start + emissions[steps[0]]
    # Numbers of (rank, tag) pairs, of which there is one for each row, rank and tag: as small as they may be.
    small = torch.int16 if n * n_tags <= torch.iinfo(torch.int16).max else torch.int32
    back = torch.zeros((len(packing), n, n_tags), dtype=small, device=emissions.device)
    room = max(1, SORTED_AT_ONCE // (n * n_tags**2))
    for step in steps[1:]:
        for first in range(step.start, step.stop, room):
            rows = slice(first, min(first + room, step.stop))
            own = slice(rows.start - step.start, rows.stop - step.start)
            candidates = score[own][:, :, :, None] + potentials.transitions
            best, back[rows] = candidates.view(-1, n * n_tags, n_tags).topk(n, dim=1)
            score[own] = best + emissions[rows][:, None, :]
    scores, state = (score + potentials.end).view(-1, n * n_tags).topk(n, dim=1)

    tags = torch.empty((len(packing), n), dtype=torch.int64, device=emissions.device)
    for step in reversed(steps):
        size = step.stop - step.start
        tags[step] = state[:size] % n_tags
        state[:size] = back[step].view(size, n * n_tags).gather(1, state[:size])
    return tags, scores
