"""Prediction for chosen sentences alone: they are cut out, read as Docs of their own, and put together again."""

from typing import List, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc

from ..sentences import batch_lengths
from .annotation import DocPrediction, copy_owners

Excerpt = Tuple[int, int, Doc]
"""The index of a Doc in its batch, the token of it that an excerpt begins with, and the excerpt as a Doc of its own."""


def cut_out(
    docs: Sequence[Doc], chosen: Sequence[np.ndarray], per_sentence: bool, owners: Sequence[str]
) -> List[Excerpt]:
    """Make Docs of the chosen sentences; a Doc of one sentence stays as it is.

    What is found in a sentence thus never depends on whether its neighbours are chosen.
    owners: what reads them, as in KnownSpan; which entities it has found before is still known in the pieces.
    """
    excerpts: List[Excerpt] = []
    for number, (doc, wanted) in enumerate(zip(docs, chosen, strict=True)):
        if len(wanted) < 2:
            excerpts += [(number, 0, doc)] if wanted.any() else []
            continue
        lengths = batch_lengths([doc], per_sentence)
        starts = np.cumsum([0, *lengths[:-1]])
        for sentence in np.flatnonzero(wanted).tolist():
            start = int(starts[sentence])
            excerpt = doc[start : start + lengths[sentence]].as_doc()
            copy_owners(doc, excerpt, start, owners)
            excerpts.append((number, start, excerpt))
    return excerpts


def put_together(
    predictions: Sequence[DocPrediction], excerpts: Sequence[Excerpt], parts: Sequence[DocPrediction]
) -> None:
    """Add what was found in excerpts to the predictions for the Docs, which are empty so far."""
    for (number, first, excerpt), part in zip(excerpts, parts, strict=True):
        whole = predictions[number]
        whole.spans += [(start + first, end + first, label) for start, end, label in part.spans]
        if "scores" in part.attrs:
            whole.attrs["scores"] = np.concatenate([whole.attrs["scores"], part.attrs["scores"]])
        if "marginals" in part.attrs:
            whole.attrs["marginals"][first : first + len(excerpt)] = part.attrs["marginals"]
        for paths in part.attrs.get("n_best", ()):
            for path in paths:
                path["ents"] = [[start + first, end + first, label] for start, end, label in path["ents"]]
            whole.attrs["n_best"].append(paths)
