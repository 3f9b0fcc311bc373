"""Shared fixtures and options."""

import os
from pathlib import Path
from typing import Callable, List, Tuple

import pytest
import spacy
from hypothesis import settings
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

settings.register_profile("default", deadline=None, max_examples=30)
settings.load_profile("default")

ROOT = Path(__file__).resolve().parents[1]

# (text, [(start, end, label)]): twenty short sentences that a working tagger learns by heart.
TRAIN: List[Tuple[str, List[Tuple[int, int, str]]]] = [
    ("Anna Kell met Bob in Paris .", [(0, 9, "PER"), (14, 17, "PER"), (21, 26, "LOC")]),
    ("Harlow bought shares in Apple Pie Ltd .", [(0, 6, "ORG"), (24, 37, "ORG")]),
    ("Harlow is a quiet town near London .", [(0, 6, "LOC"), (28, 34, "LOC")]),
    ("Nothing of note happened today .", []),
    ("The Bank of Tessaly cut rates .", [(4, 19, "ORG")]),
    ("Mary Brandell , coach of Redmere , resigned .", [(0, 13, "PER"), (25, 32, "ORG")]),
    ("He flew from New York to Rome .", [(13, 21, "LOC"), (25, 29, "LOC")]),
    ("Brandell said the sale was off .", [(0, 8, "PER")]),
    ("Shares in Brandell fell by a tenth .", [(10, 18, "ORG")]),
    ("It rained for three days .", []),
    ("Paris beat Lyon 2-1 on Sunday .", [(0, 5, "ORG"), (11, 15, "ORG")]),
    ("In Lyon , Peter Aske spoke to Anna Kell .", [(3, 7, "LOC"), (10, 20, "PER"), (30, 39, "PER")]),
    ("The minister left early .", []),
    ("United Steel hired Rose Okafor .", [(0, 12, "ORG"), (19, 30, "PER")]),
    ("Okafor lives in Cape Town .", [(0, 6, "PER"), (16, 25, "LOC")]),
    ("Prices rose again .", []),
    ("Tom , Ann and Lee won .", [(0, 3, "PER"), (6, 9, "PER"), (14, 17, "PER")]),
    ("Rome and Oslo signed the treaty .", [(0, 4, "LOC"), (9, 13, "LOC")]),
    ("Oslo City drew with Redmere .", [(0, 9, "ORG"), (20, 27, "ORG")]),
    ("A spokeswoman for Aske declined to comment .", [(18, 22, "PER")]),
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs --slow"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    fix_random_seed(0)


@pytest.fixture
def examples() -> Callable[[Language], List[Example]]:
    """nlp -> the twenty training sentences as Examples."""

    def make(nlp: Language) -> List[Example]:
        return [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]

    return make


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real corpora; the test is skipped where SPACY_CRFNER_DATA does not name it."""
    folder = os.environ.get("SPACY_CRFNER_DATA")
    if not folder:
        pytest.skip("SPACY_CRFNER_DATA does not name a folder of corpora")
    return Path(folder)


SMALL_MODEL = {
    "model": {
        "tok2vec": {
            "width": 64,
            "tok2vec": {
                "char_width": 20,
                "char_embed_width": 16,
                "char_rows": 1100,
                "hash_rows": [500] * 4,
                "hash_width": 48,
            },
        }
    }
}
"""Settings of bcrf_ner that train in a moment."""


def trained(nlp: Language, examples: List[Example], updates: int = 60) -> Language:
    """Initialize and train; the pipeline."""
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(updates):
        nlp.update(examples, sgd=optimizer, drop=0.1)
    return nlp


@pytest.fixture(scope="session")
def small_nlp() -> Language:
    """A trained English pipeline with a small bcrf_ner. Do not change it."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    return trained(nlp, [Example.from_dict(nlp.make_doc(t), {"entities": e}) for t, e in TRAIN])
