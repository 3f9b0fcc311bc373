"""A reader that gives rare labels a larger part of the training examples."""

import logging
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Callable, Collection, Iterator, List, Mapping, Optional, Sequence, Union

from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.training.augment import dont_augment

from ..quoting import printable
from ..text_files import CorpusError
from ..user_data_keys import RARE_LABELS, REPEATED
from ..white_space import entities
from .augment import Augmenter

LOGGER = logging.getLogger("spacy")
METHODS = ("repeat", "drop")


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
    """Read the Docs of a corpus, of which those with a rare label get a larger share than in the corpus, or the same.

    path: a file or folder in spaCy's binary format.
    labels: the rare labels; None takes those that less than `rare` of all entities have.
    share: of Docs with a rare label, above 0 and below 1.
    method: `repeat` gives Docs with a rare label several times, `drop` leaves others out, drawn at random. A tagger
        with `train = "once"` in `spacy_crfner.select_sentences.v1` does not learn from repeated ones again, and a
        `weak_class_router` without labels of its own takes those of the reader.
    seed: of that draw, and of the order of the Docs, which are mixed.
    gold_preproc, max_length, limit, augmenter: as in `spacy.Corpus.v1`. The augmenter sees every copy by itself.
    Raises ValueError for other values, and CorpusError where there is no path or no Doc has a rare label.
    """
    if labels is not None and (isinstance(labels, str) or not labels):
        raise ValueError(
            f"The labels of spacy_crfner.BalancedCorpus.v1 are a list such as ['ART', 'EVE'], or null, not {labels!r}."
        )
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
    """Give the examples of a corpus in random order, with their rare labels; see `make_balanced_corpus_v1`."""
    if corpus is None:
        raise CorpusError("spacy_crfner.BalancedCorpus.v1 has no path: give --paths.train.")
    examples = list(corpus(nlp))
    counts = Counter(label for e in examples for _, _, label in entities(e.reference.ents))
    if labels is None:
        labels = rare_labels(counts, rare)
    wanted = set(labels)
    with_rare: List[Example] = []
    without_rare: List[Example] = []
    for example in examples:
        has_rare = any(label in wanted for _, _, label in entities(example.reference.ents))
        (with_rare if has_rare else without_rare).append(example)
    if not with_rare:
        raise CorpusError(f"{corpus.path}: {_why_none(examples, counts, wanted, rare)}")
    # So many Docs with a rare label, to as many others, are the wanted share.
    odds = share / (1.0 - share)
    if method == "drop":
        kept = min(len(without_rare), round(len(with_rare) / odds))
        without_rare = random.Random(seed).sample(without_rare, kept)
        repeats = 1
    else:
        repeats = max(1, round(odds * len(without_rare) / len(with_rare)))
    LOGGER.info(
        "Balanced corpus: %d Docs with a rare label (%s), %d times each, and %d others.",
        len(with_rare),
        printable(", ".join(labels)),
        repeats,
        len(without_rare),
    )
    # Copied before anything is annotated in them.
    copies = [Example(example.predicted.copy(), example.reference) for _ in range(repeats - 1) for example in with_rare]
    given = [*((example, False) for example in (*with_rare, *without_rare)), *((example, True) for example in copies)]
    # spacy train shuffles them anew, but not what it streams (max_epochs = -1).
    random.Random(seed).shuffle(given)
    for example, again in given:
        for made in augmenter(nlp, example):
            made.predicted.user_data[RARE_LABELS] = list(labels)
            if again:
                made.predicted.user_data[REPEATED] = True
            yield made


def _why_none(examples: List[Example], counts: Mapping[str, int], wanted: Collection[str], rare: float) -> str:
    """Say why no Doc has a rare label, and what to do."""
    if not examples:
        return (
            "it holds no Docs in spaCy's binary format: check the path, or convert the corpus (python -m spacy crfner "
            "convert)."
        )
    if not counts:
        return "no Doc has an entity: annotate some."
    labels = printable(", ".join(f"{label} ({counts[label]})" for label in sorted(counts)))
    if wanted:
        return f"no Doc has one of the rare labels {', '.join(sorted(wanted))}: correct the names. There are {labels}."
    return (
        f"no label has less than {rare:.1%} of the entities. Name the rare ones (labels of the reader, "
        f"--routing.weak_labels in the shipped configs), or raise `rare`. There are {labels}."
    )


def rare_labels(counts: Mapping[str, int], rare: float) -> List[str]:
    """Choose the labels that less than the share `rare` of all entities have, rarest first."""
    total = sum(counts.values())
    return sorted((label for label in counts if counts[label] < rare * total), key=lambda label: (counts[label], label))
