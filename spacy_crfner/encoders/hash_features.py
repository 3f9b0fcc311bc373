"""spaCy's hash-embedded token attributes, with noise that keeps them from learning words by heart."""

from typing import Any, Callable, List, Optional, Sequence, Tuple, cast

import numpy as np
from thinc.api import HashEmbed, Maxout, Model, chain, concatenate
from thinc.types import Floats2d, Ints1d, Ints2d

from .recurrent import MOST_ROWS_HELD, ROWS_AT_ONCE

# What is computed of the tables may take this much memory.
MOST_BYTES = 1 << 26


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
    return [weights for node in _nodes(model) for weights in node._params._params.values()]


def _nodes(model: Model[Ints2d, Floats2d]) -> List[Model]:
    """List the layers that have weights: the tables, the maxout layer and its norm."""
    embedded, mixed = model.layers[1].layers
    embeds = embedded.layers if embedded.layers[1].name != "hashembed" else [embedded]
    return [*(layer.layers[1] for layer in embeds), *mixed.layers[0].layers]


class FoldedHashes:
    """The same as the layer of `hash_features`, for prediction on a CPU, where it is several times as fast.

    The rows of the tables are added up, and what maxout makes of a sum is a sum: it is computed of the tables, once.
    Weights that change later are not followed.
    """

    def __init__(self, model: Model[Ints2d, Floats2d]):
        *tables, maxout, norm = _nodes(model)
        weights = cast(np.ndarray, maxout.get_param("W")).swapaxes(0, 1)  # (pieces, width, inputs)
        self.pieces, self.width, inputs = weights.shape
        parts = np.split(weights.reshape(-1, inputs), len(tables), axis=1)
        self.tables = [
            (node.attrs["column"], node.attrs["seed"], cast(np.ndarray, node.get_param("E")) @ part.T)
            for node, part in zip(tables, parts, strict=True)
        ]
        self.bias = cast(np.ndarray, maxout.get_param("b")).T.reshape(-1)
        self.scale, self.shift = norm.get_param("G"), norm.get_param("b")
        self.ops = model.ops

    @classmethod
    def of(cls, model: Model[Ints2d, Floats2d]) -> "Optional[FoldedHashes]":
        """Take the weights of a model of `hash_features`; None for tables that are too large, or on a GPU."""
        *tables, maxout, _ = _nodes(model)
        size = sum(len(node.get_param("E")) for node in tables) * maxout.get_param("b").nbytes
        return cls(model) if size <= MOST_BYTES and isinstance(maxout.get_param("W"), np.ndarray) else None

    def predict(self, values: Ints2d) -> np.ndarray:
        """Compute the features, (N, width), of values, (N, attributes)."""
        if len(values) > ROWS_AT_ONCE:
            starts = range(0, len(values), ROWS_AT_ONCE)
            return np.concatenate([self.predict(values[first : first + ROWS_AT_ONCE]) for first in starts])
        pieces = self.bias
        for column, seed, table in self.tables:
            keys = self.ops.hash(cast(Ints1d, np.ascontiguousarray(values[:, column])), seed)
            pieces = pieces + self.ops.gather_add(cast(Floats2d, table), keys % len(table))
        best = pieces[:, : self.width]
        for start in range(self.width, self.pieces * self.width, self.width):
            best = np.maximum(best, pieces[:, start : start + self.width])
        best -= np.add.reduce(best, axis=1, keepdims=True) / self.width
        variance = np.einsum("nk,nk->n", best, best)[:, None] / self.width + 1e-8
        best *= variance**-0.5
        best *= self.scale
        best += self.shift
        return best


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
