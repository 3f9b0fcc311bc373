"""Torch as this package needs it, whatever the program around it has set for all of its own code."""

from contextlib import ExitStack, contextmanager
from functools import wraps
from threading import local
from typing import Any, Callable, Iterator, Tuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FLOAT = torch.float32
"""The precision of all weights."""

Function = TypeVar("Function", bound=Callable)

# What torch itself asks for at every call; `torch.get_default_device` takes as long as all that is done here.
_count_modes: Callable[[], int] = getattr(torch._C, "_len_torch_function_stack", lambda: 1)
_any_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)
_inside = local()


def is_usual() -> bool:
    """Tell whether nothing is set that changes what this package computes; it takes less than a microsecond."""
    return (
        not _any_autocast()
        and not _count_modes()
        and torch.get_default_dtype() is FLOAT
        and not torch.is_inference_mode_enabled()
    )


@contextmanager
def usual_torch() -> Iterator[None]:
    """Compute in single precision, on the device of the inputs, with gradients: for this thread alone, until the end.

    A program may have chosen another default precision or device, automatic mixed precision, inference mode or no
    gradients for code of its own. Weights and predictions of this package stay what they are without.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        if _any_autocast():
            for device in ("cpu", "cuda"):
                stack.enter_context(torch.autocast(device, enabled=False))
        if not getattr(_inside, "yes", False) and (_count_modes() or torch.get_default_dtype() is not FLOAT):
            stack.enter_context(_UsualTensors())
            _inside.yes = True
            stack.callback(setattr, _inside, "yes", False)
        yield


def in_usual_torch(function: Function) -> Function:
    """Make a function that needs no gradients, or turns them on itself, compute as inside `usual_torch`."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if is_usual():
            return function(*args, **kwargs)
        with usual_torch():
            return function(*args, **kwargs)

    return cast(Function, run)


def layer_in_usual_torch(forward: Function) -> Function:
    """Make the forward pass of a Thinc layer, and the backward pass that it gives, compute as inside `usual_torch`."""

    @wraps(forward)
    def run(model: Any, inputs: Any, is_train: bool) -> Tuple[Any, Callable]:
        if is_usual() and (not is_train or torch.is_grad_enabled()):
            outputs, backprop = forward(model, inputs, is_train)
        else:
            with usual_torch():
                outputs, backprop = forward(model, inputs, is_train)
        return outputs, in_usual_torch(backprop) if is_train else backprop

    return cast(Function, run)


_FLOATS = (torch.empty, torch.zeros, torch.ones, torch.eye, torch.rand, torch.randn)
_NUMBERS = (torch.tensor, torch.as_tensor, torch.full, torch.arange)


class _UsualTensors(TorchFunctionMode):
    """Makes new tensors as torch does by default: floating-point ones in single precision, on the CPU.

    Unlike the defaults of torch, which are those of the process, a mode is that of a thread.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FLOATS or func in _NUMBERS:
            copied = bool(args) and isinstance(args[0], (Tensor, np.ndarray))
            if kwargs.get("device") is None and not (copied and isinstance(args[0], Tensor)):
                kwargs["device"] = "cpu"
            chosen = copied or kwargs.get("dtype") is not None
            if not chosen and (func in _FLOATS or func(*args, **kwargs).is_floating_point()):
                kwargs["dtype"] = FLOAT
        return func(*args, **kwargs)
