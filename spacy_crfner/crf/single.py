"""The best tags and span posteriors of one sequence, in numpy, which is through before torch has called its operations.

The same numbers as those of `viterbi` and `span_log_posteriors`, which serve batches, training and GPUs.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import List, Optional, Sequence, Tuple

import numpy as np

# Of what a sweep counts together at each step. Where more is missing, numbers were too far apart for it.
TOLERANCE = 1e-6
# A path that is more probable than this is the best one, with something to spare for what rounding adds.
SURE = 0.51


@dataclass(frozen=True, eq=False)
class Chain:
    """A linear-chain CRF over one sequence with T rows, 1 or more, and K tags; see Potentials.

    emissions: (T, K), -inf where a row may not have a tag.
    start, transitions, end: (K,), (K from, K to), (K,); -inf where a step is illegal.
    """

    emissions: np.ndarray
    start: np.ndarray
    transitions: np.ndarray
    end: np.ndarray


@dataclass(frozen=True, eq=False)
class BestPath:
    """The best tag sequence of a chain.

    tags: (T,). score: its score; -inf, with meaningless tags, where no tag sequence is possible.
    prefixes: (T, K) the best score of a prefix that ends in each tag at each row.
    """

    tags: List[int]
    score: float
    prefixes: np.ndarray


Run = Tuple[int, Sequence[int], Optional[int]]
"""First row of an entity, the tags of its rows, and the tag after the last with which it would go on; None if none."""


def best_path(chain: Chain) -> BestPath:
    """Find the best tag sequence; steps and ties are those of `viterbi`."""
    prefixes = np.empty_like(chain.emissions)
    # Scores may be so large that their sum is not finite: whoever asks looks at it.
    with np.errstate(over="ignore", invalid="ignore"):
        before = np.add(chain.start, chain.emissions[0], out=prefixes[0])
        to_from = np.ascontiguousarray(chain.transitions.T)
        from_to, candidates = chain.transitions, np.empty_like(chain.transitions)
        for emission, now in zip(chain.emissions[1:], prefixes[1:], strict=True):
            np.add(before[:, None], from_to, candidates)
            np.maximum.reduce(candidates, 0, None, now)
            before = np.add(now, emission, now)
        closing = before + chain.end
        tag = int(closing.argmax())
        tags = [tag]
        for prefix in prefixes[-2::-1]:
            tag = int((to_from[tag] + prefix).argmax())
            tags.append(tag)
    return BestPath(tags[::-1], float(closing[tags[0]]), prefixes)


@dataclass(frozen=True, eq=False)
class Sweeps:
    """The sums over all tag sequences of a chain, in probability space.

    odds: (T, K) of the emissions. factors: (K from, K to) of the transitions.
    alpha: (T, K) over the rows up to each one, with its own odds. beta: (T, K) over those after it.
    total: over all tag sequences, in the same unit.
    """

    odds: np.ndarray
    factors: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    total: float


def sweep(chain: Chain, best: Optional[BestPath] = None) -> Optional[Sweeps]:
    """Sum over all tag sequences from both ends.

    best: of the chain; the sums are taken beside its scores, which suits long sequences too.
    None where the numbers are too far apart for sums without a scale of their own, or no tag sequence is possible.
    """
    with np.errstate(all="ignore"):
        if best is None:
            gains = chain.emissions.max(axis=1).astype(np.float64)
        else:
            gains = best.prefixes.max(axis=1).astype(np.float64)
            gains[1:] -= gains[:-1].copy()
        odds = np.exp(chain.emissions - gains[:, None])
        factors = np.exp(chain.transitions, dtype=np.float64)
        alpha, beta = np.empty_like(odds), np.empty_like(odds)
        before = np.multiply(odds[0], np.exp(chain.start, dtype=np.float64), alpha[0])
        for odd, now in zip(odds[1:], alpha[1:], strict=True):
            before = np.multiply(before.dot(factors, now), odd, now)
        after = beta[-1]
        np.exp(chain.end, after)
        back, product = np.ascontiguousarray(factors.T), np.empty_like(after)
        for odd, now in zip(odds[:0:-1], beta[-2::-1], strict=True):
            after = np.multiply(after, odd, product).dot(back, now)
        # At every row, all tag sequences together: unless something that counts was too small or too large.
        totals = np.einsum("tk,tk->t", alpha, beta)
        total = float(totals[-1])
        if not 0.0 < total < np.inf or not np.abs(totals - total).max() <= TOLERANCE * total:
            return None
    return Sweeps(odds, factors, alpha, beta, total)


def sure_path(sums: Sweeps) -> Optional[List[int]]:
    """Find the tags that are the most probable ones of their rows, if all together they are more probable than not.

    They are the best path then, since all others together are less. None where they are not, or not clearly.
    """
    tags = (sums.alpha * sums.beta).argmax(axis=1)
    value = sums.alpha[0, tags[0]] * sums.beta[-1, tags[-1]] / sums.total
    with np.errstate(all="ignore"):
        value *= sums.odds[np.arange(1, len(tags)), tags[1:]].prod() * sums.factors[tags[:-1], tags[1:]].prod()
    return tags.tolist() if SURE < value <= 1.0 + TOLERANCE else None


def run_probabilities(sums: Sweeps, runs: Sequence[Run]) -> List[float]:
    """Compute the probability of each run of tags, summed over all tags of the other rows."""
    return [_probability(run, sums) for run in runs]


def _probability(run: Run, sums: Sweeps) -> float:
    first, tags, barred = run
    odds, factors = sums.odds, sums.factors
    value = sums.alpha[first, tags[0]]
    for row, (tag, following) in enumerate(pairwise(tags), first + 1):
        value *= factors[tag, following] * odds[row, following]
    end, tag = first + len(tags), tags[-1]
    if barred is None or end == len(odds):
        value *= sums.beta[end - 1, tag]
    else:
        ways = factors[tag] * odds[end] * sums.beta[end]
        ways[barred] = 0.0
        value *= ways.sum()
    return min(1.0, float(value) / sums.total)
