"""Gradients of Thinc layers against finite differences."""

from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import pytest
from spacy.tokens import Doc
from thinc.api import Model

from spacy_crfner.wrapping import TorchShim


def parameters(model: Model) -> Iterator[Tuple[str, np.ndarray, Callable[[], Any]]]:
    """Name, values (changed in place, they change the model) and gradient of all Thinc and torch parameters."""
    for number, node in enumerate(model.walk()):
        for name in node.param_names:
            if node.has_param(name):
                yield f"{number} {node.name}.{name}", node.get_param(name), lambda n=node, k=name: n.get_grad(k)
        for shim in node.shims:
            assert isinstance(shim, TorchShim)
            for name, parameter in shim._model.named_parameters():
                yield f"{number} {node.name}.{name}", parameter.data.numpy(), lambda p=parameter: p.grad.numpy()


def forget(model: Model) -> None:
    """Tell the layers that weights were changed by hand, which they cannot see."""
    for node in model.walk():
        for shim in node.shims:
            shim.version += 1


def check_gradients(model: Model, docs: List[Doc], tolerance: float = 0.01, but: str = "none") -> Dict[str, float]:
    """Compare the gradient of every parameter of a model, without dropout, with central differences along a few
    random directions; but for those with this end of a name. The tables of hash features are changed. Returns the norms
    of the gradients by name."""
    generator = np.random.default_rng(0)
    for name, values, _ in parameters(model):
        if name.endswith(".E"):
            # Small as they are after initialization, a step would cross an edge of the maxout behind them.
            values *= 30
    outputs, backprop = model.begin_update(docs)
    weights = [generator.normal(size=rows.shape).astype("f") for rows in outputs]
    backprop(weights)

    def loss() -> float:
        forget(model)
        return sum((a.astype("d") * b).sum() for a, b in zip(model.predict(docs), weights, strict=True))

    def slope(values: np.ndarray, direction: np.ndarray, step: float) -> float:
        before = values.copy()
        values += step * direction
        above = loss()
        values[...] = before - step * direction
        below = loss()
        values[...] = before
        return (above - below) / (2 * step)

    norms = {}
    for name, values, get_grad in parameters(model):
        if name.endswith(but):
            continue
        gradient = get_grad().astype("d")
        norms[name] = float(np.linalg.norm(gradient))
        for _ in range(3):
            direction = generator.normal(size=values.shape).astype("f")
            # A large step may still cross an edge, a small one drowns in single precision.
            slopes = [slope(values, direction, step) for step in (3e-3, 1e-3, 3e-4, 1e-4)]
            expected = (gradient * direction).sum()
            closest = min(slopes, key=lambda value: abs(value - expected))
            assert closest == pytest.approx(expected, abs=tolerance * (norms[name] + 0.01)), name
    forget(model)
    return norms
