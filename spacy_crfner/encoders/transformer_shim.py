"""The torch shim of `spacy_crfner.Transformer.v1`: weights and tokenizer of a model, and how its layers learn."""

import json
from typing import Any, Dict, Optional, Tuple, cast

import numpy as np
import torch
from thinc.api import Optimizer, torch2xp
from thinc.util import get_torch_default_device
from torch import Tensor

from ..extras import require
from ..feature_cache import FeatureCache
from ..files import fingerprint
from ..memory import release_memory
from ..torch_state import in_usual_torch
from ..wrapping import TorchShim
from .layerwise import ScaledOptimizer, Unfreezing
from .pretrained import check_encoder, check_encoder_weights, check_tokenizer, reading
from .transformer_module import TransformerModule, depths, describe, make_encoder, most_pieces, quantized
from .word_pieces import PieceReader

UPDATES = "updates"
"""Among the counts of an optimizer: that of the updates of a whole transformer."""

TRIM_AFTER = 8
"""Updates that leave little memory in gaps between tensors, see `release_memory`."""

VECTORS_VERSION = 2
"""Another number wherever the vectors of the same weights and text come out otherwise."""


class TransformerShim(TorchShim):
    """A shim with a transformer and its tokenizer, whose layers learn at rates and times of their own.

    rate, layer_decay: see `build_transformer_v1`. unfreezing: when layers begin to learn.
    is_frozen: nothing learns, so that no time is spent in looking for gradients.
    int8: predict with 8-bit weights.
    kept: where the vectors of a frozen one are kept while it is in use; None: nowhere.
    """

    extra = "transformers"

    def __init__(self, int8: bool = False) -> None:
        super().__init__(build_module, for_prediction=quantized if int8 else None)
        self.rate, self.layer_decay = 1.0, 1.0
        self.is_frozen = False
        self.unfreezing = Unfreezing()
        self._updates = 0
        self._holds = False
        self._reader: Tuple[Any, Optional[PieceReader]] = (None, None)
        self._untrimmed = 0
        self.kept: Optional[FeatureCache] = None
        self._print: Tuple[Tuple[Any, ...], str] = ((), "")

    @in_usual_torch
    def load_pretrained(self, name: str, *, layers: int, pooling: str) -> None:
        """Read a model and its tokenizer. Raises ValueError where there is none, or none of this kind."""
        with reading(name, "Transformer.v1") as transformers:
            made = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            reader = PieceReader.of_transformer(made)
            options = {"trust_remote_code": False, "torch_dtype": torch.float32, "output_loading_info": True}
            encoder, loaded = make_encoder(transformers.AutoModel.from_pretrained, name, **options)
            check_encoder_weights(encoder, loaded["missing_keys"])
            check_encoder(encoder)
            _check_layers(encoder.config, layers)
            check_tokenizer(made, encoder.get_input_embeddings().num_embeddings)
            tokenizer = np.frombuffer(reader.tokenizer.to_str().encode("utf8"), dtype=np.uint8)
            settings: Dict[str, Any] = {
                "config": describe(encoder.config),
                "tokenizer_bytes": len(tokenizer),
                "layers": layers,
                "pooling": pooling,
                "reader": reader.settings,
            }
            module = build_module(**settings)
            module.encoder.load_state_dict(encoder.state_dict())
        cast(Tensor, module.tokenizer).copy_(torch.from_numpy(tokenizer.copy()))
        self.cfg = settings
        self._model = module.to(get_torch_default_device())
        self.version += 1

    @property
    def reader(self) -> PieceReader:
        """What cuts text into the pieces of the transformer."""
        of_model, reader = self._reader
        if reader is None or of_model is not self._model:
            tokenizers = require("tokenizers", "transformers", "spacy_crfner.Transformer.v1")
            data = cast(Any, self._model).tokenizer.cpu().numpy().tobytes().decode("utf8")
            reader = PieceReader(tokenizers.Tokenizer.from_str(data), **self.cfg["reader"])
            self._reader = (self._model, reader)
        return reader

    @property
    def width(self) -> int:
        """Features of a vector."""
        return cast(Any, self._model).encoder.config.hidden_size

    def fingerprint(self, version: int, **settings: Any) -> str:
        """Digest the weights and settings: what the vectors of a text follow from beside it.

        version: of the weights as they are now, see `current_version`.
        """
        about = (version, json.dumps(settings, sort_keys=True))
        if self._print[0] != about:
            self._print = (about, fingerprint(VECTORS_VERSION, settings, self.to_bytes()))
        return self._print[1]

    def longest(self) -> Optional[int]:
        """Most pieces that the transformer can read at once; None where it does not say."""
        return most_pieces(cast(Any, self._model).encoder)

    def _parameters(self) -> Tuple[Dict[str, Any], Dict[str, int], int]:
        """List the parameters by name, their depths, and the highest of these."""
        parameters = dict(cast(Any, self._model).named_parameters())
        found = depths(list(parameters))
        return parameters, dict(zip(parameters, found, strict=True)), max(found, default=0)

    def thaw(self) -> bool:
        """Let autograd compute what learns in the next update, and no more. Returns whether anything does."""
        if not self.unfreezing.is_gradual and not self._holds:
            return True
        parameters, depth_of, top = self._parameters()
        lowest = self.unfreezing.lowest(self._updates, top)
        for name, parameter in parameters.items():
            parameter.requires_grad_(depth_of[name] >= lowest)
        self._holds = lowest > 0
        return lowest <= top

    @in_usual_torch
    def finish_update(self, optimizer: Any) -> None:
        """See TorchShim: each layer at its own rate, and without weight decay of biases and norms."""
        if self.is_frozen:
            return
        parameters, depth_of, top = self._parameters()
        if self.unfreezing.is_gradual and isinstance(optimizer, Optimizer):
            self._count(optimizer)
        if all(parameter.grad is None for parameter in parameters.values()):
            return
        scales = {name: self.rate * self.layer_decay ** (top - depth) for name, depth in depth_of.items()}
        try:
            super().finish_update(ScaledOptimizer(optimizer, scales))
        except ValueError:
            for parameter in parameters.values():
                parameter.grad = None
            raise
        self._untrimmed += 1
        if self._untrimmed == TRIM_AFTER:
            self._untrimmed = 0
            release_memory()

    def _count(self, optimizer: Optimizer) -> None:
        """Count an update of an optimizer, and leave to it the gradients of what learns in that update."""
        parameters, depth_of, top = self._parameters()
        # With the optimizer's own counts, since another optimizer is another training.
        key = (self.id, UPDATES)
        updates = optimizer.nr_update[key]
        lowest = self.unfreezing.lowest(updates, top)
        averages: Any = optimizer.averages
        for name, parameter in parameters.items():
            own = (self.id, name)
            if depth_of[name] < lowest:
                parameter.grad = None
            elif updates and parameter.grad is not None and averages is not None and own not in averages:
                # Thinc's averages begin at 0, to which they would be too near in the next evaluation.
                averages[own] = torch2xp(parameter.data.clone())
        self._updates = optimizer.nr_update[key] = updates + 1

    def from_bytes(self, bytes_data: bytes) -> "TransformerShim":
        """See TorchShim. Raises ValueError where the tokenizer is damaged too."""
        before = self.cfg, self._model
        super().from_bytes(bytes_data)
        try:
            if self.is_built:
                _ = self.reader
        except Exception as error:
            self.cfg, self._model = before
            raise ValueError(
                f"The tokenizer of a saved transformer cannot be read ({type(error).__name__}): the file is damaged or "
                "belongs to another model. Copy or train the model again."
            ) from None
        return self

    def __getstate__(self) -> Dict[str, Any]:
        return {**super().__getstate__(), "_reader": (None, None), "kept": None}


def _check_layers(config: Any, layers: int) -> None:
    """Check that an encoder with this config has so many layers. Raises ValueError."""
    if layers > config.num_hidden_layers:
        raise ValueError(f"it has {config.num_hidden_layers} layers, so that there is no mean of the last {layers}")


def build_module(
    *, config: str, tokenizer_bytes: int, layers: int, pooling: str, reader: Dict[str, Any]
) -> TransformerModule:
    """Make the module of saved settings. reader: of `PieceReader`, for those who read text."""
    return TransformerModule(config=config, tokenizer_bytes=tokenizer_bytes, layers=layers, pooling=pooling)
