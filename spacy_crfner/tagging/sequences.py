"""Which tokens of a batch of Docs form the sequences that a CRF sees."""

from dataclasses import dataclass
from typing import List, Optional, Sequence

import numpy as np
from spacy.attrs import IS_SPACE, SENT_START
from spacy.tokens import Doc

from ..sentences import batch_lengths


@dataclass(frozen=True, eq=False)
class TokenSequences:
    """The sequences of a batch: its sentences (or Docs) without their white space tokens.

    White space takes no part, so that it can neither begin nor end an entity, nor cut one in two.

    rows: (N,) the tokens that take part, counted through all Docs, sequence after sequence.
    lengths: tokens of each sequence, 1 or more.
    doc_offsets: (Docs + 1,) the token, counted through all Docs, at which each Doc begins, and their total.
    """

    rows: np.ndarray
    lengths: List[int]
    doc_offsets: np.ndarray

    @classmethod
    def build(
        cls, docs: Sequence[Doc], per_sentence: bool, chosen: Optional[Sequence[np.ndarray]] = None
    ) -> "TokenSequences":
        """Cut the Docs of a batch into sequences.

        per_sentence: cut where `doc.sents` begin; otherwise a Doc is one sequence.
        chosen: for each Doc, (sequences,) booleans: which of them take part; None takes all.
        """
        if len(docs) == 1 and chosen is None:
            of_one = cls._of_one_sentence(docs[0], per_sentence)
            if of_one is not None:
                return of_one
        sizes = np.array([len(doc) for doc in docs], dtype=np.int64)
        whole = np.array(batch_lengths(docs, per_sentence), dtype=np.int64)
        space = [doc.to_array(IS_SPACE) for doc in docs]
        takes_part = np.concatenate(space) == 0 if space else np.zeros(0, dtype=bool)
        sequence = np.repeat(np.arange(len(whole)), whole)
        if chosen is not None:
            takes_part &= np.concatenate([*chosen, np.zeros(0, dtype=bool)])[sequence]
        rows = np.flatnonzero(takes_part)
        sequence = sequence[rows]
        lengths = np.bincount(sequence, minlength=len(whole))
        return cls(rows, lengths[lengths > 0].tolist(), np.concatenate([[0], np.cumsum(sizes)]))

    @classmethod
    def _of_one_sentence(cls, doc: Doc, per_sentence: bool) -> Optional["TokenSequences"]:
        """Take a Doc that is one sentence, without white space, as it is; None for any other."""
        columns = doc.to_array([IS_SPACE, SENT_START])
        if not len(doc) or columns[:, 0].any() or (per_sentence and (columns[1:, 1] == 1).any()):
            return None
        return cls(np.arange(len(doc)), [len(doc)], np.array([0, len(doc)]))

    @property
    def owners(self) -> np.ndarray:
        """(N,) the sequence that each token belongs to."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def starts(self) -> np.ndarray:
        """(sequences + 1,) the index into `rows` at which each sequence begins, and their total."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    @property
    def docs(self) -> np.ndarray:
        """(sequences,) the Doc of each sequence."""
        return np.searchsorted(self.doc_offsets, self.rows[self.starts[:-1]], side="right") - 1
