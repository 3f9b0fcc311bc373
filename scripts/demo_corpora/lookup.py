"""The lookup baseline: how far a memory of the training names gets on another file.

It tags the longest match of the entity strings of the training file, greedily from left to right,
each with the label that the string most often had there. A low score means that a file cannot be
solved by remembering names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .tagged import Sentence, Span

Gazetteer = dict[tuple[str, ...], str]


def learn(train: Iterable[Sentence]) -> Gazetteer:
    """Each entity string of `train` with its most frequent label (ties: the first in ABC order)."""
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for sentence in train:
        for start, end, label in sentence.spans():
            counts.setdefault(sentence.tokens[start:end], Counter())[label] += 1
    return {k: min(c, key=lambda label: (-c[label], label)) for k, c in counts.items()}


def tag(gazetteer: Gazetteer, tokens: tuple[str, ...]) -> list[Span]:
    """The spans that the baseline finds in `tokens`."""
    longest = max(map(len, gazetteer), default=0)
    spans: list[Span] = []
    i = 0
    while i < len(tokens):
        for size in range(min(longest, len(tokens) - i), 0, -1):
            label = gazetteer.get(tokens[i : i + size])
            if label is not None:
                spans.append((i, i + size, label))
                i += size
                break
        else:
            i += 1
    return spans


def lookup_f1(train: Iterable[Sentence], test: Iterable[Sentence]) -> float:
    """Entity-level F1 of the baseline on `test`, in percent; span and label must both match."""
    gazetteer = learn(train)
    hits = guessed = wanted = 0
    for sentence in test:
        gold = set(sentence.spans())
        found = set(tag(gazetteer, sentence.tokens))
        hits += len(gold & found)
        guessed += len(found)
        wanted += len(gold)
    return 200.0 * hits / (guessed + wanted) if guessed + wanted else 0.0
