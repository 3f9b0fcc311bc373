"""`spacy_crfner.BiLSTM.v1`: a bidirectional LSTM over any tok2vec, sentence by sentence."""

from functools import partial
from typing import Callable, List, Optional, Tuple

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..torch_state import layer_in_usual_torch
from ..wrapping import TorchShim, built_shim, layer_width, shim_of
from .over_sequences import predict_sequences, read_docs
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
    return read_docs(model, docs, is_train, partial(_predict, model))


def _predict(model: Model[List[Doc], List[Floats2d]], rows: Floats2d, lengths: List[int]) -> Floats2d:
    """Read the sequences of a batch; one alone without an operation of torch but those of the LSTMs."""
    if len(lengths) == 1 and isinstance(rows, np.ndarray):
        one = built_shim(model).predictor().one
        if one is not None:
            return one.read(rows)
    return predict_sequences(model, rows, lengths, MOST_ROWS_HELD)


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Make the weights, for vectors as wide as those of the layer."""
    tok2vec = model.layers[0]
    tok2vec.initialize(X=X)
    model.set_dim("nI", layer_width(tok2vec, X), force=True)
    shim_of(model).create(input_width=model.get_dim("nI"), width=model.get_dim("nO"), depth=model.attrs["depth"])
