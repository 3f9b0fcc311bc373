"""Sequences of pieces as windows that a transformer can read, and windows as batches."""

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np


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
    row, at = 0, 0
    while at < len(order):
        # From the shortest on: the last of a batch is its longest.
        end = at + 1
        while end < len(order) and lengths[order[end]] * (end + 1 - at) <= at_once:
            end += 1
        members, longest = order[at:end], int(lengths[order[end - 1]])
        ids = np.full((len(members), longest), padding, dtype=np.int64)
        for line, member in enumerate(members.tolist()):
            number, first, last = spans[member]
            ids[line, : lengths[member]] = [*before, *sequences[number][first:last], *after]
        batches.append(WindowBatch(ids, lengths[members]))
        starts[members] = row + longest * np.arange(len(members))
        row, at = row + ids.size, end
    if not spans:
        return Windows([], np.zeros(0, dtype=np.int64))
    return Windows(batches, starts[np.concatenate(chosen)] + np.concatenate(places))


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
