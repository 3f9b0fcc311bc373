"""A learning rate that follows the score on dev, and how components make scores known to it."""

import logging
import math
import warnings
from typing import Any, Dict, Iterator, List, Mapping, Optional, Union
from weakref import WeakSet

from thinc.api import Optimizer
from thinc.optimizers import FloatOrSeq

LOGGER = logging.getLogger("spacy")


class AnnealOnPlateau(Iterator[float]):
    """Learning rates that are multiplied by `factor` each time that the score has not risen for `patience` evaluations.

    A schedule of Thinc, which sees no score; so a component, when it is evaluated, makes its scores known to the
    schedules of the optimizer that trains it, see `Followers`. An evaluation counts when the next rate is asked for, at
    the end of the next update: what several components have reported by then is one evaluation.
    """

    def __init__(
        self,
        rate: FloatOrSeq,
        *,
        factor: float,
        patience: int,
        smallest: float,
        score_weights: Mapping[str, Optional[float]],
    ):
        if not 0 < factor < 1 or patience < 1 or smallest < 0:
            raise ValueError(
                "anneal_on_plateau.v1 needs a factor between 0 and 1, a patience of 1 or more and a smallest rate of 0 "
                f"or more, not {factor}, {patience}, {smallest}."
            )
        self.weights = {name: weight for name, weight in score_weights.items() if weight}
        if not self.weights:
            raise ValueError("anneal_on_plateau.v1 needs a score to follow: name one in score_weights.")
        self.factor, self.patience, self.smallest = factor, patience, smallest
        self.scale, self.best, self.since_best = 1.0, -math.inf, 0
        self._rates: Iterator[float] = iter([rate] if isinstance(rate, (int, float)) else rate)
        self._rate = math.nan
        self._reported: Dict[str, Any] = {}
        self._has_warned = False

    def report(self, scores: Mapping[str, Any]) -> None:
        """Take the scores of a component. Those of a later evaluation before the next update replace them."""
        self._reported.update(scores)

    def __next__(self) -> float:
        """Give the rate of the next update."""
        if self._reported:
            self._take_up(self._reported)
            self._reported = {}
        # A schedule that has ended stays at its last rate.
        self._rate = next(self._rates, self._rate)
        return max(self._rate * self.scale, min(self._rate, self.smallest))

    def _take_up(self, scores: Mapping[str, Any]) -> None:
        known = {name: scores[name] for name in self.weights if scores.get(name) is not None}
        if not known:
            self._warn(scores)
            return
        score = sum(self.weights[name] * value for name, value in known.items())
        if score > self.best:
            self.best, self.since_best = score, 0
            return
        self.since_best += 1
        if self.since_best == self.patience:
            self.scale, self.since_best = self.scale * self.factor, 0
            LOGGER.info("No score above %.4f: the learning rate is %.3g of its own now.", self.best, self.scale)

    def _warn(self, scores: Mapping[str, Any]) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        there = sorted(name for name, score in scores.items() if isinstance(score, (int, float)))
        warnings.warn(
            f"anneal_on_plateau.v1 follows {', '.join(self.weights)}, which no evaluation has given, so that the rate "
            f"stays as it is: name one of {', '.join(there) or '(none)'} in its score_weights.",
            UserWarning,
            stacklevel=3,
        )


class Followers:
    """The schedules that a component reports its scores to: those of the optimizer that last took a step with it.

    They are not held: a training that has ended hears nothing more. A copy has none.
    """

    def __init__(self) -> None:
        self._schedules: WeakSet[AnnealOnPlateau] = WeakSet()

    def follow(self, optimizer: Any) -> None:
        """Report to the schedules of this optimizer from now on; a function that collects gradients changes nothing."""
        if isinstance(optimizer, Optimizer):
            schedules: List[Any] = list(optimizer.schedules.values())
            self._schedules = WeakSet(schedule for schedule in schedules if isinstance(schedule, AnnealOnPlateau))

    def report(self, scores: Dict[str, Any]) -> Dict[str, Any]:
        """Report the scores of an evaluation, and give them back."""
        for schedule in self._schedules:
            schedule.report(scores)
        return scores

    def __reduce__(self) -> Any:
        return Followers, ()


def make_anneal_on_plateau_v1(
    rate: FloatOrSeq,
    factor: float = 0.5,
    patience: int = 3,
    smallest: float = 0.0,
    score_weights: Optional[Dict[str, Optional[Union[float, int]]]] = None,
) -> Iterator[float]:
    """Multiply a learning rate by `factor` each time that the dev score has not risen for `patience` evaluations.

    rate: a number, or another schedule such as `warmup_linear.v1`.
    smallest: the rate falls no lower than this.
    score_weights: names of scores, and how much each counts, as in [training.score_weights]; `ents_f` alone where there
        are none. Scores of components of this package are seen, frozen ones aside.
    Raises ValueError for arguments that cannot be.
    """
    weights = {"ents_f": 1.0} if score_weights is None else score_weights
    return AnnealOnPlateau(rate, factor=factor, patience=patience, smallest=smallest, score_weights=weights)
