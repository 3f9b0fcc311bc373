"""Log-partition, marginals and expected transitions of a linear-chain CRF in two sweeps.

The sweeps run in probability space, rescaled at every step, where the potentials are close enough together
that nothing which matters can underflow; in double precision where they are further apart, or where a sequence is
long; and beyond that in log space, in double precision. The choice depends on the potentials alone, so that equal
inputs give equal results.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from .potentials import NEVER, Potentials
from .viterbi import sequences_at_once

# Rounding in single precision adds up from step to step: to 1e-5 of a probability after some 500 of them.
MOST_STEPS_IN_SINGLE = 256
# How far apart two prefixes may lie in a rescaled sweep without underflow of what still matters in the end:
# exp(-87) and exp(-708) are the smallest normal numbers, and what is exp(-16) or exp(-37) of a sum is lost anyway.
SAFE_SPREAD = {torch.float32: 70.0, torch.float64: 650.0}
# Tags that are further apart than so many steps are left to the sweeps in log space.
MOST_STEPS = 4


@dataclass(frozen=True, eq=False)
class Posteriors(ABC):
    """What a CRF believes of a batch of B sequences with N rows in all and K tags; rows in packed order.

    exact_log_partition: (B,) of the packed sequences, in double precision; -inf where no tag sequence is possible.
    """

    potentials: Potentials
    exact_log_partition: Tensor

    @cached_property
    def log_partition(self) -> Tensor:
        """(B,) exact_log_partition in the precision of the emissions."""
        return self.exact_log_partition.to(self.potentials.emissions.dtype)

    @cached_property
    def marginals(self) -> Tensor:
        """(N, K) probability of each tag at each row; zeros where the sequence is impossible."""
        return self.weighted_marginals(None)

    @property
    def possible(self) -> Tensor:
        """(B,) whether a packed sequence has any possible tag sequence."""
        return torch.isfinite(self.exact_log_partition)

    @abstractmethod
    def weighted_marginals(self, weights: Optional[Tensor]) -> Tensor:
        """Compute (N, K) the marginals times the weights (B,) of the packed sequences; the tensor is the caller's."""

    @abstractmethod
    def expected_transitions(self, weights: Optional[Tensor] = None) -> Tensor:
        """Compute (K, K) the expected number of transitions, summed over the batch.

        weights: (B,) of the packed sequences; None for 1 each.
        """

    @abstractmethod
    def log_alpha(self, rows: Tensor, tags: Tensor) -> Tensor:
        """Compute the log-sum of the scores of all prefixes that end at a row with a tag, the emission included.

        rows, tags: (M,) pairs. Returns (M,) in double precision.
        """

    @abstractmethod
    def log_beta(self, rows: Tensor, tags: Tensor) -> Tensor:
        """Compute the log-sum of the scores of all suffixes that follow a row with a tag, the emission left out.

        rows, tags: (M,) pairs. Returns (M,) in double precision.
        """


@dataclass(frozen=True, eq=False)
class _ScaledPosteriors(Posteriors):
    """Posteriors by sweeps in probability space.

    alpha, beta: (N, K); alpha * beta are the marginals.
    log_scale: (N,) the logarithm, in double precision, of what alpha was divided by at each row.
    scaled_next: (N, K) what a row passes back to the one before it.
    factors: (K from, K to) the exponentials of the transitions.
    """

    alpha: Tensor
    beta: Tensor
    log_scale: Tensor
    scaled_next: Tensor
    factors: Tensor

    def weighted_marginals(self, weights: Optional[Tensor]) -> Tensor:
        marginals = self.alpha * self.beta
        if weights is not None:
            marginals *= weights.to(marginals.dtype)[self.potentials.packing.sequences, None]
        return marginals.to(self.potentials.emissions.dtype)

    def expected_transitions(self, weights: Optional[Tensor] = None) -> Tensor:
        packing = self.potentials.packing
        left = self.alpha[: len(packing) - packing.n_sequences] if packing.is_dense else self.alpha[packing.previous]
        right = self.scaled_next[packing.n_sequences :]
        if weights is not None:
            right = right * weights.to(right.dtype)[packing.sequences[packing.n_sequences :], None]
        return (self.factors * (left.T @ right)).to(self.potentials.emissions.dtype)

    @cached_property
    def _log_prefix(self) -> Tensor:
        """(N,) the logarithm of what alpha was divided by up to each row."""
        return self.potentials.packing.running_sum(self.log_scale)

    def log_alpha(self, rows: Tensor, tags: Tensor) -> Tensor:
        return self.alpha[rows, tags].double().log() + self._log_prefix[rows]

    def log_beta(self, rows: Tensor, tags: Tensor) -> Tensor:
        sequences = self.potentials.packing.sequences[rows]
        return self.beta[rows, tags].double().log() + self.exact_log_partition[sequences] - self._log_prefix[rows]


