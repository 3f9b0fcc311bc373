"""A bidirectional LSTM over the rows of a ragged batch."""

import warnings
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Tuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..packing import Packing
from .packed_lstm import OneSequence, PackedLSTM, with_lstms, with_packed_lstms

# The backward pass of torch's CPU LSTM is slower a row for more sequences at once than this.
GROUP_SIZE = 64
STEP_COST = 8

# Rows of a grid that an LSTM reads at once; it goes on with the next ones from the state that it has reached.
ROWS_AT_ONCE = 1 << 13
# In training, an LSTM holds some 20 numbers for each of its states until the backward pass. In a batch of more rows
# than this they are computed again there, which takes a third more time.
MOST_ROWS_HELD = 1 << 15


@dataclass(frozen=True, eq=False)
class PaddedGroups:
    """A ragged batch as a few dense time-major grids of sequences of like length.

    The grids lie one after the other in a buffer of `size` rows.
    forward, backward: (N,) the buffer row of each packed row, where the sequences run from their first row,
        and where they run from their last one. Either way padding follows the sequence, so that an LSTM that
        runs over the grid never sees it before the rows that count.
    shapes: (steps, sequences) of each grid.
    """

    forward: Tensor
    backward: Tensor
    shapes: List[List[int]]
    size: int

    @classmethod
    def build(cls, packing: Packing) -> "PaddedGroups":
        """Lay the sequences of a batch out in grids."""
        listed = packing.lengths.tolist()
        lengths, sizes = np.array(listed), np.array(packing.batch_sizes)
        firsts = group_starts(listed)
        widths = np.append(firsts[1:], len(listed)) - firsts
        steps = lengths[firsts]
        areas = steps * widths
        step = np.repeat(np.arange(len(sizes)), sizes)
        sequence = np.arange(len(step)) - np.array(packing.offsets)[step]
        group = np.repeat(np.arange(len(firsts)), widths)[sequence]
        row = (np.cumsum(areas) - areas - firsts)[group] + sequence
        width = widths[group]
        rest = lengths[sequence] - 1 - step
        forward, backward = (torch.from_numpy(row + n * width).to(packing.device) for n in (step, rest))
        shapes = [list(shape) for shape in zip(steps.tolist(), widths.tolist(), strict=True)]
        return cls(forward, backward, shapes, int(areas.sum()))

    def scatter(self, packed: Tensor, rows: Tensor) -> List[Tensor]:
        """Lay packed rows (N, width) out as (steps, sequences, width) grids, zeros where padded."""
        if rows is self.forward and self._is_one:
            return [packed[:, None]]
        # In place: the copy would be as large once more.
        buffer = packed.new_zeros((self.size, packed.shape[1])).index_copy_(0, rows, packed)
        pieces = torch.split(buffer, [steps * width for steps, width in self.shapes])
        return [piece.view(*shape, -1) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def gather(self, buffer: Tensor, rows: Tensor) -> Tensor:
        """Take the packed rows out of a buffer of all grids, as `scatter` has laid them out."""
        # Unlike indexing, whose backward pass expects rows that are taken twice.
        return buffer if rows is self.forward and self._is_one else buffer.index_select(0, rows)

    @property
    def _is_one(self) -> bool:
        """Whether there is one sequence alone, which needs no other order to be read forwards."""
        return len(self.shapes) == 1 and self.shapes[0][1] == 1


def group_starts(lengths: List[int]) -> np.ndarray:
    """Find the index of the sequence with which each group begins; lengths: of all sequences, decreasing.

    A step of an LSTM costs as much as STEP_COST more rows: a new group begins where its own steps cost less than
    the padding that it saves.
    """
    firsts, padding = [0], 0
    for index, length in enumerate(lengths):
        steps = lengths[firsts[-1]]
        if index - firsts[-1] >= GROUP_SIZE or padding + steps - length > STEP_COST * length:
            firsts.append(index)
            padding, steps = 0, length
        padding += steps - length
    return np.array(firsts)


def run_lstm(lstm: nn.Module, grids: List[Tensor]) -> Tensor:
    """Run a one-directional LSTM over every grid: its states, as one (buffer rows, hidden) tensor."""
    again = torch.is_grad_enabled() and sum(len(grid) * grid.shape[1] for grid in grids) > MOST_ROWS_HELD
    return torch.cat([states.flatten(0, 1) for grid in grids for states in _states(lstm, grid, again)])


def _states(lstm: nn.Module, grid: Tensor, again: bool) -> Iterator[Tensor]:
    """Run over the steps of a grid in pieces: (steps, sequences, hidden) of each.

    again: let the backward pass compute again what it needs of a piece.
    """
    carried = None
    for piece in grid.split(max(1, ROWS_AT_ONCE // grid.shape[1])):
        if again:
            states, carried = checkpoint(lstm, piece, carried, use_reentrant=False, preserve_rng_state=False)
        else:
            states, carried = lstm(piece, carried)
        yield states


class _TimesOfSequence(torch.autograd.Function):
    """Multiplies rows (N, width) by the factors (B, width) of their sequences, of which no row holds a copy."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, factors: Tensor, sequences: Tensor) -> Tensor:
        ctx.save_for_backward(factors, sequences)
        return factors[sequences].mul_(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, None, None]:  # type: ignore[override]
        factors, sequences = ctx.saved_tensors
        return factors[sequences].mul_(gradient), None, None


def locked_dropout(rows: Tensor, packing: Packing, rate: float) -> Tensor:
    """Drop the same features at all rows of a sequence (variational dropout); rows: (N, width)."""
    if not rate:
        return rows
    keep = rows.new_empty((packing.n_sequences, rows.shape[1])).bernoulli_(1.0 - rate)
    return _TimesOfSequence.apply(rows, keep.div_(1.0 - rate), packing.sequences)


class BiLSTM(nn.Module):
    """Stacked bidirectional LSTM layers with variational dropout before each layer and after the last.

    Gal & Ghahramani 2016, https://arxiv.org/abs/1512.05287.
    input_width, width: features of the rows that come in and go out; half of `width` for each direction.
    depth: number of layers.
    one: reads one sequence, from array to array; None where only batches are read, see `for_prediction`.
    """

    one: Optional[OneSequence] = None

    def __init__(self, *, input_width: int, width: int, depth: int):
        super().__init__()
        widths = [input_width] + [width] * (depth - 1)
        self.forwards = nn.ModuleList(nn.LSTM(w, width // 2) for w in widths)
        self.backwards = nn.ModuleList(nn.LSTM(w, width // 2) for w in widths)

    def forward(self, rows: Tensor, packing: Packing, dropout: float) -> Tensor:
        """Read the rows of a batch, (N, input_width) in packed order. Returns (N, width) in packed order."""
        groups = PaddedGroups.build(packing)
        for left_to_right, right_to_left in zip(self.forwards, self.backwards, strict=True):
            rows = locked_dropout(rows, packing, dropout)
            ahead = run_lstm(left_to_right, groups.scatter(rows, groups.forward))
            back = run_lstm(right_to_left, groups.scatter(rows, groups.backward))
            rows = torch.cat([groups.gather(ahead, groups.forward), groups.gather(back, groups.backward)], dim=1)
        return locked_dropout(rows, packing, dropout)

    def for_prediction(self) -> "BiLSTM":
        """Make a module that predicts in the place of this one, faster; weights that change later are not followed."""
        copied = with_packed_lstms(self)
        layers = list(zip(copied.forwards, copied.backwards, strict=True))
        if all(isinstance(lstm, PackedLSTM) for layer in layers for lstm in layer):
            copied.one = OneSequence(cast(List[Tuple[PackedLSTM, PackedLSTM]], layers))
        return copied


class _Quantized(nn.Module):
    """An LSTM with 8-bit weights, for prediction on a CPU."""

    def __init__(self, lstm: nn.Module):
        super().__init__()
        self.lstm = lstm

    def forward(self, grid: Tensor, state: Any = None) -> Any:
        """Run the LSTM."""
        return self.lstm(grid, state)


def quantized(module: BiLSTM) -> BiLSTM:
    """Copy a module to LSTMs with 8-bit weights, which quantise their inputs as they come (dynamic quantisation).

    Returns the module itself on a GPU, where torch has no such LSTMs.
    """
    if next(module.parameters()).device.type != "cpu":
        return module
    with warnings.catch_warnings():
        # torch announces that this will move to another package, which so far has no LSTMs.
        warnings.simplefilter("ignore")
        quantize = torch.ao.quantization.quantize_dynamic
        return with_lstms(module, lambda lstm: quantize(_Quantized(lstm), {nn.LSTM}, dtype=torch.qint8))
