"""Log-partition, marginals and expected transitions of a linear-chain CRF in two sweeps.

The sweeps run in probability space, rescaled at every step, where the potentials are close enough together
that nothing which matters can underflow; in double precision where they are further apart; and beyond
that in log space, in double precision. The choice depends on the potentials alone, so that equal inputs
give equal results.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Optional, Tuple

import torch
from torch import Tensor

from .potentials import Potentials

# The largest spread of log-potentials that a rescaled sweep may have to bridge: exp(-80) and exp(-690) are
# still normal numbers in single and double precision.
SAFE_SPREAD = {torch.float32: 80.0, torch.float64: 690.0}
# Where any two tags can reach a common tag in two steps, as in BIO and BIOES, a prefix that is further behind
# another than this many steps' spread can never come to matter: the sweep may drop it.
MIXING_STEPS = 3


@dataclass(frozen=True, eq=False)
class Posteriors(ABC):
    """What a CRF believes of a batch of B sequences with N rows in all and K tags; rows in packed order.

    log_partition: (B,) packed sequences; -inf where no tag sequence is possible.
    marginals: (N, K) probability of each tag at each row; zeros where the sequence is impossible.
    exact_log_partition: (B,) log_partition in double precision.
    """

    potentials: Potentials
    log_partition: Tensor
    marginals: Tensor
    exact_log_partition: Tensor

    @property
    def possible(self) -> Tensor:
        """(B,) whether a packed sequence has any possible tag sequence."""
        return torch.isfinite(self.log_partition)

    @abstractmethod
    def log_alpha(self, rows: Tensor, tags: Tensor) -> Tensor:
        """(M,) in double precision: for M pairs of row and tag, the log-sum of the scores of all prefixes that end
        there, the emission included."""

    @abstractmethod
    def log_beta(self, rows: Tensor, tags: Tensor) -> Tensor:
        """(M,) in double precision: for M pairs of row and tag, the log-sum of the scores of all suffixes that follow
        there, the emission left out."""

    @abstractmethod
    def expected_transitions(self, weights: Optional[Tensor] = None) -> Tensor:
        """(K, K) expected number of transitions, summed over the batch; `weights` (B,) of the packed sequences."""


@dataclass(frozen=True, eq=False)
class _ScaledPosteriors(Posteriors):
    """alpha (N, K) sums to one at each row, alpha * beta are the marginals; log_prefix (N,) is the logarithm, in
    double precision, of what alpha was divided by so far; scaled_next (N, K) is what a row passes back to the one
    before it, and factors are the exponentials of the transitions."""

    alpha: Tensor
    beta: Tensor
    log_prefix: Tensor
    scaled_next: Tensor
    factors: Tensor

    def log_alpha(self, rows: Tensor, tags: Tensor) -> Tensor:
        return self.alpha[rows, tags].double().log() + self.log_prefix[rows]

    def log_beta(self, rows: Tensor, tags: Tensor) -> Tensor:
        sequences = self.potentials.packing.sequences[rows]
        return self.beta[rows, tags].double().log() + self.exact_log_partition[sequences] - self.log_prefix[rows]

    def expected_transitions(self, weights: Optional[Tensor] = None) -> Tensor:
        packing = self.potentials.packing
        left = self.alpha[packing.previous]
        if weights is not None:
            left = left * weights.to(left.dtype)[packing.sequences[packing.n_sequences :], None]
        return (self.factors * (left.T @ self.scaled_next[packing.n_sequences :])).to(self.marginals.dtype)


@dataclass(frozen=True, eq=False)
class _LogPosteriors(Posteriors):
    """`exact`, `prefixes` and `suffixes`: the potentials and both sweeps (N, K), in log space and double precision."""

    exact: Potentials
    prefixes: Tensor
    suffixes: Tensor

    def log_alpha(self, rows: Tensor, tags: Tensor) -> Tensor:
        return self.prefixes[rows, tags]

    def log_beta(self, rows: Tensor, tags: Tensor) -> Tensor:
        return self.suffixes[rows, tags]

    def expected_transitions(self, weights: Optional[Tensor] = None) -> Tensor:
        packing = self.exact.packing
        transitions = self.exact.transitions
        right = self.exact.masked_emissions + self.suffixes
        total = torch.zeros_like(transitions)
        blocks = packing.blocks()
        for before, now in pairwise(blocks):
            size = now.stop - now.start
            pairs = self.prefixes[before][:size, :, None] + transitions + right[now][:, None, :]
            pairs = (pairs - self.exact_log_partition[:size, None, None]).exp()
            pairs = pairs.masked_fill(~self.possible[:size, None, None], 0.0)
            if weights is not None:
                pairs = pairs * weights[:size, None, None]
            total += pairs.sum(0)
        return total.to(self.marginals.dtype)


def forward_backward(potentials: Potentials) -> Posteriors:
    """Both sweeps over a batch, exact for emissions up to +-1000 and any transitions.

    Returns Posteriors in the precision of the emissions. The gradient of sum(log_partition) is `marginals`
    for the emissions, the marginals of first and last rows for start and end, and `expected_transitions()`.
    """
    dtype = potentials.emissions.dtype
    spread = _spread(potentials)
    if spread < SAFE_SPREAD[dtype]:
        return _scaled_sweeps(potentials, dtype)
    if spread < SAFE_SPREAD[torch.float64]:
        return _scaled_sweeps(potentials.to(torch.float64), dtype)
    return _log_sweeps(potentials.to(torch.float64), dtype)


def _spread(potentials: Potentials) -> float:
    """How far apart, in log-potentials, two prefixes may lie that both still matter."""
    emissions, allowed = potentials.emissions, potentials.allowed
    if not _mixes(potentials.transitions):
        return float("inf")
    steps = float(MIXING_STEPS)
    if allowed is None:
        low, high = torch.aminmax(emissions, dim=1)
        span = (high - low).max()
    else:
        # A row that allows some tags but not all may keep two prefixes apart as long again.
        count = allowed.sum(1)
        partial = (count > 1) & (count < potentials.n_tags)
        runs = emissions.new_zeros(potentials.packing.n_sequences)
        steps += MIXING_STEPS * float(
            runs.index_add_(0, potentials.packing.sequences, partial.to(emissions.dtype)).max()
        )
        high = emissions.masked_fill(~allowed, float("-inf")).amax(1)
        low = emissions.masked_fill(~allowed, float("inf")).amin(1)
        span = (high - low).masked_fill(count == 0, 0.0).max()
    edges = torch.cat([potentials.transitions.flatten(), potentials.start, potentials.end])
    edges = edges[torch.isfinite(edges)]
    jump = edges.max() - edges.min() if len(edges) else edges.new_zeros(())
    return steps * float(span + jump)


def _mixes(transitions: Tensor) -> bool:
    """Whether any two tags reach a common tag in two legal steps."""
    legal = torch.isfinite(transitions).to(transitions.dtype)
    if bool(legal.all()):
        return True
    reached = legal @ legal
    return bool((reached @ reached.T > 0).all())


def _shifted_exp(values: Tensor) -> Tuple[Tensor, Tensor]:
    """exp(values - shift) and the shift, the largest value (0 where there is none above -inf)."""
    shift = values.max()
    shift = torch.where(torch.isfinite(shift), shift, torch.zeros_like(shift))
    return (values - shift).exp(), shift


def _scaled_sweeps(potentials: Potentials, dtype: torch.dtype) -> Posteriors:
    packing = potentials.packing
    blocks = packing.blocks()
    emissions = potentials.masked_emissions
    tiny = torch.finfo(emissions.dtype).tiny
    row_shift = emissions.amax(1, keepdim=True)
    if potentials.allowed is not None:
        row_shift = row_shift.masked_fill(~torch.isfinite(row_shift), 0.0)
    odds = (emissions - row_shift).exp_()
    start, start_shift = _shifted_exp(potentials.start)
    factors, factor_shift = _shifted_exp(potentials.transitions)
    end, end_shift = _shifted_exp(potentials.end)

    alpha = torch.empty_like(odds)
    scale = odds.new_empty(len(packing), 1)
    for step, block in enumerate(blocks):
        if step == 0:
            prefix = start * odds[block]
        else:
            prefix = (alpha[blocks[step - 1]][: packing.batch_sizes[step]] @ factors) * odds[block]
        # A total of zero means that no tag is possible: the sequence keeps zeros from here on.
        total = prefix.sum(1, keepdim=True).clamp_min_(tiny)
        scale[block] = total
        torch.div(prefix, total, out=alpha[block])

    closing = alpha[packing.last] @ end
    log_scale = scale.log() + row_shift + factor_shift
    log_scale[: packing.n_sequences] += start_shift - factor_shift
    log_prefix = packing.running_sum(log_scale[:, 0].double())
    log_partition = log_prefix[packing.last] + closing.double().log() + end_shift

    # beta is scaled so that alpha * beta are the marginals.
    inverse = torch.where(closing > 0, 1.0 / closing, torch.zeros_like(closing))
    beta = torch.empty_like(odds)
    beta[packing.last] = end * inverse[:, None]
    scaled_next = torch.empty_like(odds)
    odds /= scale
    for step in range(len(blocks) - 1, 0, -1):
        block, size = blocks[step], packing.batch_sizes[step]
        torch.mul(odds[block], beta[block], out=scaled_next[block])
        torch.mm(scaled_next[block], factors.T, out=beta[blocks[step - 1]][:size])

    return _ScaledPosteriors(
        potentials=potentials.to(dtype),
        log_partition=log_partition.to(dtype),
        marginals=(alpha * beta).to(dtype),
        exact_log_partition=log_partition,
        alpha=alpha,
        beta=beta,
        log_prefix=log_prefix,
        scaled_next=scaled_next,
        factors=factors,
    )


def _log_sweeps(potentials: Potentials, dtype: torch.dtype) -> Posteriors:
    packing = potentials.packing
    blocks = packing.blocks()
    emissions = potentials.masked_emissions
    transitions = potentials.transitions

    log_alpha = torch.empty_like(emissions)
    log_alpha[blocks[0]] = potentials.start + emissions[blocks[0]]
    for before, now in pairwise(blocks):
        prefix = log_alpha[before][: now.stop - now.start]
        log_alpha[now] = torch.logsumexp(prefix[:, :, None] + transitions, dim=1) + emissions[now]
    log_partition = torch.logsumexp(log_alpha[packing.last] + potentials.end, dim=1)

    log_beta = torch.empty_like(emissions)
    log_beta[packing.last] = potentials.end.expand(packing.n_sequences, -1)
    for before, now in zip(reversed(blocks[:-1]), reversed(blocks[1:]), strict=True):
        suffix = (emissions[now] + log_beta[now])[:, None, :] + transitions
        log_beta[before][: now.stop - now.start] = torch.logsumexp(suffix, dim=2)

    marginals = (log_alpha + log_beta - log_partition[packing.sequences, None]).exp()
    marginals = marginals.masked_fill(~torch.isfinite(log_partition)[packing.sequences, None], 0.0)
    return _LogPosteriors(
        potentials=potentials.to(dtype),
        log_partition=log_partition.to(dtype),
        marginals=marginals.to(dtype),
        exact_log_partition=log_partition,
        exact=potentials,
        prefixes=log_alpha,
        suffixes=log_beta,
    )
