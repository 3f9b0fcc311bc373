"""Learning from incorrect spans: those that are known to be no entities."""

import math
from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from ..packing import Packing
from ..tags import TagSet
from .forward_backward import Posteriors, forward_backward
from .gradients import ExpectedCounts, LossGradient, agreeing, chunks, expectations, zero_gradient
from .potentials import Potentials

NEARLY_CERTAIN = math.log1p(-1e-3)
"""A log-probability above which 1 - p loses digits."""

Condition = Tuple[int, int, bool]
"""A step of a sequence, a tag, and whether it must stand there, or must not."""


def incorrect_spans(
    potentials: Potentials,
    gold: Tensor,
    tag_set: TagSet,
    sequences: Tensor,
    starts: Tensor,
    ends: Tensor,
    labels: Tensor,
    weights: Optional[Tensor] = None,
) -> LossGradient:
    """Charge -log(1 - p(span | gold)) for each span: what it costs that incorrect spans are probable.

    For one span a sentence, NLL plus this is exactly -log p(gold tags and not this span). Spans are given as
    in `span_log_posteriors`; one that the gold tags contain or rule out contributes nothing.
    weights: (B,) of the packed sequences; None for 1 each.

    Where a span is nearly certain, 1 - p would have no digits left: the tag sequences without the span are then summed
    by themselves, as those that meet its first n conditions and not the next, for each n.
    """
    clamped = potentials.restrict(agreeing(potentials, gold)).to(torch.float64)
    base = forward_backward(clamped)
    lengths = potentials.packing.lengths[sequences]
    columns = zip(starts.tolist(), ends.tolist(), labels.tolist(), lengths.tolist(), strict=True)
    conditions = [_conditions(tag_set, *span) for span in columns]
    counts = torch.tensor([len(own) for own in conditions], dtype=torch.int64, device=sequences.device)
    of_sequence = torch.ones_like(base.exact_log_partition) if weights is None else weights.double()
    order = torch.argsort(sequences, stable=True)
    order = order[base.possible[sequences[order]]]

    def take(chunk: Tensor) -> _Spans:
        owners = sequences[chunk]
        return _Spans([conditions[number] for number in chunk.tolist()], owners, of_sequence[owners])

    total, certain = zero_gradient(potentials.to(torch.float64)), [order[:0]]
    for chunk in chunks(order, lengths[order] * len(tag_set)):
        loss, nearly_certain = _charge(clamped, base, take(chunk))
        total = total + loss
        certain.append(chunk[nearly_certain])
    rest = torch.cat(certain)
    for chunk in chunks(rest, lengths[rest] * counts[rest] * len(tag_set)):
        total = total + _charge_certain(clamped, base, take(chunk))
    return total.as_loss(total.loss, total.possible, potentials.emissions.dtype)


@dataclass(frozen=True, eq=False)
class _Spans:
    """Some of the spans: the conditions that form each, (M,) its packed sequence, (M,) its weight."""

    conditions: List[List[Condition]]
    owners: Tensor
    weights: Tensor


def _charge(clamped: Potentials, base: Posteriors, spans: _Spans) -> Tuple[LossGradient, Tensor]:
    """Charge -log(1 - p), from p; returns also (M,) which spans are nearly certain, and charged nothing."""
    copies, rows = clamped.repeat(spans.owners)
    mask = torch.ones_like(copies.emissions, dtype=torch.bool)
    for sequence, conditions in enumerate(spans.conditions):
        for step, tag, stands in conditions:
            _mark(mask, copies.packing, sequence, step, tag, stands)
    given = forward_backward(copies.restrict(mask))
    log_p = (given.exact_log_partition - base.exact_log_partition[spans.owners]).clamp(max=0.0)
    nearly_certain = given.possible & (log_p > NEARLY_CERTAIN)
    usable = given.possible & ~nearly_certain
    log_p = log_p.masked_fill(~usable, -1.0)
    loss = (-torch.log(-torch.expm1(log_p))).masked_fill(~usable, 0.0) * spans.weights
    # d -log(1 - p) = p / (1 - p) d log p, and d log p = (expected given the span) - (expected).
    weight = (torch.exp(log_p) / -torch.expm1(log_p)).masked_fill(~usable, 0.0) * spans.weights
    spread = torch.zeros_like(base.exact_log_partition).index_add_(0, spans.owners, weight)
    gradient = expectations(given, weight, rows, len(clamped.packing)) - expectations(base, spread)
    return _by_sequence(gradient, loss, base, spans), nearly_certain


