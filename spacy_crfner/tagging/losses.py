"""The losses of `bcrf_ner` as registered blocks: `[components.bcrf_ner.loss] @misc = "spacy_crfner.nll.v1"`.

Each block is made once the tags are known. Formulas and degenerate cases: `spacy_crfner.crf.losses`.
"""

from functools import partial
from typing import Callable, Optional

from torch import Tensor

from ..crf import CRFLoss, bernoulli, bernoulli_costs, focal, nll, softmax, viterbi_gated
from ..tags import TagSet

LossBlock = Callable[[TagSet], CRFLoss]
"""Tags -> a loss over them."""


def _plain(loss: CRFLoss, tag_set: TagSet) -> CRFLoss:
    return loss


def make_nll_v1() -> LossBlock:
    """-log p(gold tags): the plain CRF."""
    return partial(_plain, nll)


def make_bernoulli_v1(
    P: float = 0.2, P_missed: Optional[float] = None, P_invented: Optional[float] = None
) -> LossBlock:
    """The CRF of BiLSTM-BCRF (Zhong & Wu 2022), read as a softmax-margin CRF with cost log((1 - P) / P) a wrong word.

    P: Bernoulli parameter of a wrong word, between 0 and 1. 0.5 is the plain CRF; the smaller, the dearer.
    P_missed: the parameter for words of entities that are tagged O; None takes P. Smaller values raise recall.
    P_invented: the parameter for O words that are tagged as entities; None takes P. Smaller values raise precision.
    Raises ValueError for a parameter that is not between 0 and 1.
    """
    costs = partial(bernoulli_costs, p=P, p_missed=P_missed, p_invented=P_invented)
    costs(TagSet(()))
    return partial(_bernoulli, costs)


def _bernoulli(costs: Callable[[TagSet], Tensor], tag_set: TagSet) -> CRFLoss:
    return partial(bernoulli, costs=costs(tag_set))


def make_viterbi_gated_v1() -> LossBlock:
    """The NLL plus -log p(gold tag) at the words that the current Viterbi path gets wrong."""
    return partial(_plain, viterbi_gated)


def make_focal_v1(gamma: float = 1.0) -> LossBlock:
    """(1 - p)^gamma NLL a sentence. gamma: 0 is the plain CRF; the larger, the less easy sentences count.

    Raises ValueError for a negative gamma.
    """
    if gamma < 0:
        raise ValueError(f"The focal loss needs a gamma of 0 or more (0 is the plain CRF), not {gamma}.")
    return partial(_plain, partial(focal, gamma=gamma))


def make_softmax_v1() -> LossBlock:
    """Cross-entropy of each word's tag, without a CRF; goes with the decoder `spacy_crfner.softmax_decoder.v1`."""
    return partial(_plain, softmax)
