"""From the scores of a head to the CRF of a batch, and from a loss back to the gradient of the scores."""

import math
from typing import Any, Optional, Sequence

import numpy as np
import torch
from spacy.strings import StringStore
from spacy.tokens import Doc
from thinc.api import get_array_module

from ..crf import LossGradient, Potentials
from ..tags import LabelledSpan, TagSet
from ..wrapping import to_array, to_torch
from .gold import NO_ENTITY, UNKNOWN, EntityRuns, blocked_tokens, label_numbers, runs_to_tags
from .head import CRFScores
from .sequences import TokenSequences


def build_potentials(
    scores: CRFScores, sequences: TokenSequences, tag_set: TagSet, allowed: Optional[np.ndarray]
) -> Potentials:
    """Build the CRF of the sequences of a batch.

    allowed: (N, K) booleans for the tokens that take part, or None; see `allowed_tags`.
    Raises FloatingPointError where a score is not a finite number.
    """
    emissions = to_torch(_concatenated(scores.emissions))
    device = emissions.device
    emissions = emissions[torch.from_numpy(sequences.rows).to(device)]
    if not has_finite_edges(scores) or not bool(torch.isfinite(emissions).all()):
        raise FloatingPointError("a score is not a finite number")
    start, steps, end = (torch.from_numpy(mask).to(device) for mask in tag_set.legal)
    return Potentials.build(
        emissions,
        sequences.lengths,
        to_torch(scores.start),
        to_torch(scores.transitions),
        to_torch(scores.end),
        legal=(start, steps, end),
        allowed=None if allowed is None else torch.from_numpy(allowed).to(device),
    )


def has_finite_edges(scores: CRFScores) -> bool:
    """Tell whether all scores of tag steps are finite numbers, those of illegal ones too."""
    edges: Sequence[Any] = (scores.start, scores.transitions, scores.end)
    # A sum is finite where all is; one that has grown too large is rare.
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(sum(values.sum() for values in edges))
    return math.isfinite(total) or all(bool(get_array_module(values).isfinite(values).all()) for values in edges)


def allowed_tags(
    docs: Sequence[Doc],
    given: Sequence[Sequence[LabelledSpan]],
    sequences: TokenSequences,
    tag_set: TagSet,
    strings: StringStore,
) -> Optional[np.ndarray]:
    """Mark the tags, (N, K) booleans, that given entities and blocked tokens leave; None if they leave all.

    given: the entities of each Doc that must stay.
    """
    blocked = [blocked_tokens(doc) for doc in docs]
    if not any(given) and not any(blocked):
        return None
    runs = []
    for doc, spans, blocked_runs in zip(docs, given, blocked, strict=True):
        # Only entities constrain: that other tokens were given no entity so far says nothing of them.
        entity = np.full(len(doc), UNKNOWN)
        for start, end in blocked_runs:
            entity[start:end] = NO_ENTITY
        for number, (start, end, _) in enumerate(spans):
            entity[start:end] = number
        runs.append(EntityRuns(entity, np.array([strings[span[2]] for span in spans], dtype=np.uint64)))
    tags, cut = runs_to_tags(runs, label_numbers(tag_set, strings), tag_set, sequences, unlisted=NO_ENTITY)
    # An entity across a sentence border stays in the Doc; the CRF only has to keep off its tokens.
    tags[cut[sequences.owners] & (tags > 0)] = 0
    allowed = np.ones((len(tags), len(tag_set)), dtype=bool)
    fixed = np.flatnonzero(tags >= 0)
    allowed[fixed] = False
    allowed[fixed, tags[fixed]] = True
    return allowed


def score_gradient(
    scores: CRFScores, sequences: TokenSequences, result: LossGradient, potentials: Potentials
) -> CRFScores:
    """Give the gradient of a loss the shape of the scores; it is 0 for tokens that take no part."""
    xp = get_array_module(scores.start)
    ends = np.cumsum([len(emissions) for emissions in scores.emissions])
    rows = xp.zeros((int(ends[-1]), len(scores.start)), dtype=scores.start.dtype)
    rows[xp.asarray(sequences.rows)] = to_array(potentials.packing.unpack(result.emissions))
    return CRFScores(
        emissions=[rows[end - len(own) : end] for end, own in zip(ends.tolist(), scores.emissions, strict=True)],
        start=to_array(result.start),
        transitions=to_array(result.transitions),
        end=to_array(result.end),
    )


def no_gradient(scores: CRFScores) -> CRFScores:
    """Make the gradient of a loss that does not depend on the scores."""
    xp = get_array_module(scores.start)
    edges = (xp.zeros_like(values) for values in (scores.start, scores.transitions, scores.end))
    return CRFScores([xp.zeros_like(emissions) for emissions in scores.emissions], *edges)


def _concatenated(arrays: Sequence) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else get_array_module(arrays[0]).concatenate(arrays)
