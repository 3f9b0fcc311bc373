"""The setups, and trained pipelines made once for each."""

from typing import Callable, Dict

import pytest
from samples import trained
from setups import SETUPS, Setup
from spacy.language import Language
from spacy.util import fix_random_seed

_TRAINED: Dict[str, bytes] = {}


@pytest.fixture(params=SETUPS, ids=lambda setup: setup.name)
def setup(request) -> Setup:
    return request.param


@pytest.fixture
def load(setup: Setup) -> Callable[[], Language]:
    """Make a copy of the trained pipeline of a setup."""

    def make() -> Language:
        if setup.name not in _TRAINED:
            fix_random_seed(0)
            nlp = setup.blank()
            _TRAINED[setup.name] = trained(nlp, setup.examples(nlp), setup.updates).to_bytes()
        return setup.blank().from_bytes(_TRAINED[setup.name])

    return make


@pytest.fixture
def nlp(load: Callable[[], Language]) -> Language:
    """A freshly loaded copy of the trained pipeline of a setup."""
    return load()
