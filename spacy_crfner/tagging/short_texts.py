"""Entities and confidences of a text of a few sentences, such as a server reads: without batches, packing and torch."""

from itertools import pairwise
from typing import List, Optional, Sequence

import numpy as np

from ..crf.potentials import LONG
from ..crf.single import Chain, best_path, run_probabilities, sure_path, sweep
from ..tags import TagSet
from .annotation import DocPrediction
from .head import CRFScores
from .potentials import has_finite_edges
from .sequences import TokenSequences

# One sentence after the other: more of them are faster as a batch.
MOST_SENTENCES = 4
# Of longer ones, probabilities are rarely within reach of each other unless the best path is known.
MOST_ROWS = 200


def read_short_text(
    scores: CRFScores,
    sequences: TokenSequences,
    tag_set: TagSet,
    allowed: Optional[np.ndarray],
    *,
    annotate: Sequence[str],
    threshold: float,
) -> Optional[List[DocPrediction]]:
    """Find the entities of each Doc by Viterbi, and their posteriors.

    allowed: (N, K) booleans for the tokens that take part, or None; see `allowed_tags`.
    Returns the same as viterbi_decoder and read_predictions do; None for what is left to them: many sentences or long
    ones, numbers on a GPU, annotations beside the confidence, potentials that are not finite, far apart or leave no tag
    sequence.
    """
    if (
        len(sequences.lengths) > MOST_SENTENCES
        or max(sequences.lengths) > LONG
        or not isinstance(scores.start, np.ndarray)
    ):
        return None
    if any(name != "confidence" for name in annotate):
        return None
    joined = scores.emissions[0] if len(scores.emissions) == 1 else np.concatenate(scores.emissions)
    emissions = joined[sequences.rows]
    if not has_finite_edges(scores) or not np.isfinite(emissions).all():
        return None
    if allowed is not None:
        emissions[~allowed] = -np.inf
    edges = (scores.start, scores.transitions, scores.end)
    start, transitions, end = (
        np.where(mask, edge, edge.dtype.type(-np.inf)) for mask, edge in zip(tag_set.legal, edges, strict=True)
    )
    confidence = "confidence" in annotate
    scored = confidence or threshold > 0
    predictions = [DocPrediction() for _ in scores.emissions]
    kept: List[List[float]] = [[] for _ in predictions]
    offsets = sequences.doc_offsets.tolist()
    docs = [0] * len(sequences.lengths) if len(predictions) == 1 else sequences.docs.tolist()
    for doc, (first, last) in zip(docs, pairwise(sequences.starts.tolist()), strict=True):
        chain = Chain(emissions[first:last], start, transitions, end)
        # Probabilities are asked for nearly always, and of most sentences they tell the best path too.
        sums = sweep(chain) if scored and last - first <= MOST_ROWS else None
        tags = sums and sure_path(sums)
        if tags is None:
            best = best_path(chain)
            if not np.isfinite(best.score):
                return None
            tags = best.tags
            if scored and sums is None and any(tags):
                sums = sweep(chain, best)
                if sums is None:
                    return None
        spans = tag_set.tags_to_spans(tags)
        values = [1.0] * len(spans)
        if sums is not None:
            goes_on = {"BIO": tag_set.index}.get(tag_set.scheme, {})
            values = run_probabilities(sums, [(i, tags[i:j], goes_on.get(f"I-{label}")) for i, j, label in spans])
        tokens = (sequences.rows[first:last] - offsets[doc]).tolist()
        for (i, j, label), value in zip(spans, values, strict=True):
            if value >= threshold:
                predictions[doc].spans.append((tokens[i], tokens[j - 1] + 1, label))
                kept[doc].append(value)
    if confidence:
        for prediction, of_doc in zip(predictions, kept, strict=True):
            prediction.attrs["scores"] = np.array(of_doc, dtype=np.float32)
    return predictions
