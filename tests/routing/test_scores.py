"""Scores of a router and the averages over labels, against their definitions."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_crfner.routing.scorer import average_precision, best_threshold_of
from spacy_crfner.tagging.scorer import make_average_scorer_v1, make_entity_scorer_v1

cases = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=30).filter(
    lambda found: any(weak for weak, _ in found)
)


def arrays(found):
    return np.array([weak for weak, _ in found]), np.array([score / 10 for _, score in found])


@given(cases)
def test_average_precision(found):
    truth, scores = arrays(found)
    precisions = [truth[scores >= score].mean() for score in scores[truth]]
    assert average_precision(truth, scores) == pytest.approx(np.mean(precisions))


@given(cases, st.sampled_from([0.5, 1.0, 2.0]))
def test_best_threshold(found, beta):
    truth, scores = arrays(found)

    def f_score(threshold):
        hits, flagged = (truth & (scores >= threshold)).sum(), (scores >= threshold).sum()
        return (1 + beta**2) * hits / (beta**2 * truth.sum() + flagged)

    best, threshold = best_threshold_of(truth, scores, beta)
    assert best == pytest.approx(max(f_score(score) for score in scores))
    assert f_score(threshold) == pytest.approx(best)


def test_averages_over_labels():
    """A: two of three found and one invented, F1 4/6; B: none of one; C: without gold entities, invented once."""
    nlp = spacy.blank("en")
    reference, predicted = nlp.make_doc("a b c d e f g"), nlp.make_doc("a b c d e f g")
    reference.set_ents([Span(reference, i, i + 1, label=label) for i, label in enumerate("AAAB")])
    predicted.set_ents(
        [Span(predicted, i, i + 1, label=label) for i, label in ((0, "A"), (1, "A"), (4, "A"), (5, "C"))]
    )
    example = Example(predicted, reference)
    scores = make_average_scorer_v1()([example])
    assert scores["ents_macro_f"] == pytest.approx((4 / 6 + 0) / 2)
    assert scores["ents_weighted_f"] == pytest.approx((3 * 4 / 6 + 1 * 0) / 4)
    assert {key: scores[key] for key in make_entity_scorer_v1()([example])} == make_entity_scorer_v1()([example])
    filtered = make_average_scorer_v1()([example], label_filter=["A"])
    assert filtered["ents_macro_f"] == filtered["ents_f"] == pytest.approx(4 / 6)
    nothing = Example(nlp.make_doc("a b"), nlp.make_doc("a b"))
    assert make_average_scorer_v1()([nothing])["ents_macro_f"] is None


def test_gold_entities_that_cannot_be_aligned_are_missed():
    nlp = spacy.blank("en")
    reference = Doc(nlp.vocab, words=["New", "York", "-based", "."], spaces=[True, False, True, False])
    reference.set_ents([Span(reference, 0, 2, label="LOC")])
    predicted = Doc(nlp.vocab, words=["New", "York-based", "."])
    predicted.set_ents([])
    scores = make_average_scorer_v1()([Example(predicted, reference)])
    assert scores["ents_f"] == scores["ents_macro_f"] == scores["ents_weighted_f"] == 0.0
