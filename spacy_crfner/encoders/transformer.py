"""`spacy_crfner.Transformer.v1`: a BERT-type model of the Hugging Face library as a layer, trained or frozen."""

import json
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, Optimizer
from thinc.types import Floats2d
from thinc.util import get_torch_default_device
from torch import Tensor

from ..extras import require
from ..feature_cache import FeatureCache, content_key
from ..files import fingerprint
from ..memory import release_memory
from ..sentences import batch_lengths
from ..torch_state import in_usual_torch, layer_in_usual_torch
from ..wrapping import TorchShim, built_shim, concatenate_rows, shim_of, split_rows, to_array, to_torch
from .transformer_module import POOLINGS, TransformerModule, depths, describe, make_encoder
from .windows import cut_windows
from .word_pieces import PieceReader

AT_ONCE = 4096
"""Most pieces of a batch, with padding."""

UPDATES = 8
"""So many of them leave little memory in gaps between tensors, see `release_memory`."""

VECTORS_VERSION = 1
"""Another number wherever the vectors of the same weights and text come out otherwise."""

Run = Tuple[Doc, Tuple[int, int]]
"""Tokens that are read by themselves: their Doc, the first of them, and the one after the last."""


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
    cache: Optional[str] = None,
    memory_mb: float = 500.0,
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
    frozen: leave the weights as they are. What they make of a sentence is rounded to 16 bits, and kept while the
        pipeline is trained, so that only the first pass over the data takes time.
    rate: the learning rate of the transformer, as a part of that of the optimizer: 5e-5 beside 1e-3.
    layer_decay: the rate of each layer, as a part of that of the one above it. Biases and norms have no weight decay.
    mixed_precision: multiply matrices in 16 bits (bfloat16) in training and prediction where the processor or the GPU
        has instructions for it, and in 32 bits elsewhere: two to three times as fast.
    cache: a folder where frozen vectors are kept beside memory, for this training and for others on the same text,
        which may share it. A pipeline that is loaded keeps nothing.
    memory_mb: how much of them is kept in memory, in units of 10^6 bytes; a token takes twice the width in bytes.
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
            "cache": cache,
            "memory_mb": memory_mb,
        },
    )


class TransformerShim(TorchShim):
    """A shim with a transformer and its tokenizer, whose layers learn at rates of their own.

    rate, layer_decay: see `build_transformer_v1`.
    kept: where the vectors of a frozen one are kept while it is in use; None: nowhere.
    """

    def __init__(self) -> None:
        super().__init__(build_module)
        self.rate, self.layer_decay = 1.0, 1.0
        self._reader: Tuple[Any, Optional[PieceReader]] = (None, None)
        self._updates = 0
        self.kept: Optional[FeatureCache] = None
        self._print: Tuple[Tuple[Any, ...], str] = ((), "")

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
            with _silence(transformers):
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

    def fingerprint(self, **settings: Any) -> str:
        """Digest the weights, as they are now, and settings: what the vectors of a text follow from beside it."""
        about = (self.current_version(), json.dumps(settings, sort_keys=True))
        if self._print[0] != about:
            self._print = (about, fingerprint(VECTORS_VERSION, settings, self.to_bytes()))
        return self._print[1]

    def longest(self) -> Optional[int]:
        """Most pieces that the transformer can read at once; None where it does not say."""
        encoder = cast(Any, self._model).encoder
        most = getattr(encoder.config, "max_position_embeddings", None)
        if not most or most < 0:
            return None
        # Some count positions from behind that of the padding on.
        tables = (part for name, part in encoder.named_modules() if name.endswith("position_embeddings"))
        padding = next((table.padding_idx for table in tables if getattr(table, "padding_idx", None) is not None), -1)
        return most - padding - 1

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
        self._updates += 1
        if self._updates % UPDATES == 0:
            release_memory()

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


