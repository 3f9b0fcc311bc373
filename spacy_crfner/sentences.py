"""Where the sentences of a Doc begin."""

from typing import Iterable, List

import numpy as np
from spacy.attrs import SENT_START
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc


def sentence_lengths(doc: Doc) -> List[int]:
    """Count the tokens of each sentence of a Doc: one, the Doc, where no boundary is set; none if it is empty."""
    if not len(doc):
        return []
    starts = np.flatnonzero(doc.to_array(SENT_START)[1:] == 1) + 1
    # Most training Docs are one sentence, and np.diff is slow.
    return np.diff(starts, prepend=0, append=len(doc)).tolist() if len(starts) else [len(doc)]


def find_sentence_lengths(doc: Doc) -> List[int]:
    """Count the tokens of each sentence of a Doc; where its boundaries are not known, as spaCy's sentencizer cuts."""
    if doc.has_annotation("SENT_START") or not len(doc):
        return sentence_lengths(doc)
    (begins,) = Sentencizer().predict([doc])
    return np.diff(np.flatnonzero(begins), append=len(doc)).tolist()


def batch_lengths(docs: Iterable[Doc], per_sentence: bool) -> List[int]:
    """Count the tokens of the sequences that a batch is read as: its sentences, or its Docs, but for empty ones."""
    if per_sentence:
        return [length for doc in docs for length in sentence_lengths(doc)]
    return [len(doc) for doc in docs if len(doc)]
