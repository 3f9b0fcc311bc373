"""The characters of a few words, in numpy, which is through before torch has called its operations."""

from typing import TYPE_CHECKING, List, Optional

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from .word_char import CharBiLSTM

# More than this, as words times characters of the longest, are read faster by torch.
MOST_CELLS = 1000


class FewWords:
    """The character BiLSTMs of a layout, all at once: the same as `WordChar.read`, for few words on a CPU.

    layers: of one width. Weights that change later are not followed.
    """

    def __init__(self, layers: List["CharBiLSTM"]):
        self.tables = [_array(layer.embed.weight) for layer in layers]
        both = [lstm for layer in layers for lstm in (layer.left_to_right, layer.right_to_left)]
        lstms = [{name: _array(weight) for name, weight in lstm.named_parameters()} for lstm in both]
        hidden = both[0].hidden_size
        # torch has the gates in the order input, forget, cell, output; here those with a sigmoid stand together, and
        # that of x is (1 + tanh(x / 2)) / 2.
        order = [0, 1, 3, 2]
        scale = np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)[:, None, None, None]

        def stacked(weights: List[np.ndarray]) -> np.ndarray:
            """Stack the weights (4 hidden, inputs) of all LSTMs to (4, LSTMs, inputs, hidden)."""
            gates = np.stack([weight.reshape(4, hidden, -1)[order] for weight in weights], axis=1)
            return np.ascontiguousarray(gates.transpose(0, 1, 3, 2)) * scale

        self.inputs = stacked([lstm["weight_ih_l0"] for lstm in lstms])
        self.states = stacked([0.5 * lstm["weight_hh_l0"] for lstm in lstms])
        self.bias = stacked([lstm["bias_ih_l0"] + lstm["bias_hh_l0"] for lstm in lstms])

    @classmethod
    def of(cls, layers: List["CharBiLSTM"]) -> Optional["FewWords"]:
        """Take the weights of layers; None where there are none, for several widths, or on a GPU."""
        fits = len({layer.width for layer in layers}) == 1 and layers[0].embed.weight.device.type == "cpu"
        return cls(layers) if fits else None

    def read(self, chars: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Read the characters of W words: (W, sum of the widths).

        chars: (C,) their table rows, word after word. lengths: (W,) of the words, 1 or more.
        """
        # (steps, words): all words end at the last step; from either end, the characters of a shorter one begin later.
        before = np.arange(-int(lengths.max()), 0)[:, None] + lengths
        running = before >= 0
        ends = np.cumsum(lengths)
        place = np.where(running, before, 0)
        ahead, back = chars[ends - lengths + place], chars[ends - 1 - place]
        rows = np.stack([table.take(way, axis=0) for table in self.tables for way in (ahead, back)])
        gates = rows.reshape(len(rows), -1, rows.shape[-1]) @ self.inputs
        gates += self.bias
        # A closed input gate keeps cell and state at 0 until a word begins.
        gates[0, :, ~running.ravel()] = -np.inf
        steps, shape = len(before), (len(rows), len(lengths), gates.shape[-1])
        gates = np.ascontiguousarray(np.moveaxis(gates.reshape(4, len(rows), steps, *shape[1:]), 2, 0))

        # Every operation on so little costs more than its arithmetic: no step allocates, and whatever is read or
        # written together lies together.
        now = np.zeros((5, *shape), dtype=gates.dtype)
        four, opened, leaving, cell = now[:4], now[:3], now[2], now[4]
        # The gates of what enters and what is kept, and beside them what is new and the cell.
        two_gates, new_and_cell, both = now[:2], now[3:], np.empty((2, *shape), dtype=now.dtype)
        entering, kept = both
        state, squashed = np.zeros_like(cell), np.empty_like(cell)
        half, one = (np.full((), number, dtype=now.dtype) for number in (0.5, 1.0))
        for of_chars in gates:
            np.matmul(state, self.states, four)
            np.add(four, of_chars, four)
            np.tanh(four, four)
            # Twice the gates; of what that doubles, the cell is halved here, and the state in `self.states` and below.
            np.add(opened, one, opened)
            np.multiply(two_gates, new_and_cell, both)
            np.add(entering, kept, cell)
            np.multiply(cell, half, cell)
            np.tanh(cell, squashed)
            np.multiply(squashed, leaving, state)
        return (state * half).transpose(1, 0, 2).reshape(len(lengths), -1)


def _array(weights: Tensor) -> np.ndarray:
    return weights.detach().numpy()
