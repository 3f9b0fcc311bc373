"""`spacy_crfner.WordCharEmbed.v1`: word vectors, character BiLSTMs and spaCy's hash features of each token."""

import logging
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
import torch
from spacy.attrs import ORTH
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.vectors import Mode
from spacy.vocab import Vocab
from thinc.api import ArgsKwargs, Model
from thinc.types import Floats2d
from thinc.util import get_array_module, to_numpy

from ..packing import Packing
from ..wrapping import TorchShim, built_shim, concatenate_rows, layer_width, shim_of, split_rows, to_array, to_torch
from .hash_features import hash_features
from .layout import Block, parse_layout
from .word_char import WordChar

logger = logging.getLogger("spacy")

# Code points below this number have a row of their own in the character tables; the others share the rest.
OWN_ROWS = 1024
# Longer words are read as their first and last characters, half of this number each.
MAX_CHARS = 60


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
    """Word and character features concatenated in the order of a layout, then hash features.

    layout: which blocks in which order (Zhong & Wu 2022), see `spacy_crfner.encoders.layout`. `word` is the
        static vector of the pipeline's vocab (that of the lower-cased word where it has none) behind a learned
        projection to its own width, `word100` to 100 features; `char` is a character BiLSTM with `char_width`
        features, `char30` with 30; each repetition is independent. A vocab without vectors leaves words out.
    char_width: features of a `char` block, even.
    char_embed_width, char_rows: each character table; more than 1,024 rows.
    hash_attrs, hash_rows: token attributes embedded by hash as in spacy.MultiHashEmbed.v2, and the size of each
        table; empty for none.
    hash_width: features of all hash attributes together.
    hash_noise: in training, the share of attribute values that is replaced by a random one, from 0 to below 1.
    Raises ValueError for a layout that breaks the grammar, odd widths, or tables that do not fit.
    """
    blocks = parse_layout(layout)
    resolved = [Block(b.kind, char_width if b.kind == "char" and b.width is None else b.width) for b in blocks]
    if any(
        block.kind == "char" and (block.width % 2 or block.width < 2) for block in resolved if block.width is not None
    ):
        raise ValueError(
            f"Character blocks need an even width, half for each direction: {layout!r}, char_width {char_width}."
        )
    if char_embed_width < 1 or (hash_attrs and hash_width < 1):
        raise ValueError(f"char_embed_width and hash_width must be 1 or more, not {char_embed_width} and {hash_width}.")
    if char_rows <= OWN_ROWS:
        raise ValueError(f"char_rows must be more than {OWN_ROWS}, not {char_rows}.")
    if len(hash_attrs) != len(hash_rows):
        raise ValueError(
            f"hash_attrs and hash_rows must have the same length, not {len(hash_attrs)} and {len(hash_rows)}."
        )
    if not 0.0 <= hash_noise < 1.0:
        raise ValueError(f"hash_noise is a share from 0 to below 1, not {hash_noise}.")
    hashed = [hash_features(hash_attrs, hash_rows, hash_width, hash_noise)] if hash_attrs else []
    return Model(
        "word_char_embed",
        forward,
        init=init,
        layers=hashed,
        shims=[TorchShim(WordChar)],
        dims={"nO": None},
        attrs={
            "dropout_rate": 0.0,
            "layout": layout,
            "blocks": [[block.kind, block.width] for block in resolved],
            "char_rows": char_rows,
            "char_embed_width": char_embed_width,
        },
    )


def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    lengths = [len(doc) for doc in docs]
    features, backprop_features = _layout_features(model, docs, is_train)  # (N, layout width)
    rows, width = features, features.shape[1]
    if model.layers:
        hashed, backprop_hashed = model.layers[0](docs, is_train)
        rows = model.ops.xp.hstack([features, concatenate_rows(model, hashed)])

    def backprop(d_outputs: List[Floats2d]) -> List[Doc]:
        d_rows = concatenate_rows(model, d_outputs)
        backprop_features(d_rows[:, :width])
        if model.layers and len(d_rows):
            backprop_hashed(split_rows(model, model.ops.as_contig(d_rows[:, width:]), lengths))
        return docs

    return split_rows(model, rows, lengths), backprop


