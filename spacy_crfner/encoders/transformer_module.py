"""A transformer of the Hugging Face library, from windows of pieces to one vector a token."""

import copy
import json
import warnings
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from ..extras import require

POOLINGS = ("mean", "first", "last")


class TransformerModule(nn.Module):
    """An encoder such as BERT, RoBERTa or XLM-R, and the tokenizer that belongs to it.

    config: of the encoder, as JSON. tokenizer_bytes: size of the tokenizer, which is kept beside the weights.
    layers: the mean of so many layers, from the last one on. pooling: of the pieces of a token, one of POOLINGS.
    """

    def __init__(self, *, config: str, tokenizer_bytes: int, layers: int, pooling: str):
        super().__init__()
        transformers = require("transformers", "transformers", "spacy_crfner.Transformer.v1")
        values = json.loads(config)
        # What would make the library fetch something, or run code that came with a model.
        strange = sorted({"auto_map", "backbone", "use_pretrained_backbone", "custom_pipelines"} & values.keys())
        if strange:
            raise ValueError(f"its config has {strange[0]!r}, as no encoder of text has")
        described = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
        self.encoder = make_encoder(transformers.AutoModel.from_config, described, trust_remote_code=False).eval()
        self.layers, self.pooling = layers, pooling
        self._twin: Tuple[Any, ...] = ()
        self.register_buffer("tokenizer", torch.zeros(tokenizer_bytes, dtype=torch.uint8))

    def forward(
        self,
        batches: Sequence[Tuple[Tensor, Tensor]],
        rows: Tensor,
        pairs: Tuple[Tensor, Tensor],
        n_tokens: int,
        dropout: float,
        mixed_precision: bool = False,
    ) -> Tensor:
        """Read windows. Returns (n_tokens, width) in single precision; zeros for a token that has no piece.

        batches: (windows, longest) pieces and (windows,) lengths of each. rows: see `Windows`. pairs: (M,) a piece, in
        the order of `rows`, and (M,) a token that it stands in. dropout: of the vectors; above 0, the encoder applies
        its own rates too. mixed_precision: multiply matrices in 16 bits where the device does so fast.
        """
        encoder = self._in_training() if dropout > 0 else self.encoder
        device = rows.device
        with in_16_bits(device, mixed_precision):
            states = torch.cat([self._states(encoder, *batch).flatten(0, 1).float() for batch in batches])
        piece, token = pairs
        vectors = self._pool(states, rows[piece], token, n_tokens)
        return nn.functional.dropout(vectors, dropout, training=dropout > 0)

    def _in_training(self) -> Any:
        """Get a twin of the encoder, with the same parameters, that applies its dropout: nobody sees it switched."""
        device = next(self.encoder.parameters()).device
        if not self._twin or self._twin[1] != device:
            shared = {id(own): own for own in (*self.encoder.parameters(), *self.encoder.buffers())}
            # In a tuple, so that it is no part of this module.
            self._twin = (copy.deepcopy(self.encoder, shared).train(), device)
        return self._twin[0]

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_twin": ()}

    def _states(self, encoder: Any, ids: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        output = encoder(
            input_ids=ids, attention_mask=mask.long(), output_hidden_states=self.layers > 1, return_dict=True
        )
        if self.layers == 1:
            return output.last_hidden_state
        return torch.stack(output.hidden_states[-self.layers :]).mean(dim=0)

    def _pool(self, states: Tensor, row: Tensor, token: Tensor, n_tokens: int) -> Tensor:
        """Make one vector of the states of the pieces of each token: (n_tokens, width).

        row, token: (M,) where the state of a piece is, and a token that it stands in, in order of the pieces.
        """
        if self.pooling != "mean":
            order = torch.argsort(token, stable=True)
            row, token = row[order], token[order]
            borders, end = token[1:] != token[:-1], torch.ones_like(token[:1], dtype=torch.bool)
            chosen = torch.cat([end, borders] if self.pooling == "first" else [borders, end])
            row, token = row[chosen], token[chosen]
        vectors = states.new_zeros((n_tokens, states.shape[1])).index_add(0, token, states[row])
        if self.pooling != "mean":
            return vectors
        counts = torch.bincount(token, minlength=n_tokens).clamp(min=1)
        return vectors / counts[:, None]


def quantized(module: TransformerModule) -> TransformerModule:
    """Copy a module to linear layers with 8-bit weights, which quantise their inputs as they come.

    Returns the module itself on a GPU, where torch has no such layers.
    """
    if next(module.parameters()).device.type != "cpu":
        return module
    # All but the linear layers, which are replaced, is the module's own: embeddings are large.
    made = copy.deepcopy(module, {id(own): own for own in (*module.parameters(), *module.buffers())})
    with warnings.catch_warnings():
        # torch announces that this will move to another package.
        warnings.simplefilter("ignore")
        quantization = torch.ao.quantization
        # A scale for each output, which is as fast as one for all weights of a layer.
        linear = {nn.Linear: quantization.per_channel_dynamic_qconfig}
        quantization.quantize_dynamic(made.encoder, linear, dtype=torch.qint8, inplace=True)
    return made


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether a device has instructions for products of 16-bit floats."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Torch has no public question for this. Without such instructions 16 bits are slower than 32.
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


@contextmanager
def in_16_bits(device: torch.device, wanted: bool) -> Iterator[None]:
    """Multiply matrices in 16 bits, where that is wanted and the device does so fast."""
    chosen = wanted and has_fast_bfloat16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=chosen):
        try:
            yield
        finally:
            if chosen:
                # Inside an autocast of the program, torch would take the weights of now for those of later.
                torch.clear_autocast_cache()


def make_encoder(make: Any, *args: Any, **kwargs: Any) -> Any:
    """Make an encoder of the Hugging Face library, without the layer that pools a text where it may be left out."""
    try:
        return make(*args, add_pooling_layer=False, **kwargs)
    except TypeError:
        return make(*args, **kwargs)


def first_position(encoder: Any) -> int:
    """Tell which row of its table an encoder of the library takes for the first piece of a text.

    It is the one behind that of the padding where the encoder counts positions from there on, as RoBERTa does, or 0.
    """
    tables = (part for name, part in encoder.named_modules() if name.endswith("position_embeddings"))
    return next((own.padding_idx + 1 for own in tables if getattr(own, "padding_idx", None) is not None), 0)


def most_pieces(encoder: Any) -> Optional[int]:
    """Tell how many pieces an encoder of the library can read at once; None where it does not say."""
    most = getattr(encoder.config, "max_position_embeddings", None)
    return most - first_position(encoder) if most and most > 0 else None


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep the library from warning of weights that a model does not need or has not been trained with."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def describe(config: Any) -> str:
    """Write the config of an encoder as JSON."""
    values: Dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    # How weights were saved, and where: not what they are.
    for name in ("torch_dtype", "dtype", "_name_or_path", "transformers_version", "architectures", "auto_map"):
        values.pop(name, None)
    return json.dumps(values, sort_keys=True)


def depths(names: Sequence[str]) -> List[int]:
    """Count how many layers a parameter stands above the embeddings, which are 0, by its name."""
    numbers = [[int(part) for part in name.split(".") if part.isdigit()] for name in names]
    top = max((own[0] + 1 for own in numbers if own), default=0)
    # wte and wpe: as GPT-2 calls its embeddings.
    first = ("embed", "wte", "wpe")
    return [
        own[0] + 1 if own else 0 if any(part in name for part in first) else top
        for own, name in zip(numbers, names, strict=True)
    ]
