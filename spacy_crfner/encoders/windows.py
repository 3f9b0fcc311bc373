"""Sequences of pieces as windows that a transformer can read, and windows as batches."""

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

MOST_PADDING = 0.1
"""Share of a batch."""

SMALL = 64
"""Pieces of padding that take no more time than one more batch does."""


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """Windows of like length, padded to the longest.

    ids: (windows, longest) pieces, with those that mark the ends of a text. lengths: (windows,) of each.
    """

    ids: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of several sequences, in batches, and where each piece is read.

    rows: (P,) for the pieces of all sequences, in their order: the row of all batches, one after the other, windows
        padded, whose state is that of the piece.
    """

    batches: List[WindowBatch]
    rows: np.ndarray


def cut_windows(
    sequences: Sequence[np.ndarray],
    before: Sequence[int],
    after: Sequence[int],
    padding: int,
    *,
    window: int,
    stride: int,
    at_once: int,
) -> Windows:
    """Cut sequences of pieces into windows, which overlap where a sequence is longer than one.

    A piece that several windows read is taken from the one in which it is furthest from an end.

    sequences: pieces, 1 or more each. before, after: what marks the ends of a text. window: most pieces of a window,
        with these. stride: pieces from one window to the next. at_once: most pieces of a batch, with padding, unless a
        window alone has more.
    """
    room = window - len(before) - len(after)
    spans: List[Tuple[int, int, int]] = []
    chosen, places = [], []
    for number, ids in enumerate(sequences):
        firsts = _starts(len(ids), room, stride)
        own, place = _choose(len(ids), firsts, room)
        chosen.append(own + len(spans))
        places.append(place + len(before))
        spans += [(number, first, min(first + room, len(ids))) for first in firsts]
    lengths = np.array([end - first for _, first, end in spans], dtype=np.int64) + len(before) + len(after)
    order = np.argsort(lengths, kind="stable")
    starts = np.zeros(len(spans), dtype=np.int64)
    batches: List[WindowBatch] = []
    row = 0
    for first, end in _group(lengths[order], at_once):
        # From the shortest on: the last of a batch is its longest.
        members, longest = order[first:end], int(lengths[order[end - 1]])
        ids = np.full((len(members), longest), padding, dtype=np.int64)
        for line, member in enumerate(members.tolist()):
            number, start, stop = spans[member]
            ids[line, : lengths[member]] = [*before, *sequences[number][start:stop], *after]
        batches.append(WindowBatch(ids, lengths[members]))
        starts[members] = row + longest * np.arange(len(members))
        row += ids.size
    if not spans:
        return Windows([], np.zeros(0, dtype=np.int64))
    return Windows(batches, starts[np.concatenate(chosen)] + np.concatenate(places))


def _group(lengths: np.ndarray, at_once: int) -> List[Tuple[int, int]]:
    """Group windows in order of their lengths: the first of each batch, and the one after its last."""
    groups: List[Tuple[int, int]] = []
    first, pieces = 0, 0
    for number, length in enumerate(lengths.tolist()):
        cells = length * (number + 1 - first)
        padding = cells - pieces - length
        if number > first and (cells > at_once or padding > max(SMALL, MOST_PADDING * cells)):
            groups.append((first, number))
            first, pieces = number, 0
        pieces += length
    return [*groups, (first, len(lengths))] if len(lengths) else []


def _starts(length: int, room: int, stride: int) -> List[int]:
    """List the first piece of each window of a sequence: the last window is as full as the others."""
    if length <= room:
        return [0]
    return [*range(0, length - room, stride), length - room]


def _choose(length: int, firsts: Sequence[int], room: int) -> Tuple[np.ndarray, np.ndarray]:
    """Choose the window of each piece of a sequence, (length,), and find its place in it, (length,)."""
    pieces = np.arange(length)
    if len(firsts) == 1:
        return np.zeros(length, dtype=np.int64), pieces
    # The nearer its middle: ties go to the earlier window.
    middles = np.array(firsts) + (room - 1) / 2
    own = np.searchsorted((middles[1:] + middles[:-1]) / 2, pieces, side="left")
    return own, pieces - np.array(firsts)[own]
