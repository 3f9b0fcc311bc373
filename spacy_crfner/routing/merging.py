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

    @property
    def roles(self) -> str:
        """The tags that a label has in their scheme."""
        return "BIES" if any(tag.startswith(("S-", "E-")) for tag in self.tags) else "BI"

    def has(self, label: str) -> bool:
        """Tell whether there are all tags of a label."""
        return all(f"{role}-{label}" in self.tags for role in self.roles)

    def of(self, token: int, tag: str) -> float:
        """Look up the probability of a tag at a token."""
        return float(self.marginals[token, self.tags.index(tag)])


def best_spans(groups: Sequence[Sequence[ScoredSpan]]) -> List[ScoredSpan]:
    """Merge entities by the span-level rule: the more probable one wins.

    Of all entities the most probable one is taken, then the most probable one that does not overlap it, and so on. Of
    equals, the longer one goes first, then that of the earlier group. Returns them in order of the text.
    """
    candidates = [
        (-span.score, span.start - span.end, number, span) for number, group in enumerate(groups) for span in group
    ]
    taken: Dict[int, None] = {}
    kept: List[ScoredSpan] = []
    for _, _, _, span in sorted(candidates, key=lambda candidate: candidate[:3]):
        tokens = range(span.start, span.end)
        if not any(token in taken for token in tokens):
            taken.update(dict.fromkeys(tokens))
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)


def best_words(
    groups: Sequence[Sequence[ScoredSpan]], probabilities: Sequence[TagProbabilities], words: Sequence[int]
) -> List[ScoredSpan]:
    """Merge entities by the word-level rule (Saarland report 2020, eqs. 8-9).

    At every word a tag beats O, and of several tags the one that its tagger finds more probable wins. Of equals, that
    of the earlier group.

    groups: the entities of each tagger; probabilities: of its tags, in BIOES or BIO.
    words: the tokens that have a vote, in order: all but white space.
    Words in a row whose tags have the same label form an entity, which a B or S tag, or the end of one (E or S), parts:
    merging words may break entities. An entity that a tagger found as it is keeps its score; a broken one has the mean
    probability of its tags.
    """
    votes: Dict[int, Tuple[float, str]] = {}
    for group, tagger in zip(groups, probabilities, strict=True):
        bioes = "S" in tagger.roles
        for span in group:
            for word in range(bisect_left(words, span.start), bisect_left(words, span.end)):
                token = words[word]
                tag = f"{_role(token, span, bioes)}-{span.label}"
                probability = tagger.of(token, tag)
                if word not in votes or probability > votes[word][0]:
                    votes[word] = (probability, tag)
    scores: Dict[LabelledSpan, float] = {}
    for group in groups:
        for span in group:
            key = (span.start, span.end, span.label)
            scores[key] = max(span.score, scores.get(key, 0.0))
    tags = [votes[word][1] if word in votes else "O" for word in range(max(votes, default=-1) + 1)]
    merged = []
    for first, last, label in iob_to_spans(tags):
        start, end = words[first], words[last - 1] + 1
        of_words = [votes[word][0] for word in range(first, last)]
        merged.append(ScoredSpan(start, end, label, _score(scores.get((start, end, label)), of_words)))
    return merged


def _score(exact: Optional[float], of_words: List[float]) -> float:
    return sum(of_words) / len(of_words) if exact is None else exact


def _role(token: int, span: ScoredSpan, bioes: bool) -> str:
    first, last = token == span.start, token == span.end - 1
    if not bioes:
        return "B" if first else "I"
    if first and last:
        return "S"
    return "B" if first else "E" if last else "I"
