"""`spacy_crfner.Concatenate.v1`: the vectors of two layers side by side."""

from typing import Callable, List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..wrapping import layer_width

DocsLayer = Model[List[Doc], List[Floats2d]]


def build_concatenate_v1(
    first: Model[List[Doc], List[Floats2d]], second: Model[List[Doc], List[Floats2d]]
) -> Model[List[Doc], List[Floats2d]]:
    """Join the vectors of two layers: for each token that of the first, followed by that of the second.

    first, second: layers from Docs to one vector a token; each may be a Concatenate.v1 again.
    """
    # Thinc's own asks for the width of its input where a layer has not told it, and Docs have none.
    return Model("concatenate", forward, init=init, layers=[first, second], dims={"nO": None})


def forward(
    model: DocsLayer, docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, sum of both widths) for each."""
    (first, backprop_first), (second, backprop_second) = (layer(docs, is_train) for layer in model.layers)

    def backprop(gradient: List[Floats2d]) -> List[Doc]:
        contiguous = model.ops.as_contig
        widths = [rows.shape[1] for rows in first]
        backprop_first([contiguous(rows[:, :width]) for rows, width in zip(gradient, widths, strict=True)])
        backprop_second([contiguous(rows[:, width:]) for rows, width in zip(gradient, widths, strict=True)])
        return docs

    pairs = zip(first, second, strict=True)
    return [cast(Floats2d, model.ops.xp.concatenate(pair, axis=1)) for pair in pairs], backprop


def init(model: DocsLayer, X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None) -> None:
    """Make the weights of both layers."""
    for layer in model.layers:
        layer.initialize(X=X)
    model.set_dim("nO", sum(layer_width(layer, X) for layer in model.layers), force=True)
