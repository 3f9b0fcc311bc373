"""The losses of `weak_class_router` as registered functions: `[components.weak_class_router.loss] @misc = ...`.

Each is a function of the (sentences,) logits, the (sentences,) truth of the sentences (1 weak, 0 strong) and the
share of weak sentences in the training corpus; it gives the (sentences,) losses and their derivatives by the logits.
"""

from functools import partial
from typing import Callable, Optional, Tuple

import numpy as np

RouterLoss = Callable[[np.ndarray, np.ndarray, float], Tuple[np.ndarray, np.ndarray]]


def make_weighted_cross_entropy_v1(weak: Optional[float] = None, strong: Optional[float] = None) -> RouterLoss:
    """Charge -w log p(truth), where w is the weight of the sentence's class (Saarland report 2020).

    weak: the weight of sentences with a weak label; None takes the share of sentences without one.
    strong: the weight of sentences without a weak label; None takes the share of sentences with one.
    The two classes then weigh the same in all, however rare one is. Raises ValueError for a weight that is not above 0.
    """
    for name, value in (("weak", weak), ("strong", strong)):
        if value is not None and value <= 0:
            raise ValueError(f"The weight of {name} sentences must be above 0, not {value}.")
    return partial(_weighted_cross_entropy, weak=weak, strong=strong)


def make_cross_entropy_v1() -> RouterLoss:
    """Charge -log p(truth): every sentence weighs the same."""
    return partial(_weighted_cross_entropy, weak=1.0, strong=1.0)


def make_focal_cross_entropy_v1(gamma: float = 2.0) -> RouterLoss:
    """Charge -(1 - p)^gamma log p for the probability p of the truth (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    gamma: 0 is the cross entropy; the larger, the less the sentences count that are easy.
    Raises ValueError for a negative gamma.
    """
    if gamma < 0:
        raise ValueError(f"The focal loss needs a gamma of 0 or more (0 is the cross entropy), not {gamma}.")
    return partial(_focal_cross_entropy, gamma=gamma)


def _weighted_cross_entropy(
    logits: np.ndarray, truth: np.ndarray, share: float, *, weak: Optional[float], strong: Optional[float]
) -> Tuple[np.ndarray, np.ndarray]:
    weights = np.where(truth, 1.0 - share if weak is None else weak, share if strong is None else strong)
    sign = np.where(truth, 1.0, -1.0)
    log_p = log_sigmoid(sign * logits)
    return -weights * log_p, weights * sign * (np.exp(log_p) - 1.0)


def _focal_cross_entropy(
    logits: np.ndarray, truth: np.ndarray, share: float, *, gamma: float
) -> Tuple[np.ndarray, np.ndarray]:
    sign = np.where(truth, 1.0, -1.0)
    log_p = log_sigmoid(sign * logits)
    p, rest = np.exp(log_p), np.exp(log_sigmoid(-sign * logits))
    # By the logit, log p has the derivative sign * rest, and rest has -sign * p * rest.
    return -(rest**gamma) * log_p, sign * rest**gamma * (gamma * p * log_p - rest)


def log_sigmoid(values: np.ndarray) -> np.ndarray:
    """Compute the log probabilities of logits, without overflow."""
    return -np.logaddexp(0.0, -values)