@dataclass(frozen=True, eq=False)
class _LogPosteriors(Posteriors):
    """Posteriors by sweeps in log space.

    exact, prefixes, suffixes: the potentials and both sweeps (N, K), in log space and double precision.
    """

    exact: Potentials
    prefixes: Tensor
    suffixes: Tensor

    def weighted_marginals(self, weights: Optional[Tensor]) -> Tensor:
        sequences = self.potentials.packing.sequences
        marginals = (self.prefixes + self.suffixes - self.exact_log_partition[sequences, None]).exp_()
        marginals.masked_fill_(~self.possible[sequences, None], 0.0)
        if weights is not None:
            marginals *= weights.double()[sequences, None]
        return marginals.to(self.potentials.emissions.dtype)

    def expected_transitions(self, weights: Optional[Tensor] = None) -> Tensor:
        transitions = self.exact.transitions
        right = self.exact.masked_emissions + self.suffixes
        total = torch.zeros_like(transitions)
        for before, now in pairwise(self.exact.packing.steps()):
            for own in _pieces(now.stop - now.start, transitions):
                pairs = self.prefixes[before][own, :, None] + transitions + right[now][own, None, :]
                pairs = (pairs - self.exact_log_partition[own, None, None]).exp()
                pairs = pairs.masked_fill(~self.possible[own, None, None], 0.0)
                if weights is not None:
                    pairs = pairs * weights[own, None, None]
                total += pairs.sum(0)
        return total.to(self.potentials.emissions.dtype)

    def log_alpha(self, rows: Tensor, tags: Tensor) -> Tensor:
        return self.prefixes[rows, tags]

    def log_beta(self, rows: Tensor, tags: Tensor) -> Tensor:
        return self.suffixes[rows, tags]


@torch.no_grad()
def forward_backward(potentials: Potentials) -> Posteriors:
    """Sweep forward and backward over a batch, exact for emissions up to +-1000 and any transitions.

    The gradient of sum(log_partition) is `marginals` for the emissions, the marginals of first and last rows for
    start and end, and `expected_transitions()`.
    """
    emissions = potentials.emissions
    shift, shifted = _shift_rows(emissions)
    spread = _spread(potentials, shifted)
    loses_digits = len(potentials.packing.batch_sizes) > MOST_STEPS_IN_SINGLE and emissions.dtype != torch.float64
    if spread < SAFE_SPREAD.get(emissions.dtype, 0.0) and not loses_digits:
        return _scaled_sweeps(potentials, potentials, shift, shifted)
    exact = potentials.to(torch.float64)
    if spread < SAFE_SPREAD[torch.float64]:
        return _scaled_sweeps(potentials, exact, *_shift_rows(exact.emissions))
    return _log_sweeps(potentials, exact)


def _shift_rows(emissions: Tensor) -> Tuple[Tensor, Tensor]:
    """Compute the mean (N, 1) of each row of the emissions, and (N, K) the emissions less their mean."""
    n_tags = emissions.shape[1]
    shift = emissions @ emissions.new_full((n_tags, 1), 1.0 / n_tags)
    return shift, emissions - shift


def _spread(potentials: Potentials, shifted: Tensor) -> float:
    """Bound how far apart, in log-potentials, two prefixes may lie that both still matter.

    Where every tag reaches every tag in n steps, the suffixes after two tags differ by n transitions and n - 1
    emissions at most. And a sum of prefixes may have shrunk by a transition and an emission when the next is added up.
    """
    n_steps = _steps_between_tags(potentials.transitions)
    if n_steps is None:
        return float("inf")
    low, high = torch.aminmax(shifted)
    edges = torch.cat([potentials.transitions.flatten(), potentials.start, potentials.end])
    edges = edges[torch.isfinite(edges)]
    jump = float(edges.max() - edges.min()) if len(edges) else 0.0
    span = float(high - low)
    spread = n_steps * span + (n_steps + 1) * jump
    if potentials.allowed is not None:
        # A row that allows some tags but not all may keep two prefixes apart as long again.
        count = potentials.allowed.sum(1)
        partial = (count > 1) & (count < potentials.n_tags)
        spread += n_steps * (span + jump) * float(potentials.packing.sums(partial.double()).max())
    return spread


def _steps_between_tags(transitions: Tensor) -> Optional[int]:
    """Count the legal steps in which every tag reaches every tag; None for more than MOST_STEPS.

    They are 1 without illegal ones, 2 in BIO, 3 in BIOES.
    """
    legal = torch.isfinite(transitions).to(transitions.dtype)
    reached = legal
    for n_steps in range(1, MOST_STEPS + 1):
        if bool((reached > 0).all()):
            return n_steps
        reached = reached @ legal
    return None


