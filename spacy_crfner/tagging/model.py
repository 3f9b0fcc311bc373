"""`spacy_crfner.CRFTagger.v1`: any tok2vec, a linear layer to one score a tag, and the parameters of a CRF."""

from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Linear, Model
from thinc.types import Floats1d, Floats2d

from ..wrapping import concatenate_rows, layer_width, split_rows


@dataclass(frozen=True, eq=False)
class CRFScores:
    """What the model says of a batch of Docs, and likewise the gradient of a loss by it; K tags.

    emissions: a (length of the Doc, K) array for each Doc.
    start, transitions, end: (K,), (K from, K to), (K,), shared by all Docs; the layout of pytorch-crf.
    """

    emissions: List[Floats2d]
    start: Floats1d
    transitions: Floats2d
    end: Floats1d


def build_crf_tagger_v1(
    tok2vec: Model[List[Doc], List[Floats2d]], nO: Optional[int] = None
) -> Model[List[Doc], CRFScores]:
    """A linear-chain CRF (Lafferty et al. 2001) over any layer from Docs to one vector a token.

    tok2vec: HashEmbedCNN, BiLSTM.v1, a Tok2VecListener, a TransformerListener...
    nO: number of tags; the component sets it.
    """
    output = Linear(nO=nO)
    return Model(
        "crf_tagger",
        forward,
        init=init,
        layers=[tok2vec, output],
        dims={"nO": nO},
        params={"start": None, "transitions": None, "end": None},
        refs={"tok2vec": tok2vec, "output_layer": output},
        attrs={"resize_output": resize_output},
    )


def forward(
    model: Model[List[Doc], CRFScores], docs: List[Doc], is_train: bool
) -> Tuple[CRFScores, Callable[[CRFScores], List[Doc]]]:
    tok2vec, output = model.layers
    vectors, backprop_tok2vec = tok2vec(docs, is_train)
    lengths = [len(doc) for doc in docs]
    emissions, backprop_output = output(concatenate_rows(model, vectors), is_train)

    def backprop(gradient: CRFScores) -> List[Doc]:
        for name in ("start", "transitions", "end"):
            model.inc_grad(name, getattr(gradient, name))
        d_vectors = backprop_output(concatenate_rows(model, gradient.emissions))
        return backprop_tok2vec(split_rows(model, d_vectors, lengths))

    scores = CRFScores(
        emissions=split_rows(model, emissions, lengths),
        start=cast(Floats1d, model.get_param("start")),
        transitions=cast(Floats2d, model.get_param("transitions")),
        end=cast(Floats1d, model.get_param("end")),
    )
    return scores, backprop


def init(model: Model[List[Doc], CRFScores], X: Optional[List[Doc]] = None, Y: Optional[CRFScores] = None) -> None:
    tok2vec, output = model.layers
    tok2vec.initialize(X=X)
    if model.has_dim("nO") is None:
        raise ValueError("CRFTagger.v1 needs its number of tags (nO) before it is initialized.")
    n_tags = model.get_dim("nO")
    output.set_dim("nI", layer_width(tok2vec, X), force=True)
    output.set_dim("nO", n_tags, force=True)
    output.initialize()
    model.set_param("start", model.ops.alloc1f(n_tags))
    model.set_param("transitions", model.ops.alloc2f(n_tags, n_tags))
    model.set_param("end", model.ops.alloc1f(n_tags))


def resize_output(model: Model[List[Doc], CRFScores], n_tags: int) -> Model[List[Doc], CRFScores]:
    """More tags, in place: the scores of the old ones stay, those of the new ones begin at zero."""
    output = model.get_ref("output_layer")
    if model.has_dim("nO") and model.has_param("start"):
        ops = model.ops
        sizes = {"start": (n_tags,), "transitions": (n_tags, n_tags), "end": (n_tags,)}
        for name, size in sizes.items():
            model.set_param(name, _grown(ops.alloc(size), model.get_param(name)))
        weights, bias = cast(Floats2d, output.get_param("W")), output.get_param("b")
        output.set_dim("nO", n_tags, force=True)
        output.set_param("W", _grown(ops.alloc2f(n_tags, weights.shape[1]), weights))
        output.set_param("b", _grown(ops.alloc1f(n_tags), bias))
    model.set_dim("nO", n_tags, force=True)
    return model


def _grown(larger, smaller):
    larger[tuple(slice(size) for size in smaller.shape)] = smaller
    return larger
