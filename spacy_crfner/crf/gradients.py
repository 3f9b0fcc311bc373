"""What losses are made of: weighted expected counts, which are the gradients of log-partitions."""

from dataclasses import dataclass
from typing import List, Optional

import torch
from torch import Tensor

from .forward_backward import Posteriors
from .potentials import Potentials

MISSING = -1
"""The gold tag of a row whose tag is not known."""

# Scores (rows times tags) that one pass of conditioned copies may hold, which bounds the memory of the losses that
# need them.
COPY_SCORES = 1 << 20


@dataclass(frozen=True, eq=False)
class ExpectedCounts:
    """Weighted expected counts of a batch, which are the gradient of a weighted sum of log-partitions.

    emissions, start, transitions, end: (N, K) in packed order, (K,), (K from, K to), (K,).
    """

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor

    def __sub__(self, other: "ExpectedCounts") -> "ExpectedCounts":
        return ExpectedCounts(
            self.emissions - other.emissions,
            self.start - other.start,
            self.transitions - other.transitions,
            self.end - other.end,
        )

    def as_loss(self, loss: Tensor, possible: Tensor, dtype: torch.dtype) -> "LossGradient":
        """Take these counts as the gradient of a loss."""
        parts = (self.emissions, self.start, self.transitions, self.end, loss)
        emissions, start, transitions, end, loss = (part.to(dtype) for part in parts)
        return LossGradient(emissions, start, transitions, end, loss, possible)


@dataclass(frozen=True, eq=False)
class LossGradient(ExpectedCounts):
    """A loss of B sequences with N rows in all and K tags, and the gradient of its sum; packed order.

    loss: (B,) of each packed sequence, times its weight; 0 where impossible.
    possible: (B,) whether the gold tags of a sequence are possible.
    """

    loss: Tensor
    possible: Tensor

    def __add__(self, other: "LossGradient") -> "LossGradient":
        return LossGradient(
            self.emissions + other.emissions,
            self.start + other.start,
            self.transitions + other.transitions,
            self.end + other.end,
            self.loss + other.loss,
            self.possible & other.possible,
        )

    def times(self, factor: float) -> "LossGradient":
        """Scale the loss, and with it the gradient."""
        parts = (self.emissions, self.start, self.transitions, self.end, self.loss)
        emissions, start, transitions, end, loss = (part * factor for part in parts)
        return LossGradient(emissions, start, transitions, end, loss, self.possible)

    def mean(self, weights: Optional[Tensor] = None) -> "LossGradient":
        """Divide by the number of sequences, of which each counts as often as its weight says.

        weights: (B,) that the loss was computed with; None for 1 each. Where they are all 0, the loss and its gradient
            are 0 already.
        """
        count = float(len(self.loss)) if weights is None else float(weights.sum())
        return self.times(1.0 / count) if count else self


def weigh(values: Tensor, weights: Optional[Tensor]) -> Tensor:
    """Multiply values (B,) of the packed sequences with their weights (B,); None leaves them as they are."""
    return values if weights is None else values * weights.to(values.dtype)


def expectations(
    posteriors: Posteriors, weights: Tensor, rows: Optional[Tensor] = None, n_rows: int = 0
) -> ExpectedCounts:
    """Count what a batch expects, sequences times their weights: the gradient of sum(weights * log_partition).

    weights: (B,). rows, n_rows: fold copied rows onto the rows that they copy, of which there are so many.
    """
    packing = posteriors.potentials.packing
    uneven = None if bool((weights == 1).all()) else weights
    emissions = posteriors.weighted_marginals(uneven)
    start, end = emissions[: packing.n_sequences].sum(0), emissions[packing.last].sum(0)
    if rows is not None:
        emissions = emissions.new_zeros((n_rows, emissions.shape[1])).index_add_(0, rows, emissions)
    return ExpectedCounts(emissions, start, posteriors.expected_transitions(uneven), end)


def zero_gradient(potentials: Potentials) -> LossGradient:
    """Make a loss of 0 with its gradient."""
    n_sequences = potentials.packing.n_sequences
    return LossGradient(
        torch.zeros_like(potentials.emissions),
        torch.zeros_like(potentials.start),
        torch.zeros_like(potentials.transitions),
        torch.zeros_like(potentials.end),
        loss=potentials.emissions.new_zeros(n_sequences),
        possible=torch.ones(n_sequences, dtype=torch.bool, device=potentials.packing.device),
    )


def agreeing(potentials: Potentials, gold: Tensor) -> Tensor:
    """Mark the tags (N, K) that do not contradict the gold tags (N,)."""
    agreeing = (gold == MISSING)[:, None].repeat(1, potentials.n_tags)
    return agreeing.scatter_(1, gold.clamp(min=0)[:, None], True)


def chunks(items: Tensor, scores: Tensor) -> List[Tensor]:
    """Cut items (M,) into consecutive pieces whose numbers of scores (M,) sum to about COPY_SCORES."""
    if not len(items):
        return []
    group = torch.cumsum(scores, 0) // COPY_SCORES
    return list(torch.split(items, torch.unique_consecutive(group, return_counts=True)[1].tolist()))
