r"""Sentence losses of a linear-chain CRF and their gradients, in closed form.

Every loss is a function of the potentials and of the gold tags of the rows, -1 where a tag is missing. With
Z the partition function and Z(gold) the same sum over the tag sequences that agree with every gold tag that
is not missing, so that missing tags are summed over:

* ``nll``            log Z - log Z(gold)
* ``bernoulli``      the NLL of potentials to which a cost is added at every tag that contradicts the gold tag
* ``viterbi_gated``  the NLL - sum log p(gold tag) over the rows that the Viterbi path gets wrong
* ``focal``          (1 - p)^gamma NLL with p = Z(gold) / Z
* ``softmax``        -sum log softmax(emissions)[gold tag], no CRF

The gradient of a log-partition is its marginals and expected transitions, so no autograd graph is kept.
A sentence whose gold tags no legal tag sequence can have contributes nothing and is reported as impossible.
"""

from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Tuple

import torch
from torch import Tensor

from ..tags import TagSet
from .forward_backward import forward_backward
from .potentials import Potentials
from .viterbi import viterbi

MISSING = -1
# Rows that one pass of conditioned copies may hold, which bounds the memory of the losses that need them.
COPY_ROWS = 65536
# Log-probabilities closer to zero than this are those of events that are certain.
CERTAIN = 1e-9


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


CRFLoss = Callable[[Potentials, Tensor], LossGradient]
"""(potentials, gold tags (N,) in packed order with -1 for missing) -> loss and gradient."""

SentenceWeight = Callable[[Tensor], Tuple[Tensor, Tensor]]
"""NLL (B,) -> loss (B,) and the derivative of the loss by the NLL (B,)."""


def nll(potentials: Potentials, gold: Tensor) -> LossGradient:
    """-log p(gold tags), with missing tags summed over."""
    return _weighted_nll(potentials, gold, lambda value: (value, torch.ones_like(value)))


def bernoulli_costs(
    tag_set: TagSet, *, p: float, p_missed: Optional[float] = None, p_invented: Optional[float] = None
) -> Tensor:
    """(K gold, K predicted) the cost log((1 - P) / P) of each wrong tag.

    p: the Bernoulli parameter, between 0 and 1, of a word whose gold and predicted tags differ. Values below
    0.5 punish wrong words, 0.5 gives no cost, values above 0.5 forgive.
    p_missed: the parameter where the gold tag is part of an entity and the predicted one is O; `p` if None.
    p_invented: the parameter where the gold tag is O and the predicted one is not; `p` if None.
    Raises ValueError for a parameter that is not between 0 and 1.
    """
    costs = torch.empty((len(tag_set), len(tag_set)), dtype=torch.float64)
    chosen = {
        "P": p,
        "P_missed": p if p_missed is None else p_missed,
        "P_invented": p if p_invented is None else p_invented,
    }
    for name, value in chosen.items():
        if not 0.0 < value < 1.0:
            raise ValueError(
                f"The Bernoulli parameter {name} must lie between 0 and 1 (0.5 is the plain CRF), not {value}."
            )
    odds = {name: torch.tensor((1.0 - value) / value, dtype=torch.float64).log() for name, value in chosen.items()}
    costs[:] = odds["P"]
    costs[1:, 0] = odds["P_missed"]
    costs[0, 1:] = odds["P_invented"]
    return costs.fill_diagonal_(0.0)


def bernoulli(potentials: Potentials, gold: Tensor, costs: Tensor) -> LossGradient:
    """-log( q(gold) p(gold) / sum_y q(y) p(y) ), where q gives every word of a tag sequence Bernoulli mass P
    for agreeing with the gold tag and 1 - P for contradicting it: the softmax-margin CRF of Gimpel & Smith
    (2010) with cost log((1 - P) / P) a wrong word.

    costs: (K gold, K predicted), zero on the diagonal; see `bernoulli_costs`. All zero gives the NLL. The loss
    is at least the NLL where costs are positive, and at least the cost of the Viterbi path. A missing tag
    contradicts nothing and costs nothing.
    """
    known = gold != MISSING
    cost = costs.to(potentials.emissions)[gold.clamp(min=0)].masked_fill(~known[:, None], 0.0)
    return nll(replace(potentials, emissions=potentials.emissions + cost), gold)


