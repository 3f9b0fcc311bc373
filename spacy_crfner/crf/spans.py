"""Exact probabilities of entity spans, and the set of spans with the best expected F score."""

from bisect import bisect_right
from typing import Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from ..tags import TagSet
from .forward_backward import Posteriors
from .potentials import NEVER

# How many candidate spans are looked at together, which bounds the memory of a long batch with many labels.
SPANS_AT_ONCE = 1 << 17
# How many numbers are: the tokens of spans, and in BIO all tags after each span.
NUMBERS_AT_ONCE = 1 << 20


def span_log_posteriors(
    posteriors: Posteriors, tag_set: TagSet, sequences: Tensor, starts: Tensor, ends: Tensor, labels: Tensor
) -> Tensor:
    """Compute the log-probability that each span is an entity, summed over all tags of the other tokens.

    sequences, starts, ends, labels: (M,) packed sequence, first step, step after the last, and index of the
    label in the tag set. Returns (M,) in double precision; -inf where the span or its sequence is impossible.
    """
    if not len(starts):
        return posteriors.exact_log_partition[:0]
    of_span = ends - starts if tag_set.scheme == "BIOES" else (ends - starts).clamp(min=len(tag_set))
    taken = torch.cumsum(of_span, 0)
    if int(taken[-1]) > NUMBERS_AT_ONCE and len(starts) > 1:
        sizes = torch.unique_consecutive((taken - 1) // NUMBERS_AT_ONCE, return_counts=True)[1].tolist()
        columns = zip(*(column.split(sizes) for column in (sequences, starts, ends, labels)), strict=True)
        return torch.cat([_span_log_posteriors(posteriors, tag_set, *piece) for piece in columns])
    return _span_log_posteriors(posteriors, tag_set, sequences, starts, ends, labels)


def _span_log_posteriors(
    posteriors: Posteriors, tag_set: TagSet, sequences: Tensor, starts: Tensor, ends: Tensor, labels: Tensor
) -> Tensor:
    """Compute them for one or more spans, all at once."""
    potentials = posteriors.potentials
    packing = potentials.packing

    def tags(prefix: str) -> Tensor:
        return torch.as_tensor(tag_set.role(prefix), device=packing.device)[labels]

    lengths = ends - starts
    first = torch.where(lengths.eq(1), tags("S"), tags("B"))
    tag = torch.where(lengths.eq(1), first, tags("E"))
    log_p = posteriors.log_alpha(packing.row(sequences, starts), first)
    # Every token of the spans but the first ones, so that the work is that of their tokens and no longer span counts.
    span = torch.repeat_interleave(lengths - 1)
    if len(span):
        ahead = torch.cumsum(lengths - 1, 0) - (lengths - 1)
        step = torch.arange(1, len(span) + 1, device=packing.device) - ahead[span]
        inside = tags("I")[span]
        now = torch.where(step == lengths[span] - 1, tag[span], inside)
        before = torch.where(step == 1, first[span], inside)
        row = packing.row(sequences[span], starts[span] + step)
        gain = potentials.transitions[before, now].double() + potentials.emissions[row, now]
        if potentials.allowed is not None:
            gain.masked_fill_(~potentials.allowed[row, now], NEVER)
        log_p = log_p.index_add(0, span, gain)
    last = packing.row(sequences, ends - 1)
    if tag_set.scheme == "BIOES":
        log_p = log_p + posteriors.log_beta(last, tag)
    else:
        log_p = log_p + _log_closing(posteriors, tag_set, sequences, ends, labels, tag)
    log_p = log_p - posteriors.exact_log_partition[sequences]
    return torch.where(posteriors.possible[sequences], log_p.clamp(max=0.0), torch.full_like(log_p, float("-inf")))


def _log_closing(
    posteriors: Posteriors, tag_set: TagSet, sequences: Tensor, ends: Tensor, labels: Tensor, tag: Tensor
) -> Tensor:
    """Compute (M,) the log-sum of the suffixes after a BIO span in which the entity does not go on."""
    potentials = posteriors.potentials
    packing = potentials.packing
    at_end = ends == packing.lengths[sequences]
    row = packing.row(sequences, torch.where(at_end, ends - 1, ends))
    every_tag = torch.arange(potentials.n_tags, device=packing.device)
    after = posteriors.log_beta(row.repeat_interleave(potentials.n_tags), every_tag.repeat(len(row)))
    emissions = potentials.emissions[row]
    if potentials.allowed is not None:
        emissions.masked_fill_(~potentials.allowed[row], NEVER)
    suffix = potentials.transitions[tag] + emissions + after.view(-1, potentials.n_tags)
    goes_on = torch.as_tensor(tag_set.role("I"), device=packing.device)[labels]
    suffix = suffix.scatter(1, goes_on[:, None], float("-inf"))
    return torch.where(at_end, potentials.end[tag], torch.logsumexp(suffix, dim=1))


def max_f_spans(
    posteriors: Posteriors, tag_set: TagSet, *, threshold: float, max_length: int
) -> List[List[Tuple[int, int, int, float]]]:
    """Choose in each packed sequence the non-overlapping spans that maximise sum(p(span) - threshold).

    A span set with the best expected F1 holds a span where its probability is above half of that F1, so a
    threshold of F1 / 2 gives it. Only spans of up to `max_length` tokens are considered.
    Returns (start, end, index of the label, probability) tuples in order.
    """
    lengths = posteriors.potentials.packing.lengths
    n_labels = len(tag_set.labels)
    candidates: List[List[Tuple[int, int, int, float]]] = [[] for _ in lengths]
    if not n_labels:
        return candidates
    for sequence, start, end in _span_grid(lengths, max_length, max(1, SPANS_AT_ONCE // n_labels)):
        label = torch.arange(n_labels, device=lengths.device).repeat(len(start))
        columns = [*(column.repeat_interleave(n_labels) for column in (sequence, start, end)), label]
        p = span_log_posteriors(posteriors, tag_set, *columns).exp()
        keep = p > threshold
        for s, *span in zip(*(column[keep].tolist() for column in (*columns, p)), strict=True):
            candidates[s].append(tuple(span))
    return [_best_disjoint(spans, threshold) for spans in candidates]


def _span_grid(lengths: Tensor, max_length: int, at_once: int) -> Iterator[Tuple[Tensor, Tensor, Tensor]]:
    """List the sequence, start and end of every span of up to max_length tokens, about `at_once` spans at a time."""
    sequences = torch.repeat_interleave(lengths)
    starts = torch.arange(len(sequences), device=lengths.device) - (torch.cumsum(lengths, 0) - lengths)[sequences]
    sizes = torch.arange(1, min(max_length, int(lengths.max())) + 1, device=lengths.device)
    rows = max(1, at_once // len(sizes))
    for sequence, start in zip(sequences.split(rows), starts.split(rows), strict=True):
        end = start[:, None] + sizes
        fits = end <= lengths[sequence][:, None]
        number = fits.sum(1)
        yield sequence.repeat_interleave(number), start.repeat_interleave(number), end[fits]


def _best_disjoint(spans: Sequence[Tuple[int, int, int, float]], threshold: float) -> List[Tuple[int, int, int, float]]:
    """Choose the disjoint spans with the largest sum of (p - threshold): weighted interval scheduling."""
    ordered = sorted(spans, key=lambda span: (span[1], span[0], span[2]))
    ends = [span[1] for span in ordered]
    # The best sum of the first k spans, and how many of them remain before the last one that it takes; -1 if it is not
    # the k-th that is taken last.
    best, remaining = [0.0], [-1]
    for k, span in enumerate(ordered):
        before = bisect_right(ends, span[0], 0, k)
        taken = best[before] + span[3] - threshold
        is_better = taken > best[k]
        best.append(taken if is_better else best[k])
        remaining.append(before if is_better else -1)
    chosen, k = [], len(ordered)
    while k:
        if remaining[k] < 0:
            k -= 1
        else:
            chosen.append(ordered[k - 1])
            k = remaining[k]
    return chosen[::-1]
