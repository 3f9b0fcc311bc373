"""Which sentences of an example hold an entity of some labels."""

from typing import Collection, Sequence

import numpy as np
from spacy.attrs import IS_SPACE
from spacy.training import Example

from .gold import UNKNOWN, EntityRuns

WITH, WITHOUT, UNANNOTATED = 1, 0, -1
"""What is known of a sentence."""


def entity_sentences(example: Example, labels: Collection[str], lengths: Sequence[int]) -> np.ndarray:
    """Say of each sentence of the predicted Doc whether it holds an entity with one of the labels.

    lengths: tokens of each sentence.
    Returns (sentences,): WITH where a word is in an entity with one of the labels, UNANNOTATED where none is and the
    annotation of a word is missing, WITHOUT elsewhere.
    """
    if not len(lengths):
        return np.zeros(0, dtype=np.int64)
    runs, strings = EntityRuns.from_example(example), example.reference.vocab.strings
    wanted = np.array([strings[label] in labels for label in runs.labels.tolist()], dtype=bool)
    inside = runs.entity >= 0
    inside[inside] = wanted[runs.entity[inside]]
    words = example.predicted.to_array(IS_SPACE) == 0
    inside &= words
    unknown = (runs.entity == UNKNOWN) & words
    starts = np.cumsum([0, *lengths[:-1]])
    state = np.where(np.logical_or.reduceat(unknown, starts), UNANNOTATED, WITHOUT)
    state[np.logical_or.reduceat(inside, starts)] = WITH
    return state
