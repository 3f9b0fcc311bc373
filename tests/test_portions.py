"""Portions of large batches: nothing lost, in order, and no larger than they may be."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.portions import portions


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 20), st.none() | st.integers(1, 8))
def test_portions_are_small_and_in_order(sizes, most, alone):
    cut = portions(sizes, most, alone=alone)
    assert [number for portion in cut for number in range(len(sizes))[portion]] == list(range(len(sizes)))
    for portion in cut:
        own = sizes[portion]
        assert sum(own) <= most or len(own) == 1
        assert alone is None or len(own) == 1 or all(size <= alone for size in own)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.integers(1, 20))
def test_portions_are_no_smaller_than_they_must_be(sizes, most):
    cut = portions(sizes, most)
    for portion, following in pairwise(cut):
        assert sum(sizes[portion]) + sizes[following.start] > most
