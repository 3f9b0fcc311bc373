"""The setups, and trained pipelines made once for each."""

from typing import Dict

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
def nlp(setup: Setup) -> Language:
    """A freshly loaded copy of the trained pipeline of a setup."""
    if setup.name not in _TRAINED:
        fix_random_seed(0)
        nlp = setup.blank()
        _TRAINED[setup.name] = trained(nlp, setup.examples(nlp), setup.updates).to_bytes()
    nlp = setup.blank()
    return nlp.from_bytes(_TRAINED[setup.name])
