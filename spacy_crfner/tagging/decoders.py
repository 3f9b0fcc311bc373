"""How `bcrf_ner` picks entities, as registered functions: `[components.bcrf_ner.decoder] @misc = ...`."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, List, Optional, Tuple

import torch

from ..crf import Posteriors, Potentials, forward_backward, max_f_spans, viterbi
from ..tags import TagSet

Span = Tuple[int, int, int]
"""First step, step after the last, index of the label in the tag set."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a decoder has picked.

    spans: the entities of each packed sequence, in order, never overlapping.
    potentials: the CRF that they were decoded from, which also gives their probabilities.
    posteriors: its posteriors, if decoding needed them.
    """

    spans: List[List[Span]]
    potentials: Potentials
    posteriors: Optional[Posteriors] = None


Decoder = Callable[[Potentials, TagSet], Decoded]


def make_viterbi_decoder_v1() -> Decoder:
    """Pick the entities of the most probable tag sequence."""
    return viterbi_decoder


def make_max_f_decoder_v1(threshold: float = 0.45, max_length: int = 12) -> Decoder:
    """Pick the entities with the best expected F1, given their probabilities.

    threshold: half of the F1 that is expected: lower values raise recall, higher ones precision.
    max_length: entities of more tokens are never found.
    Raises ValueError for a threshold that is not between 0 and 1 or a max_length below 1.
    """
    if not 0.0 <= threshold < 1.0:
        raise ValueError(f"The max-F decoder needs a threshold from 0 to below 1, not {threshold}.")
    if max_length < 1:
        raise ValueError(f"The max-F decoder needs a max_length of 1 or more, not {max_length}.")
    return partial(max_f_decoder, threshold=threshold, max_length=max_length)


def make_softmax_decoder_v1() -> Decoder:
    """Pick the best well-formed tag sequence by the emissions alone, for models trained without a CRF."""
    return softmax_decoder


def viterbi_decoder(potentials: Potentials, tag_set: TagSet) -> Decoded:
    """Pick the entities of the most probable tag sequence."""
    packing = potentials.packing
    packed, _ = viterbi(potentials)
    tags = packing.unpack(packed).tolist()
    lengths = packing.unpack_sequences(packing.lengths).tolist()
    by_batch, end = [], 0
    for length in lengths:
        end += length
        spans = tag_set.tags_to_spans(tags[end - length : end])
        by_batch.append([(i, j, tag_set.label_index[label]) for i, j, label in spans])
    return Decoded([by_batch[i] for i in packing.order.tolist()], potentials)


def max_f_decoder(potentials: Potentials, tag_set: TagSet, *, threshold: float, max_length: int) -> Decoded:
    """Pick the entities with the best expected F1; see `make_max_f_decoder_v1`."""
    posteriors = forward_backward(potentials)
    spans = max_f_spans(posteriors, tag_set, threshold=threshold, max_length=max_length)
    return Decoded([[span[:3] for span in sequence] for sequence in spans], potentials, posteriors)


def softmax_decoder(potentials: Potentials, tag_set: TagSet) -> Decoded:
    """Pick the entities of the best well-formed tag sequence by the emissions alone."""

    def without_scores(values: torch.Tensor) -> torch.Tensor:
        return values.masked_fill(torch.isfinite(values), 0.0)

    unchained = replace(
        potentials,
        start=without_scores(potentials.start),
        transitions=without_scores(potentials.transitions),
        end=without_scores(potentials.end),
    )
    return viterbi_decoder(unchained, tag_set)
