"""The distinct words of a batch of Docs: their attributes, texts, static vectors and characters."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
from spacy.attrs import IS_ALPHA, IS_UPPER, ORTH
from spacy.strings import StringStore, get_string_id
from spacy.tokens import Doc
from spacy.vectors import Mode
from spacy.vocab import Vocab
from thinc.api import Ops
from thinc.types import Floats2d
from thinc.util import get_array_module, to_numpy

from ..sentences import batch_lengths

# Code points below this number have a row of their own in the character tables; the others share the rest.
OWN_ROWS = 1024
# Up to so many, a dictionary finds the distinct ones sooner than sorting does.
FEW_TOKENS = 64
# Longer words are read as their first and last characters, half of this number each.
MAX_CHARS = 60


@dataclass(frozen=True, eq=False)
class Words:
    """The W distinct words of a batch of N tokens, one or more.

    keys: (W,) a 64-bit key of each, equal for equal words in every batch.
    attributes: (W, 3 + extra attributes) ORTH, the attribute under which the vocab keeps its vectors, whether it
        stands in a headline, and the others.
    word_of_token: (N,) the word that each token is, an index into the others.
    vocab: of the first Doc, whose vectors count.
    stores: the strings of all Docs, which may come from several vocabs.
    """

    keys: np.ndarray
    attributes: np.ndarray
    word_of_token: np.ndarray
    vocab: Vocab
    stores: List[StringStore]

    @classmethod
    def read(cls, docs: Sequence[Doc], attributes: Sequence[Any]) -> "Words":
        """Read the distinct words of Docs. attributes: further token attributes that tell words apart."""
        vocab = docs[0].vocab
        columns = [ORTH, vocab.vectors.attr, IS_UPPER, *attributes, IS_ALPHA]
        rows = np.concatenate([doc.to_array(columns) for doc in docs])
        if rows[:, 2].any():
            rows[:, 2] = in_headlines(rows[:, 2] > 0, rows[:, -1] > 0, batch_lengths(docs, per_sentence=True))
        rows = rows[:, :-1]
        keys = row_keys(rows)
        first, word_of_token = _distinct(keys)
        stores = list({id(doc.vocab): doc.vocab.strings for doc in docs}.values())
        return cls(keys[first], rows[first], word_of_token, vocab, stores)

    @property
    def extra(self) -> np.ndarray:
        """(W, extra attributes) those that tell words apart beside their own."""
        return self.attributes[:, 3:]

    def texts(self, words: np.ndarray) -> List[str]:
        """Look up the forms of some of the words."""
        orths = self.attributes[words, 0].tolist()
        if len(self.stores) == 1:
            strings = self.stores[0]
            return [strings[orth] for orth in orths]
        return [next(strings[orth] for strings in self.stores if orth in strings) for orth in orths]

    def vectors(self, ops: Ops, width: int) -> Floats2d:
        """Look up the static vectors (W, width).

        A word of a headline in capitals has the vector of its title-cased form: that of LONDON knows less than that
        of London. A word without a vector has that of its lower-cased form, or else zeros.

        width: that of the vectors in training.
        Raises ValueError where the vocab's vectors have another width, or are not finite numbers.
        """
        vectors = self.vocab.vectors
        if self.vocab.vectors_length != width and width:
            raise ValueError(
                f"WordCharEmbed was trained with word vectors of width {width}, but the pipeline's vocab holds vectors "
                f"of width {self.vocab.vectors_length}: load the pipeline with the vectors that it was trained with."
            )
        if not width or not len(vectors.data):
            return ops.alloc2f(len(self.keys), width)
        keys = self.attributes[:, 1]
        if vectors.mode == Mode.floret:
            return ops.asarray2f(self._finite(vectors.get_batch(keys.tolist())))
        rows = to_numpy(vectors.find(keys=keys.tolist()))

        def look_up(form: Callable[[str], str], words: np.ndarray) -> None:
            if len(words):
                new_rows = to_numpy(vectors.find(keys=[get_string_id(form(text)) for text in self.texts(words)]))
                rows[words] = np.where(new_rows < 0, rows[words], new_rows)

        look_up(str.title, np.flatnonzero(self.attributes[:, 2]))
        look_up(str.lower, np.flatnonzero(rows < 0))
        values = vectors.data[get_array_module(vectors.data).asarray(rows)]
        values[rows < 0] = 0.0
        return ops.asarray2f(self._finite(values))

    def _finite(self, vectors: Any) -> Any:
        """Check the vectors (W, width) of the words. Raises ValueError where one is not of finite numbers."""
        finite = get_array_module(vectors).isfinite(vectors)
        if not bool(finite.all()):
            word = self.texts(np.flatnonzero(~to_numpy(finite).all(axis=1))[:1])[0]
            raise ValueError(
                f"The word vector of {word[:80]!r} in the vocab is not of finite numbers: load the pipeline with sound "
                "vectors, or make them again."
            )
        return vectors


def _distinct(keys: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Find where each distinct key stands first, (W,), and which of these each key is, (N,)."""
    if len(keys) > FEW_TOKENS:
        _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
        return first, numbers.astype(np.int64, copy=False)
    seen: Dict[int, int] = {}
    numbers = np.array([seen.setdefault(key, len(seen)) for key in keys.tolist()], dtype=np.int64)
    first = np.empty(len(seen), dtype=np.int64)
    first[numbers[::-1]] = np.arange(len(keys))[::-1]
    return first, numbers


def in_headlines(is_upper: np.ndarray, is_alpha: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Find which of N tokens are in capitals in a sentence that has more words in capitals than others.

    is_upper, is_alpha: (N,) spaCy's attributes of the tokens. lengths: of the sentences, all 1 or more.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    surplus = np.add.reduceat(np.where(is_alpha, np.where(is_upper, 1, -1), 0), starts)
    return is_upper & np.repeat(surplus > 0, sizes)


def row_keys(rows: np.ndarray) -> np.ndarray:
    """Compute a 64-bit key for each of N rows of integers; equal rows have equal keys."""
    keys = np.zeros(len(rows), dtype=np.uint64)
    for column in rows.astype(np.uint64, copy=False).T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(32)
    return keys


def shortened(text: str) -> str:
    """Cut a word of more than MAX_CHARS characters to its first and last ones."""
    half = MAX_CHARS // 2
    return text if len(text) <= MAX_CHARS else text[:half] + text[-half:]


def char_rows(texts: List[str], n_rows: int) -> np.ndarray:
    """Compute the table rows of the characters of all words, one after the other."""
    points = np.frombuffer("".join(map(shortened, texts)).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(
        np.uint64
    )
    # Multiplicative hashing spreads neighbouring code points over the shared rows.
    shared = OWN_ROWS + ((points * np.uint64(2654435761)) >> np.uint64(8)) % np.uint64(n_rows - OWN_ROWS)
    return np.where(points < OWN_ROWS, points, shared).astype(np.int64)
