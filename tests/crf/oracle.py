"""Brute force over all tag sequences of small CRFs, in plain Python and double precision."""

import itertools
from functools import cached_property
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
import torch
from hypothesis import strategies as st

from spacy_crfner.crf import Potentials
from spacy_crfner.tags import TagSet


class Oracle:
    """All tag sequences of one sentence with their scores."""

    def __init__(self, emissions, start, transitions, end, allowed=None):
        length, n_tags = emissions.shape
        paths = np.array(list(itertools.product(range(n_tags), repeat=length)))
        scores = start[paths[:, 0]] + end[paths[:, -1]] + emissions[np.arange(length), paths].sum(1)
        scores = scores + transitions[paths[:, :-1], paths[:, 1:]].sum(1)
        possible = np.isfinite(scores)
        if allowed is not None:
            possible &= allowed[np.arange(length), paths].all(1)
        self.paths: List[Tuple[int, ...]] = [tuple(path) for path in paths[possible].tolist()]
        self.scores: List[float] = scores[possible].tolist()

    def log_sum(self, keep: Callable[[Tuple[int, ...]], bool] = lambda path: True) -> float:
        scores = np.array([score for path, score in zip(self.paths, self.scores, strict=True) if keep(path)])
        if not len(scores):
            return float("-inf")
        return float(scores.max() + np.log(np.exp(scores - scores.max()).sum()))

    @cached_property
    def log_partition(self) -> float:
        return self.log_sum()

    def log_p(self, keep: Callable[[Tuple[int, ...]], bool]) -> float:
        return self.log_sum(keep) - self.log_partition

    def ranked(self) -> List[Tuple[float, Tuple[int, ...]]]:
        return sorted(zip(self.scores, self.paths, strict=True), reverse=True)


def agrees(gold) -> Callable[[Tuple[int, ...]], bool]:
    """Paths that contradict no gold tag; -1 is missing."""
    return lambda path: all(g in (-1, tag) for g, tag in zip(gold, path, strict=True))


class Case:
    """A batch of small random CRFs: tensors for the code under test, one Oracle a sentence."""

    def __init__(
        self,
        seed: int,
        lengths: List[int],
        labels: int = 1,
        scheme: str = "BIOES",
        dtype: torch.dtype = torch.float64,
        scale: float = 2.0,
        legal: bool = True,
        mask: bool = False,
    ):
        generator = np.random.default_rng(seed)
        self.tag_set = TagSet(tuple("ABCD"[:labels]), scheme)
        self.lengths = lengths
        n_tags = len(self.tag_set)
        self.emissions = torch.tensor(generator.normal(0, scale, (sum(lengths), n_tags)), dtype=dtype)
        self.start, self.transitions, self.end = (
            torch.tensor(generator.normal(0, 1, size), dtype=dtype) for size in ((n_tags,), (n_tags, n_tags), (n_tags,))
        )
        self.legal = tuple(torch.from_numpy(m) for m in self.tag_set.legal) if legal else None
        self.allowed = None
        if mask:
            allowed = generator.random((sum(lengths), n_tags)) < 0.7
            allowed[:, 0] = True
            self.allowed = torch.from_numpy(allowed)
        self.generator = generator

    def potentials(self, **replaced: torch.Tensor) -> Potentials:
        values: Dict[str, torch.Tensor] = {
            name: replaced.get(name, getattr(self, name)) for name in ("emissions", "start", "transitions", "end")
        }
        return Potentials.build(
            values["emissions"],
            self.lengths,
            values["start"],
            values["transitions"],
            values["end"],
            legal=self.legal,
            allowed=self.allowed,
        )

    def slices(self) -> List[slice]:
        ends = np.cumsum(self.lengths)
        return [slice(int(end - length), int(end)) for end, length in zip(ends, self.lengths, strict=True)]

    def oracles(self, emissions: Optional[torch.Tensor] = None) -> List[Oracle]:
        rows = (self.emissions if emissions is None else emissions).double().numpy()
        edges = [self.start.double().numpy(), self.transitions.double().numpy(), self.end.double().numpy()]
        if self.legal is not None:
            edges = [np.where(mask, edge, -np.inf) for edge, mask in zip(edges, self.tag_set.legal, strict=True)]
        allowed = None if self.allowed is None else self.allowed.numpy()
        return [Oracle(rows[s], *edges, None if allowed is None else allowed[s]) for s in self.slices()]

    def gold(self, missing: float = 0.3) -> torch.Tensor:
        """A possible path of each sentence, some of its tags missing."""
        tags = []
        for oracle in self.oracles():
            path = np.array(oracle.paths[self.generator.integers(len(oracle.paths))])
            tags.append(np.where(self.generator.random(len(path)) < missing, -1, path))
        return torch.tensor(np.concatenate(tags))


def cases(**fixed) -> st.SearchStrategy[Case]:
    """Random batches: up to three sentences of up to four tokens."""
    options = {
        "seed": st.integers(0, 10_000),
        "lengths": st.lists(st.integers(1, 4), min_size=1, max_size=3),
        "scheme": st.sampled_from(["BIOES", "BIO"]),
        "scale": st.sampled_from([0.5, 2.0, 10.0]),
        "mask": st.booleans(),
    }
    options.update({name: st.just(value) for name, value in fixed.items()})
    return st.builds(Case, **options)
