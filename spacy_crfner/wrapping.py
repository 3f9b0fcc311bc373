"""Torch modules as Thinc layers that behave as Thinc's own in everything spaCy does with a model.

Against Thinc's stock shim, `TorchShim` builds its module when the widths are known (and again from the saved
settings before weights are loaded), writes safetensors with a JSON header instead of pickles, takes part in
parameter averages and rehearsal, gives copies an identity of their own, and predicts from several threads.
"""

import contextlib
import copy
import json
import os
import struct
from operator import attrgetter
from typing import Any, Callable, Dict, List, Optional, Tuple, cast

import numpy as np
import torch
from safetensors.torch import load, save
from thinc.api import ArgsKwargs, Model, NumpyOps, get_current_ops, torch2xp, xp2torch
from thinc.shims import PyTorchShim
from thinc.shims.shim import Shim
from thinc.types import Floats2d
from thinc.util import get_torch_default_device
from torch import Tensor, nn

from .saved_weights import check_finite, load_module
from .torch_state import in_usual_torch, usual_torch

SETTINGS_KEY = "settings"
_CHANGES = attrgetter("_version")
_NOTHING_SEEN: Tuple[Any, List[Dict[str, Any]], tuple, List[Tensor]] = (None, [], (), [])

# A forked child inherits the threads' locks of torch but not the threads: with one thread it needs neither.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class TorchShim(PyTorchShim):
    """A torch module inside a Thinc model.

    build: makes the module from JSON-serialisable keyword arguments. The module takes its dropout rate as an
        argument of its forward pass, and holds no layer that behaves differently in training and prediction.
    for_prediction: makes of the module another one that predicts in its place, faster, once for each version.
    version: another number whenever the weights of the Thinc model may have changed.
    """

    @in_usual_torch
    def __init__(self, build: Callable[..., nn.Module], for_prediction: Optional[Callable[[Any], nn.Module]] = None):
        super().__init__(None)
        self.build = build
        self.for_prediction = for_prediction
        self.version = 0
        self._made: Tuple[int, Any] = (-1, None)
        self._seen: Tuple[Any, List[Dict[str, Any]], tuple, List[Tensor]] = _NOTHING_SEEN
        self._checked = -1

    @property
    def is_built(self) -> bool:
        """Whether there is a module, with weights."""
        return self._model is not None

    @in_usual_torch
    def create(self, **settings: Any) -> None:
        """Build the module, with new weights, from these settings."""
        self.cfg = settings
        self._model = self.build(**settings).to(get_torch_default_device())
        self.version += 1

    def predict(self, inputs: ArgsKwargs) -> Any:
        """Compute the output for prediction."""
        # The stock shim switches the shared module to evaluation mode and back, which other threads would see.
        return self.evaluate(lambda module: module(*inputs.args, **inputs.kwargs))

    @in_usual_torch
    def evaluate(self, function: Callable[[Any], Any]) -> Any:
        """Compute what a function of the module gives, for prediction. Raises ValueError, see `predictor`."""
        with torch.no_grad():
            return function(self.predictor())

    def check_finite(self) -> None:
        """Check that all weights, if there are any, are finite numbers.

        Raises ValueError, without what to do, where one is not.
        """
        version = self.current_version()
        if self._model is not None:
            try:
                check_finite(self._model)
            except ValueError as error:
                raise ValueError(f"{error} in {self.build.__name__!r}") from None
        self._checked = version

    def predictor(self, version: Optional[int] = None) -> Any:
        """Get the module that predicts, made from the weights as they are now.

        version: of the weights, where the caller has just looked it up.
        Raises ValueError where a weight is not a finite number, which is looked at once for each version.
        """
        current = self.current_version() if version is None else version
        if self._checked != current:
            try:
                self.check_finite()
            except ValueError as error:
                raise ValueError(
                    f"A layer cannot be used, since {error}: training has diverged. Lower the learning rate, or load a "
                    "model that was saved before."
                ) from None
        if self.for_prediction is None:
            return self._model
        made_of, module = self._made
        if made_of != current:
            module = self.for_prediction(self._model)
            self._made = (current, module)
        return module

    def current_version(self) -> int:
        """Look up the version, after a look at the parameters, which somebody may have changed by hand.

        What is not seen are writes that torch does not count, through `parameter.data` or numpy.
        """
        model, holders, before, _ = self._seen
        if model is not self._model:
            holders = [] if self._model is None else [part._parameters for part in self._model.modules()]
        held = [parameter for holder in holders for parameter in holder.values() if parameter is not None]
        # What was made in torch's inference mode counts no changes.
        parameters = [parameter for parameter in held if not parameter.is_inference()]
        now = (*map(Tensor.data_ptr, parameters), *map(_CHANGES, parameters))
        if model is not self._model or now != before:
            self.version += 1
            # With the numbers themselves: others could come to stand in their place in memory.
            self._seen = (self._model, holders, now, [parameter.detach() for parameter in parameters])
        return self.version

    @in_usual_torch
    def begin_update(self, inputs: ArgsKwargs) -> Tuple[Any, Callable[[ArgsKwargs], None]]:
        """Compute the output, and make the function of its backward pass.

        That function takes the arguments of torch.autograd.backward; it adds the gradients to the parameters and to
        the `grad` of the inputs that require one. Called once more, it raises ValueError.
        """
        with torch.enable_grad():
            output = self._model(*inputs.args, **inputs.kwargs)

        @in_usual_torch
        def backprop(gradients: ArgsKwargs) -> None:
            try:
                torch.autograd.backward(*gradients.args, **gradients.kwargs)
            except RuntimeError as error:
                if "second time" not in str(error):
                    raise
                raise ValueError(
                    "A layer was run once, but is to learn from it twice. Is this a tok2vec that was disabled, while a "
                    "component that listens to it was trained? Enable both."
                ) from None

        return output, backprop

    @in_usual_torch
    def finish_update(self, optimizer: Any) -> None:
        """Let the optimizer change the parameters, and drop their gradients."""
        if all(parameter.grad is None for parameter in self._model.parameters()):
            return
        self._seen = _NOTHING_SEEN
        try:
            for name, parameter in self._model.named_parameters():
                if parameter.grad is None:
                    continue
                weights, _ = optimizer((self.id, name), torch2xp(parameter.data), torch2xp(parameter.grad))
                parameter.data = xp2torch(weights, device=parameter.device)
                # Rehearsal applies the gradient later, so it must be let go of and not be overwritten.
                parameter.grad = None
        finally:
            # At the end: another thread may have predicted with the weights of before and of now.
            self.version += 1

    @contextlib.contextmanager
    def use_params(self, params):
        """Put other parameters, such as averages, in the place of the module's own for a while."""
        replaced: Dict[str, Tensor] = {}
        parameters = {} if self._model is None else dict(self._model.named_parameters())
        for name, parameter in parameters.items():
            if (self.id, name) in params:
                replaced[name] = parameter.data
                with usual_torch():
                    parameter.data = xp2torch(params[(self.id, name)], device=parameter.device)
        self.version += bool(replaced)
        try:
            yield
        finally:
            for name, data in replaced.items():
                parameters[name].data = data
            self.version += bool(replaced)

    def __getstate__(self) -> Dict[str, Any]:
        # What is made for prediction is made again, from the weights.
        return {**self.__dict__, "_made": (-1, None), "_seen": _NOTHING_SEEN}

    @in_usual_torch
    def copy(self) -> "TorchShim":
        """Copy the module, under an identity of its own."""
        copied = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module, if there is one."""
        if self._model is not None:
            super().to_device(device_type, device_id)
            self.version += 1

    def to_bytes(self) -> bytes:
        """Write the weights as safetensors, whose JSON header holds the settings; empty where nothing is built yet."""
        if self._model is None:
            return b""
        state = {name: value.contiguous() for name, value in self._model.state_dict().items()}
        return save(state, metadata={SETTINGS_KEY: json.dumps(self.cfg, sort_keys=True)})

    @in_usual_torch
    def from_bytes(self, bytes_data: bytes) -> "TorchShim":
        """Rebuild the module from the saved settings and load its weights.

        Raises ValueError where the data are damaged or hold another module; the shim stays as it was then.
        """
        if not bytes_data:
            self._model = None
            self.version += 1
            return self
        try:
            settings, state = _read_safetensors(bytes_data)
            module = load_module(self.build, settings, state).to(get_torch_default_device())
        # Whatever a module raises for settings that were not made for it.
        except Exception as error:
            raise ValueError(
                f"The saved weights of the torch layer {self.build.__name__!r} cannot be read ({_said(error)}): the "
                "file is damaged or belongs to another model. Copy or train the model again."
            ) from None
        self.cfg = settings
        self._model = module
        self.version += 1
        return self


def _read_safetensors(data: bytes) -> Tuple[Dict[str, Any], Dict[str, Tensor]]:
    """Read the settings in the header, and the weights."""
    (header_size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + header_size])
    return json.loads(header["__metadata__"][SETTINGS_KEY]), load(data)


def _said(error: Exception) -> str:
    """Put what an error says into one line, cut where it is long."""
    said = " ".join(str(error).split())[:200]
    return said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}"


def shim_of(model: Model) -> TorchShim:
    """Get the torch shim of a layer made with one."""
    return cast(TorchShim, model.shims[0])


def built_shim(model: Model) -> TorchShim:
    """Get the torch shim of a layer whose module is built.

    Raises ValueError before that.
    """
    shim = shim_of(model)
    if not shim.is_built:
        raise ValueError(f"The layer {model.name!r} has no weights yet: call nlp.initialize() or load a model first.")
    return shim


def layer_width(layer: Model, docs: Optional[list]) -> int:
    """Find the output width of an initialized layer, from its dimensions or else by running it on a few docs.

    Raises ValueError where neither tells.
    """
    width = layer.maybe_get_dim("nO")
    if width is None and docs:
        width = layer.predict(docs[:1])[0].shape[1]
    if width is None:
        raise ValueError(f"The output width of the layer {layer.name!r} is not known: initialize it with examples.")
    return width


def to_torch(array: Any, *, requires_grad: bool = False) -> Tensor:
    """Turn a numpy or cupy array into a tensor on the same device, without a copy where its layout allows."""
    if isinstance(array, np.ndarray):
        if not array.flags.writeable:
            array = array.copy()
        if not requires_grad and type(get_current_ops()) is NumpyOps:
            return torch.from_numpy(array)
    return xp2torch(array, requires_grad=requires_grad)


def to_array(tensor: Tensor) -> Any:
    """Turn a tensor into a numpy or cupy array on the same device, without a copy where its layout allows."""
    return tensor.detach().numpy() if tensor.device.type == "cpu" else torch2xp(tensor.detach())


def concatenate_rows(model: Model, arrays: List[Floats2d]) -> Floats2d:
    """Join a list of (length, width) arrays to one (sum of lengths, width) array."""
    return model.ops.flatten(arrays) if len(arrays) != 1 else arrays[0]


def join_inputs(model: Model, vectors: List[Floats2d], width: int) -> Floats2d:
    """Join the vectors of another layer, (length, width) each, to the (sum of lengths, width) that a layer reads.

    Raises ValueError where they have another width than the one the layer was made for.
    """
    rows = concatenate_rows(model, vectors)
    if len(rows) and rows.shape[1] != width:
        raise ValueError(
            f"The layer {model.name!r} was made for {width} features a token, but what it reads has {rows.shape[1]}: "
            f"a listener needs the width of what it listens to, here `width = {rows.shape[1]}`."
        )
    return rows


def split_rows(model: Model, rows: Floats2d, lengths: List[int]) -> List[Floats2d]:
    """Split a (sum of lengths, width) array into a list of (length, width) arrays; lengths may be 0."""
    if len(lengths) == 1:
        return [rows]
    ends = np.cumsum(lengths)
    return [rows[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def no_backprop(model: Model) -> Callable[[Any], Any]:
    """Make the backward pass of a layer that was run for prediction: it raises ValueError."""

    def backprop(d_outputs: Any) -> Any:
        raise ValueError(
            f"The layer {model.name!r} was run for prediction, which keeps nothing to learn from: use is_train=True."
        )

    return backprop
