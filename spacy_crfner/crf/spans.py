"""Exact probabilities of entity spans, and the set of spans with the best expected F score."""

from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..tags import TagSet
from .forward_backward import Posteriors

# How many candidate spans are scored together, which bounds the memory of a long batch with many labels.
SPANS_AT_ONCE = 1 << 17


def span_log_posteriors(
    posteriors: Posteriors, tag_set: TagSet, sequences: Tensor, starts: Tensor, ends: Tensor, labels: Tensor
) -> Tensor:
    """Compute the log-probability that each span is an entity, summed over all tags of the other tokens.

    sequences, starts, ends, labels: (M,) packed sequence, first step, step after the last, and index of the
    label in the tag set. Returns (M,) in double precision; -inf where the span or its sequence is impossible.
    """
    potentials = posteriors.potentials
    packing = potentials.packing
    emissions = potentials.masked_emissions

    def tags(prefix: str) -> Tensor:
        return torch.as_tensor(tag_set.role(prefix), device=packing.device)[labels]

    lengths = ends - starts
    tag = torch.where(lengths.eq(1), tags("S"), tags("B"))
    log_p = posteriors.log_alpha(packing.row(sequences, starts), tag)
    for step in range(1, int(lengths.max()) if len(lengths) else 0):
        inside = lengths.gt(step)
        following = torch.where(lengths.eq(step + 1), tags("E"), tags("I"))
        row = packing.row(sequences, torch.where(inside, starts + step, starts))
        gain = potentials.transitions[tag, following] + emissions[row, following]
        log_p = torch.where(inside, log_p + gain, log_p)
        tag = torch.where(inside, following, tag)
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
    suffix = potentials.transitions[tag] + potentials.masked_emissions[row] + after.view(-1, potentials.n_tags)
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
    packing = posteriors.potentials.packing
    lengths = packing.lengths.cpu().numpy()
    sequence, start, end = _span_grid(lengths, max_length)
    n_labels = len(tag_set.labels)
    if not n_labels:
        return [[] for _ in lengths]
    candidates: List[List[Tuple[int, int, int, float]]] = [[] for _ in lengths]
    size = max(1, SPANS_AT_ONCE // n_labels)
    for piece in range(0, len(sequence), size):
        columns = [np.repeat(column[piece : piece + size], n_labels) for column in (sequence, start, end)]
        columns.append(np.tile(np.arange(n_labels), len(columns[0]) // n_labels))
        log_p = span_log_posteriors(posteriors, tag_set, *(torch.as_tensor(c, device=packing.device) for c in columns))
        p = log_p.exp().cpu().numpy()
        keep = p > threshold
        for s, i, j, label, value in zip(*(column[keep] for column in columns), p[keep], strict=True):
            candidates[s].append((int(i), int(j), int(label), float(value)))
    return [_best_disjoint(spans, threshold) for spans in candidates]


def _span_grid(lengths: np.ndarray, max_length: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List (sequence, start, end) of every span of up to max_length tokens."""
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    start = np.concatenate([np.arange(length) for length in lengths])
    grid = [(sequence, start, start + size) for size in range(1, max_length + 1)]
    columns = [np.concatenate(column) for column in zip(*grid, strict=True)]
    fits = columns[2] <= lengths[columns[0]]
    return columns[0][fits], columns[1][fits], columns[2][fits]


def _best_disjoint(spans: Sequence[Tuple[int, int, int, float]], threshold: float) -> List[Tuple[int, int, int, float]]:
    """Choose the disjoint spans with the largest sum of (p - threshold): weighted interval scheduling."""
    ordered = sorted(spans, key=lambda span: (span[1], span[0], span[2]))
    ends = [span[1] for span in ordered]
    best: List[Tuple[float, List[Tuple[int, int, int, float]]]] = [(0.0, [])]
    for k, span in enumerate(ordered):
        before = int(np.searchsorted(ends[:k], span[0], side="right"))
        gain, chosen = best[before]
        taken = (gain + span[3] - threshold, [*chosen, span])
        best.append(max(best[k], taken, key=lambda option: option[0]))
    return best[-1][1]
