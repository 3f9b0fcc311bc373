"""`spacy_crfner.WordCharEmbed.v1`: word vectors, character BiLSTMs and spaCy's hash features of each token."""

import logging
from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple, cast

import numpy as np
import torch
from spacy.attrs import IDS
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats2d, Ints2d
from torch import Tensor

from ..packing import Packing
from ..torch_state import layer_in_usual_torch
from ..wrapping import built_shim, concatenate_rows, layer_width, no_backprop, shim_of, split_rows, to_array, to_torch
from .few_words import MOST_CELLS
from .hash_features import (
    FoldedHashes,
    hash_features,
    hash_weights,
    update_hash_features,
)
from .layout import Feature, parse_layout
from .word_cache import CachingShim
from .word_char import WordChar
from .words import MAX_CHARS, OWN_ROWS, Words, char_rows

logger = logging.getLogger("spacy")


def build_word_char_embed_v1(
    layout: str = "word+char*2",
    char_width: int = 50,
    char_embed_width: int = 30,
    char_rows: int = 4096,
    hash_attrs: Sequence[str] = ("NORM", "PREFIX", "SUFFIX", "SHAPE"),
    hash_rows: Sequence[int] = (5000, 1000, 2500, 2500),
    hash_width: int = 128,
    hash_noise: float = 0.4,
) -> Model[List[Doc], List[Floats2d]]:
    """Concatenate word and character features in the order of a layout, then hash features.

    layout: which features in which order (Zhong & Wu 2022), see `spacy_crfner.encoders.layout`. `word` is the
        static vector of the pipeline's vocab, see `Words.vectors`, `word100` a learned projection of it to 100
        features; `char` is a character BiLSTM with `char_width`
        features, `char30` with 30; each repetition is independent. A vocab without vectors leaves words out.
    char_width: features of a `char`, even.
    char_embed_width, char_rows: each character table; more than 1,024 rows.
    hash_attrs, hash_rows: token attributes embedded by hash as in spacy.MultiHashEmbed.v2, and the size of each
        table; empty for none.
    hash_width: features of all hash attributes together.
    hash_noise: in training, the share of attribute values that is replaced by a random one, from 0 to below 1.
    Raises ValueError for a layout that breaks the grammar, odd widths, or tables that do not fit.
    """
    parsed = parse_layout(layout)
    resolved = [Feature(f.kind, char_width if f.kind == "char" and f.width is None else f.width) for f in parsed]
    if any(
        feature.kind == "char" and (feature.width % 2 or feature.width < 2)
        for feature in resolved
        if feature.width is not None
    ):
        raise ValueError(
            f"Character features need an even width, half for each direction: {layout!r}, char_width {char_width}."
        )
    if char_embed_width < 1 or (hash_attrs and hash_width < 1):
        raise ValueError(f"char_embed_width and hash_width must be 1 or more, not {char_embed_width} and {hash_width}.")
    if char_rows <= OWN_ROWS:
        raise ValueError(f"char_rows must be more than {OWN_ROWS}, not {char_rows}.")
    if len(hash_attrs) != len(hash_rows):
        raise ValueError(
            f"hash_attrs and hash_rows must have the same length, not {len(hash_attrs)} and {len(hash_rows)}."
        )
    unknown = [name for name in hash_attrs if str(name).upper() not in IDS]
    if unknown:
        raise ValueError(
            f"hash_attrs names {unknown[0]!r}, which is no token attribute: choose from NORM, LOWER, PREFIX, SUFFIX, "
            "SHAPE and the others of spacy.attrs."
        )
    if any(size < 1 for size in hash_rows):
        raise ValueError(f"Each of hash_rows must be 1 or more, not {list(hash_rows)}.")
    if not 0.0 <= hash_noise < 1.0:
        raise ValueError(f"hash_noise is a share from 0 to below 1, not {hash_noise}.")
    hashed = [hash_features(hash_rows, hash_width, hash_noise)] if hash_attrs else []
    return Model(
        "word_char_embed",
        forward,
        init=init,
        layers=hashed,
        shims=[CachingShim(WordChar, WordChar.for_prediction)],
        dims={"nO": None},
        attrs={
            "dropout_rate": 0.0,
            "layout": layout,
            "hash_attrs": list(hash_attrs),
            "blocks": [[feature.kind, feature.width] for feature in resolved],
            "char_rows": char_rows,
            "char_embed_width": char_embed_width,
        },
    )


