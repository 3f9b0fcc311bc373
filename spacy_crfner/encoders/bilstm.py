"""`spacy_crfner.BiLSTM.v1`: a bidirectional LSTM over any tok2vec, sentence by sentence."""

from typing import Callable, List, Optional, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats2d
from torch import Tensor

from ..packing import Packing
from ..portions import portions
from ..sentences import batch_lengths
from ..torch_state import layer_in_usual_torch
from ..wrapping import TorchShim, built_shim, concatenate_rows, layer_width, shim_of, split_rows, to_array, to_torch
from .recurrent import MOST_ROWS_HELD, BiLSTM, quantized


def build_bilstm_v1(
    tok2vec: Model[List[Doc], List[Floats2d]],
    width: int = 400,
    depth: int = 1,
    per_sentence: bool = True,
    int8: bool = False,
) -> Model[List[Doc], List[Floats2d]]:
    """Read each sentence with a bidirectional LSTM (Graves & Schmidhuber 2005) over the vectors of another layer.

    tok2vec: any layer from Docs to one vector a token; a listener too, which always encodes whole Docs.
    width: output features a token, half of them for each direction.
    depth: stacked layers.
    per_sentence: read each sentence by itself where `doc.sents` is set; False always reads the whole Doc.
    int8: predict with 8-bit weights, on a CPU: faster, at a small cost in F1.
        The weights that are trained and saved stay as they are: what counts is the config a pipeline is loaded with.
    The dropout rate of the training config acts as variational dropout before every layer and after the last.
    Raises ValueError where width is odd or not positive, or depth is below 1.
    """
    if width < 2 or width % 2:
        raise ValueError(f"BiLSTM.v1 needs an even width of 2 or more (half for each direction), not {width}.")
    if depth < 1:
        raise ValueError(f"BiLSTM.v1 needs a depth of 1 or more, not {depth}.")
    return Model(
        "bilstm",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[TorchShim(BiLSTM, for_prediction=quantized if int8 else BiLSTM.for_prediction)],
        dims={"nI": None, "nO": width},
        attrs={"dropout_rate": 0.0, "depth": depth, "per_sentence": per_sentence},
    )


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, width) for each."""
    vectors, backprop_tok2vec = model.layers[0](docs, is_train)
    lengths = batch_lengths(docs, model.attrs["per_sentence"])
    doc_lengths = [len(doc) for doc in docs]
    if not lengths:
        return [model.ops.alloc2f(0, model.get_dim("nO")) for _ in docs], lambda _: docs

    runs = [] if is_train else portions(lengths, MOST_ROWS_HELD)
    joined = concatenate_rows(model, vectors)
    if len(runs) > 1:
        return split_rows(model, _predict_runs(model, joined, lengths, runs), doc_lengths), _no_backprop
    if len(lengths) == 1 and not is_train and isinstance(joined, np.ndarray):
        one = built_shim(model).predictor().one
        if one is not None:
            return split_rows(model, one.read(joined), doc_lengths), _no_backprop

    rows = to_torch(joined, requires_grad=is_train)
    packing = Packing.from_lengths(lengths, device=rows.device)
    dropout = model.attrs["dropout_rate"] if is_train else 0.0
    inputs = ArgsKwargs(args=(packing.pack(rows), packing, dropout), kwargs={})
    states, backprop_lstm = built_shim(model)(inputs, is_train)  # (N, width)

    def backprop_states(d_outputs: List[Floats2d]) -> List[Floats2d]:
        d_states = packing.pack(to_torch(concatenate_rows(model, d_outputs)))
        backprop_lstm(ArgsKwargs(args=((states,),), kwargs={"grad_tensors": d_states}))
        return split_rows(model, to_array(cast(Tensor, rows.grad)), doc_lengths)

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        return backprop_tok2vec(backprop_states(d_outputs))

    outputs = to_array(packing.unpack(states))
    return split_rows(model, outputs, doc_lengths), backprop


def _predict_runs(model: Model, rows: Floats2d, lengths: List[int], runs: List[slice]) -> Floats2d:
    """Read the sequences of a large batch run by run, so that only one at a time is there in another order."""
    ends = np.cumsum(lengths)
    states = []
    for run in runs:
        end = int(ends[run.stop - 1])
        own = to_torch(rows[end - sum(lengths[run]) : end])
        packing = Packing.from_lengths(lengths[run], device=own.device)
        arguments = ArgsKwargs(args=(packing.pack(own), packing, 0.0), kwargs={})
        states.append(to_array(packing.unpack(built_shim(model).predict(arguments))))
    return model.ops.xp.concatenate(states)


def _no_backprop(d_outputs: List[Floats2d]) -> List[Doc]:
    raise ValueError("BiLSTM.v1 was run for prediction, which keeps nothing to learn from: use is_train=True.")


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Make the weights, for vectors as wide as those of the layer."""
    tok2vec = model.layers[0]
    tok2vec.initialize(X=X)
    model.set_dim("nI", layer_width(tok2vec, X), force=True)
    shim_of(model).create(input_width=model.get_dim("nI"), width=model.get_dim("nO"), depth=model.attrs["depth"])
