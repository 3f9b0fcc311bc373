"""The characters of a few words, in numpy, which is through before torch has called its operations."""

from typing import TYPE_CHECKING, List, Optional

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from .word_char import CharBiLSTM

# More than this, as words times characters of the longest, are read faster by torch.
MOST_CELLS = 1000
# Of what is computed for each character, once.
MOST_NUMBERS = 1 << 24


class FewWords:
    """The character BiLSTMs of a layout, all at once: the same as `WordChar.read`, for few words on a CPU.

    layers: of one width. Weights that change later are not followed.
    """

    def __init__(self, layers: List["CharBiLSTM"]):
        both = [lstm for layer in layers for lstm in (layer.left_to_right, layer.right_to_left)]
        lstms = [{name: _array(weight) for name, weight in lstm.named_parameters()} for lstm in both]
        # torch has the gates in the order input, forget, cell, output; here those with a sigmoid stand together, and
        # that of x is (1 + tanh(x / 2)) / 2.
        order, scale = [0, 1, 3, 2], np.array([0.5, 0.5, 0.5, 1.0], dtype=np.float32)[:, None, None]

        def by_gate(weights: np.ndarray) -> np.ndarray:
            """Lay out weights, (4 hidden, inputs), as (4, hidden, inputs)."""
            return weights.reshape(4, both[0].hidden_size, -1)[order] * scale

        states = np.stack([by_gate(0.5 * lstm["weight_hh_l0"]) for lstm in lstms], axis=1)
        self.states = np.ascontiguousarray(states.swapaxes(2, 3))  # (4, LSTMs, hidden, hidden)
        self.tables = []
        """(rows + 1, 4 hidden) of each LSTM: what each character adds to the gates; at last, where none stands."""
        for number, lstm in enumerate(lstms):
            inputs, bias = (by_gate(lstm[name]) for name in ("weight_ih_l0", "bias_ih_l0"))
            bias += by_gate(lstm["bias_hh_l0"])
            chars = _array(layers[number // 2].embed.weight)
            table = chars @ inputs.reshape(-1, chars.shape[1]).T + bias.reshape(-1)
            # A closed input gate keeps cell and state at 0 until a word begins.
            none = np.where(np.arange(table.shape[1]) < table.shape[1] // 4, -np.inf, bias.reshape(-1))
            self.tables.append(np.concatenate([table, none[None].astype(np.float32)]))

    @classmethod
    def of(cls, layers: List["CharBiLSTM"]) -> Optional["FewWords"]:
        """Take the weights of layers; None where there are none, for several widths, large tables, or on a GPU."""
        if len({layer.width for layer in layers}) != 1 or layers[0].embed.weight.device.type != "cpu":
            return None
        size = sum(4 * layer.width * layer.embed.weight.shape[0] for layer in layers)
        return cls(layers) if size <= MOST_NUMBERS else None

    def read(self, chars: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Read the characters of W words: (W, sum of the widths).

        chars: (C,) their table rows, word after word. lengths: (W,) of the words, 1 or more.
        """
        # (steps, words): all words end at the last step; from either end, the characters of a shorter one begin later.
        before = np.arange(-int(lengths.max()), 0)[:, None] + lengths
        running = before >= 0
        ends = np.cumsum(lengths)
        place = np.where(running, before, 0)
        waiting = len(self.tables[0]) - 1
        ways = [np.where(running, chars[at], waiting) for at in (ends - lengths + place, ends - 1 - place)]
        gates = np.stack([table.take(ways[number % 2], axis=0) for number, table in enumerate(self.tables)])
        steps, shape = len(before), (len(gates), len(lengths), self.states.shape[2])
        gates = np.ascontiguousarray(gates.reshape(len(gates), steps, len(lengths), 4, -1).transpose(1, 3, 0, 2, 4))

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
