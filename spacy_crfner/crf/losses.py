r"""Sentence losses of a linear-chain CRF and their gradients, in closed form.

Every loss is a function of the potentials, of the gold tags of the rows (-1 where a tag is missing), and of the weights
of the sentences. With Z the partition function and Z(gold) the same sum over the tag sequences that agree with every
gold tag that is not missing, so that missing tags are summed over:

* ``nll``            log Z - log Z(gold)
* ``bernoulli``      the NLL of potentials to which a cost is added at every tag that contradicts the gold tag
* ``viterbi_gated``  the NLL - sum log p(gold tag) over the rows that the Viterbi path gets wrong
* ``focal``          (1 - p)^gamma NLL with p = Z(gold) / Z
* ``softmax``        -sum log softmax(emissions)[gold tag], no CRF

The gradient of a log-partition is its marginals and expected transitions, so no autograd graph is kept.
A sentence whose gold tags no legal tag sequence can have contributes nothing and is reported as impossible.

The `make_` functions are what a config names: `[components.bcrf_ner.loss] @misc = "spacy_crfner.nll.v1"`.
"""

from dataclasses import replace
from functools import partial
from typing import Callable, Optional, Protocol, Tuple, runtime_checkable

import torch
from torch import Tensor

from .forward_backward import forward_backward
from .gradients import MISSING, ExpectedCounts, LossGradient, agreeing, chunks, expectations, weigh, zero_gradient
from .potentials import NEVER, Potentials
from .viterbi import viterbi


@runtime_checkable
class CRFLoss(Protocol):
    """A loss of sentences.

    potentials: the CRF of B sequences with N rows.
    gold: (N,) gold tags in packed order, -1 where one is missing.
    weights: (B,) of the packed sequences, 0 or more: a sentence of weight 2 counts as if it stood there twice, one of
        weight 0 as if it were not there; None for 1 each.
    """

    def __call__(self, potentials: Potentials, gold: Tensor, weights: Optional[Tensor] = None) -> LossGradient:
        """Compute the loss of each sentence, and the gradient of their sum."""


def make_nll_v1() -> CRFLoss:
    """Charge log Z - log Z(gold): the plain CRF."""
    return nll


def make_bernoulli_v1(P: float = 0.2, P_missed: Optional[float] = None, P_invented: Optional[float] = None) -> CRFLoss:
    """Charge the NLL with log((1 - P) / P) added at every tag that contradicts the gold one; P = 0.5 is the NLL.

    The CRF of BiLSTM-BCRF (Zhong & Wu 2022), read as a softmax-margin CRF (Gimpel & Smith 2010).

    P: Bernoulli parameter of a wrong word, between 0 and 1. 0.5 is the plain CRF; the smaller, the dearer.
    P_missed: the parameter for words of entities that are tagged O; None takes P. Smaller values raise recall.
    P_invented: the parameter for O words that are tagged as entities; None takes P. Smaller values raise precision.
    Raises ValueError for a parameter that is not between 0 and 1.
    """
    bernoulli_costs(1, p=P, p_missed=P_missed, p_invented=P_invented)
    return partial(bernoulli, p=P, p_missed=P_missed, p_invented=P_invented)


def make_viterbi_gated_v1() -> CRFLoss:
    """Charge the NLL - sum of log p(gold tag) where the best path is wrong; equals the NLL where it is right."""
    return viterbi_gated


def make_focal_v1(gamma: float = 1.0) -> CRFLoss:
    """Charge (1 - p)^gamma NLL with p = exp(-NLL) of the sentence; gamma = 0 is the NLL.

    gamma: 0 or more; the larger, the less easy sentences count.
    Raises ValueError for a negative gamma.
    """
    _check_gamma(gamma)
    return partial(focal, gamma=gamma)


def make_softmax_v1() -> CRFLoss:
    """Charge -log softmax(emissions) at the gold tags: no CRF; goes with `spacy_crfner.softmax_decoder.v1`."""
    return softmax


def nll(potentials: Potentials, gold: Tensor, weights: Optional[Tensor] = None) -> LossGradient:
    """Compute -log p(gold tags), with missing tags summed over."""
    return _transformed_nll(potentials, gold, weights, lambda value: (value, torch.ones_like(value)))


