"""A trained routed pipeline."""

import pytest
from routing_samples import examples, pipeline
from samples import trained
from spacy.util import fix_random_seed


@pytest.fixture(scope="module")
def nlp():
    """Do not change it."""
    fix_random_seed(0)
    nlp = pipeline(weak={"annotate": ["confidence", "marginals", "n_best"]}, strong={"annotate": ["confidence"]})
    return trained(nlp, examples(nlp), 100)
