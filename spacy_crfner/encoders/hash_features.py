"""spaCy's hash-embedded token attributes, with noise that keeps them from learning words by heart."""

from typing import Any, Callable, List, Optional, Sequence, Tuple, cast

import numpy as np
from thinc.api import HashEmbed, Maxout, Model, chain, concatenate
from thinc.types import Floats2d, Ints1d, Ints2d

from .recurrent import MOST_ROWS_HELD, ROWS_AT_ONCE

# Thinc multiplies matrices of so few rows slowly on a CPU.
FEW_ROWS = 256


def hash_features(rows: Sequence[int], width: int, noise: float) -> Model[Ints2d, Floats2d]:
    """Embed token attributes by hash (Miranda et al. 2022, https://arxiv.org/abs/2212.09255).

    The embeddings are mixed by one maxout layer as in spacy.MultiHashEmbed.v2: (N, attributes) values to (N, width)
    features.

    rows: the size of the table of each attribute.
    noise: in training, the share of attribute values that is replaced by a random one. A word that was never seen
        falls on table rows that others have filled: with noise the tagger learns how little such a value says.
    """
    embeds: List[Model[Ints2d, Floats2d]] = [
        HashEmbed(width, size, column=column, seed=column + 7, dropout=0.0) for column, size in enumerate(rows)
    ]
    embedded = concatenate(*embeds) if len(embeds) > 1 else embeds[0]
    mixed = Maxout(width, width * len(embeds), nP=3, dropout=0.0, normalize=True)
    model: Model[Ints2d, Floats2d] = chain(
        Model("attribute_noise", add_noise, attrs={"noise": noise}), chain(embedded, mixed)
    )
    model.set_dim("nO", width)
    return model


def update_hash_features(
    layer: Model[Ints2d, Floats2d], values: Ints2d
) -> Tuple[Floats2d, Callable[[Floats2d], Optional[Ints2d]]]:
    """Run the layer of `hash_features` for training, and make the function of its backward pass.

    Of each row it holds thousands of numbers until then. Those of a large batch are computed again, portion by portion,
    with the same random numbers.
    """
    if len(values) <= MOST_ROWS_HELD or not isinstance(values, np.ndarray):
        return layer(values, True)
    portions = [values[first : first + ROWS_AT_ONCE] for first in range(0, len(values), ROWS_AT_ONCE)]
    states, features = [], []
    for portion in portions:
        states.append(np.random.get_state())
        features.append(layer(portion, True)[0])

    def backprop(gradient: Floats2d) -> None:
        after = np.random.get_state()
        first = 0
        for state, portion in zip(states, portions, strict=True):
            np.random.set_state(state)
            layer(portion, True)[1](gradient[first : first + len(portion)])
            first += len(portion)
        np.random.set_state(after)

    return layer.ops.xp.concatenate(features), backprop


def hash_weights(model: Model[Ints2d, Floats2d]) -> List[Any]:
    """List the weights of a model of `hash_features`, in no time."""
    embedded, mixed = model.layers[1].layers
    embeds = embedded.layers if embedded.layers[1].name != "hashembed" else [embedded]
    nodes = [*(layer.layers[1] for layer in embeds), *mixed.layers[0].layers]
    return [weights for node in nodes for weights in node._params._params.values()]


def predict_hash_features(model: Model[Ints2d, Floats2d], values: Ints2d) -> Floats2d:
    """Compute what a model of `hash_features` predicts; faster than its layers where there are few words."""
    embedded, mixed = model.layers[1].layers
    if len(values) > FEW_ROWS or not isinstance(values, np.ndarray):
        return mixed.predict(embedded.predict(values))
    columns = embedded.layers if values.shape[1] > 1 else [embedded]
    rows = np.concatenate([_embed(layer.layers[1], values) for layer in columns], axis=1)
    maxout, norm = mixed.layers[0].layers
    weights, bias = maxout.get_param("W"), maxout.get_param("b")  # (width, pieces, inputs), (width, pieces)
    pieces = rows @ weights.reshape(-1, weights.shape[-1]).T
    pieces += bias.reshape(-1)
    best = pieces[:, :: weights.shape[1]]
    for piece in range(1, weights.shape[1]):
        best = np.maximum(best, pieces[:, piece :: weights.shape[1]])
    best -= np.add.reduce(best, axis=1, keepdims=True) / best.shape[1]
    variance = np.einsum("nk,nk->n", best, best)[:, None] / best.shape[1] + 1e-8
    best *= variance**-0.5
    best *= norm.get_param("G")
    best += norm.get_param("b")
    return best


def _embed(layer: Model, values: np.ndarray) -> Floats2d:
    table = cast(Floats2d, layer.get_param("E"))
    column = cast(Ints1d, np.ascontiguousarray(values[:, layer.attrs["column"]]))
    keys = layer.ops.hash(column, layer.attrs["seed"])
    return layer.ops.gather_add(table, keys % len(table))


def add_noise(
    model: Model[Ints2d, Ints2d], values: Ints2d, is_train: bool
) -> Tuple[Ints2d, Callable[[Ints2d], Ints2d]]:
    """Replace a share of the attribute values, each by itself, by random ones; only in training."""
    rate = model.attrs["noise"]
    if is_train and rate:
        xp = model.ops.xp
        hit = np.random.random(values.shape) < rate
        keys = np.random.randint(0, np.iinfo(np.int64).max, size=values.shape, dtype=np.int64).astype(np.uint64)
        values = xp.where(xp.asarray(hit), xp.asarray(keys).astype(values.dtype), values)
    return values, lambda gradient: gradient
