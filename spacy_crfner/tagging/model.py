"""`spacy_crfner.CRFTagger.v1`: any tok2vec, a linear layer to one score a tag, and the parameters of a CRF."""

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Linear, Model
from thinc.types import Floats1d, Floats2d

from ..wrapping import concatenate_rows, layer_width, split_rows

# How far below the lowest bias of the tags that a model knows a new tag begins.
NEW_TAG_GAP = 4.0


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
    output, edges = Linear(nO=nO), _crf_edges(nO)
    return Model(
        "crf_tagger",
        forward,
        init=init,
        layers=[tok2vec, output, edges],
        refs={"tok2vec": tok2vec, "output_layer": output},
        attrs={"resize_output": resize_output},
    )


def _crf_edges(n_tags: Optional[int]) -> Model:
    """The node that holds the parameters of the CRF; nothing passes through it."""
    return Model(
        "crf_edges",
        _pass_through,
        dims={"nO": n_tags},
        params={"start": None, "transitions": None, "end": None},
    )


def _pass_through(model: Model, inputs: Any, is_train: bool) -> Tuple[Any, Callable]:
    return inputs, lambda gradient: gradient


def forward(
    model: Model[List[Doc], CRFScores], docs: List[Doc], is_train: bool
) -> Tuple[CRFScores, Callable[[CRFScores], List[Doc]]]:
    tok2vec, output, edges = model.layers
    vectors, backprop_tok2vec = tok2vec(docs, is_train)
    lengths = [len(doc) for doc in docs]
    emissions, backprop_output = output(concatenate_rows(model, vectors), is_train)

    def backprop(gradient: CRFScores) -> List[Doc]:
        for name in ("start", "transitions", "end"):
            edges.inc_grad(name, getattr(gradient, name))
        d_vectors = backprop_output(concatenate_rows(model, gradient.emissions))
        return backprop_tok2vec(split_rows(model, d_vectors, lengths))

    scores = CRFScores(
        emissions=split_rows(model, emissions, lengths),
        start=cast(Floats1d, edges.get_param("start")),
        transitions=cast(Floats2d, edges.get_param("transitions")),
        end=cast(Floats1d, edges.get_param("end")),
    )
    return scores, backprop


def init(model: Model[List[Doc], CRFScores], X: Optional[List[Doc]] = None, Y: Optional[CRFScores] = None) -> None:
    tok2vec, output, _ = model.layers
    if output.has_dim("nO") is None:
        raise ValueError("CRFTagger.v1 needs its number of tags (nO) before it is initialized.")
    tok2vec.initialize(X=X)
    _replace_head(model, output.get_dim("nO"), layer_width(tok2vec, X))


def is_initialized(model: Model[List[Doc], CRFScores]) -> bool:
    """Whether the model has weights."""
    return bool(model.layers[2].has_param("start"))


def resize_output(model: Model[List[Doc], CRFScores], n_tags: int) -> Model[List[Doc], CRFScores]:
    """Another number of tags, in place. Initialized models keep the scores of the tags that they have; new tags
    begin well below them, so that predictions stay what they were until the new tags are learned."""
    _, output, edges = model.layers
    if not is_initialized(model):
        output.set_dim("nO", n_tags, force=True)
        return model
    old = [(node, {name: node.get_param(name) for name in node.param_names}) for node in (output, edges)]
    _replace_head(model, n_tags, output.get_dim("nI"))
    for (_, params), node in zip(old, model.layers[1:], strict=True):
        for name, values in params.items():
            larger: Any = node.ops.alloc(node.get_param(name).shape)
            had: Any = values
            kept = tuple(slice(min(sizes)) for sizes in zip(larger.shape, had.shape, strict=True))
            larger[kept] = had[kept]
            if name == "b":
                larger[len(had) :] = had.min() - NEW_TAG_GAP
            node.set_param(name, larger)
    return model


def clear_head(model: Model[List[Doc], CRFScores]) -> None:
    """New layers after the tok2vec, without weights and widths."""
    output, edges = Linear(), _crf_edges(None)
    model.layers[1], model.layers[2] = output, edges
    model.set_ref("output_layer", output)


def _replace_head(model: Model[List[Doc], CRFScores], n_tags: int, width: int) -> None:
    """New layers after the tok2vec, with new weights: Thinc fixes the widths of a layer that has weights."""
    ops = model.ops
    output, edges = Linear(nO=n_tags, nI=width), _crf_edges(n_tags)
    output.initialize()
    edges.set_param("start", ops.alloc1f(n_tags))
    edges.set_param("transitions", ops.alloc2f(n_tags, n_tags))
    edges.set_param("end", ops.alloc1f(n_tags))
    model.layers[1], model.layers[2] = output, edges
    model.set_ref("output_layer", output)