def focal(potentials: Potentials, gold: Tensor, gamma: float) -> LossGradient:
    """(1 - p)^gamma NLL with p = exp(-NLL) of the sentence: easy sentences count less. gamma = 0 is the NLL.

    Raises ValueError for a negative gamma.
    """
    if gamma < 0:
        raise ValueError(f"The focal loss needs a gamma of 0 or more (0 is the plain CRF), not {gamma}.")

    def weight(value: Tensor) -> Tuple[Tensor, Tensor]:
        p = torch.exp(-value)
        # 1 - p loses all its digits where p is near 1.
        q = -torch.expm1(-value)
        focus = q**gamma
        slope = focus + gamma * p * value * q.clamp(min=torch.finfo(q.dtype).tiny) ** (gamma - 1) if gamma else focus
        return focus * value, slope

    return _weighted_nll(potentials, gold, weight)


def viterbi_gated(potentials: Potentials, gold: Tensor) -> LossGradient:
    """The NLL, plus -log p(gold tag) at each row that the current Viterbi path gets wrong.

    Equals the NLL where the Viterbi path is right. Piecewise smooth: the gate itself has no gradient. Each such row
    costs sweeps over its sentence, so that the time grows with the square of the length: not for whole long texts.
    """
    total = nll(potentials, gold)
    best, _ = viterbi(potentials)
    packing = potentials.packing
    wrong = (gold != MISSING) & (best != gold) & total.possible[packing.sequences]
    rows = torch.nonzero(wrong)[:, 0]

    def clamp_one(copies: Potentials, chosen: Tensor, steps: Tensor) -> Potentials:
        mask = torch.ones((len(copies.packing), potentials.n_tags), dtype=torch.bool, device=packing.device)
        target = copies.packing.row(torch.arange(len(chosen), device=packing.device), steps)
        mask[target] = torch.nn.functional.one_hot(gold[chosen], potentials.n_tags).bool()
        return copies.restrict(mask)

    return total + _conditioned(potentials, rows, clamp_one)


def softmax(potentials: Potentials, gold: Tensor) -> LossGradient:
    """-sum log softmax(emissions)[gold tag] over the rows whose tag is known: token classification, no CRF."""
    emissions = potentials.masked_emissions
    known = gold != MISSING
    target = gold.clamp(min=0)
    log_p = emissions.log_softmax(1)
    row_loss = -log_p.gather(1, target[:, None])[:, 0]
    valid = known & torch.isfinite(row_loss)
    sequences = potentials.packing.sequences
    loss = emissions.new_zeros(potentials.packing.n_sequences)
    loss.index_add_(0, sequences, row_loss.masked_fill(~valid, 0.0))
    gradient = log_p.exp()
    gradient.scatter_add_(1, target[:, None], torch.full_like(row_loss, -1.0)[:, None])
    impossible = torch.zeros_like(loss, dtype=torch.bool)
    impossible[sequences[known & ~valid]] = True
    return LossGradient(
        loss=loss,
        emissions=gradient.masked_fill(~valid[:, None], 0.0),
        start=torch.zeros_like(potentials.start),
        transitions=torch.zeros_like(potentials.transitions),
        end=torch.zeros_like(potentials.end),
        possible=~impossible,
    )


def distillation(student: Potentials, teacher: Potentials) -> LossGradient:
    """The Kullback-Leibler divergence of the student's distribution over tag sequences from the teacher's, which
    has the same rows. Its gradient is the student's expected counts minus the teacher's."""
    goal, guess = forward_backward(teacher), forward_backward(student)
    possible = goal.possible & guess.possible
    weights = possible.to(guess.log_partition.dtype)

    def finite(values: Tensor) -> Tensor:
        return values.masked_fill(~torch.isfinite(values), 0.0)

    packing = student.packing
    gap = finite(teacher.emissions - student.emissions) * goal.marginals
    expected = torch.zeros_like(guess.log_partition).index_add_(0, packing.sequences, gap.sum(1))
    expected += goal.marginals[: packing.n_sequences] @ finite(teacher.start - student.start)
    expected += goal.marginals[packing.last] @ finite(teacher.end - student.end)
    # Only the total of the transitions is known in closed form: it is shared out evenly.
    moves = (goal.expected_transitions(weights) * finite(teacher.transitions - student.transitions)).sum()
    expected += moves / packing.n_sequences
    loss = (guess.log_partition - goal.log_partition + expected) * weights
    gradient = _expectations(guess, weights) - _expectations(goal, weights)
    return gradient.as_loss(loss, possible, student.emissions.dtype)


