"""Learning from spans that are known to be no entities."""

import torch
from torch import Tensor

from ..tags import TagSet
from .forward_backward import forward_backward
from .gradients import LossGradient, agreeing, chunks, expectations, zero_gradient
from .potentials import Potentials

# Log-probabilities closer to zero than this are those of events that are certain.
CERTAIN = 1e-9


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
    clamped = potentials.restrict(agreeing(potentials, gold)).to(torch.float64)
    base = forward_backward(clamped)
    order = torch.argsort(sequences, stable=True)
    order = order[base.possible[sequences[order]]]
    total = zero_gradient(potentials)
    for chunk in chunks(order, potentials.packing.lengths[sequences[order]]):
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
        piece = expectations(given, weight, rows, len(potentials.packing)) - expectations(base, spread)
        total = total + piece.as_loss(
            torch.zeros_like(base.log_partition).index_add_(0, owner, loss), total.possible, potentials.emissions.dtype
        )
    return total


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
