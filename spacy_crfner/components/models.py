"""Thinc models that are loaded: put back where loading fails, and looked through for what cannot be right."""

from typing import Any, Callable, Dict, Tuple

import numpy as np
import srsly
from thinc.api import Model

PACKAGE = __name__.partition(".")[0]

OF_USE = ("dropout_rate", "has_seen")
"""Attrs of layers that training changes."""
OF_CONFIG = (
    *("noise", "word_dropout", "component"),
    *("frozen", "rate", "layer_decay", "mixed_precision", "unfreeze_after", "unfreeze_every"),
    *("name", "cache", "memory_mb"),
)
"""Attrs of layers for which a config counts, whatever they were trained with. All others say what the layer is."""
OF_OTHERS = ("columns", "column", "seed", "window_size")
"""Attrs of the layers of spaCy and Thinc that say what a layer is."""

SHAPES: Dict[str, Dict[str, Tuple[str, ...]]] = {
    "linear": {"W": ("nO", "nI"), "b": ("nO",)},
    "maxout": {"W": ("nO", "nP", "nI"), "b": ("nO", "nP")},
    "layernorm": {"G": ("nI",), "b": ("nI",)},
    "hashembed": {"E": ("nV", "nO")},
    "crf_transitions": {"start": ("nO",), "transitions": ("nO", "nO"), "end": ("nO",)},
}
"""Name of a layer -> the dimensions of its weights."""


def remember_model(model: Model) -> Callable[[], None]:
    """Note what a model is; nothing is copied. Returns the function that makes it so again after a failed loading."""
    slots = ("name", "_layers", "_refs", "_dims", "_attrs", "_has_params")
    nodes = [(node, {slot: _shallow(getattr(node, slot)) for slot in slots}) for node in model.walk()]
    weights = [dict(node._params._params) for node, _ in nodes]
    shims = [(shim, dict(vars(shim))) for node, _ in nodes for shim in node.shims]

    def restore() -> None:
        for (node, before), own in zip(nodes, weights, strict=True):
            for slot, value in before.items():
                setattr(node, slot, value)
            node._params._params = own
        for shim, before in shims:
            version = getattr(shim, "version", 0)
            vars(shim).clear()
            vars(shim).update(before)
            if "version" in before:
                # Whatever was made of the weights in the meantime is not to be taken for theirs.
                vars(shim)["version"] = version + 1

    return restore


def _shallow(value: Any) -> Any:
    return value.copy() if isinstance(value, (list, dict)) else value


def load_model(model: Model, data: bytes) -> None:
    """Load the weights of a model.

    Raises ValueError, or whatever reading damaged data raises, where they do not fit the model or contradict the config
    that it was made of. It is not what it was then, see `remember_model`.
    """
    configured = []
    for node in model.walk():
        own = getattr(node._func, "__module__", "").split(".")[0] == PACKAGE
        keys = [key for key in node.attrs if (key not in OF_USE if own else key in OF_OTHERS)]
        configured.append((node, {key: node.attrs[key] for key in keys}))
    model.from_bytes(data)
    for node, attrs in configured:
        for key, value in attrs.items():
            if key in OF_CONFIG:
                node.attrs[key] = value
            elif _plain(node.attrs.get(key)) != _plain(value):
                raise ValueError(
                    f"the config says {key} = {value!r} for its layer {node.name!r}, but it was trained with "
                    f"{node.attrs.get(key)!r}"
                )
    for node in model.walk():
        shapes = SHAPES.get(node.name, {})
        absent = [name for name in shapes if not node.has_param(name)]
        if absent and len(absent) < len(shapes):
            raise ValueError(f"{absent[0]} of its layer {node.name!r} is missing, though the layer has weights")
        for name, dimensions in shapes.items():
            expected = tuple(node.maybe_get_dim(dimension) for dimension in dimensions)
            if node.has_param(name) and None not in expected and node.get_param(name).shape != expected:
                raise ValueError(f"{name} of {node.name!r} has the shape {node.get_param(name).shape}, not {expected}")
    check_finite(model)


def check_finite(model: Model) -> None:
    """Check that all weights are finite floating-point numbers. Raises ValueError, which names one that is not."""
    for node in model.walk():
        for name in node.param_names:
            if node.has_param(name):
                values: Any = node.get_param(name)
                if values.dtype.kind != "f":
                    raise ValueError(f"{name} of its layer {node.name!r} holds numbers of type {values.dtype}")
                # numpy's, where the array is one of numpy: that of CuPy is called alike.
                if not bool((node.ops.xp if not isinstance(values, np.ndarray) else np).isfinite(values).all()):
                    raise ValueError(f"{name} of its layer {node.name!r} holds numbers that are not finite")
        for shim in node.shims:
            if hasattr(shim, "check_finite"):
                shim.check_finite()


def _plain(value: Any) -> Any:
    """Make of a value what it is when it comes back from a file; itself where it cannot be saved."""
    try:
        return srsly.msgpack_loads(srsly.msgpack_dumps(value))
    except TypeError:
        return value
