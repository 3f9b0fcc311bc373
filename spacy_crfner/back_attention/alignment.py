"""From attention between pieces to attention between words, and features carried along it."""

from typing import List, Sequence, Tuple

import numpy as np

NORMALISATIONS = ("raw", "row_normalised")


def between_words(
    attention: np.ndarray, source: Sequence[int], target: Sequence[int], shape: Tuple[int, int]
) -> np.ndarray:
    """Sum attention over the pieces of a source word, and average it over those of a target word.

    attention: (target pieces, source pieces). source, target: the word of each piece.
    shape: numbers of source and of target words. Returns (source words, target words), float32.
    """
    to_source = np.zeros((len(source), shape[0]), dtype=np.float32)
    to_source[np.arange(len(source)), source] = 1.0
    to_target = np.zeros((shape[1], len(target)), dtype=np.float32)
    to_target[target, np.arange(len(target))] = 1.0
    to_target /= np.maximum(to_target.sum(axis=1, keepdims=True), 1.0)
    return (to_target @ attention.astype(np.float32) @ to_source).T


def expand(attention: np.ndarray, source: Sequence[Tuple[int, int]], target: Sequence[Tuple[int, int]]) -> np.ndarray:
    """Turn attention between units into attention between words, where a unit is a word or several in a row.

    attention: (source units, target units). source: (start, end) of the words behind each unit, in order.
    target: the same, for each target unit: words of the source that it repeats, or an empty range for a word of its
    own. A source unit's share is divided among its words; what repeats the source belongs to the word that it repeats.
    Returns (source words, target words), float32.
    """
    words = source[-1][1] if source else 0
    shares = np.zeros((words, len(source)), dtype=np.float32)
    for unit, (start, end) in enumerate(source):
        shares[start:end, unit] = 1.0 / (end - start)
    spread = shares @ attention
    columns: List[np.ndarray] = []
    for unit, (start, end) in enumerate(target):
        columns += list(np.eye(words, dtype=np.float32)[start:end]) if end > start else [spread[:, unit]]
    return np.stack(columns, axis=1) if columns else np.zeros((words, 0), dtype=np.float32)


def carry(attention: np.ndarray, states: np.ndarray, normalisation: str = "raw") -> np.ndarray:
    """Carry the states of the English words to each source word: t = A R (Sun et al. 2019, eq. 4).

    attention: A, (m, n). states: R, (n, d). Returns (m, d) for `raw`; for `row_normalised`, where each row of A is
    divided by its sum, (m, d + 1): the last column is that sum, the coverage of the word.
    """
    if normalisation == "raw":
        return attention @ states
    coverage = attention.sum(axis=1, keepdims=True)
    rows = np.divide(attention, coverage, out=np.zeros_like(attention), where=coverage > 0)
    return np.concatenate([rows @ states, coverage], axis=1)
