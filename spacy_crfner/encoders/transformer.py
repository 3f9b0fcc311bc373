"""`spacy_crfner.Transformer.v1`: a BERT-type model of the Hugging Face library as a layer, trained or frozen."""

from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from spacy.attrs import ORTH
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats2d
from torch import Tensor

from ..extras import require
from ..feature_cache import FeatureCache, content_key
from ..sentences import batch_lengths
from ..torch_state import layer_in_usual_torch
from ..wrapping import built_shim, concatenate_rows, no_backprop, shim_of, split_rows, to_array, to_torch
from .layerwise import Unfreezing
from .transformer_module import POOLINGS, has_fast_bfloat16
from .transformer_shim import TransformerShim
from .windows import cut_windows

AT_ONCE = 4096
"""Most pieces of a batch, with padding."""

Run = Tuple[Doc, Tuple[int, int]]
"""Tokens that are read by themselves: their Doc, the first of them, and the one after the last."""


def build_transformer_v1(
    name: Optional[str] = None,
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
    int8: bool = False,
    unfreeze_after: int = 0,
    unfreeze_every: int = 0,
    cache: Optional[str] = None,
    memory_mb: float = 500.0,
) -> Model[List[Doc], List[Floats2d]]:
    """Encode tokens with a pretrained transformer (Devlin et al. 2019), without another component.

    name: of a model on the Hugging Face hub, or a folder with one and its tokenizer. It is read when the pipeline is
        initialized, and never again: weights and tokenizer are saved with the pipeline. Until then it may be None.
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
        which may share it. A pipeline that is loaded keeps nothing; one that has just been trained keeps what it reads.
    memory_mb: how much of them is kept in memory, in units of 10^6 bytes; a token takes twice the width in bytes.
    int8: predict with 8-bit weights, on a CPU: faster still, at a cost in F1 that is to be measured. The weights that
        are trained and saved stay as they are: what counts is the config that a pipeline is loaded with.
    unfreeze_after: updates in which the transformer stays as it is, so that what stands over it learns first.
    unfreeze_every: from then on, updates until one more layer learns, from the top down to the embeddings (Howard &
        Ruder 2018); 0 for all at once. Updates are those of an optimizer: a training with another one counts anew.
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
    if frozen and (unfreeze_after or unfreeze_every):
        raise ValueError("Transformer.v1 is either frozen or unfrozen after some updates: choose one of both settings.")
    if cache is not None and not frozen:
        raise ValueError(
            "Transformer.v1 keeps no vectors of a transformer that learns, so there is nothing to put into the cache "
            f"{cache!r}: set frozen = true, or leave the cache out."
        )
    if not memory_mb >= 0:
        raise ValueError(f"Transformer.v1 needs a memory_mb of 0 or more, not {memory_mb}.")
    if unfreeze_after < 0 or unfreeze_every < 0:
        raise ValueError(
            "Transformer.v1 counts in unfreeze_after and unfreeze_every updates of 0 or more, not "
            f"{unfreeze_after}, {unfreeze_every}."
        )
    return Model(
        "transformer",
        forward,
        init=init,
        shims=[TransformerShim(int8)],
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
            "unfreeze_after": unfreeze_after,
            "unfreeze_every": unfreeze_every,
        },
    )


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, nO) for each."""
    shim = cast(TransformerShim, built_shim(model))
    if is_train:
        shim.is_frozen = model.attrs["frozen"]
        shim.rate, shim.layer_decay = model.attrs["rate"], model.attrs["layer_decay"]
        shim.unfreezing = Unfreezing(model.attrs["unfreeze_after"], model.attrs["unfreeze_every"])
    doc_lengths = [len(doc) for doc in docs]
    dropout = model.attrs["dropout_rate"] if is_train else 0.0
    if model.attrs["frozen"]:
        rows = _dropped(model, _read_frozen(model, shim, docs), dropout)
        return split_rows(model, rows, doc_lengths), lambda _: docs
    inputs = _inputs(model, shim, _runs(model, docs))
    if inputs is None:
        return split_rows(model, model.ops.alloc2f(sum(doc_lengths), model.get_dim("nO")), doc_lengths), lambda _: docs
    if not is_train:
        return split_rows(model, to_array(_predict(model, shim, inputs)), doc_lengths), no_backprop(model)
    mixed = model.attrs["mixed_precision"]
    if not shim.thaw():
        # With the weights that will learn, not with what predicts in their place.
        with torch.no_grad():
            vectors = cast(Any, shim._model)(*inputs, 0.0, mixed)
        return split_rows(model, _dropped(model, vectors, dropout), doc_lengths), lambda _: docs
    vectors, backprop_torch = shim(ArgsKwargs(args=(*inputs, dropout, mixed), kwargs={}), True)

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        gradient = to_torch(concatenate_rows(model, d_outputs))
        backprop_torch(ArgsKwargs(args=((vectors,),), kwargs={"grad_tensors": gradient}))
        return docs

    return split_rows(model, to_array(vectors), doc_lengths), backprop


def _predict(model: Model, shim: TransformerShim, inputs: Tuple[Any, ...]) -> Tensor:
    """Compute vectors of what `_inputs` gives, for prediction."""
    return shim.predict(ArgsKwargs(args=(*inputs, 0.0, _precision(model, shim)["mixed_precision"]), kwargs={}))


