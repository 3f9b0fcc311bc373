"""`spacy_crfner.CharCNN.v1`: a convolution over the characters of each token, and its capitalization."""

from typing import Any, Callable, List, Optional, Tuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats2d
from torch import Tensor

from ..portions import portions
from ..torch_state import layer_in_usual_torch
from ..wrapping import built_shim, concatenate_rows, no_backprop, shim_of, split_rows, to_array, to_torch
from .char_cnn_module import CharCNN, Spelling
from .word_cache import CachingShim
from .word_shape import N_TYPES, capitalizations, char_types
from .words import OWN_ROWS, Words, char_rows, shortened

CHARS_AT_ONCE = 1 << 16
"""Characters that are read together at prediction."""


def build_char_cnn_v1(
    width: int = 53,
    window: int = 3,
    char_embed_width: int = 25,
    char_rows: int = 4096,
    type_width: int = 4,
    capitalization_width: int = 5,
) -> Model[List[Doc], List[Floats2d]]:
    """Read the characters of each token with a convolution and a maximum over the word (Chiu & Nichols 2016).

    Concatenate.v1 puts word vectors beside it.

    width: filters of the convolution.
    window: characters that a filter reads, an odd number. Half of it, rounded down, is padding at each end of a word.
    char_embed_width, char_rows: the character table, as in `WordCharEmbed.v1`; more than 1,024 rows.
    type_width: features of the type of a character: upper case, lower case, punctuation (symbols too) or other; 0 for
        none.
    capitalization_width: features of the capitalization of a token: all caps, initial cap, lower case, mixed, or no
        information where no letter has case; 0 for none. They follow those of the convolution.
    The dropout rate of the training config applies to the features of the characters.
    Raises ValueError for numbers that cannot be.
    """
    if width < 1 or char_embed_width < 1:
        raise ValueError(
            f"CharCNN.v1 needs a width and a char_embed_width of 1 or more, not {width} and {char_embed_width}."
        )
    if window < 1 or not window % 2:
        raise ValueError(f"CharCNN.v1 needs an odd window, with a character in its middle, not {window}.")
    if char_rows <= OWN_ROWS:
        raise ValueError(f"char_rows must be more than {OWN_ROWS}, not {char_rows}.")
    if type_width < 0 or capitalization_width < 0:
        raise ValueError(
            "type_width and capitalization_width of CharCNN.v1 must be 0 (none) or more, not "
            f"{type_width} and {capitalization_width}."
        )
    return Model(
        "char_cnn",
        forward,
        init=init,
        shims=[CachingShim(CharCNN)],
        dims={"nO": width + capitalization_width},
        attrs={
            "dropout_rate": 0.0,
            "width": width,
            "window": window,
            "char_embed_width": char_embed_width,
            "char_rows": char_rows,
            "type_width": type_width,
            "capitalization_width": capitalization_width,
        },
    )


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, width + capitalization_width) for each."""
    shim = built_shim(model)
    lengths = [len(doc) for doc in docs]
    if not sum(lengths):
        return split_rows(model, model.ops.alloc2f(0, model.get_dim("nO")), lengths), lambda d_outputs: docs
    words = Words.read(docs, [])
    if not is_train:
        return split_rows(model, _predict(model, words), lengths), no_backprop(model)

    spelling = _spell(model, words.texts(np.arange(len(words.keys))))
    word_of_token = _on_device(model, words.word_of_token)
    arguments = ArgsKwargs(args=(spelling, word_of_token, model.attrs["dropout_rate"]), kwargs={})
    features, backprop_torch = shim(arguments, is_train)  # (N, nO)

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        gradient = to_torch(concatenate_rows(model, d_outputs))
        backprop_torch(ArgsKwargs(args=((features,),), kwargs={"grad_tensors": gradient}))
        return docs

    return split_rows(model, to_array(features), lengths), backprop


def _predict(model: Model[List[Doc], List[Floats2d]], words: Words) -> Floats2d:
    """Compute the features (N, nO) of every token; those of a word are kept for the next batches."""
    shim = cast(CachingShim, built_shim(model))
    # Before the weights are read: what others change in the meantime belongs to another version.
    version = shim.current_version()
    module = shim.predictor(version)

    def compute(some: np.ndarray) -> Floats2d:
        texts = words.texts(some)
        runs = portions([len(shortened(text)) for text in texts], CHARS_AT_ONCE)
        with torch.no_grad():
            return model.ops.xp.concatenate([to_array(module.read(_spell(model, texts[run]), 0.0)) for run in runs])

    kept: Any = shim.cache.look_up(words.keys, version, compute)
    return kept[words.word_of_token]


def _spell(model: Model[List[Doc], List[Floats2d]], words: List[str]) -> Spelling:
    """Lay out the characters of words, on the device of the model."""
    padding, n_rows = model.attrs["window"] // 2, model.attrs["char_rows"]
    texts = [shortened(word) for word in words]
    word_of_char = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    windows = np.arange(len(word_of_char)) + 2 * padding * word_of_char
    size = len(windows) + 2 * padding * len(texts)
    chars, types = np.full(size, n_rows), np.full(size, N_TYPES)
    chars[windows + padding] = char_rows(texts, n_rows)
    types[windows + padding] = char_types(texts)
    arrays = (chars, types, windows, word_of_char, capitalizations(words))
    return Spelling(*(_on_device(model, array) for array in arrays))


def _on_device(model: Model, values: Any) -> Tensor:
    return to_torch(model.ops.asarray(values))


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Make the weights."""
    attrs = model.attrs
    shim_of(model).create(
        rows=attrs["char_rows"],
        embed_width=attrs["char_embed_width"],
        type_width=attrs["type_width"],
        width=attrs["width"],
        window=attrs["window"],
        capitalization_width=attrs["capitalization_width"],
    )
