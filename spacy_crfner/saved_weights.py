"""Weights of torch modules that come from files: compared with the module before anything large is made."""

import math
from typing import Any, Callable, Dict, Mapping, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Module = TypeVar("Module", bound=nn.Module)

SPARE_TENSORS, SPARE_NUMBERS = 64, 1 << 20
"""What a module may make while it is built beyond twice what is saved."""


def load_module(build: Callable[..., Module], settings: Mapping[str, Any], state: Mapping[str, Tensor]) -> Module:
    """Build a module and give it saved weights, which become its own.

    Settings that describe a larger module than what was saved are found out before its memory is taken.

    settings: arguments of `build`. state: name -> weights, floating-point numbers, which get the module's precision.
    Raises ValueError where settings and weights do not fit, or a weight is not a finite number.
    """
    with _Building(2 * len(state) + SPARE_TENSORS, 2 * sum(map(Tensor.numel, state.values())) + SPARE_NUMBERS):
        module = build(**settings)
    wanted = module.state_dict()
    strange = sorted(wanted.keys() ^ state.keys())
    if strange:
        have = "are missing" if strange[0] in wanted else "belong to no layer"
        raise ValueError(f"the weights {', '.join(strange[:3])} {have}")
    given: Dict[str, Tensor] = {}
    for name, values in wanted.items():
        saved = state[name]
        if saved.shape != values.shape:
            raise ValueError(f"{name} has the shape {tuple(saved.shape)}, not {tuple(values.shape)}")
        if values.is_floating_point() != saved.is_floating_point():
            raise ValueError(f"{name} holds numbers of type {saved.dtype}")
        given[name] = saved.to(values.dtype)
        if not bool(torch.isfinite(given[name]).all()):
            raise ValueError(f"{name} holds numbers that are not finite")
    module.load_state_dict(given)
    return module


def check_finite(module: nn.Module) -> None:
    """Check that all weights are finite numbers. Raises ValueError, which names the first that are not."""
    for name, values in module.state_dict().items():
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name} holds numbers that are not finite")


_EMPTY = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)
_RANDOM = ("uniform_", "normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")


class _Building(TorchFunctionMode):
    """Stops a module that is being built where it becomes too large, and spares it random weights.

    most_tensors, most_numbers: that it may make, and that these may hold together.
    """

    def __init__(self, most_tensors: int, most_numbers: int):
        super().__init__()
        self.tensors, self.numbers = most_tensors, most_numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _EMPTY:
            size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
            self.tensors, self.numbers = self.tensors - 1, self.numbers - math.prod(size)
            if self.tensors < 0 or self.numbers < 0:
                raise ValueError("the settings describe a larger layer than the weights")
        if getattr(func, "__name__", "") in _RANDOM:
            # Zeros: some modules draw again until all numbers are within limits.
            with torch.no_grad():
                return (args[0] if args else kwargs["tensor"]).zero_()
        return func(*args, **kwargs)
