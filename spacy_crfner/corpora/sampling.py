"""A reader that gives rare labels a larger part of the training examples."""

import logging
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, List, Mapping, Optional, Sequence, Union

from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.training.augment import dont_augment

from . import CorpusError
from .augment import Augmenter

LOGGER = logging.getLogger("spacy")
METHODS = ("repeat", "drop")
REPEATED = "spacy_crfner.repeated"
"""The key of user_data that marks a Doc which the reader has given before."""


def make_balanced_corpus_v1(
    path: Optional[Union[str, Path]],
    labels: Optional[Sequence[str]] = None,
    rare: float = 0.02,
    share: float = 0.5,
    method: str = "repeat",
    seed: int = 0,
    gold_preproc: bool = False,
    max_length: int = 0,
    limit: int = 0,
    augmenter: Optional[Augmenter] = None,
) -> Callable[[Language], Iterator[Example]]:
    """The Docs of a corpus, among which those with a rare label have a larger share than in the corpus, or the same.

    path: a file or folder in spaCy's binary format.
    labels: the rare labels; None takes those that less than `rare` of all entities have.
    share: of Docs with a rare label, above 0 and below 1.
    method: `repeat` gives Docs with a rare label several times, `drop` leaves others out, drawn at random. A `bcrf_ner`
        with `train_on = "once"` does not learn from repeated ones again.
    seed: of that draw.
    gold_preproc, max_length, limit, augmenter: as in `spacy.Corpus.v1`. The augmenter sees every copy by itself.
    Raises ValueError for other values, and CorpusError where there is no path or no Doc has a rare label.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"spacy_crfner.BalancedCorpus.v1 needs a share between 0 and 1, not {share}.")
    if method not in METHODS:
        raise ValueError(f"spacy_crfner.BalancedCorpus.v1 has no method {method!r}: choose from {', '.join(METHODS)}.")
    return partial(
        read_balanced,
        corpus=None if path is None else Corpus(path, gold_preproc=gold_preproc, max_length=max_length, limit=limit),
        labels=labels,
        rare=rare,
        share=share,
        method=method,
        seed=seed,
        augmenter=augmenter or dont_augment,
    )


def read_balanced(
    nlp: Language,
    *,
    corpus: Optional[Corpus],
    labels: Optional[Sequence[str]],
    rare: float,
    share: float,
    method: str,
    seed: int,
    augmenter: Augmenter,
) -> Iterator[Example]:
    if corpus is None:
        raise CorpusError("spacy_crfner.BalancedCorpus.v1 has no path: give --paths.train.")
    examples = list(corpus(nlp))
    counts = Counter(span.label_ for e in examples for span in e.reference.ents)
    if labels is None:
        labels = rare_labels(counts, rare)
    wanted = set(labels)
    weak: List[Example] = []
    others: List[Example] = []
    for example in examples:
        (weak if any(span.label_ in wanted for span in example.reference.ents) else others).append(example)
    if not weak:
        wanted_by = ", ".join(sorted(wanted)) or f"less than {rare:.1%} of the entities"
        found = ", ".join(sorted(counts)) or "none"
        raise CorpusError(
            f"{corpus.path}: no Doc has a rare label ({wanted_by}): the labels are {found}. Correct the names, or use "
            "spacy.Corpus.v1."
        )
    # So many Docs with a rare label, to as many others, are the wanted share.
    odds = share / (1.0 - share)
    if method == "drop":
        kept = min(len(others), round(len(weak) / odds))
        others = random.Random(seed).sample(others, kept)
        repeats = 1
    else:
        repeats = max(1, round(odds * len(others) / len(weak)))
    LOGGER.info(
        "Balanced corpus: %d Docs with a rare label (%s), %d times each, and %d others.",
        len(weak),
        ", ".join(labels),
        repeats,
        len(others),
    )
    for number in range(repeats):
        for example in weak:
            for copy in augmenter(nlp, Example(example.predicted.copy(), example.reference)):
                if number:
                    copy.predicted.user_data[REPEATED] = True
                yield copy
    for example in others:
        yield from augmenter(nlp, example)


def rare_labels(counts: Mapping[str, int], rare: float) -> List[str]:
    """The labels that less than the share `rare` of all entities have, rarest first."""
    total = sum(counts.values())
    return sorted((label for label in counts if counts[label] < rare * total), key=lambda label: (counts[label], label))