@contextmanager
def _silence(transformers: Any) -> Iterator[None]:
    """Keep the library from warning of weights that an encoder does not need, such as those of its pre-training."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


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
    dropout = model.attrs["dropout_rate"] if is_train else 0.0
    if model.attrs["frozen"]:
        vectors = _read_frozen(model, shim, docs)
        rows = to_array(torch.nn.functional.dropout(vectors, dropout, training=dropout > 0))
        return split_rows(model, rows, doc_lengths), lambda _: docs
    inputs = _inputs(model, shim, _runs(model, docs))
    if inputs is None:
        return split_rows(model, model.ops.alloc2f(sum(doc_lengths), model.get_dim("nO")), doc_lengths), lambda _: docs
    arguments = ArgsKwargs(args=(*inputs, dropout, model.attrs["mixed_precision"]), kwargs={})
    if not is_train:
        return split_rows(model, to_array(shim.predict(arguments)), doc_lengths), lambda _: docs
    shim.rate, shim.layer_decay = model.attrs["rate"], model.attrs["layer_decay"]
    vectors, backprop_torch = shim(arguments, True)

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        gradient = to_torch(concatenate_rows(model, d_outputs))
        backprop_torch(ArgsKwargs(args=((vectors,),), kwargs={"grad_tensors": gradient}))
        return docs

    return split_rows(model, to_array(vectors), doc_lengths), backprop


def _read_frozen(model: Model, shim: TransformerShim, docs: List[Doc]) -> Tensor:
    """Look up the vectors of Docs, or compute them: (tokens, nO), with the precision in which they are kept."""
    runs, width = _runs(model, docs), model.get_dim("nO")

    def make(chosen: Sequence[Run]) -> List[np.ndarray]:
        lengths = [end - start for _, (start, end) in chosen]
        inputs = _inputs(model, shim, chosen)
        if inputs is None:
            return [np.zeros((length, width), dtype=np.float16) for length in lengths]
        vectors = shim.predict(ArgsKwargs(args=(*inputs, 0.0, model.attrs["mixed_precision"]), kwargs={}))
        return np.split(vectors.half().cpu().numpy(), np.cumsum(lengths)[:-1])

    if shim.kept is None:
        rows = make(runs)
    else:
        names = ("window", "stride", "keep_spaces", "mixed_precision")
        of_model = shim.fingerprint(**{name: model.attrs[name] for name in names})
        spaced = model.attrs["keep_spaces"]
        words = [
            [token.text_with_ws if spaced else token.text for token in doc[start:end]] for doc, (start, end) in runs
        ]
        keys = [content_key(of_model, own) for own in words]
        shapes = [(len(own), width) for own in words]
        rows = shim.kept.complete(keys, shapes, lambda missing: make([runs[number] for number in missing]))
    joined = np.concatenate([np.zeros((0, width), dtype=np.float16), *rows]).astype(np.float32)
    return torch.from_numpy(joined).to(next(cast(Any, shim._model).parameters()).device)


def _runs(model: Model, docs: List[Doc]) -> List[Run]:
    """Cut Docs into the runs of tokens that are read by themselves."""
    runs = []
    for doc in docs:
        ends = np.cumsum([0, *batch_lengths([doc], model.attrs["per_sentence"])]).tolist()
        runs += [(doc, span) for span in pairwise(ends)]
    return runs


def _inputs(model: Model, shim: TransformerShim, runs: Sequence[Run]) -> Optional[Tuple[Any, ...]]:
    """Cut runs of tokens into what the module takes, but for the dropout rate; None where there are no pieces."""
    reader, device = shim.reader, next(cast(Any, shim._model).parameters()).device
    texts, pairs, n_pieces, n_tokens = [], [], 0, 0
    for doc, span in runs:
        pieces = reader.read(doc, span, keep_spaces=model.attrs["keep_spaces"])
        if len(pieces.ids):
            texts.append(pieces.ids)
            pairs.append((pieces.piece + n_pieces, pieces.token + n_tokens))
            n_pieces += len(pieces.ids)
        n_tokens += span[1] - span[0]
    if not texts:
        return None
    limits = {"window": model.attrs["window"], "stride": model.attrs["stride"], "at_once": AT_ONCE}
    windows = cut_windows(texts, reader.before, reader.after, reader.padding, **limits)

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
    if model.attrs["frozen"]:
        folder = model.attrs["cache"]
        shim.kept = FeatureCache(Path(folder) if folder else None, model.attrs["memory_mb"])
