"""Which sentences of a batch a component reads: all, or those that a router or the annotation picks."""

import random
from typing import Collection, List, Optional, Sequence, Tuple

import numpy as np
from spacy.attrs import IS_SPACE
from spacy.tokens import Doc
from spacy.training import Example

from ..marks import REPEATED
from ..sentences import batch_lengths, weak_sentences
from .annotation import DocPrediction, copy_own_entities
from .gold import UNKNOWN, EntityRuns

SELECTIONS = ("all", "once", "routed", "balanced")
"""What `train_on` may be."""

WITH, WITHOUT, UNANNOTATED = 1, 0, -1


def entity_sentences(example: Example, labels: Collection[str], lengths: Sequence[int]) -> np.ndarray:
    """(sentences,) of the predicted Doc: WITH where an entity has one of the labels, UNANNOTATED where none has and the
    annotation of a word is missing, WITHOUT elsewhere.

    lengths: tokens of each sentence.
    """
    if not len(lengths):
        return np.zeros(0, dtype=np.int64)
    runs, strings = EntityRuns.from_example(example), example.reference.vocab.strings
    wanted = np.array([strings[label] in labels for label in runs.labels.tolist()], dtype=bool)
    inside = runs.entity >= 0
    inside[inside] = wanted[runs.entity[inside]]
    unknown = (runs.entity == UNKNOWN) & (example.predicted.to_array(IS_SPACE) == 0)
    starts = np.cumsum([0, *lengths[:-1]])
    state = np.where(np.logical_or.reduceat(unknown, starts), UNANNOTATED, WITHOUT)
    state[np.logical_or.reduceat(inside, starts)] = WITH
    return state


def routed_sequences(doc: Doc, router: str, per_sentence: bool) -> np.ndarray:
    """(sequences,) whether a router flagged any token of the sentence, or without `per_sentence` of the Doc.

    Raises ValueError for a Doc that the router has not seen.
    """
    if not len(doc):
        return np.zeros(0, dtype=bool)
    weak = weak_sentences(doc, router)
    lengths = batch_lengths([doc], per_sentence)
    if not weak or len(lengths) == 1:
        return np.full(len(lengths), bool(weak))
    flagged = np.zeros(len(doc), dtype=bool)
    for start, end in weak:
        flagged[start:end] = True
    return np.logical_or.reduceat(flagged, np.cumsum([0, *lengths[:-1]]))


def training_sequences(
    examples: Sequence[Example], train_on: str, labels: Collection[str], router: Optional[str], per_sentence: bool
) -> List[np.ndarray]:
    """For each example, (sequences,) which are trained on.

    train_on: `once` takes all but those that a balanced reader repeats; `routed` those that the router flags, and those
        with an entity; `balanced` those with an entity, and as many others of the batch, drawn at random.
    """
    if train_on == "once":
        repeated = [REPEATED in example.predicted.user_data for example in examples]
        lengths = [batch_lengths([example.predicted], per_sentence) for example in examples]
        return [np.full(len(found), not again) for found, again in zip(lengths, repeated, strict=True)]
    states = [entity_sentences(e, labels, batch_lengths([e.predicted], per_sentence)) for e in examples]
    chosen = [found == WITH for found in states]
    if train_on == "routed":
        if router is None:
            raise ValueError("Training on routed sentences needs the span group of a router.")
        routed = [routed_sequences(example.predicted, router, per_sentence) for example in examples]
        return [one | other for one, other in zip(chosen, routed, strict=True)]
    others = [(place, k) for place, found in enumerate(states) for k in np.flatnonzero(found == WITHOUT).tolist()]
    for place, k in random.sample(others, min(sum(int(found.sum()) for found in chosen), len(others))):
        chosen[place][k] = True
    return chosen


Piece = Tuple[int, int, Doc]
"""The place of a Doc in its batch, the token of it that a piece begins with, and the piece as a Doc of its own."""


def cut_out(docs: Sequence[Doc], router: str, per_sentence: bool, component: str) -> List[Piece]:
    """The sentences that a router flagged, as Docs of their own; a Doc of one sentence as it is.

    What is found in a sentence thus never depends on whether its neighbours are flagged.
    component: the name of the component that reads them; what it found before is still known to be its own.
    """
    pieces: List[Piece] = []
    for place, doc in enumerate(docs):
        chosen = routed_sequences(doc, router, per_sentence)
        if len(chosen) < 2:
            pieces += [(place, 0, doc)] if chosen.any() else []
            continue
        lengths = batch_lengths([doc], per_sentence)
        for start, length, wanted in zip(np.cumsum([0, *lengths[:-1]]).tolist(), lengths, chosen, strict=True):
            if wanted:
                piece = doc[start : start + length].as_doc()
                copy_own_entities(doc, piece, start, component)
                pieces.append((place, start, piece))
    return pieces


def put_together(predictions: Sequence[DocPrediction], pieces: Sequence[Piece], found: Sequence[DocPrediction]) -> None:
    """Add what was found in pieces of Docs to the predictions for the Docs, which are empty so far."""
    for (place, first, piece), part in zip(pieces, found, strict=True):
        whole = predictions[place]
        whole.spans += [(start + first, end + first, label) for start, end, label in part.spans]
        if "scores" in part.attrs:
            whole.attrs["scores"] = np.concatenate([whole.attrs["scores"], part.attrs["scores"]])
        if "marginals" in part.attrs:
            whole.attrs["marginals"][first : first + len(piece)] = part.attrs["marginals"]
        for paths in part.attrs.get("n_best", ()):
            for path in paths:
                path["ents"] = [[start + first, end + first, label] for start, end, label in path["ents"]]
            whole.attrs["n_best"].append(paths)
