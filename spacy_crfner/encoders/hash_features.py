"""spaCy's hash-embedded token attributes, with noise that keeps them from learning words by heart."""

from typing import Callable, List, Sequence, Tuple

import numpy as np
from thinc.api import HashEmbed, Maxout, Model, chain, concatenate
from thinc.types import Floats2d, Ints2d


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
