"""The vote: the rules by hand on small cases, and by search on all others."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.routing.merging import ScoredSpan, TagProbabilities, best_spans, best_words
from spacy_crfner.tags import TagSet


@st.composite
def groups_of_spans(draw):
    """One to three groups of disjoint entities over ten words, all of different scores."""
    groups, scores = [], iter(draw(st.permutations([k / 100 for k in range(1, 100)])))
    for _ in range(draw(st.integers(1, 3))):
        borders = sorted(draw(st.sets(st.integers(0, 10), max_size=8)))
        pairs = list(zip(borders[::2], borders[1::2], strict=False))
        groups.append([ScoredSpan(i, j, draw(st.sampled_from("AB")), next(scores)) for i, j in pairs])
    return groups


def overlap(one, other):
    return one.start < other.end and other.start < one.end


@given(groups_of_spans())
def test_the_more_probable_entity_wins(groups):
    everything = [one for group in groups for one in group]
    kept = best_spans(groups)
    assert not any(overlap(one, other) for one, other in combinations(kept, 2))
    assert kept == sorted(kept, key=lambda one: one.start)
    for one in everything:
        # What is left out had to give way to a more probable entity.
        assert one in kept or any(overlap(one, other) and other.score > one.score for other in kept)


@given(groups_of_spans())
def test_one_tagger_alone_is_always_right(groups):
    assert best_spans(groups[:1]) == groups[0]
    assert [(f.start, f.end, f.label) for f in words(groups[:1])] == [(f.start, f.end, f.label) for f in groups[0]]


def words(groups, scheme="BIOES", probability=None, tokens=range(10)):
    """The word-level rule; probability: (group, token) -> that of the tag there, by default the score of the entity."""
    tag_set = TagSet(("A", "B"), scheme)
    probabilities = []
    for place, group in enumerate(groups):
        marginals = np.zeros((10, len(tag_set)))
        for one in group:
            tags = tag_set.spans_to_tags([(0, one.end - one.start, one.label)], one.end - one.start)
            for token, tag in zip(range(one.start, one.end), tags, strict=True):
                marginals[token, tag] = one.score if probability is None else probability[place][token]
        probabilities.append(TagProbabilities(marginals, tag_set.names))
    return best_words(groups, probabilities, tokens)


@given(groups_of_spans(), st.integers(0, 10_000), st.sampled_from(["BIOES", "BIO"]))
def test_every_word_has_the_label_of_its_most_probable_tag(groups, seed, scheme):
    probability = np.random.default_rng(seed).random((len(groups), 10))
    found = words(groups, scheme, probability)
    labels = {token: one.label for one in found for token in range(one.start, one.end)}
    votes = {}
    for place, group in enumerate(groups):
        for one in group:
            for token in range(one.start, one.end):
                votes.setdefault(token, []).append((probability[place][token], one.label, one))
    assert labels == {token: max(vote)[1] for token, vote in votes.items()}
    exact = {(one.start, one.end, one.label) for group in groups for one in group}
    for one in found:
        if (one.start, one.end, one.label) not in exact:
            mean = np.mean([max(votes[token])[0] for token in range(one.start, one.end)])
            assert one.score == pytest.approx(mean)


def test_white_space_has_no_vote():
    """Its marginals are those of O, which would leave it to the first tagger."""
    group, other = [ScoredSpan(0, 3, "A", 0.6)], [ScoredSpan(0, 3, "B", 0.9)]
    probability = np.array([[0.6, 0.0, 0.6], [0.9, 0.0, 0.9]])
    assert words([group, other], probability=probability, tokens=[0, 2, 3]) == other


def test_a_tag_beats_o_however_improbable():
    assert words([[ScoredSpan(0, 2, "A", 0.9)], [ScoredSpan(4, 5, "B", 0.1)]]) == [
        ScoredSpan(0, 2, "A", 0.9),
        ScoredSpan(4, 5, "B", 0.1),
    ]


def test_merging_words_may_break_an_entity():
    broken = words([[ScoredSpan(0, 4, "A", 0.6)], [ScoredSpan(1, 2, "B", 0.8)]])
    assert broken == [ScoredSpan(0, 1, "A", 0.6), ScoredSpan(1, 2, "B", 0.8), ScoredSpan(2, 4, "A", pytest.approx(0.6))]
    assert best_spans([[ScoredSpan(0, 4, "A", 0.6)], [ScoredSpan(1, 2, "B", 0.8)]]) == [ScoredSpan(1, 2, "B", 0.8)]


def test_entities_side_by_side_stay_two():
    for scheme in ("BIOES", "BIO"):
        groups = [[ScoredSpan(0, 2, "A", 0.6), ScoredSpan(2, 3, "A", 0.7)]]
        assert words(groups, scheme) == groups[0]


def test_of_equals_the_earlier_group_wins():
    one, other = ScoredSpan(0, 1, "A", 0.5), ScoredSpan(0, 1, "B", 0.5)
    assert best_spans([[one], [other]]) == [one] == words([[one], [other]])
    assert best_spans([[ScoredSpan(0, 1, "A", 0.5)], [ScoredSpan(0, 2, "B", 0.5)]]) == [ScoredSpan(0, 2, "B", 0.5)]
