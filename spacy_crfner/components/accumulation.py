"""Batches that are read in parts before the weights change (`accumulate_gradient`)."""

from typing import Any

from thinc.api import Model
from thinc.shims import PyTorchShim


class Accumulation:
    """Makes the gradients of sub-batches, of which each is that of a mean, add up to that of the mean over all of them.

    How large the whole batch is shows at its end alone. So each gradient is given in sentences of the first sub-batch,
    and what has been added up is divided by the size of the whole.
    """

    def __init__(self) -> None:
        self._first = self._total = 0.0

    def share_of(self, size: float) -> float:
        """Compute what the gradient of a sub-batch is multiplied with before it is added: 1.0 for the first one.

        size: sentences, each times its weight.
        """
        return size / (self._first or size) if size else 1.0

    def add(self, size: float) -> None:
        """Note a sub-batch whose gradient has been added."""
        self._first = self._first or size
        self._total += size

    def finish(self, model: Model) -> None:
        """Make of what the gradients of a model have added up to that of the batch, and wait for the next one."""
        share = self._first / self._total if self._total else 1.0
        self._first = self._total = 0.0
        if share != 1.0:
            scale_gradients(model, share)


def scale_gradients(model: Model, factor: float) -> None:
    """Multiply the gradients of all weights of a model."""
    for node in model.walk():
        for name in node.param_names:
            if node.has_grad(name):
                gradient: Any = node.get_grad(name)
                gradient *= factor
        for shim in node.shims:
            module: Any = shim._model if isinstance(shim, PyTorchShim) else None
            for parameter in [] if module is None else module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