def _precision(model: Model, shim: TransformerShim, version: Optional[int] = None) -> Dict[str, bool]:
    """Tell in how many bits vectors are computed for prediction on this machine.

    version: of the weights, where the caller has just looked it up.
    """
    # 8-bit weights, which there are on a CPU alone, take inputs in 32 bits.
    int8 = shim.predictor(version) is not shim._model
    device = next(cast(Any, shim._model).parameters()).device
    mixed = model.attrs["mixed_precision"] and not int8 and has_fast_bfloat16(device)
    return {"int8": int8, "mixed_precision": mixed}


def _dropped(model: Model, vectors: Tensor, dropout: float) -> Floats2d:
    """Drop features of vectors that nothing is learned through."""
    rows = to_array(vectors)
    if not dropout > 0:
        return rows
    if dropout >= 1 or not isinstance(rows, np.ndarray):
        return rows * model.ops.get_dropout_mask(rows.shape, dropout)
    # Thinc draws numbers of 64 bits for it, which takes twice as long; torch takes several times as long.
    drawn = np.random.default_rng(np.random.randint(2**63)).random(rows.shape, dtype=np.float32)
    return cast(Floats2d, rows * ((drawn >= dropout) * np.float32(1.0 / (1.0 - dropout))))


def _read_frozen(model: Model, shim: TransformerShim, docs: List[Doc]) -> Tensor:
    """Look up the vectors of Docs, or compute them: (tokens, nO), with the precision in which they are kept."""
    # Once for each, as R-Drop has them twice.
    different = list({id(doc): doc for doc in docs}.values())
    runs, width = _runs(model, different), model.get_dim("nO")

    def make(chosen: Sequence[Run]) -> List[np.ndarray]:
        lengths = [end - start for _, (start, end) in chosen]
        inputs = _inputs(model, shim, chosen)
        if inputs is None:
            return [np.zeros((length, width), dtype=np.float16) for length in lengths]
        vectors = _predict(model, shim, inputs)
        return np.split(vectors.half().cpu().numpy(), np.cumsum(lengths)[:-1])

    if shim.kept is None:
        rows = make(runs)
    else:
        settings = {name: model.attrs[name] for name in ("window", "stride", "keep_spaces")}
        version = shim.current_version()
        of_model = shim.fingerprint(version, **settings, **_precision(model, shim, version))
        keys = [content_key(of_model, _words(doc, span, model.attrs["keep_spaces"])) for doc, span in runs]
        shapes = [(end - start, width) for _, (start, end) in runs]
        rows = shim.kept.complete(keys, shapes, lambda missing: make([runs[number] for number in missing]))
    of_doc: Dict[int, List[np.ndarray]] = {id(doc): [] for doc in different}
    for (doc, _), vectors in zip(runs, rows, strict=True):
        of_doc[id(doc)].append(vectors)
    joined = [np.zeros((0, width), dtype=np.float16), *chain.from_iterable(of_doc[id(doc)] for doc in docs)]
    device = next(cast(Any, shim._model).parameters()).device
    return torch.from_numpy(np.concatenate(joined, dtype=np.float32)).to(device)


def _words(doc: Doc, span: Tuple[int, int], spaced: bool) -> List[str]:
    """List the words of a run, perhaps with the spaces behind them."""
    start, end = span
    if spaced:
        return [token.text_with_ws for token in doc[start:end]]
    # Tokens, which are made anew whenever they are asked for, take five times as long.
    strings = doc.vocab.strings
    return [strings[number] for number in doc.to_array(ORTH)[start:end].tolist()]


def _runs(model: Model, docs: List[Doc]) -> List[Run]:
    """Cut Docs into the runs of tokens that are read by themselves."""
    runs = []
    for doc in docs:
        ends = accumulate(batch_lengths([doc], model.attrs["per_sentence"]), initial=0)
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
    if model.attrs["name"] is None:
        raise ValueError(
            "Transformer.v1 has no model to begin with: give the name of one on the Hugging Face hub, or its folder, "
            "such as --paths.transformer bert-base-cased, or xlm-roberta-base for another language than English."
        )
    shim.load_pretrained(model.attrs["name"], layers=model.attrs["layers"], pooling=model.attrs["pooling"])
    most, window = shim.longest(), model.attrs["window"]
    ends = len(shim.reader.before) + len(shim.reader.after)
    if most is not None and window > most:
        raise ValueError(
            f"{model.attrs['name']!r} reads {most} pieces at once, so its window cannot be {window}: choose at most "
            f"{most}, and a stride of at most {most - ends}."
        )
    if window <= ends:
        raise ValueError(
            f"The window of Transformer.v1 holds {ends} pieces that mark its ends, so it cannot be {window}: choose a "
            "larger one."
        )
    if window - ends < model.attrs["stride"]:
        raise ValueError(
            f"The window of Transformer.v1 holds {ends} pieces that mark its ends, so that a stride of "
            f"{model.attrs['stride']} would leave pieces out: choose a stride of at most {window - ends}, or a larger "
            "window."
        )
    model.set_dim("nO", shim.width, force=True)
    if model.attrs["frozen"]:
        folder = model.attrs["cache"]
        shim.kept = FeatureCache(Path(folder) if folder else None, model.attrs["memory_mb"])