def absent_spans(
    potentials: Potentials,
    gold: Tensor,
    tag_set: TagSet,
    sequences: Tensor,
    starts: Tensor,
    ends: Tensor,
    labels: Tensor,
) -> LossGradient:
    """-sum log(1 - p(span | gold)): what it costs that spans known to be no entities are probable.

    For one span a sentence, NLL plus this is exactly -log p(gold tags and not this span). Spans are given as
    in `span_log_posteriors`; one that the gold tags contain or rule out contributes nothing.
    """
    clamped = potentials.restrict(_agreeing(potentials, gold)).to(torch.float64)
    base = forward_backward(clamped)
    order = torch.argsort(sequences, stable=True)
    order = order[base.possible[sequences[order]]]
    total = _zero(potentials)
    for chunk in _chunks(order, potentials.packing.lengths[sequences[order]]):
        owner = sequences[chunk]
        copies, rows = clamped.repeat(owner)
        mask = torch.ones_like(copies.emissions, dtype=torch.bool)
        for k, span in enumerate(chunk.tolist()):
            _clamp_span(mask, copies, tag_set, k, int(starts[span]), int(ends[span]), int(labels[span]))
        given = forward_backward(copies.restrict(mask))
        log_p = given.log_partition - base.log_partition[owner]
        # A span that the gold tags contain has probability one, but for rounding.
        usable = given.possible & (log_p < -CERTAIN)
        log_p = log_p.masked_fill(~usable, -1.0)
        weight = torch.exp(log_p) / -torch.expm1(log_p)
        weight = weight.masked_fill(~usable, 0.0)
        loss = -torch.log(-torch.expm1(log_p)).masked_fill(~usable, 0.0)
        # d -log(1 - p) = p / (1 - p) d log p, and d log p = (expected given the span) - (expected).
        spread = torch.zeros_like(base.log_partition).index_add_(0, owner, weight)
        piece = _expectations(given, weight, rows, len(potentials.packing)) - _expectations(base, spread)
        total = total + piece.as_loss(
            torch.zeros_like(base.log_partition).index_add_(0, owner, loss), total.possible, potentials.emissions.dtype
        )
    return total


