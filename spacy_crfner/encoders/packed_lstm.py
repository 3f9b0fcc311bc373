"""LSTMs whose weights are laid out for the CPU once and not at every call, for prediction; short texts gain most."""

import copy
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

LSTM_MODE = 2
"""torch's number of an LSTM among recurrent networks."""

Module = TypeVar("Module", bound=nn.Module)
States = Tuple[Tensor, Tensor]
"""Hidden states and cells of an LSTM, each (sequences, hidden)."""


class PackedLSTM(nn.Module):
    """A one-directional LSTM of one layer, by the kernel that torch itself runs on a CPU, with the same results.

    torch copies the weights into the layout of that kernel at every call, which takes longer than to read a sentence.
    Raises what torch raises where it does not have the kernel, such as AttributeError or RuntimeError.
    """

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        self.hidden_size = lstm.hidden_size
        own: Dict[str, Tensor] = {name: parameter.detach() for name, parameter in lstm.named_parameters()}
        weights, biases = ([own[f"{kind}_{part}_l0"] for part in ("ih", "hh")] for kind in ("weight", "bias"))
        self._zeros = weights[0].new_zeros((1, lstm.hidden_size))
        self._run: Any = torch.ops.aten.mkldnn_rnn_layer.default
        reorder: Any = torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight
        shape = [1, 1, lstm.input_size]
        self._weights: List[Tensor] = [
            *reorder(*weights, lstm.hidden_size, False, True, False, shape),
            *biases,
        ]

    def forward(
        self, grid: Tensor, carried: Optional[States] = None, *, reverse: bool = False
    ) -> Tuple[Tensor, States]:
        """Read (steps, sequences, features). Returns (steps, sequences, hidden) and the last states, as nn.LSTM.

        carried: the states to begin with. reverse: read from the last step to the first.
        """
        if carried is None:
            zeros = self._zeros if grid.shape[1] == 1 else grid.new_zeros((grid.shape[1], self.hidden_size))
            carried = zeros, zeros
        no_sizes: List[int] = []
        settings = (reverse, no_sizes, LSTM_MODE, self.hidden_size, 1, True, False, False, False)
        outputs, hidden, cell, _ = self._run(grid, *self._weights, *carried, *settings)
        return outputs, (hidden.view(carried[0].shape), cell.view(carried[1].shape))


class OneSequence:
    """Layers of bidirectional LSTMs that read one sequence, from array to array.

    Any operation of torch takes longer on so little than its arithmetic: here are none beside those of the LSTMs.
    layers: left to right and right to left.
    """

    def __init__(self, layers: Sequence[Tuple[PackedLSTM, PackedLSTM]]):
        self._layers = [(ahead.forward, back.forward) for ahead, back in layers]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read a sequence, (N, features). Returns (N, width)."""
        for ahead, back in self._layers:
            grid = torch.from_numpy(rows[:, None])
            states = ahead(grid)[0].numpy(), back(grid, reverse=True)[0].numpy()
            rows = np.concatenate(states, axis=2)[:, 0]
        return rows


def packed(lstm: nn.LSTM) -> nn.Module:
    """Pack the weights of an LSTM; gives the LSTM itself where torch has no other form of it that does the same."""
    plain = lstm.num_layers == 1 and not lstm.bidirectional and lstm.bias and not lstm.proj_size
    weights = lstm.weight_ih_l0
    if not plain or lstm.batch_first or weights.device.type != "cpu" or weights.dtype != torch.float32:
        return lstm
    with torch.no_grad():
        sample = torch.linspace(-1.0, 1.0, 6 * lstm.input_size).view(3, 2, lstm.input_size)
        sample = sample.to(weights.dtype)
        try:
            faster = PackedLSTM(lstm)
            begun, carried = faster(sample[:2])
            found = torch.cat([begun, faster(sample[2:], carried)[0], faster(sample, reverse=True)[0].flip(0)])
            same = torch.allclose(found, torch.cat([lstm(sample)[0], lstm(sample.flip(0))[0]]), atol=1e-5)
        except (AttributeError, RuntimeError, TypeError, ValueError):
            # The operations have no public name: another release of torch may lack them or call them otherwise.
            return lstm
    return faster if same else lstm


def with_lstms(module: Module, replace: Callable[[nn.LSTM], nn.Module]) -> Module:
    """Copy a module to one with other LSTMs, which shares all other parameters with it."""
    copied = copy.copy(module)
    copied._modules = {
        name: replace(child) if isinstance(child, nn.LSTM) else child and with_lstms(child, replace)
        for name, child in module._modules.items()
    }
    return copied


def with_packed_lstms(module: Module) -> Module:
    """Copy a module to one whose LSTMs are packed; weights that change later are not followed."""
    return with_lstms(module, packed)