def _charge_certain(clamped: Potentials, base: Posteriors, spans: _Spans) -> LossGradient:
    """Charge log Z - log Z(without the span), the latter as a sum over the ways to deviate from it."""
    counts = torch.tensor([len(own) for own in spans.conditions], device=spans.owners.device)
    span = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    copies, rows = clamped.repeat(spans.owners[span])
    without = forward_backward(copies.restrict(_deviating(spans.conditions, copies)))
    log_without = _segment_logsumexp(without.exact_log_partition, span, len(counts))
    # Not where the gold tags contain the span.
    weight = torch.isfinite(log_without).double() * spans.weights
    loss = (base.exact_log_partition[spans.owners] - log_without).masked_fill(weight == 0, 0.0).clamp(min=0.0) * weight
    shares = (without.exact_log_partition - log_without[span]).exp().masked_fill(~without.possible, 0.0) * weight[span]
    spread = torch.zeros_like(base.exact_log_partition).index_add_(0, spans.owners, weight)
    gradient = expectations(base, spread) - expectations(without, shares, rows, len(clamped.packing))
    return _by_sequence(gradient, loss, base, spans)


def _by_sequence(gradient: ExpectedCounts, loss: Tensor, base: Posteriors, spans: _Spans) -> LossGradient:
    """Sum the losses (M,) of the spans of each sequence."""
    sums = torch.zeros_like(base.exact_log_partition).index_add_(0, spans.owners, loss)
    return gradient.as_loss(sums, torch.ones_like(sums, dtype=torch.bool), loss.dtype)


def _conditions(tag_set: TagSet, start: int, end: int, label: int, length: int) -> List[Condition]:
    """List what makes steps start to end an entity."""
    tags = tag_set.span_tags(end - start, tag_set.labels[label])
    conditions = [(step, tag, True) for step, tag in zip(range(start, end), tags, strict=True)]
    if tag_set.scheme == "BIO" and end < length:
        conditions.append((end, int(tag_set.role("I")[label]), False))
    return conditions


def _deviating(conditions: List[List[Condition]], copies: Potentials) -> Tensor:
    """Mark the tags (N, K) of copies that meet the first conditions of a span and not the next.

    conditions: of each span, which has as many copies as conditions, in order.
    """
    mask = torch.ones_like(copies.emissions, dtype=torch.bool)
    sequence = 0
    for of_span in conditions:
        for deviation in range(len(of_span)):
            for number, (step, tag, stands) in enumerate(of_span[: deviation + 1]):
                _mark(mask, copies.packing, sequence, step, tag, stands == (number < deviation))
            sequence += 1
    return mask


def _mark(mask: Tensor, packing: Packing, sequence: int, step: int, tag: int, stands: bool) -> None:
    """Leave only this tag at a step of a sequence, or only the others."""
    row = packing.offsets[step] + sequence
    if stands:
        mask[row] = False
        mask[row, tag] = True
    else:
        mask[row, tag] = False


def _segment_logsumexp(values: Tensor, segments: Tensor, n_segments: int) -> Tensor:
    """Compute (segments,) the log-sum of the exponentials of the values (M,) of each segment."""
    nothing = values.new_full((n_segments,), -torch.inf)
    highest = nothing.scatter_reduce(0, segments, values, "amax")
    shift = highest.masked_fill(~torch.isfinite(highest), 0.0)
    sums = torch.zeros_like(shift).index_add_(0, segments, (values - shift[segments]).exp())
    return torch.where(sums > 0, sums.log() + shift, nothing)
