"""From decoded sequences to what is found in each Doc."""

import math
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from spacy.tokens import Doc

from ..crf import Posteriors, forward_backward, n_best, span_log_posteriors
from ..tags import TagSet
from .annotation import DocPrediction
from .decoders import Decoded
from .sequences import TokenSequences


def read_predictions(
    decoded: Decoded,
    tag_set: TagSet,
    sequences: TokenSequences,
    *,
    annotate: Sequence[str],
    threshold: float,
    n_best: int,
) -> List[DocPrediction]:
    """Read the entities of each Doc, with what `annotate` asks for.

    threshold: entities with a smaller posterior are dropped.
    n_best: tag sequences a sentence, if `annotate` holds "n_best".
    """
    predictions = [DocPrediction() for _ in sequences.doc_offsets[1:]]
    packing = decoded.potentials.packing
    order = packing.order.tolist()
    docs, starts, offsets = sequences.docs.tolist(), sequences.starts.tolist(), sequences.doc_offsets.tolist()
    rows = sequences.rows

    def tokens(sequence: int, start: int, end: int) -> tuple:
        """Find the Doc of a sequence, and the tokens of the Doc from the first step to the last."""
        first, last = rows[starts[sequence] + start], rows[starts[sequence] + end - 1]
        doc = docs[sequence]
        return doc, int(first) - offsets[doc], int(last) - offsets[doc] + 1

    entities = sorted((order[packed], packed, *span) for packed, spans in enumerate(decoded.spans) for span in spans)
    posteriors = decoded.posteriors
    scores = None
    if threshold > 0 or "confidence" in annotate or "marginals" in annotate:
        posteriors = posteriors or forward_backward(decoded.potentials)
        columns = torch.tensor([span[1:] for span in entities], dtype=torch.int64, device=packing.device).view(-1, 4)
        scores = span_log_posteriors(posteriors, tag_set, *columns.unbind(1)).exp().tolist()

    kept_scores: List[List[float]] = [[] for _ in predictions]
    for k, (sequence, _, start, end, label) in enumerate(entities):
        if scores is not None and scores[k] < threshold:
            continue
        doc, first, last = tokens(sequence, start, end)
        predictions[doc].spans.append((first, last, tag_set.labels[label]))
        if scores is not None:
            kept_scores[doc].append(scores[k])
    if "confidence" in annotate:
        for prediction, values in zip(predictions, kept_scores, strict=True):
            prediction.attrs["scores"] = np.array(values, dtype=np.float32)
    if "marginals" in annotate and posteriors is not None:
        _add_marginals(predictions, posteriors, tag_set, sequences)
    if "n_best" in annotate:
        _add_n_best(predictions, decoded, posteriors, tag_set, n_best, tokens)
    return predictions


def empty_predictions(docs: Sequence[Doc], tag_set: TagSet, annotate: Sequence[str]) -> List[DocPrediction]:
    """Make predictions for Docs of which nothing is read, such as empty ones."""
    predictions = [DocPrediction() for _ in docs]
    for doc, prediction in zip(docs, predictions, strict=True):
        if "confidence" in annotate:
            prediction.attrs["scores"] = np.zeros(0, dtype=np.float32)
        if "marginals" in annotate:
            marginals = np.zeros((len(doc), len(tag_set)), dtype=np.float32)
            marginals[:, 0] = 1.0
            prediction.attrs.update(marginals=marginals, tags=list(tag_set.names))
        if "n_best" in annotate:
            prediction.attrs["n_best"] = []
    return predictions


def _add_marginals(
    predictions: List[DocPrediction], posteriors: Posteriors, tag_set: TagSet, sequences: TokenSequences
) -> None:
    """Set attrs["marginals"] and attrs["tags"].

    They are the probability (tokens, K) of each tag, O for white space, and the names of the tags.
    """
    marginals = np.zeros((int(sequences.doc_offsets[-1]), len(tag_set)), dtype=np.float32)
    marginals[:, 0] = 1.0
    marginals[sequences.rows] = posteriors.potentials.packing.unpack(posteriors.marginals).cpu().numpy()
    for prediction, start, end in zip(predictions, sequences.doc_offsets, sequences.doc_offsets[1:], strict=False):
        prediction.attrs["marginals"] = marginals[start:end]
        prediction.attrs["tags"] = list(tag_set.names)


def _add_n_best(
    predictions: List[DocPrediction],
    decoded: Decoded,
    posteriors: Optional[Posteriors],
    tag_set: TagSet,
    n: int,
    tokens: Any,
) -> None:
    """Set attrs["n_best"]: for each sentence its best tag sequences, best first.

    Each is {"probability", "log_probability", "ents"}.
    """
    potentials = decoded.potentials
    packing = potentials.packing
    # In double precision: a float loses 1e-5 of the scores of a long path, and cannot be as small as its probability.
    packed, scores = n_best(potentials.to(torch.float64), n)
    posteriors = posteriors or forward_backward(potentials)
    log_p = scores - posteriors.exact_log_partition[:, None]
    tags = packing.unpack(packed).cpu().numpy()
    log_probabilities = packing.unpack_sequences(log_p).tolist()
    lengths = packing.unpack_sequences(packing.lengths).tolist()
    for prediction in predictions:
        prediction.attrs["n_best"] = []
    end = 0
    for sequence, length in enumerate(lengths):
        end += length
        paths: List[Dict[str, Any]] = []
        for rank, log_probability in enumerate(log_probabilities[sequence]):
            if log_probability == float("-inf"):
                continue
            spans = tag_set.tags_to_spans(tags[end - length : end, rank].tolist())
            ents = [[*tokens(sequence, i, j)[1:], label] for i, j, label in spans]
            probability = math.exp(min(log_probability, 0.0))
            paths.append({"probability": probability, "log_probability": log_probability, "ents": ents})
        predictions[tokens(sequence, 0, 1)[0]].attrs["n_best"].append(paths)
