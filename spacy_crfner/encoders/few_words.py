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
        gates = np.r_[0 : 2 * hidden, 3 * hidden : 4 * hidden, 2 * hidden : 3 * hidden]
        scale = np.where(np.arange(4 * hidden) < 3 * hidden, 0.5, 1.0).astype(np.float32)

        def stacked(weights: List[np.ndarray]) -> np.ndarray:
            return np.stack([weight[gates].T * scale for weight in weights])

        self.hidden = hidden
        self.inputs = stacked([lstm["weight_ih_l0"] for lstm in lstms])  # (LSTMs, embed_width, 4 hidden)
        self.states = stacked([0.5 * lstm["weight_hh_l0"] for lstm in lstms])  # (LSTMs, hidden, 4 hidden)
        self.bias = stacked([lstm["bias_ih_l0"] + lstm["bias_hh_l0"] for lstm in lstms])[:, None]

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
        rows = np.stack([table[way] for table in self.tables for way in (ahead, back)])
        gates = rows.reshape(len(rows), -1, rows.shape[-1]) @ self.inputs
        gates += self.bias
        hidden = self.hidden
        # A closed input gate keeps cell and state at 0 until a word begins.
        gates[:, ~running.ravel(), :hidden] = -np.inf
        gates = gates.reshape(*rows.shape[:3], 4 * hidden)

        # Every operation on so little costs more than its arithmetic: no step allocates or cuts anything out.
        now = np.empty((len(rows), len(lengths), 4 * hidden), dtype=gates.dtype)
        opened, (entering, kept, leaving) = now[..., : 3 * hidden], _thirds(now, hidden)
        new = now[..., 3 * hidden :]
        state, cell, product = (np.zeros((*now.shape[:2], hidden), dtype=now.dtype) for _ in range(3))
        half, one = (np.full((), number, dtype=now.dtype) for number in (0.5, 1.0))
        for step in range(len(before)):
            np.matmul(state, self.states, now)
            np.add(now, gates[:, step], now)
            np.tanh(now, now)
            # Twice the gates; of what that doubles, the cell is halved here, and the state in `self.states` and below.
            np.add(opened, one, opened)
            np.multiply(cell, kept, cell)
            np.multiply(entering, new, product)
            np.add(cell, product, cell)
            np.multiply(cell, half, cell)
            np.tanh(cell, product)
            np.multiply(product, leaving, state)
        return (state * half).transpose(1, 0, 2).reshape(len(lengths), -1)


def _thirds(gates: np.ndarray, hidden: int) -> List[np.ndarray]:
    return [gates[..., first * hidden : (first + 1) * hidden] for first in range(3)]


def _array(weights: Tensor) -> np.ndarray:
    return weights.detach().numpy()
