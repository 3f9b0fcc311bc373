"""The best tag sequences of a linear-chain CRF."""

from typing import Tuple

import torch
from torch import Tensor

from .potentials import Potentials


def viterbi(potentials: Potentials) -> Tuple[Tensor, Tensor]:
    """The best tag sequence of each sequence.

    Returns (N,) tags of the rows in packed order, and (B,) scores of the packed sequences (-inf, with
    meaningless tags, where no tag sequence is possible).
    """
    packing = potentials.packing
    blocks = packing.blocks()
    emissions = potentials.masked_emissions
    # Tags are compared along the last dimension, which is contiguous: to_from is (K to, K from).
    to_from = potentials.transitions.T.contiguous()
    score = potentials.start + emissions[blocks[0]]
    back = torch.zeros(emissions.shape, dtype=torch.int64, device=emissions.device)
    for block in blocks[1:]:
        size = block.stop - block.start
        best, back[block] = (score[:size, None, :] + to_from).max(dim=2)
        score[:size] = best + emissions[block]
    scores, tag = (score + potentials.end).max(dim=1)

    tags = torch.empty(len(packing), dtype=torch.int64, device=emissions.device)
    for block in reversed(blocks):
        size = block.stop - block.start
        tags[block] = tag[:size]
        tag[:size] = back[block].gather(1, tag[:size, None])[:, 0]
    return tags, scores


def n_best(potentials: Potentials, n: int) -> Tuple[Tensor, Tensor]:
    """The n best distinct tag sequences of each sequence, best first.

    Returns (N, n) tags of the rows in packed order, and (B, n) scores of the packed sequences: -inf, with
    meaningless tags, where a sequence has fewer than n possible tag sequences.
    """
    if n < 1:
        raise ValueError(f"n_best must be 1 or more, but is {n}.")
    packing = potentials.packing
    blocks = packing.blocks()
    emissions = potentials.masked_emissions
    n_tags = potentials.n_tags
    # score is (sequences, n ranks, K): the best n prefixes that end in each tag.
    score = emissions.new_full((packing.n_sequences, n, n_tags), float("-inf"))
    score[:, 0] = potentials.start + emissions[blocks[0]]
    back = torch.zeros((len(packing), n, n_tags), dtype=torch.int64, device=emissions.device)
    for block in blocks[1:]:
        size = block.stop - block.start
        candidates = (score[:size, :, :, None] + potentials.transitions).view(size, n * n_tags, n_tags)
        best, back[block] = candidates.topk(n, dim=1)
        score[:size] = best + emissions[block][:, None, :]
    scores, state = (score + potentials.end).view(-1, n * n_tags).topk(n, dim=1)

    tags = torch.empty((len(packing), n), dtype=torch.int64, device=emissions.device)
    for block in reversed(blocks):
        size = block.stop - block.start
        tags[block] = state[:size] % n_tags
        state[:size] = back[block].view(size, n * n_tags).gather(1, state[:size])
    return tags, scores