@dataclass(frozen=True, eq=False)
class _Expectations:
    """Weighted expected counts of a batch: the gradient of a weighted sum of log-partitions."""

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor

    def __sub__(self, other: "_Expectations") -> "_Expectations":
        return _Expectations(
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


def _expectations(posteriors, weights: Tensor, rows: Optional[Tensor] = None, n_rows: int = 0) -> _Expectations:
    """The gradient of sum(weights * log_partition); `rows` folds copied rows onto the rows that they copy."""
    packing = posteriors.potentials.packing
    emissions = posteriors.marginals * weights[packing.sequences, None]
    start, end = emissions[: packing.n_sequences].sum(0), emissions[packing.last].sum(0)
    if rows is not None:
        emissions = emissions.new_zeros((n_rows, emissions.shape[1])).index_add_(0, rows, emissions)
    return _Expectations(emissions, start, posteriors.expected_transitions(weights), end)


def _gold_expectations(potentials: Potentials, gold: Tensor) -> Tuple[Tensor, Callable[[Tensor], _Expectations]]:
    """log Z(gold) (B,) in double precision, and weights (B,) -> its weighted gradient."""
    if bool((gold == MISSING).any()):
        clamped = forward_backward(potentials.restrict(_agreeing(potentials, gold)))
        return clamped.exact_log_partition, lambda weights: _expectations(clamped, weights)
    packing = potentials.packing
    first, last, later = slice(0, packing.n_sequences), packing.last, packing.following_rows
    step = gold[packing.previous] * potentials.n_tags + gold[later]
    score = potentials.start[gold[first]].double() + potentials.end[gold[last]].double()
    score.index_add_(0, packing.sequences, potentials.masked_emissions.gather(1, gold[:, None])[:, 0].double())
    score.index_add_(0, packing.sequences[later], potentials.transitions.flatten()[step].double())

    def gradient(weights: Tensor) -> _Expectations:
        zeros = torch.zeros_like(potentials.start)
        row_weights = weights[packing.sequences]
        counts = torch.zeros_like(potentials.transitions).flatten().index_add_(0, step, row_weights[later])
        return _Expectations(
            torch.zeros_like(potentials.emissions).scatter_(1, gold[:, None], row_weights[:, None]),
            zeros.index_add(0, gold[first], row_weights[first]),
            counts.view_as(potentials.transitions),
            zeros.index_add(0, gold[last], row_weights[last]),
        )

    return score, gradient


def _weighted_nll(potentials: Potentials, gold: Tensor, weight: SentenceWeight) -> LossGradient:
    free = forward_backward(potentials)
    gold_score, gold_gradient = _gold_expectations(potentials, gold)
    possible = torch.isfinite(gold_score) & free.possible
    # Two large numbers that nearly cancel: in single precision, the loss of a long text would be noise.
    value = (free.exact_log_partition - gold_score).masked_fill(~possible, 0.0).clamp(min=0.0)
    loss, slope = weight(value)
    loss, slope = (part.masked_fill(~possible, 0.0) for part in (loss, slope))
    slope = slope.to(potentials.emissions.dtype)
    gradient = _expectations(free, slope) - gold_gradient(slope)
    return gradient.as_loss(loss, possible, potentials.emissions.dtype)


def _conditioned(
    potentials: Potentials, rows: Tensor, clamp: Callable[[Potentials, Tensor, Tensor], Potentials]
) -> LossGradient:
    """sum over rows of log Z - log Z(row clamped), and its gradient."""
    packing = potentials.packing
    total = _zero(potentials)
    if not len(rows):
        return total
    base = forward_backward(potentials)
    rows = rows[torch.argsort(packing.sequences[rows], stable=True)]
    for chunk in _chunks(rows, packing.lengths[packing.sequences[rows]]):
        owner = packing.sequences[chunk]
        steps = torch.searchsorted(packing.offset_tensor, chunk, right=True) - 1
        copies, source = potentials.repeat(owner)
        given = forward_backward(clamp(copies, chunk, steps))
        usable = given.possible
        weight = usable.to(base.log_partition.dtype)
        gain = (base.log_partition[owner] - given.log_partition).masked_fill(~usable, 0.0)
        spread = torch.zeros_like(base.log_partition).index_add_(0, owner, weight)
        gradient = _expectations(base, spread) - _expectations(given, weight, source, len(packing))
        loss = torch.zeros_like(base.log_partition).index_add_(0, owner, gain)
        total = total + gradient.as_loss(loss, total.possible, potentials.emissions.dtype)
    return total


def _agreeing(potentials: Potentials, gold: Tensor) -> Tensor:
    """(N, K) the tags that do not contradict the gold tags."""
    agreeing = torch.nn.functional.one_hot(gold.clamp(min=0), potentials.n_tags).bool()
    return agreeing | (gold == MISSING)[:, None]


def _clamp_span(
    mask: Tensor, copies: Potentials, tag_set: TagSet, sequence: int, start: int, end: int, label: int
) -> None:
    """Leave only the tag sequences in which steps start to end are one entity."""
    tags = tag_set.span_tags(end - start, tag_set.labels[label])
    for step, tag in zip(range(start, end), tags, strict=True):
        row = copies.packing.offsets[step] + sequence
        mask[row] = False
        mask[row, tag] = True
    if tag_set.scheme == "BIO" and end < int(copies.packing.lengths[sequence]):
        mask[copies.packing.offsets[end] + sequence, int(tag_set.role("I")[label])] = False


def _chunks(items: Tensor, lengths: Tensor) -> List[Tensor]:
    """Consecutive pieces of `items` whose lengths sum to about COPY_ROWS."""
    if not len(items):
        return []
    group = torch.cumsum(lengths, 0) // COPY_ROWS
    return list(torch.split(items, torch.unique_consecutive(group, return_counts=True)[1].tolist()))


def _zero(potentials: Potentials) -> LossGradient:
    n_sequences = potentials.packing.n_sequences
    return LossGradient(
        potentials.emissions.new_zeros(n_sequences),
        torch.zeros_like(potentials.emissions),
        torch.zeros_like(potentials.start),
        torch.zeros_like(potentials.transitions),
        torch.zeros_like(potentials.end),
        torch.ones(n_sequences, dtype=torch.bool, device=potentials.packing.device),
    )
