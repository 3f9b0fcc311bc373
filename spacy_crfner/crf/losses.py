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

from dataclasses import replace
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor

from ..tags import TagSet
from .forward_backward import forward_backward
from .gradients import MISSING, Expectations, LossGradient, agreeing, chunks, expectations, zero_gradient
from .potentials import NEVER, Potentials
from .viterbi import viterbi

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
    gradient = expectations(guess, weights) - expectations(goal, weights)
    return gradient.as_loss(loss, possible, student.emissions.dtype)


SubtractGold = Callable[[Expectations, Tensor], Expectations]
"""(expected counts, weights (B,)) -> the counts less the weighted counts of the gold tags; the counts given are
used up."""


def _gold(potentials: Potentials, gold: Tensor) -> Tuple[Tensor, SubtractGold]:
    """log Z(gold) (B,) in double precision, and how its weighted gradient is subtracted."""
    if bool((gold == MISSING).any()):
        clamped = forward_backward(potentials.restrict(agreeing(potentials, gold)))
        return clamped.exact_log_partition, lambda counts, weights: counts - expectations(clamped, weights)
    packing = potentials.packing
    first, last, later = slice(0, packing.n_sequences), packing.last, slice(packing.n_sequences, len(packing))
    step = gold[packing.previous] * potentials.n_tags + gold[later]
    emission = potentials.emissions.gather(1, gold[:, None])[:, 0].double()
    if potentials.allowed is not None:
        emission.masked_fill_(~potentials.allowed.gather(1, gold[:, None])[:, 0], NEVER)
    emission[later] += potentials.transitions.flatten()[step]
    score = packing.sums(emission) + potentials.start[gold[first]].double() + potentials.end[gold[last]].double()

    def subtract(counts: Expectations, weights: Tensor) -> Expectations:
        less = -weights
        row_less = less[packing.sequences]
        counts.emissions.scatter_add_(1, gold[:, None], row_less[:, None])
        counts.start.index_add_(0, gold[first], less)
        pairs = row_less.new_zeros(counts.transitions.numel()).index_add_(0, step, row_less[later])
        counts.transitions.add_(pairs.view_as(counts.transitions))
        counts.end.index_add_(0, gold[last], less)
        return counts

    return score, subtract


def _weighted_nll(potentials: Potentials, gold: Tensor, weight: SentenceWeight) -> LossGradient:
    free = forward_backward(potentials)
    gold_score, subtract_gold = _gold(potentials, gold)
    possible = torch.isfinite(gold_score) & free.possible
    # Two large numbers that nearly cancel: in single precision, the loss of a long text would be noise.
    value = (free.exact_log_partition - gold_score).masked_fill(~possible, 0.0).clamp(min=0.0)
    loss, slope = weight(value)
    loss, slope = (part.masked_fill(~possible, 0.0) for part in (loss, slope))
    slope = slope.to(potentials.emissions.dtype)
    gradient = subtract_gold(expectations(free, slope), slope)
    return gradient.as_loss(loss, possible, potentials.emissions.dtype)


def _conditioned(
    potentials: Potentials, rows: Tensor, clamp: Callable[[Potentials, Tensor, Tensor], Potentials]
) -> LossGradient:
    """sum over rows of log Z - log Z(row clamped), and its gradient."""
    packing = potentials.packing
    total = zero_gradient(potentials)
    if not len(rows):
        return total
    base = forward_backward(potentials)
    rows = rows[torch.argsort(packing.sequences[rows], stable=True)]
    for chunk in chunks(rows, packing.lengths[packing.sequences[rows]]):
        owner = packing.sequences[chunk]
        steps = torch.searchsorted(packing.offset_tensor, chunk, right=True) - 1
        copies, source = potentials.repeat(owner)
        given = forward_backward(clamp(copies, chunk, steps))
        usable = given.possible
        weight = usable.to(base.log_partition.dtype)
        gain = (base.log_partition[owner] - given.log_partition).masked_fill(~usable, 0.0)
        spread = torch.zeros_like(base.log_partition).index_add_(0, owner, weight)
        gradient = expectations(base, spread) - expectations(given, weight, source, len(packing))
        loss = torch.zeros_like(base.log_partition).index_add_(0, owner, gain)
        total = total + gradient.as_loss(loss, total.possible, potentials.emissions.dtype)
    return total
