"""The rules by which the entities of several taggers become one set without overlaps. No Docs in here."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..tags import LabelledSpan, iob_to_spans


@dataclass(frozen=True)
class ScoredSpan:
    """An entity that a tagger has found: tokens from `start` to before `end`, and how probable it is."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True, eq=False)
class TagProbabilities:
    """How probable a tagger finds each tag of each word of a Doc.

    marginals: (tokens, K). tags: the names of the K tags.
    """

    marginals: np.ndarray
    tags: Sequence[str]

    def of(self, token: int, tag: str) -> float:
        return float(self.marginals[token, self.tags.index(tag)])


def best_spans(groups: Sequence[Sequence[ScoredSpan]]) -> List[ScoredSpan]:
    """The span-level rule: of all entities the most probable one, then the most probable one that does not overlap it,
    and so on. Of equals, the longer one goes first, then that of the earlier group. In order of the text."""
    candidates = [(-one.score, one.start - one.end, place, one) for place, group in enumerate(groups) for one in group]
    taken: Dict[int, None] = {}
    kept: List[ScoredSpan] = []
    for _, _, _, one in sorted(candidates, key=lambda candidate: candidate[:3]):
        tokens = range(one.start, one.end)
        if not any(token in taken for token in tokens):
            taken.update(dict.fromkeys(tokens))
            kept.append(one)
    return sorted(kept, key=lambda one: one.start)


def best_words(
    groups: Sequence[Sequence[ScoredSpan]], probabilities: Sequence[TagProbabilities], words: Sequence[int]
) -> List[ScoredSpan]:
    """The word-level rule (Saarland report 2020, eqs. 8-9): at every word a tag beats O, and of several tags the one
    that its tagger finds more probable wins. Of equals, that of the earlier group.

    groups: the entities of each tagger; probabilities: of its tags, in BIOES or BIO.
    words: the tokens that have a vote, in order: all but white space.
    Words in a row whose tags have the same label form an entity, which a B or S tag, or the end of one (E or S), parts:
    merging words may break entities. An entity that a tagger found as it is keeps its score; a broken one has the mean
    probability of its tags.
    """
    votes: Dict[int, Tuple[float, str]] = {}
    for group, tagger in zip(groups, probabilities, strict=True):
        bioes = any(tag.startswith(("S-", "E-")) for tag in tagger.tags)
        for one in group:
            for place in range(bisect_left(words, one.start), bisect_left(words, one.end)):
                token = words[place]
                tag = f"{_role(token, one, bioes)}-{one.label}"
                probability = tagger.of(token, tag)
                if place not in votes or probability > votes[place][0]:
                    votes[place] = (probability, tag)
    scores: Dict[LabelledSpan, float] = {}
    for group in groups:
        for one in group:
            key = (one.start, one.end, one.label)
            scores[key] = max(one.score, scores.get(key, 0.0))
    tags = [votes[place][1] if place in votes else "O" for place in range(max(votes, default=-1) + 1)]
    merged = []
    for first, last, label in iob_to_spans(tags):
        start, end = words[first], words[last - 1] + 1
        of_words = [votes[place][0] for place in range(first, last)]
        merged.append(ScoredSpan(start, end, label, _score(scores.get((start, end, label)), of_words)))
    return merged


def _score(exact: Optional[float], of_words: List[float]) -> float:
    return sum(of_words) / len(of_words) if exact is None else exact


def _role(token: int, one: ScoredSpan, bioes: bool) -> str:
    first, last = token == one.start, token == one.end - 1
    if not bioes:
        return "B" if first else "I"
    if first and last:
        return "S"
    return "B" if first else "E" if last else "I"