def _shifted_exp(values: Tensor) -> Tuple[Tensor, Tensor]:
    """Compute exp(values - shift) and the shift, the largest value (0 where there is none above -inf)."""
    shift = values.max()
    shift = torch.where(torch.isfinite(shift), shift, torch.zeros_like(shift))
    return (values - shift).exp(), shift


def _scaled_sweeps(given: Potentials, potentials: Potentials, shift: Tensor, shifted: Tensor) -> Posteriors:
    """Sweep in probability space.

    given: the potentials as they came; potentials: in the precision of the sweeps; shift, shifted: see _shift_rows
    (`shifted` is overwritten).
    """
    packing, n_tags = potentials.packing, potentials.n_tags
    sizes = packing.batch_sizes
    if potentials.allowed is not None:
        shifted.masked_fill_(~potentials.allowed, NEVER)
    odds = shifted.exp_()
    start, start_shift = _shifted_exp(potentials.start)
    factors, factor_shift = _shifted_exp(potentials.transitions)
    end, end_shift = _shifted_exp(potentials.end)

    # Each prefix is divided by the sum of the one before it, which the same product yields as one more column.
    summing = torch.cat([factors, factors.new_ones(n_tags, 1)], dim=1)
    products = odds.new_empty(packing.n_sequences, n_tags + 1)
    alpha = torch.empty_like(odds)
    scale = odds.new_ones(len(packing), 1)
    # Smaller than any sum of possible prefixes, and large enough to divide by.
    floor = torch.finfo(odds.dtype).tiny ** 0.5
    odds_steps, alpha_steps = odds.split(sizes), alpha.split(sizes)
    before = torch.mul(odds_steps[0], start, out=alpha_steps[0])
    for odds_now, now, total in zip(odds_steps[1:], alpha_steps[1:], scale.split(sizes)[1:], strict=True):
        if len(now) < len(before):
            before, products = before[: len(now)], products[: len(now)]
        torch.mm(before, summing, out=products)
        # A total of zero means that no tag is possible: the sequence keeps zeros from here on.
        torch.clamp_min(products[:, n_tags:], floor, out=total)
        before = torch.div(products[:, :n_tags], total, out=now).mul_(odds_now)

    closing = alpha[packing.last] @ end
    log_scale = (scale.log() + shift).squeeze(1).double()
    log_scale[: packing.n_sequences] += start_shift
    log_scale[packing.n_sequences :] += factor_shift
    log_partition = packing.sums(log_scale) + closing.double().log() + end_shift

    # beta is scaled so that alpha * beta are the marginals.
    inverse = torch.where(closing > 0, 1.0 / closing, torch.zeros_like(closing))
    beta = torch.empty_like(odds)
    beta[packing.last] = end * inverse[:, None]
    odds /= scale
    back = factors.T.contiguous()
    steps = list(zip(odds_steps, beta.split(sizes), strict=True))
    for (_, left), (right, after) in zip(reversed(steps[:-1]), reversed(steps[1:]), strict=True):
        torch.mm(right.mul_(after), back, out=left if len(left) == len(right) else left[: len(right)])
    return _ScaledPosteriors(given, log_partition, alpha, beta, log_scale, odds, factors)


def _log_sweeps(given: Potentials, potentials: Potentials) -> Posteriors:
    """Sweep in log space.

    given: the potentials as they came; potentials: in double precision.
    """
    packing = potentials.packing
    steps = packing.steps()
    emissions = potentials.masked_emissions
    transitions = potentials.transitions

    log_alpha = torch.empty_like(emissions)
    log_alpha[steps[0]] = potentials.start + emissions[steps[0]]
    for before, now in pairwise(steps):
        for own in _pieces(now.stop - now.start, transitions):
            reached = torch.logsumexp(log_alpha[before][own, :, None] + transitions, dim=1)
            log_alpha[now][own] = reached + emissions[now][own]
    log_partition = torch.logsumexp(log_alpha[packing.last] + potentials.end, dim=1)

    log_beta = torch.empty_like(emissions)
    log_beta[packing.last] = potentials.end.expand(packing.n_sequences, -1)
    for before, now in zip(reversed(steps[:-1]), reversed(steps[1:]), strict=True):
        suffix = emissions[now] + log_beta[now]
        for own in _pieces(now.stop - now.start, transitions):
            log_beta[before][own] = torch.logsumexp(suffix[own, None, :] + transitions, dim=2)
    return _LogPosteriors(given, log_partition, potentials, log_alpha, log_beta)


def _pieces(n_sequences: int, transitions: Tensor) -> List[slice]:
    """Cut a step into pieces of so many sequences as are handled at once, each with every (K from, K to) transition."""
    room = sequences_at_once(transitions.numel())
    return [slice(first, min(first + room, n_sequences)) for first in range(0, n_sequences, room)]
