"""`spacy_crfner.Transformer.v1`: a BERT-type model of the Hugging Face library as a layer, trained or frozen."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, Optimizer
from thinc.types import Floats2d
from thinc.util import get_torch_default_device
from torch import Tensor

from ..extras import require
from ..sentences import batch_lengths
from ..torch_state import in_usual_torch, layer_in_usual_torch
from ..wrapping import TorchShim, built_shim, concatenate_rows, shim_of, split_rows, to_array, to_torch
from .transformer_module import POOLINGS, TransformerModule, depths, describe, make_encoder, most_pieces, quiet
from .windows import cut_windows
from .word_pieces import PieceReader

AT_ONCE = 4096
"""Most pieces of a batch, with padding."""


def build_transformer_v1(
    name: str,
    layers: int = 1,
    pooling: str = "mean",
    window: int = 128,
    stride: int = 96,
    per_sentence: bool = True,
    keep_spaces: bool = False,
    frozen: bool = False,
    rate: float = 0.05,
    layer_decay: float = 1.0,
    mixed_precision: bool = False,
) -> Model[List[Doc], List[Floats2d]]:
    """Encode tokens with a pretrained transformer (Devlin et al. 2019), without another component.

    name: of a model on the Hugging Face hub, or a folder with one and its tokenizer. It is read when the pipeline is
        initialized, and never again: weights and tokenizer are saved with the pipeline.
    layers: the mean of so many layers, from the last one on; 4 suits frozen models.
    pooling: of the pieces of a token: "mean", "first" or "last".
    window, stride: most pieces that are read at once, with those that mark the ends, and pieces from one window of a
        longer text to the next.
    per_sentence: read each sentence by itself where `doc.sents` is set; False always reads the whole Doc.
    keep_spaces: read the text with the spaces that it has. Without, it is read as if a space stood between all tokens,
        so that columns, which have lost their spaces, and running text are read alike.
    frozen: leave the weights as they are.
    rate: the learning rate of the transformer, as a part of that of the optimizer: 5e-5 beside 1e-3.
    layer_decay: the rate of each layer, as a part of that of the one above it. Biases and norms have no weight decay.
    mixed_precision: multiply matrices in 16 bits (bfloat16) in training and prediction where the processor or the GPU
        has instructions for it, and in 32 bits elsewhere: two to three times as fast.
    The dropout rate of the training config applies to the vectors. Inside, the transformer has rates of its own, which
    apply where that rate is above 0.
    A token that is white space has a vector of zeros.
    Raises ValueError for arguments that cannot be; ImportError where the transformers library is missing.
    """
    require("transformers", "transformers", "spacy_crfner.Transformer.v1")
    if pooling not in POOLINGS:
        raise ValueError(f"pooling of Transformer.v1 is one of {', '.join(POOLINGS)}, not {pooling!r}.")
    if layers < 1 or stride < 1 or window <= stride:
        raise ValueError(
            f"Transformer.v1 needs 1 layer or more and a window larger than its stride, not layers {layers}, window "
            f"{window}, stride {stride}."
        )
    if not rate > 0 or not 0 < layer_decay <= 1:
        raise ValueError(f"Transformer.v1 needs a rate above 0 and a layer_decay in (0, 1], not {rate}, {layer_decay}.")
    return Model(
        "transformer",
        forward,
        init=init,
        shims=[TransformerShim()],
        dims={"nO": None},
        attrs={
            "dropout_rate": 0.0,
            "name": name,
            "layers": layers,
            "pooling": pooling,
            "window": window,
            "stride": stride,
            "per_sentence": per_sentence,
            "keep_spaces": keep_spaces,
            "frozen": frozen,
            "rate": rate,
            "layer_decay": layer_decay,
            "mixed_precision": mixed_precision,
        },
    )


class TransformerShim(TorchShim):
    """A shim with a transformer and its tokenizer, whose layers learn at rates of their own.

    rate, layer_decay: see `build_transformer_v1`.
    """

    def __init__(self) -> None:
        super().__init__(build_module)
        self.rate, self.layer_decay = 1.0, 1.0
        self._reader: Tuple[Any, Optional[PieceReader]] = (None, None)

    @in_usual_torch
    def load_pretrained(self, name: str, *, layers: int, pooling: str) -> None:
        """Read a model and its tokenizer. Raises ValueError where there is none, or none of this kind."""
        transformers = require("transformers", "transformers", "spacy_crfner.Transformer.v1")
        if name[:1] in (".", "/", "~") and not Path(name).is_dir():
            raise ValueError(f"Transformer.v1 cannot read the model {name!r}: there is no such folder.")
        options: Dict[str, Any] = {"trust_remote_code": False}
        try:
            reader = PieceReader.of_transformer(transformers.AutoTokenizer.from_pretrained(name, **options))
            options.update(torch_dtype=torch.float32, output_loading_info=True)
            with quiet(transformers):
                encoder, loaded = make_encoder(transformers.AutoModel.from_pretrained, name, **options)
            _check(encoder, loaded, reader, layers)
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
        # Whatever the library raises for a folder or a name that is not one of its models.
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise ValueError(
                f"Transformer.v1 cannot use the model {name!r} ({said}): give the name of an encoder such as BERT on "
                "the Hugging Face hub, or a folder that save_pretrained has written with its fast tokenizer."
            ) from None
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

    def longest(self) -> Optional[int]:
        """Most pieces that the transformer can read at once; None where it does not say."""
        return most_pieces(cast(Any, self._model).encoder)

    @in_usual_torch
    def finish_update(self, optimizer: Any) -> None:
        """See TorchShim: each layer at its own rate, and without weight decay of biases and norms."""
        parameters = dict(cast(Any, self._model).named_parameters())
        top = max(depths(list(parameters)), default=0)
        scales = {
            name: self.rate * self.layer_decay ** (top - depth)
            for name, depth in zip(parameters, depths(list(parameters)), strict=True)
        }
        try:
            super().finish_update(_Scaled(optimizer, scales))
        except ValueError:
            for parameter in parameters.values():
                parameter.grad = None
            raise

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
        return {**super().__getstate__(), "_reader": (None, None)}


def _check(encoder: Any, loaded: Dict[str, Any], reader: PieceReader, layers: int) -> None:
    """Check that what was read is an encoder with weights of its own, for this tokenizer. Raises ValueError."""
    config = encoder.config
    absent = [name for name in loaded["missing_keys"] if "pooler" not in name and "position_ids" not in name]
    if absent:
        raise ValueError(f"it holds no weights for {absent[0]} and {len(absent) - 1} others")
    if config.is_encoder_decoder or getattr(config, "hidden_size", None) is None:
        raise ValueError(f"a model of the type {config.model_type!r} is no encoder of text")
    rows = encoder.get_input_embeddings().num_embeddings
    if max(reader.tokenizer.get_vocab().values()) >= rows:
        raise ValueError(f"its tokenizer has more pieces than the {rows} that the model knows")
    if layers > config.num_hidden_layers:
        raise ValueError(f"it has {config.num_hidden_layers} layers, so that there is no mean of the last {layers}")


class _Scaled:
    """An optimizer whose rate is scaled by the name of a parameter, and whose weight decay spares some."""

    def __init__(self, optimizer: Any, scales: Dict[str, float]):
        if not isinstance(optimizer, Optimizer) and set(scales.values()) != {1.0}:
            raise ValueError(
                "A Transformer.v1 with a rate of its own cannot be trained by nlp.rehearse(), which knows one rate: "
                "call rehearse() of its component, with the optimizer as sgd."
            )
        self.optimizer, self.scales = optimizer, scales

    def __call__(self, key: Tuple[int, str], weights: Any, gradient: Any) -> Any:
        scale = self.scales[key[1]]
        options = {} if scale == 1.0 else {"lr_scale": scale}
        # Biases and norms are what has one dimension.
        if weights.ndim > 1 or not isinstance(self.optimizer, Optimizer):
            return self.optimizer(key, weights, gradient, **options)
        decay, self.optimizer.L2 = self.optimizer.L2, 0.0
        try:
            return self.optimizer(key, weights, gradient, **options)
        finally:
            self.optimizer.L2 = decay


def build_module(
    *, config: str, tokenizer_bytes: int, layers: int, pooling: str, reader: Dict[str, Any]
) -> TransformerModule:
    """Make the module of saved settings. reader: of `PieceReader`, for those who read text."""
    return TransformerModule(config=config, tokenizer_bytes=tokenizer_bytes, layers=layers, pooling=pooling)


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, nO) for each."""
    shim = cast(TransformerShim, built_shim(model))
    doc_lengths = [len(doc) for doc in docs]
    inputs = _read(model, shim, docs)
    if inputs is None:
        return split_rows(model, model.ops.alloc2f(sum(doc_lengths), model.get_dim("nO")), doc_lengths), lambda _: docs
    mixed = model.attrs["mixed_precision"]
    learns = is_train and not model.attrs["frozen"]
    dropout = model.attrs["dropout_rate"] if is_train else 0.0
    if not learns:
        vectors = shim.predict(ArgsKwargs(args=(*inputs, 0.0, mixed), kwargs={}))
        rows = to_array(torch.nn.functional.dropout(vectors, dropout, training=dropout > 0))
        return split_rows(model, rows, doc_lengths), lambda _: docs
    shim.rate, shim.layer_decay = model.attrs["rate"], model.attrs["layer_decay"]
    vectors, backprop_torch = shim(ArgsKwargs(args=(*inputs, dropout, mixed), kwargs={}), True)

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        gradient = to_torch(concatenate_rows(model, d_outputs))
        backprop_torch(ArgsKwargs(args=((vectors,),), kwargs={"grad_tensors": gradient}))
        return docs

    return split_rows(model, to_array(vectors), doc_lengths), backprop


