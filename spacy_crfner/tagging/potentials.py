"""From a model's scores to the CRF of a batch, and from a loss back to the gradient of the scores."""

from typing import Optional, Sequence

import numpy as np
import torch
from spacy.strings import StringStore
from spacy.tokens import Doc
from thinc.api import Model

from ..crf import LossGradient, Potentials
from ..tags import LabelledSpan, TagSet
from ..wrapping import concatenate_rows, split_rows, to_array, to_torch
from .gold import NO_ENTITY, UNKNOWN, EntityRuns, blocked_tokens, label_places, runs_to_tags
from .model import CRFScores
from .segments import Segments


def build_potentials(
    model: Model, scores: CRFScores, segments: Segments, tag_set: TagSet, allowed: Optional[np.ndarray]
) -> Potentials:
    """The CRF of the sequences of a batch.

    allowed: (N, K) booleans for the tokens that take part, or None; see `allowed_tags`.
    Raises FloatingPointError where a score is not a finite number.
    """
    emissions = to_torch(concatenate_rows(model, scores.emissions))
    device = emissions.device
    emissions = emissions[torch.from_numpy(segments.rows).to(device)]
    if not bool(torch.isfinite(emissions).all()):
        raise FloatingPointError("a score is not a finite number")
    start, steps, end = (torch.from_numpy(mask).to(device) for mask in tag_set.legal)
    return Potentials.build(
        emissions,
        segments.lengths,
        to_torch(scores.start),
        to_torch(scores.transitions),
        to_torch(scores.end),
        legal=(start, steps, end),
        allowed=None if allowed is None else torch.from_numpy(allowed).to(device),
    )


def allowed_tags(
    docs: Sequence[Doc],
    given: Sequence[Sequence[LabelledSpan]],
    segments: Segments,
    tag_set: TagSet,
    strings: StringStore,
) -> Optional[np.ndarray]:
    """(N, K) booleans: the tags that given entities and blocked tokens leave; None if they leave all.

    given: the entities of each Doc that must stay.
    """
    blocked = [blocked_tokens(doc) for doc in docs]
    if not any(given) and not any(blocked):
        return None
    runs = []
    for doc, spans, blocks in zip(docs, given, blocked, strict=True):
        # Only entities constrain: that other tokens were given no entity so far says nothing of them.
        entity = np.full(len(doc), UNKNOWN)
        for start, end in blocks:
            entity[start:end] = NO_ENTITY
        for number, (start, end, _) in enumerate(spans):
            entity[start:end] = number
        runs.append(EntityRuns(entity, np.array([strings[span[2]] for span in spans], dtype=np.uint64)))
    tags, cut = runs_to_tags(runs, label_places(tag_set, strings), tag_set, segments, unlisted=NO_ENTITY)
    # An entity across a sentence border stays in the Doc; the CRF only has to keep off its tokens.
    tags[cut[segments.sequences] & (tags > 0)] = 0
    allowed = np.ones((len(tags), len(tag_set)), dtype=bool)
    fixed = np.flatnonzero(tags >= 0)
    allowed[fixed] = False
    allowed[fixed, tags[fixed]] = True
    return allowed


def mean_gradient(
    model: Model,
    scores: CRFScores,
    segments: Segments,
    result: Optional[LossGradient] = None,
    potentials: Optional[Potentials] = None,
) -> CRFScores:
    """The gradient of the mean loss a sequence, in the shape of the scores; zeros for tokens that take no part, and
    without a result."""
    lengths = [len(rows) for rows in scores.emissions]
    d_rows = model.ops.alloc2f(sum(lengths), len(scores.start))
    if result is None or potentials is None:
        xp = model.ops.xp
        zeros = [xp.zeros_like(values) for values in (scores.start, scores.transitions, scores.end)]
        return CRFScores(split_rows(model, d_rows, lengths), *zeros)
    scale = 1.0 / len(segments.lengths)
    d_rows[model.ops.xp.asarray(segments.rows)] = to_array(potentials.packing.unpack(result.emissions) * scale)
    return CRFScores(
        emissions=split_rows(model, d_rows, lengths),
        start=to_array(result.start * scale),
        transitions=to_array(result.transitions * scale),
        end=to_array(result.end * scale),
    )