def _layout_features(model: Model, docs: List[Doc], is_train: bool) -> Tuple[Floats2d, Callable[[Floats2d], None]]:
    """(tokens of all Docs, layout width) the word and character blocks of every token, and their backward pass."""
    width = sum(width for _, width in built_shim(model).cfg["blocks"])
    n_tokens = sum(len(doc) for doc in docs)
    if not width or not n_tokens:
        return model.ops.alloc2f(n_tokens, width), lambda d_features: None
    inputs = _read_words(model, docs, built_shim(model).cfg["vector_width"])
    dropout = model.attrs["dropout_rate"] if is_train else 0.0
    features, backprop_torch = built_shim(model)(ArgsKwargs(args=(*inputs, dropout), kwargs={}), is_train)

    def backprop(d_features: Floats2d) -> None:
        gradient = to_torch(model.ops.as_contig(d_features))
        backprop_torch(ArgsKwargs(args=((features,),), kwargs={"grad_tensors": gradient}))

    return to_array(features), backprop


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    if not X:
        raise ValueError("WordCharEmbed.v1 must be initialized with example Docs, whose vocab holds the word vectors.")
    vector_width = X[0].vocab.vectors_length
    blocks = []
    for kind, width in model.attrs["blocks"]:
        if kind == "char" or vector_width:
            blocks.append((kind, width or vector_width))
    if len(blocks) < len(model.attrs["blocks"]):
        logger.info("The vocab holds no word vectors: WordCharEmbed leaves 'word' out of %r", model.attrs["layout"])
    for layer in model.layers:
        layer.initialize(X=X)
    if not blocks and not model.layers:
        raise ValueError(
            f"The layout {model.attrs['layout']!r} needs word vectors, but the vocab holds none: give "
            "[initialize] vectors, or add 'char' or hash_attrs to the layer."
        )
    hash_width = sum(layer_width(layer, X) for layer in model.layers)
    model.set_dim("nO", sum(width for _, width in blocks) + hash_width, force=True)
    shim_of(model).create(
        blocks=blocks,
        vector_width=vector_width,
        char_rows=model.attrs["char_rows"],
        char_embed_width=model.attrs["char_embed_width"],
    )


def _read_words(model: Model, docs: List[Doc], vector_width: int) -> tuple:
    """The arguments of WordChar for the tokens of a batch: vectors, chars, packing and words."""
    vocab = docs[0].vocab
    every_orth = np.concatenate([doc.to_array(ORTH) for doc in docs])
    orths, first, words = np.unique(every_orth, return_index=True, return_inverse=True)
    # Vectors may be kept under another attribute, such as NORM, than the word's own form.
    keys = np.concatenate([doc.to_array(vocab.vectors.attr) for doc in docs])[first]
    # Docs of one batch may come from several vocabs.
    stores = {id(doc.vocab): doc.vocab.strings for doc in docs}.values()
    texts = [next(strings[orth] for strings in stores if orth in strings) for orth in orths.tolist()]
    vectors = to_torch(word_vectors(model, vocab, keys, texts, vector_width))
    packing = Packing.from_lengths([min(len(text), MAX_CHARS) for text in texts], device=vectors.device)
    chars = torch.from_numpy(char_rows(texts, model.attrs["char_rows"])).to(vectors.device)
    return vectors, packing.pack(chars), packing, torch.from_numpy(words.astype(np.int64)).to(vectors.device)


def word_vectors(model: Model, vocab: Vocab, keys: np.ndarray, texts: List[str], width: int) -> Floats2d:
    """(words, width) static vectors; those of the lower-cased word, or else zeros, where a word has none.

    keys: what the vectors are kept under. texts: the words themselves. width: that of the vectors in training.
    Raises ValueError where the vocab's vectors have another width than the layer was made for.
    """
    if vocab.vectors_length != width and width:
        raise ValueError(
            f"WordCharEmbed was trained with word vectors of width {width}, but the pipeline's vocab holds vectors "
            f"of width {vocab.vectors_length}: load the pipeline with the vectors that it was trained with."
        )
    if not width or not len(vocab.vectors.data):
        return model.ops.alloc2f(len(keys), width)
    if vocab.vectors.mode == Mode.floret:
        return model.ops.asarray2f(vocab.vectors.get_batch(keys.tolist()))
    rows = to_numpy(vocab.vectors.find(keys=keys))
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        rows[missing] = to_numpy(vocab.vectors.find(keys=[get_string_id(texts[i].lower()) for i in missing]))
    data = vocab.vectors.data
    vectors = data[get_array_module(data).asarray(rows)]
    vectors[rows < 0] = 0.0
    return model.ops.asarray2f(vectors)


def char_rows(texts: List[str], n_rows: int) -> np.ndarray:
    """The table rows of the characters of all words, one after the other."""
    half = MAX_CHARS // 2
    texts = [text if len(text) <= MAX_CHARS else text[:half] + text[-half:] for text in texts]
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    # Multiplicative hashing spreads neighbouring code points over the shared rows.
    shared = OWN_ROWS + ((points * np.uint64(2654435761)) >> np.uint64(8)) % np.uint64(n_rows - OWN_ROWS)
    return np.where(points < OWN_ROWS, points, shared).astype(np.int64)
