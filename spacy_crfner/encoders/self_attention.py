"""`spacy_crfner.SelfAttention.v1`: multi-head self-attention over any tok2vec, sentence by sentence."""

from functools import partial
from typing import Callable, List, Optional, Tuple

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..torch_state import layer_in_usual_torch
from ..wrapping import TorchShim, layer_width, shim_of
from .over_sequences import predict_sequences, read_docs
from .self_attention_module import SelfAttention

ROWS_AT_ONCE = 1 << 13
"""Tokens whose queries, keys and values are there at the same time at prediction; a longer sentence has all of its."""


def build_self_attention_v1(
    tok2vec: Model[List[Doc], List[Floats2d]], heads: int = 4, per_sentence: bool = True
) -> Model[List[Doc], List[Floats2d]]:
    """Let the words of each sentence read each other by multi-head self-attention (Vaswani et al. 2017).

    To the vectors of another layer it adds what attention reads from them (a residual connection); layer normalization
    follows. The vectors stay as wide as they were.

    tok2vec: any layer from Docs to one vector a token, whose width the heads divide. The attention itself knows no
        order of the words: put it over a layer that does, such as BiLSTM.v1.
    heads: attentions side by side, each over its part of the features.
    per_sentence: read each sentence by itself where `doc.sents` is set; False always reads the whole Doc.
    The dropout rate of the training config applies to what attention reads.
    Time grows with the square of the length of a sentence, memory with the length.
    Raises ValueError where heads is below 1 or, when the layer is initialized, does not divide the width.
    """
    if heads < 1:
        raise ValueError(f"SelfAttention.v1 needs 1 head or more, not {heads}.")
    return Model(
        "self_attention",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[TorchShim(SelfAttention)],
        dims={"nI": None, "nO": None},
        attrs={"dropout_rate": 0.0, "heads": heads, "per_sentence": per_sentence},
    )


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, width) for each."""
    return read_docs(model, docs, is_train, partial(predict_sequences, model, most_rows=ROWS_AT_ONCE))


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Make the weights, for vectors as wide as those of the layer.

    Raises ValueError where the heads do not divide that width.
    """
    tok2vec, heads = model.layers[0], model.attrs["heads"]
    tok2vec.initialize(X=X)
    width = layer_width(tok2vec, X)
    if width % heads:
        raise ValueError(
            f"SelfAttention.v1 has {heads} heads, which cannot share the {width} features of the layer below: choose a "
            "number of heads that divides them, or another width."
        )
    model.set_dim("nI", width, force=True)
    model.set_dim("nO", width, force=True)
    shim_of(model).create(width=width, heads=heads)