def bernoulli_costs(
    n_tags: int, *, p: float, p_missed: Optional[float] = None, p_invented: Optional[float] = None
) -> Tensor:
    """Make the costs log((1 - P) / P), (K gold, K predicted), of each wrong tag; tag 0 is O.

    p: the Bernoulli parameter, between 0 and 1, of a word whose gold and predicted tags differ. Values below
    0.5 punish wrong words, 0.5 gives no cost, values above 0.5 forgive.
    p_missed: the parameter where the gold tag is part of an entity and the predicted one is O; `p` if None.
    p_invented: the parameter where the gold tag is O and the predicted one is not; `p` if None.
    Raises ValueError for a parameter that is not between 0 and 1.
    """
    costs = torch.empty((n_tags, n_tags), dtype=torch.float64)
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


def bernoulli(
    potentials: Potentials,
    gold: Tensor,
    weights: Optional[Tensor] = None,
    *,
    p: float,
    p_missed: Optional[float] = None,
    p_invented: Optional[float] = None,
) -> LossGradient:
    """Compute -log( q(gold) p(gold) / sum_y q(y) p(y) ), where q is a Bernoulli mass of every word.

    q gives every word of a tag sequence P for agreeing with the gold tag and 1 - P for contradicting it: this is the
    softmax-margin CRF of Gimpel & Smith (2010) with cost log((1 - P) / P) a wrong word.

    p, p_missed, p_invented: see `bernoulli_costs`; 0.5 gives the NLL. The loss is at least the NLL where costs are
    positive, and at least the cost of the Viterbi path. A missing tag contradicts nothing and costs nothing.
    """
    costs = bernoulli_costs(potentials.n_tags, p=p, p_missed=p_missed, p_invented=p_invented)
    known = gold != MISSING
    cost = costs.to(potentials.emissions)[gold.clamp(min=0)].masked_fill(~known[:, None], 0.0)
    return nll(replace(potentials, emissions=potentials.emissions + cost), gold, weights)


def focal(potentials: Potentials, gold: Tensor, weights: Optional[Tensor] = None, *, gamma: float) -> LossGradient:
    """Compute (1 - p)^gamma NLL with p = exp(-NLL) of the sentence: easy sentences count less. gamma = 0 is the NLL.

    Raises ValueError for a negative gamma.
    """
    _check_gamma(gamma)

    def transform(value: Tensor) -> Tuple[Tensor, Tensor]:
        p = torch.exp(-value)
        # 1 - p loses all its digits where p is near 1.
        q = -torch.expm1(-value)
        focus = q**gamma
        slope = focus + gamma * p * value * q.clamp(min=torch.finfo(q.dtype).tiny) ** (gamma - 1) if gamma else focus
        return focus * value, slope

    return _transformed_nll(potentials, gold, weights, transform)


def _check_gamma(gamma: float) -> None:
    if gamma < 0:
        raise ValueError(f"The focal loss needs a gamma of 0 or more (0 is the plain CRF), not {gamma}.")


def viterbi_gated(potentials: Potentials, gold: Tensor, weights: Optional[Tensor] = None) -> LossGradient:
    """Add -log p(gold tag) to the NLL at each row that the current Viterbi path gets wrong.

    Equals the NLL where the Viterbi path is right. Piecewise smooth: the gate itself has no gradient. Each such row
    costs sweeps over its sentence, so that the time grows with the square of the length: not for whole long texts.
    """
    total = nll(potentials, gold, weights)
    best, _ = viterbi(potentials)
    packing = potentials.packing
    wrong = (gold != MISSING) & (best != gold) & total.possible[packing.sequences]
    rows = torch.nonzero(wrong)[:, 0]

    def clamp_row(copies: Potentials, chosen: Tensor, steps: Tensor) -> Potentials:
        mask = torch.ones((len(copies.packing), potentials.n_tags), dtype=torch.bool, device=packing.device)
        target = copies.packing.row(torch.arange(len(chosen), device=packing.device), steps)
        mask[target] = torch.nn.functional.one_hot(gold[chosen], potentials.n_tags).bool()
        return copies.restrict(mask)

    return total + _conditioned(potentials, rows, weights, clamp_row)


