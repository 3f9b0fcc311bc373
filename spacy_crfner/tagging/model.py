"""`spacy_crfner.CRFTagger.v1`: any tok2vec, and the head of one tag set."""

from typing import Callable, List, Optional, Tuple

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..wrapping import layer_width
from .head import CRFScores, Head, build_head, initialize_head

HEADS = "heads"
"""The attr of a model that names the refs of its heads, one for each task of the component, in their order."""


def heads_of(model: Model) -> List[Head]:
    """List the heads of a model, one for each task."""
    return [model.get_ref(name) for name in model.attrs[HEADS]]


def build_crf_tagger_v1(
    tok2vec: Model[List[Doc], List[Floats2d]], nO: Optional[int] = None
) -> Model[List[Doc], CRFScores]:
    """Score tags with a linear-chain CRF (Lafferty et al. 2001) over any layer from Docs to one vector a token.

    tok2vec: HashEmbedCNN, BiLSTM.v1, a Tok2VecListener, a TransformerListener...
    nO: number of tags; the component sets it.
    """
    head = build_head(nO)
    return Model(
        "crf_tagger",
        forward,
        init=init,
        layers=[tok2vec, head],
        refs={"tok2vec": tok2vec, "head": head},
        attrs={HEADS: ["head"]},
    )


def forward(
    model: Model[List[Doc], CRFScores], docs: List[Doc], is_train: bool
) -> Tuple[CRFScores, Callable[[CRFScores], List[Doc]]]:
    """Score the tags of every token."""
    vectors, backprop_tok2vec = model.get_ref("tok2vec")(docs, is_train)
    scores, backprop_head = model.get_ref("head")(vectors, is_train)
    return scores, lambda gradient: backprop_tok2vec(backprop_head(gradient))


def init(model: Model[List[Doc], CRFScores], X: Optional[List[Doc]] = None, Y: Optional[CRFScores] = None) -> None:
    """Make the weights.

    Raises ValueError where the number of tags, or the width of the tok2vec, is not known.
    """
    tok2vec = model.get_ref("tok2vec")
    tok2vec.initialize(X=X)
    initialize_head(model.get_ref("head"), layer_width(tok2vec, X))
