"""spaCy's hash-embedded token attributes, with noise that keeps them from learning words by heart."""

from typing import Callable, List, Sequence, Tuple

import numpy as np
from spacy.ml import FeatureExtractor
from spacy.tokens import Doc
from thinc.api import HashEmbed, Maxout, Model, chain, concatenate, list2ragged, ragged2list, with_array
from thinc.types import Floats2d, Ints2d


def hash_features(
    attrs: Sequence[str], rows: Sequence[int], width: int, noise: float
) -> Model[List[Doc], List[Floats2d]]:
    """Hash embeddings (Miranda et al. 2022, https://arxiv.org/abs/2212.09255) of token attributes, mixed by one
    maxout layer as in spacy.MultiHashEmbed.v2.

    attrs, rows: the attributes and the size of the table of each.
    width: features a token.
    noise: in training, the share of attribute values that is replaced by a random one. A word that was never seen
        falls on table rows that others have filled: with noise the tagger learns how little such a value says.
    """
    embeds: List[Model[Ints2d, Floats2d]] = [
        HashEmbed(width, size, column=column, seed=column + 7, dropout=0.0) for column, size in enumerate(rows)
    ]
    embedded = concatenate(*embeds) if len(embeds) > 1 else embeds[0]
    mixed = Maxout(width, width * len(embeds), nP=3, dropout=0.0, normalize=True)
    model: Model[List[Doc], List[Floats2d]] = chain(
        FeatureExtractor(list(attrs)),
        Model("attribute_noise", add_noise, attrs={"noise": noise}),
        list2ragged(),
        with_array(chain(embedded, mixed)),
        ragged2list(),
    )
    model.set_dim("nO", width)
    return model


def add_noise(
    model: Model[List[Ints2d], List[Ints2d]], values: List[Ints2d], is_train: bool
) -> Tuple[List[Ints2d], Callable[[List[Ints2d]], List[Ints2d]]]:
    """Replace a share of the attribute values, each by itself, by random ones; only in training."""
    rate = model.attrs["noise"]
    if is_train and rate:
        values = [_noisy(model, array, rate) for array in values]
    return values, lambda gradient: gradient


def _noisy(model: Model, array: Ints2d, rate: float) -> Ints2d:
    hit = np.random.random(array.shape) < rate
    keys = np.random.randint(0, np.iinfo(np.int64).max, size=array.shape, dtype=np.int64).astype(np.uint64)
    xp = model.ops.xp
    return xp.where(xp.asarray(hit), xp.asarray(keys).astype(array.dtype), array)