def _read(model: Model, shim: TransformerShim, docs: List[Doc]) -> Optional[Tuple[Any, ...]]:
    """Cut the Docs into what the module takes, but for the dropout rate; None where there are no pieces."""
    reader, device = shim.reader, next(cast(Any, shim._model).parameters()).device
    sequences, pairs, n_pieces, n_tokens = [], [], 0, 0
    for doc in docs:
        start = 0
        for length in batch_lengths([doc], model.attrs["per_sentence"]):
            pieces = reader.read(doc, (start, start + length), keep_spaces=model.attrs["keep_spaces"])
            if len(pieces.ids):
                sequences.append(pieces.ids)
                pairs.append((pieces.piece + n_pieces, pieces.token + n_tokens + start))
                n_pieces += len(pieces.ids)
            start += length
        n_tokens += len(doc)
    if not sequences:
        return None
    limits = {"window": model.attrs["window"], "stride": model.attrs["stride"], "at_once": AT_ONCE}
    windows = cut_windows(sequences, reader.before, reader.after, reader.padding, **limits)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    batches = [(tensor(batch.ids), tensor(batch.lengths)) for batch in windows.batches]
    piece, token = (tensor(np.concatenate(column)) for column in zip(*pairs, strict=True))
    return batches, tensor(windows.rows), (piece, token), n_tokens


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Read the pretrained model. Raises ValueError where it cannot be read, or not in windows of this size."""
    shim = cast(TransformerShim, shim_of(model))
    shim.load_pretrained(model.attrs["name"], layers=model.attrs["layers"], pooling=model.attrs["pooling"])
    most, window = shim.longest(), model.attrs["window"]
    ends = len(shim.reader.before) + len(shim.reader.after)
    if most is not None and window > most:
        raise ValueError(f"{model.attrs['name']!r} reads {most} pieces at once, so its window cannot be {window}.")
    if window - ends < model.attrs["stride"]:
        raise ValueError(
            f"The window of Transformer.v1 holds {ends} pieces that mark its ends, so that a stride of "
            f"{model.attrs['stride']} would leave pieces out: choose at most {window - ends}."
        )
    model.set_dim("nO", shim.width, force=True)
