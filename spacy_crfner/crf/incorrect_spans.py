"""Learning from incorrect spans: those that are known to be no entities."""

from typing import List, Optional, Tuple

import torch
from torch import Tensor

from ..packing import Packing
from ..tags import TagSet
from .forward_backward import forward_backward
from .gradients import LossGradient, agreeing, chunks, expectations, weigh, zero_gradient
from .potentials import Potentials

RowTag = Tuple[int, int]
"""A step of a sequence, and a tag."""


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
    """Sum -log(1 - p(span | gold)): what it costs that incorrect spans are probable.

    For one span a sentence, NLL plus this is exactly -log p(gold tags and not this span). Spans are given as
    in `span_log_posteriors`; one that the gold tags contain or rule out contributes nothing.
    weights: (B,) of the packed sequences; None for 1 each.

    The tag sequences without a span are those that agree with its first n tags and not with the next, for some n: each
    of these sums is computed by itself, so that nothing cancels where the span is nearly certain.
    """
    clamped = potentials.restrict(agreeing(potentials, gold)).to(torch.float64)
    base = forward_backward(clamped)
    lengths = potentials.packing.lengths[sequences]
    columns = zip(starts.tolist(), ends.tolist(), labels.tolist(), lengths.tolist(), strict=True)
    parts = [_forming_tags(tag_set, *span) for span in columns]
    n_deviations = torch.tensor([len(part) for part in parts], dtype=torch.int64, device=sequences.device)
    order = torch.argsort(sequences, stable=True)
    order = order[base.possible[sequences[order]]]
    total = zero_gradient(potentials)
    for chunk in chunks(order, lengths[order] * n_deviations[order]):
        # A copy of the sentence for each way to deviate from a span.
        span = torch.arange(len(chunk), device=chunk.device).repeat_interleave(n_deviations[chunk])
        copies, rows = clamped.repeat(sequences[chunk][span])
        mask = _deviating([parts[number] for number in chunk.tolist()], copies)
        without = forward_backward(copies.restrict(mask))
        log_without = _segment_logsumexp(without.log_partition, span, len(chunk))
        usable = torch.isfinite(log_without)
        owner = sequences[chunk]
        weight = weigh(usable.double(), None if weights is None else weights[owner])
        loss = (base.log_partition[owner] - log_without).masked_fill(~usable, 0.0).clamp(min=0.0) * weight
        shares = (without.log_partition - log_without[span]).exp().masked_fill(~without.possible, 0.0) * weight[span]
        spread = torch.zeros_like(base.log_partition).index_add_(0, owner, weight)
        gradient = expectations(base, spread) - expectations(without, shares, rows, len(potentials.packing))
        by_sequence = torch.zeros_like(base.log_partition).index_add_(0, owner, loss)
        total = total + gradient.as_loss(by_sequence, total.possible, potentials.emissions.dtype)
    return total


def _forming_tags(tag_set: TagSet, start: int, end: int, label: int, length: int) -> List[Tuple[RowTag, bool]]:
    """List what makes steps start to end an entity: a tag at a step, and whether it must stand there, or must not."""
    tags = tag_set.span_tags(end - start, tag_set.labels[label])
    forming = [((step, tag), True) for step, tag in zip(range(start, end), tags, strict=True)]
    if tag_set.scheme == "BIO" and end < length:
        forming.append(((end, int(tag_set.role("I")[label])), False))
    return forming


def _deviating(parts: List[List[Tuple[RowTag, bool]]], copies: Potentials) -> Tensor:
    """Mark the tags (N, K) of copies which agree with the first parts of a span and not with the next.

    parts: of each span, which has as many copies as parts, in order.
    """
    mask = torch.ones_like(copies.emissions, dtype=torch.bool)
    sequence = 0
    for forming in parts:
        for deviation in range(len(forming)):
            for number in range(deviation + 1):
                (step, tag), stands = forming[number]
                row = _row(copies.packing, step, sequence)
                if stands == (number < deviation):
                    mask[row] = False
                    mask[row, tag] = True
                else:
                    mask[row, tag] = False
            sequence += 1
    return mask


def _row(packing: Packing, step: int, sequence: int) -> int:
    return packing.offsets[step] + sequence


def _segment_logsumexp(values: Tensor, segments: Tensor, n_segments: int) -> Tensor:
    """Compute (segments,) the log-sum of the exponentials of the values (M,) of each segment."""
    nothing = values.new_full((n_segments,), -torch.inf)
    highest = nothing.scatter_reduce(0, segments, values, "amax")
    shift = highest.masked_fill(~torch.isfinite(highest), 0.0)
    sums = torch.zeros_like(shift).index_add_(0, segments, (values - shift[segments]).exp())
    return torch.where(sums > 0, sums.log() + shift, nothing)
