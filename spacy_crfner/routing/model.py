"""The architectures of the router: any tok2vec, and a torch module that reads sentences."""

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Tuple, cast

from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats1d, Floats2d
from torch import Tensor, nn

from ..packing import Packing
from ..sentences import batch_lengths
from ..torch_state import layer_in_usual_torch
from ..wrapping import TorchShim, built_shim, join_inputs, layer_width, shim_of, split_rows, to_array, to_torch
from .classifiers import RCNN, LSTMAttention, StructuredSelfAttention


@dataclass(frozen=True, eq=False)
class RouterScores:
    """What the model says of the sentences of a batch of Docs, in order, and likewise the gradient of a loss by it.

    logits: (sentences,) above 0 where a weak label is more likely than none.
    penalties: (sentences,) how much the attentions of a sentence overlap; zeros where there is none or one.
    """

    logits: Floats1d
    penalties: Floats1d

    def times(self, factor: float) -> "RouterScores":
        """Multiply all of it."""
        return self if factor == 1.0 else RouterScores(self.logits * factor, self.penalties * factor)


def build_rcnn_v1(
    tok2vec: Model[List[Doc], List[Floats2d]], width: int = 200, hidden_width: int = 100, per_sentence: bool = True
) -> Model[List[Doc], RouterScores]:
    """Score each sentence by an RCNN (Lai et al. 2015): words with left and right context, then their maximum.

    tok2vec: any layer from Docs to one vector a token.
    width: features of the BiLSTM that gives the context, half of them for each direction; 0 where the vectors of the
        tok2vec know it already, such as those of a BiLSTM that taggers share.
    hidden_width: features of the layer before the maximum.
    per_sentence: one score for each of `doc.sents`, where they are set; False gives one for each Doc.
    Raises ValueError for a width that is odd or negative, and for other numbers below 1.
    """
    return _router(RCNN, tok2vec, per_sentence, width=width, hidden_width=hidden_width)


def build_lstm_attention_v1(
    tok2vec: Model[List[Doc], List[Floats2d]], width: int = 200, per_sentence: bool = True
) -> Model[List[Doc], RouterScores]:
    """Score each sentence by a BiLSTM with attention over its states (Zhou et al. 2016).

    tok2vec, width, per_sentence: see `spacy_crfner.RCNN.v1`.
    Raises ValueError for a width that is odd or negative, and for other numbers below 1.
    """
    return _router(LSTMAttention, tok2vec, per_sentence, width=width)


def build_structured_self_attention_v1(
    tok2vec: Model[List[Doc], List[Floats2d]],
    width: int = 200,
    attention_width: int = 100,
    hops: int = 30,
    hidden_width: int = 100,
    per_sentence: bool = True,
) -> Model[List[Doc], RouterScores]:
    """Score each sentence by several attentions over the states of a BiLSTM (Lin et al. 2017).

    The component punishes their overlap.

    tok2vec, width, per_sentence: see `spacy_crfner.RCNN.v1`.
    attention_width: features of the layer that the attentions are read from.
    hops: number of attentions.
    hidden_width: features of the layer after them.
    Raises ValueError for a width that is odd or negative, and for other numbers below 1.
    """
    return _router(
        StructuredSelfAttention,
        tok2vec,
        per_sentence,
        width=width,
        attention_width=attention_width,
        hops=hops,
        hidden_width=hidden_width,
    )


def _router(
    build: Callable[..., nn.Module],
    tok2vec: Model[List[Doc], List[Floats2d]],
    per_sentence: bool,
    **settings: int,
) -> Model[List[Doc], RouterScores]:
    for name, value in settings.items():
        if name == "width":
            bad, kind = value < 0 or value % 2, "an even width of 0 or more (half for each direction; 0 for no BiLSTM)"
        else:
            bad, kind = value < 1, f"a {name} of 1 or more"
        if bad:
            raise ValueError(f"{build.__name__} needs {kind}, not {value}.")
    return Model(
        "sentence_router",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[TorchShim(build)],
        dims={"nI": None},
        attrs={"dropout_rate": 0.0, "per_sentence": per_sentence, "settings": settings},
        refs={"tok2vec": tok2vec},
    )


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], RouterScores], docs: List[Doc], is_train: bool
) -> Tuple[RouterScores, Callable[[RouterScores], List[Doc]]]:
    """Score each sentence."""
    vectors, backprop_tok2vec = model.layers[0](docs, is_train)
    lengths = batch_lengths(docs, model.attrs["per_sentence"])
    if not lengths:
        return RouterScores(model.ops.alloc1f(0), model.ops.alloc1f(0)), lambda _: docs
    shim = built_shim(model)
    rows = to_torch(join_inputs(model, vectors, model.get_dim("nI")), requires_grad=is_train)
    packing = Packing.from_lengths(lengths, device=rows.device)
    dropout = model.attrs["dropout_rate"] if is_train else 0.0
    inputs = ArgsKwargs(args=(packing.pack(rows), packing, dropout), kwargs={})
    (logits, penalties), backprop_torch = shim(inputs, is_train)

    def backprop(gradient: RouterScores) -> List[Doc]:
        outputs = [(logits, gradient.logits), (penalties, gradient.penalties)]
        outputs = [(output, values) for output, values in outputs if output.requires_grad]
        d_outputs = tuple(to_torch(values)[packing.order] for _, values in outputs)
        tensors = tuple(output for output, _ in outputs)
        backprop_torch(ArgsKwargs(args=(tensors,), kwargs={"grad_tensors": d_outputs}))
        return backprop_tok2vec(split_rows(model, to_array(cast(Tensor, rows.grad)), [len(doc) for doc in docs]))

    def by_sentence(values: Tensor) -> Any:
        return to_array(packing.unpack_sequences(values.detach()))

    return RouterScores(by_sentence(logits), by_sentence(penalties)), backprop


def init(
    model: Model[List[Doc], RouterScores], X: Optional[List[Doc]] = None, Y: Optional[RouterScores] = None
) -> None:
    """Make the weights.

    Raises ValueError where the width of the tok2vec is not known.
    """
    tok2vec = model.layers[0]
    tok2vec.initialize(X=X)
    model.set_dim("nI", layer_width(tok2vec, X), force=True)
    shim_of(model).create(input_width=model.get_dim("nI"), **model.attrs["settings"])
