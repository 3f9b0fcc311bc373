"""How well a router tells sentences with weak labels from the others."""

from typing import Any, Callable, Collection, Dict, Iterable, List, Tuple

import numpy as np
from spacy.training import Example

from ..tagging.entity_sentences import UNANNOTATED, WITH, entity_sentences
from .annotation import routed_sentences


def make_sentence_scorer_v1() -> Callable[..., Dict[str, Any]]:
    """Score a router on annotated sentences.

    `weak_p`, `weak_r`, `weak_f`: precision, recall and F1 of the flagged sentences; `strong_r`: the recall of the
    others, which is called the accuracy on class 0 in the paper; `weak_ap`: average precision, the area under the curve
    of precision over recall, which needs no threshold; `weak_best_f` and `weak_best_threshold`: the best F1 that any
    threshold gives, and that threshold.
    """
    return score_sentences


def score_sentences(
    examples: Iterable[Example], *, spans_key: str, labels: Collection[str], **cfg: Any
) -> Dict[str, Any]:
    """Score predicted Docs against their references; None where nothing is annotated or no sentence is weak.

    spans_key: the router's span group. labels: the weak labels.
    """
    truth, probabilities, flagged = collect(examples, spans_key=spans_key, labels=labels)
    weak = int(truth.sum())
    if not len(truth) or not weak:
        keys = ("weak_p", "weak_r", "weak_f", "strong_r", "weak_ap", "weak_best_f", "weak_best_threshold")
        return dict.fromkeys(keys)
    hits = int((truth & flagged).sum())
    rejected = int((~truth & ~flagged).sum())
    best_f, best_threshold = best_threshold_of(truth, probabilities)
    return {
        "weak_p": hits / max(int(flagged.sum()), 1),
        "weak_r": hits / weak,
        "weak_f": 2 * hits / (weak + int(flagged.sum())),
        "strong_r": rejected / max(len(truth) - weak, 1),
        "weak_ap": average_precision(truth, probabilities),
        "weak_best_f": best_f,
        "weak_best_threshold": best_threshold,
    }


def collect(
    examples: Iterable[Example], *, spans_key: str, labels: Collection[str]
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Collect (sentences,) truth, probability and flag of every annotated sentence that a router has read."""
    truth: List[bool] = []
    probabilities: List[float] = []
    flagged: List[bool] = []
    for example in examples:
        if spans_key not in example.predicted.spans:
            continue
        sentences = routed_sentences(example.predicted, spans_key)
        states = entity_sentences(example, labels, [read.end - read.start for read in sentences]).tolist()
        for state, sentence in zip(states, sentences, strict=True):
            if state != UNANNOTATED:
                truth.append(state == WITH)
                probabilities.append(sentence.probability)
                flagged.append(sentence.flagged)
    return np.array(truth, dtype=bool), np.array(probabilities), np.array(flagged, dtype=bool)


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Average, over the positive cases, the precision at the threshold that just finds the case.

    truth: (n,) booleans, at least one of them True; probabilities: (n,). Equal cases are found together.
    """
    hits, reached = _curve(truth, probabilities)[:2]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / reached).sum() / hits[-1])


def best_threshold_of(truth: np.ndarray, probabilities: np.ndarray, beta: float = 1.0) -> Tuple[float, float]:
    """Find the best F score that a threshold gives, and a threshold that gives it, in the middle of its range.

    truth: (n,) booleans, at least one of them True; probabilities: (n,).
    beta: how many times as much recall counts as precision.
    """
    hits, reached, values = _curve(truth, probabilities)
    scores = (1 + beta**2) * hits / (beta**2 * hits[-1] + reached)
    best = int(scores.argmax())
    below = values[best + 1] if best + 1 < len(values) else 0.0
    return float(scores[best]), float((values[best] + below) / 2)


def _curve(truth: np.ndarray, probabilities: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List for every distinct probability, from the highest, the hits and cases that reach it, and the probability."""
    order = np.argsort(-probabilities, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    return np.cumsum(truth[order])[last], last + 1, probabilities[order][last]
