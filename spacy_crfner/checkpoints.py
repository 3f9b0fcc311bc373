"""Checkpoints of a training: weights, the optimizer's state and where it stood, in one file without pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from .files import write_file

WEIGHTS, STATE = "module.", "optimizer."
"""How the names of tensors begin."""


def write_checkpoint(
    path: Path, fingerprint: str, progress: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write a checkpoint over the one that is there; see `pack_checkpoint`. Raises OSError."""
    write_file(path, pack_checkpoint(fingerprint, progress, module, optimizer))


def pack_checkpoint(
    fingerprint: str, progress: Mapping[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer
) -> bytes:
    """Make the content of a checkpoint.

    fingerprint: of what is trained with what. progress: whatever JSON can hold.
    """
    tensors = {f"{WEIGHTS}{name}": value for name, value in module.state_dict().items()}
    # What is no tensor: moments that an optimizer has not made yet, counts of updates.
    plain_values: Dict[str, Dict[str, Any]] = {}
    for index, state in optimizer.state_dict()["state"].items():
        plain_values[str(index)] = {}
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"{STATE}{index}.{key}"] = value
            else:
                plain_values[str(index)][key] = value
    header = {"fingerprint": fingerprint, "progress": json.dumps(progress), "optimizer": json.dumps(plain_values)}
    # Weights that layers share would be refused, so each is copied.
    copies = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    return save(copies, metadata=header)


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    path: of the file. fingerprint: "" in one of an earlier version.
    """

    path: Path
    fingerprint: str
    header: Dict[str, str]
    tensors: Dict[str, Tensor]

    def restore(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Dict[str, Any]:
        """Give module and optimizer what they had. Returns the progress.

        Raises ValueError where it does not fit; some of it may be restored then.
        """
        try:
            plain_values = json.loads(self.header["optimizer"])
            state: Dict[int, Dict[str, Any]] = {int(index): values for index, values in plain_values.items()}
            weights: Dict[str, Tensor] = {}
            for name, tensor in self.tensors.items():
                if name.startswith(WEIGHTS):
                    weights[name.removeprefix(WEIGHTS)] = tensor
                else:
                    index, _, key = name.removeprefix(STATE).partition(".")
                    state[int(index)][key] = tensor
            module.load_state_dict(weights)
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            return json.loads(self.header["progress"])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise _damage(self.path, error) from None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises ValueError where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            header: Dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, SafetensorError) as error:
        raise _damage(path, error) from None
    return Checkpoint(path, header.get("fingerprint", ""), header, tensors)


def _damage(path: Path, error: Exception) -> ValueError:
    what = " ".join(str(error).split())
    return ValueError(
        f"{path}: the checkpoint is damaged ({what}): choose another folder, or overwrite it (--overwrite)."
    )
