"""From the annotation of Docs and Examples to one tag a token."""

from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple

import numpy as np
from spacy.attrs import ENT_IOB, ENT_TYPE, ORTH
from spacy.strings import StringStore
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..tags import TagSet
from .sequences import TokenSequences

INSIDE, OUTSIDE, BEGIN = 1, 2, 3
"""spaCy's codes of token.ent_iob; 0 is missing."""

NO_ENTITY, UNKNOWN = -1, -2


@dataclass(frozen=True, eq=False)
class EntityRuns:
    """Entities as numbered runs of tokens.

    entity: (tokens,) the number of the token's entity, NO_ENTITY, or UNKNOWN where annotation is missing.
    labels: the label of each entity, as a hash of the string store.
    """

    entity: np.ndarray
    labels: np.ndarray

    @classmethod
    def from_doc(cls, doc: Doc) -> "EntityRuns":
        """Read the entities of a Doc."""
        columns = doc.to_array([ENT_IOB, ENT_TYPE])
        iob, types = columns[:, 0], columns[:, 1]
        begins = (iob == BEGIN) & (types != 0)
        entity = np.cumsum(begins) - 1
        entity[iob == OUTSIDE] = NO_ENTITY
        # Missing, or blocked (a beginning without a label): nothing is known of the token.
        entity[(iob == 0) | ((iob == BEGIN) & (types == 0))] = UNKNOWN
        return cls(entity, types[begins])

    @classmethod
    def from_example(cls, example: Example) -> "EntityRuns":
        """Read the reference's entities on the tokens of the prediction, aligned by spaCy where the two differ."""
        predicted, reference = example.predicted, example.reference
        if np.array_equal(predicted.to_array(ORTH), reference.to_array(ORTH)):
            return cls.from_doc(reference)
        spans, tags = example.get_aligned_ents_and_ner()
        entity = np.array([UNKNOWN if tag is None else NO_ENTITY for tag in tags], dtype=np.int64)
        for number, span in enumerate(spans):
            entity[span.start : span.end] = number
        return cls(entity, np.array([span.label for span in spans], dtype=np.uint64))


def blocked_tokens(doc: Doc) -> List[Tuple[int, int]]:
    """Find the runs of tokens, (start, end), in which entities are blocked, see `blocked` of Doc.set_ents."""
    columns = doc.to_array([ENT_IOB, ENT_TYPE])
    blocked = (columns[:, 0] == BEGIN) & (columns[:, 1] == 0)
    if not blocked.any():
        return []
    edges = np.flatnonzero(np.diff(blocked, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def label_numbers(tag_set: TagSet, strings: StringStore) -> Dict[int, int]:
    """Map label hashes to their numbers in the tag set."""
    return {strings[label]: number for number, label in enumerate(tag_set.labels)}


def runs_to_tags(
    runs: Sequence[EntityRuns], numbers: Dict[int, int], tag_set: TagSet, sequences: TokenSequences, *, unlisted: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Tag the tokens that take part in a batch.

    unlisted: what becomes of entities whose label is not in `numbers`: NO_ENTITY or UNKNOWN.
    Returns (N,) tags, -1 where nothing is known; and (sequences,) whether an entity is cut by the sequence's border.
    """
    entity = np.concatenate([run.entity for run in runs]) if runs else np.zeros(0, dtype=np.int64)
    counts = np.array([len(run.labels) for run in runs], dtype=np.int64)
    tokens = np.array([len(run.entity) for run in runs], dtype=np.int64)
    entity = entity + np.where(entity >= 0, np.repeat(np.cumsum(counts) - counts, tokens), 0)
    number = np.array([numbers.get(label, unlisted) for run in runs for label in run.labels.tolist()], dtype=np.int64)

    entity = entity[sequences.rows]
    inside = entity >= 0
    label = np.where(inside, number[np.where(inside, entity, 0)], entity) if len(number) else entity
    border = np.flatnonzero(np.diff(entity) != 0) + 1
    first = np.zeros(len(entity), dtype=bool)
    last = np.zeros(len(entity), dtype=bool)
    first[border], last[border - 1] = True, True
    first[:1], last[-1:] = True, True

    tags = np.zeros(len(entity), dtype=np.int64)
    tags[label == UNKNOWN] = -1
    known = label >= 0
    for prefix, where in (("B", first & ~last), ("I", ~first & ~last), ("E", ~first & last), ("S", first & last)):
        chosen = known & where
        tags[chosen] = tag_set.role(prefix)[label[chosen]] if len(tag_set.labels) else 0

    cut = np.zeros(len(sequences.lengths), dtype=bool)
    starts = sequences.starts[1:-1]
    crossing = (entity[starts] >= 0) & (entity[starts] == entity[starts - 1]) & (label[starts] >= 0)
    cut[np.flatnonzero(crossing)] = True
    cut[np.flatnonzero(crossing) + 1] = True
    return tags, cut


def aligned_spans(
    examples: Sequence[Example], spans: Sequence[Iterable[Span]], tag_set: TagSet, sequences: TokenSequences
) -> List[Tuple[int, int, int, int]]:
    """List spans of the references as (sequence, first step, step after the last, number of the label).

    spans: those of each example. A span without a label stands for one of every label. Spans that spaCy cannot
    align, of other labels, of white space only, or across a sentence border are left out.
    """
    row_of_token, starts = rows_of_tokens(sequences), sequences.starts
    aligned: List[Tuple[int, int, int, int]] = []
    for number, (example, wanted) in enumerate(zip(examples, spans, strict=True)):
        for span in example.get_aligned_spans_y2x(wanted, allow_overlap=True):
            rows = row_of_token[sequences.doc_offsets[number] + np.arange(span.start, span.end)]
            rows = rows[rows >= 0]
            if not len(rows):
                continue
            sequence = int(np.searchsorted(starts, rows[0], side="right")) - 1
            if rows[-1] >= starts[sequence + 1]:
                continue
            first, end = int(rows[0] - starts[sequence]), int(rows[-1] - starts[sequence]) + 1
            labels = [span.label_] if span.label_ else tag_set.labels
            aligned += [
                (sequence, first, end, tag_set.label_index[label]) for label in labels if label in tag_set.label_index
            ]
    return aligned


def rows_of_tokens(sequences: TokenSequences) -> np.ndarray:
    """Find the index into sequences.rows, (tokens,), of each token counted through all Docs; -1 if it takes no part."""
    row_of_token = np.full(int(sequences.doc_offsets[-1]), -1, dtype=np.int64)
    row_of_token[sequences.rows] = np.arange(len(sequences.rows))
    return row_of_token
