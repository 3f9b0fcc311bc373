"""What losses are made of: weighted expected counts, which are the gradients of log-partitions."""

from dataclasses import dataclass
from typing import List, Optional

import torch
from torch import Tensor

from .forward_backward import Posteriors
from .potentials import Potentials

MISSING = -1
"""The gold tag of a row whose tag is not known."""

# Rows that one pass of conditioned copies may hold, which bounds the memory of the losses that need them.
COPY_ROWS = 65536


@dataclass(frozen=True, eq=False)
class LossGradient:
    """A loss of B sequences with N rows in all and K tags, and the gradient of its sum; packed order.

    loss: (B,) per packed sequence, 0 where impossible.
    emissions, start, transitions, end: (N, K), (K,), (K, K), (K,).
    possible: (B,) whether the gold tags of a sequence are possible.
    """

    loss: Tensor
    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor
    possible: Tensor

    def __add__(self, other: "LossGradient") -> "LossGradient":
        return LossGradient(
            self.loss + other.loss,
            self.emissions + other.emissions,
            self.start + other.start,
            self.transitions + other.transitions,
            self.end + other.end,
            self.possible & other.possible,
        )

    def times(self, factor: float) -> "LossGradient":
        return LossGradient(
            self.loss * factor,
            self.emissions * factor,
            self.start * factor,
            self.transitions * factor,
            self.end * factor,
            self.possible,
        )


@dataclass(frozen=True, eq=False)
class Expectations:
    """Weighted expected counts of a batch: the gradient of a weighted sum of log-partitions."""

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor

    def __sub__(self, other: "Expectations") -> "Expectations":
        return Expectations(
            self.emissions - other.emissions,
            self.start - other.start,
            self.transitions - other.transitions,
            self.end - other.end,
        )

    def as_loss(self, loss: Tensor, possible: Tensor, dtype: torch.dtype) -> LossGradient:
        return LossGradient(
            loss.to(dtype),
            self.emissions.to(dtype),
            self.start.to(dtype),
            self.transitions.to(dtype),
            self.end.to(dtype),
            possible,
        )


def expectations(
    posteriors: Posteriors, weights: Tensor, rows: Optional[Tensor] = None, n_rows: int = 0
) -> Expectations:
    """The gradient of sum(weights * log_partition); `rows` folds copied rows onto the rows that they copy."""
    packing = posteriors.potentials.packing
    uneven = None if bool((weights == 1).all()) else weights
    emissions = posteriors.weighted_marginals(uneven)
    start, end = emissions[: packing.n_sequences].sum(0), emissions[packing.last].sum(0)
    if rows is not None:
        emissions = emissions.new_zeros((n_rows, emissions.shape[1])).index_add_(0, rows, emissions)
    return Expectations(emissions, start, posteriors.expected_transitions(uneven), end)


def zero_gradient(potentials: Potentials) -> LossGradient:
    n_sequences = potentials.packing.n_sequences
    return LossGradient(
        potentials.emissions.new_zeros(n_sequences),
        torch.zeros_like(potentials.emissions),
        torch.zeros_like(potentials.start),
        torch.zeros_like(potentials.transitions),
        torch.zeros_like(potentials.end),
        torch.ones(n_sequences, dtype=torch.bool, device=potentials.packing.device),
    )


def agreeing(potentials: Potentials, gold: Tensor) -> Tensor:
    """(N, K) the tags that do not contradict the gold tags."""
    agreeing = torch.nn.functional.one_hot(gold.clamp(min=0), potentials.n_tags).bool()
    return agreeing | (gold == MISSING)[:, None]


def chunks(items: Tensor, lengths: Tensor) -> List[Tensor]:
    """Consecutive pieces of `items` whose lengths sum to about COPY_ROWS."""
    if not len(items):
        return []
    group = torch.cumsum(lengths, 0) // COPY_ROWS
    return list(torch.split(items, torch.unique_consecutive(group, return_counts=True)[1].tolist()))