@layer_in_usual_torch
def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Encode Docs: (tokens, nO) for each."""
    shim = built_shim(model)
    lengths = [len(doc) for doc in docs]
    if not sum(lengths):
        return split_rows(model, model.ops.alloc2f(0, model.get_dim("nO")), lengths), lambda d_outputs: docs
    words = Words.read(docs, model.attrs["hash_attrs"])
    if not is_train:
        return split_rows(model, _predict(model, words), lengths), no_backprop(model)

    width = model.get_dim("nO") - sum(layer.get_dim("nO") for layer in model.layers)
    inputs = (_vectors(model, words), *_characters(model, words), _on_device(model, words.word_of_token))
    arguments = ArgsKwargs(args=(*inputs, model.attrs["dropout_rate"]), kwargs={})
    features, backprop_torch = shim(arguments, is_train)  # (N, width)
    rows = to_array(features)
    if model.layers:
        hash_inputs = _hash_inputs(model, words.extra[words.word_of_token])
        hashed, backprop_hashed = update_hash_features(model.layers[0], hash_inputs)
        rows = model.ops.xp.hstack([rows, hashed])

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        d_rows = concatenate_rows(model, d_outputs)
        # Without a feature that learns, there is nothing to pass gradients to.
        if features.requires_grad:
            gradient = to_torch(model.ops.as_contig(d_rows[:, :width]))
            backprop_torch(ArgsKwargs(args=((features,),), kwargs={"grad_tensors": gradient}))
        if model.layers:
            backprop_hashed(model.ops.as_contig(d_rows[:, width:]))
        return docs

    return split_rows(model, rows, lengths), backprop


def _predict(model: Model[List[Doc], List[Floats2d]], words: Words) -> Floats2d:
    """Compute the features (N, nO) of every token.

    What characters and attributes give is kept for the next batches; the vectors are not, since the vocab may get
    others.
    """
    shim = cast(CachingShim, built_shim(model))
    # Before the weights are read: what others change in the meantime belongs to another version.
    version = shim.version_with(hash_weights(model.layers[0]) if model.layers else [])
    module = shim.predictor(version)

    def compute(some: np.ndarray) -> Floats2d:
        read = _read_characters(model, module, words, some)
        if not model.layers:
            return read
        values = _hash_inputs(model, words.extra[some])
        hashes = model.layers[0]
        hashed = (shim.made_beside(version, partial(FoldedHashes.of, hashes)) or hashes).predict(values)
        return model.ops.xp.concatenate([read, hashed], axis=1)

    width = sum(width for kind, width in shim.cfg["blocks"] if kind == "char")
    if width or model.layers:
        kept = shim.cache.look_up(words.keys, version, compute)
    else:
        kept = model.ops.alloc2f(len(words.keys), 0)
    vectors = words.vectors(model.ops, shim.cfg["vector_width"])
    if any(kind == "word" and size for kind, size in shim.cfg["blocks"]):
        inputs = to_torch(vectors), to_torch(model.ops.as_contig(kept[:, :width]))
        with torch.no_grad():
            parts = [to_array(module.assemble(*inputs)), kept[:, width:]]
    else:
        parts = _in_order(shim.cfg["blocks"], vectors, kept)
    return model.ops.xp.concatenate(parts, axis=1)[words.word_of_token]


def _in_order(blocks: Sequence[Tuple[str, Optional[int]]], vectors: Floats2d, kept: Floats2d) -> List[Floats2d]:
    """List vectors and characters in the order of the layout, which projects no vectors, and the hash features."""
    parts, start = [], 0
    for _, width in blocks:
        parts.append(vectors if width is None else kept[:, start : start + width])
        start += width or 0
    return [*parts, kept[:, start:]]


def _read_characters(model: Model, module: WordChar, words: Words, some: np.ndarray) -> Floats2d:
    """Read the characters of some of the words: (words, sum of the widths of `char`)."""
    if module.few is not None and len(some) <= MOST_CELLS:
        texts = words.texts(some)
        lengths = np.array([min(len(text), MAX_CHARS) for text in texts], dtype=np.int64)
        if len(texts) * int(lengths.max()) <= MOST_CELLS:
            return cast(Floats2d, module.few.read(char_rows(texts, model.attrs["char_rows"]), lengths))
    with torch.no_grad():
        return to_array(module.read(*_characters(model, words, some), 0.0))


def _vectors(model: Model, words: Words) -> Tensor:
    return to_torch(words.vectors(model.ops, built_shim(model).cfg["vector_width"]))


def _characters(model: Model, words: Words, some: Optional[np.ndarray] = None) -> Tuple[Tensor, Packing]:
    """Pack the characters of the words, or of some of them, as CharBiLSTM takes them."""
    texts = words.texts(np.arange(len(words.keys)) if some is None else some)
    rows = _on_device(model, char_rows(texts, model.attrs["char_rows"]))
    packing = Packing.from_lengths([min(len(text), MAX_CHARS) for text in texts], device=rows.device)
    return packing.pack(rows), packing


def _hash_inputs(model: Model, values: Any) -> Ints2d:
    return model.ops.asarray2i(values, dtype="uint64")


def _on_device(model: Model, values: Any) -> Tensor:
    return to_torch(model.ops.asarray(values))


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Make the weights, for the vectors of the Docs' vocab. Raises ValueError without Docs or without any feature."""
    if not X:
        raise ValueError("WordCharEmbed.v1 must be initialized with example Docs, whose vocab holds the word vectors.")
    vector_width = X[0].vocab.vectors_length
    features = []
    for kind, width in model.attrs["blocks"]:
        if kind == "char" or vector_width:
            features.append((kind, width))
    if len(features) < len(model.attrs["blocks"]):
        logger.info("The vocab holds no word vectors: WordCharEmbed leaves 'word' out of %r", model.attrs["layout"])
    for layer in model.layers:
        layer.initialize()
    if not features and not model.layers:
        raise ValueError(
            f"The layout {model.attrs['layout']!r} needs word vectors, but the vocab holds none: give "
            "[initialize] vectors, or add 'char' or hash_attrs to the layer."
        )
    hash_width = sum(layer_width(layer, X) for layer in model.layers)
    model.set_dim("nO", sum(width or vector_width for _, width in features) + hash_width, force=True)
    shim_of(model).create(
        blocks=features,
        vector_width=vector_width,
        char_rows=model.attrs["char_rows"],
        char_embed_width=model.attrs["char_embed_width"],
    )
