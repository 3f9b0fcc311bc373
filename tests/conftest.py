"""Shared fixtures and options."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: as many threads as there are workers are enough.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import gzip
from pathlib import Path
from typing import Callable, List

import pytest
import spacy
from hypothesis import settings
from samples import COLUMNS, ROOT, SMALL_MODEL, TRAIN, trained
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

settings.register_profile("default", deadline=None, max_examples=30)
settings.load_profile("default")


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


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Name, and perhaps content -> a file with that, compressed where the name says so; by default three sentences."""

    def write_file(name: str, content: str = COLUMNS) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode("utf8")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


@pytest.fixture(scope="session")
def small_nlp() -> Language:
    """A trained English pipeline with a small bcrf_ner. Do not change it."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    return trained(nlp, [Example.from_dict(nlp.make_doc(t), {"entities": e}) for t, e in TRAIN])