def softmax(potentials: Potentials, gold: Tensor, weights: Optional[Tensor] = None) -> LossGradient:
    """Sum -log p(gold tag) over the rows whose tag is known: token classification, no CRF.

    p is the softmax of the emissions.
    """
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
    gradient.masked_fill_(~valid[:, None], 0.0)
    if weights is not None:
        gradient *= weights.to(gradient.dtype)[sequences, None]
    impossible = torch.zeros_like(loss, dtype=torch.bool)
    impossible[sequences[known & ~valid]] = True
    return LossGradient(
        emissions=gradient,
        start=torch.zeros_like(potentials.start),
        transitions=torch.zeros_like(potentials.transitions),
        end=torch.zeros_like(potentials.end),
        loss=weigh(loss, weights),
        possible=~impossible,
    )


SubtractGold = Callable[[ExpectedCounts, Tensor], ExpectedCounts]
"""(expected counts, weights (B,)) -> the counts less the weighted counts of the gold tags; the counts given are
used up."""


def _gold(potentials: Potentials, gold: Tensor) -> Tuple[Tensor, SubtractGold]:
    """Compute log Z(gold) (B,) in double precision, and say how its weighted gradient is subtracted."""
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

    def subtract(counts: ExpectedCounts, weights: Tensor) -> ExpectedCounts:
        less = -weights
        row_less = less[packing.sequences]
        counts.emissions.scatter_add_(1, gold[:, None], row_less[:, None])
        counts.start.index_add_(0, gold[first], less)
        pairs = row_less.new_zeros(counts.transitions.numel()).index_add_(0, step, row_less[later])
        counts.transitions.add_(pairs.view_as(counts.transitions))
        counts.end.index_add_(0, gold[last], less)
        return counts

    return score, subtract


def _transformed_nll(
    potentials: Potentials,
    gold: Tensor,
    weights: Optional[Tensor],
    transform: Callable[[Tensor], Tuple[Tensor, Tensor]],
) -> LossGradient:
    """Compute a function of the NLL of each sentence.

    transform: NLL (B,) -> loss (B,) and the derivative of the loss by the NLL (B,).
    """
    free = forward_backward(potentials)
    gold_score, subtract_gold = _gold(potentials, gold)
    possible = torch.isfinite(gold_score) & free.possible
    # Two large numbers that nearly cancel: in single precision, the loss of a long text would be noise.
    value = (free.exact_log_partition - gold_score).masked_fill(~possible, 0.0).clamp(min=0.0)
    loss, slope = transform(value)
    loss, slope = (weigh(part.masked_fill(~possible, 0.0), weights) for part in (loss, slope))
    slope = slope.to(potentials.emissions.dtype)
    gradient = subtract_gold(expectations(free, slope), slope)
    return gradient.as_loss(loss, possible, potentials.emissions.dtype)


def _conditioned(
    potentials: Potentials,
    rows: Tensor,
    weights: Optional[Tensor],
    clamp: Callable[[Potentials, Tensor, Tensor], Potentials],
) -> LossGradient:
    """Sum log Z - log Z(row clamped) over rows, times the weights of their sentences."""
    packing = potentials.packing
    total = zero_gradient(potentials)
    if not len(rows):
        return total
    base = forward_backward(potentials)
    rows = rows[torch.argsort(packing.sequences[rows], stable=True)]
    for chunk in chunks(rows, packing.lengths[packing.sequences[rows]] * potentials.n_tags):
        owner = packing.sequences[chunk]
        steps = torch.searchsorted(packing.offset_tensor, chunk, right=True) - 1
        copies, source = potentials.repeat(owner)
        given = forward_backward(clamp(copies, chunk, steps))
        usable = given.possible
        weight = weigh(usable.to(base.log_partition.dtype), None if weights is None else weights[owner])
        gain = (base.log_partition[owner] - given.log_partition).masked_fill(~usable, 0.0) * weight
        spread = torch.zeros_like(base.log_partition).index_add_(0, owner, weight)
        gradient = expectations(base, spread) - expectations(given, weight, source, len(packing))
        loss = torch.zeros_like(base.log_partition).index_add_(0, owner, gain)
        total = total + gradient.as_loss(loss, total.possible, potentials.emissions.dtype)
    return total
