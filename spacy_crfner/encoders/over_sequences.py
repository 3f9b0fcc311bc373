"""What layers share that read sentences, or whole Docs, over the vectors of another layer."""

from typing import Callable, List, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats2d
from torch import Tensor

from ..packing import Packing
from ..portions import portions
from ..sentences import batch_lengths
from ..wrapping import built_shim, concatenate_rows, join_inputs, no_backprop, split_rows, to_array, to_torch

DocsLayer = Model[List[Doc], List[Floats2d]]

Predict = Callable[[Floats2d, List[int]], Floats2d]
"""Rows (N, nI) of a batch and the lengths of its sequences -> (N, nO)."""


def read_docs(
    model: DocsLayer, docs: List[Doc], is_train: bool, predict: Predict
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs with the torch module of a layer over `model.layers[0]`: (tokens, nO) for each.

    The module takes rows (N, nI) in packed order, their packing and a dropout rate, and gives rows (N, nO) in that
    order. The attrs of the layer are `per_sentence` and `dropout_rate`.

    predict: how it reads a batch where nothing is learned, such as `predict_sequences`.
    """
    vectors, backprop_tok2vec = model.layers[0](docs, is_train)
    lengths = batch_lengths(docs, model.attrs["per_sentence"])
    doc_lengths = [len(doc) for doc in docs]
    if not lengths:
        return [model.ops.alloc2f(0, model.get_dim("nO")) for _ in docs], lambda _: docs
    built_shim(model)
    joined = join_inputs(model, vectors, model.get_dim("nI"))
    if not is_train:
        return split_rows(model, predict(joined, lengths), doc_lengths), no_backprop(model)

    rows = to_torch(joined, requires_grad=True)
    packing = Packing.from_lengths(lengths, device=rows.device)
    inputs = ArgsKwargs(args=(packing.pack(rows), packing, model.attrs["dropout_rate"]), kwargs={})
    states, backprop_torch = built_shim(model)(inputs, True)  # (N, nO)

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        d_states = packing.pack(to_torch(concatenate_rows(model, d_outputs)))
        backprop_torch(ArgsKwargs(args=((states,),), kwargs={"grad_tensors": d_states}))
        return backprop_tok2vec(split_rows(model, to_array(cast(Tensor, rows.grad)), doc_lengths))

    return split_rows(model, to_array(packing.unpack(states)), doc_lengths), backprop


def predict_sequences(model: DocsLayer, rows: Floats2d, lengths: List[int], most_rows: int) -> Floats2d:
    """Read the sequences of a batch, run by run, so that only one run at a time is there in another order.

    most_rows: of a run; a longer sequence is a run by itself.
    """
    ends = np.cumsum(lengths)
    states = []
    for run in portions(lengths, most_rows):
        end = int(ends[run.stop - 1])
        own = to_torch(rows[end - sum(lengths[run]) : end])
        packing = Packing.from_lengths(lengths[run], device=own.device)
        arguments = ArgsKwargs(args=(packing.pack(own), packing, 0.0), kwargs={})
        states.append(to_array(packing.unpack(built_shim(model).predict(arguments))))
    return states[0] if len(states) == 1 else model.ops.xp.concatenate(states)
