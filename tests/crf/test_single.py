"""One sequence in numpy against enumeration, and against what batches give."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import Case, cases

from spacy_crfner.crf import Potentials, forward_backward, span_log_posteriors, viterbi
from spacy_crfner.crf.single import SURE, Chain, best_path, run_probabilities, sure_path, sweep


def chain_of(potentials):
    parts = potentials.masked_emissions, potentials.start, potentials.transitions, potentials.end
    return Chain(*(part.numpy() for part in parts))


def run_of(tag_set, span):
    start, end, label = span
    goes_on = None if tag_set.scheme == "BIOES" else tag_set.index[f"I-{label}"]
    return start, tag_set.span_tags(end - start, label), goes_on


def posteriors(potentials, tag_set, spans):
    """What batches give for spans of the first sequence."""
    columns = [[0, i, j, tag_set.label_index[label]] for i, j, label in spans]
    columns = torch.tensor(columns, dtype=torch.int64).view(-1, 4)
    return span_log_posteriors(forward_backward(potentials), tag_set, *columns.unbind(1)).exp()


@given(st.integers(1, 4).flatmap(lambda length: cases(lengths=[length])))
def test_the_best_path_and_every_span_equal_enumeration(case):
    oracle, chain, length = case.oracles()[0], chain_of(case.potentials()), case.lengths[0]
    best = best_path(chain)
    score, path = oracle.ranked()[0]
    assert best.score == pytest.approx(score, rel=1e-9) and tuple(best.tags) == path
    spans = [(start, end, "A") for start in range(length) for end in range(start + 1, length + 1)]
    expected = [
        math.exp(oracle.log_p(lambda path, span=span: span in case.tag_set.tags_to_spans(path))) for span in spans
    ]
    for sums in (sweep(chain), sweep(chain, best)):
        found = run_probabilities(sums, [run_of(case.tag_set, span) for span in spans])
        assert found == pytest.approx(expected, abs=1e-9)
    share = math.exp(oracle.log_p(lambda other: other == path))
    if abs(share - SURE) > 1e-6:
        assert sure_path(sweep(chain)) == (list(path) if share > SURE else None)


single = st.builds(
    Case,
    seed=st.integers(0, 10_000),
    lengths=st.integers(1, 60).map(lambda length: [length]),
    labels=st.integers(1, 4),
    scheme=st.sampled_from(["BIOES", "BIO"]),
    dtype=st.just(torch.float32),
    scale=st.sampled_from([0.5, 2.0, 10.0]),
    mask=st.booleans(),
)


@given(single)
def test_a_sequence_is_read_as_it_is_in_a_batch(case):
    alone = case.potentials()
    edges = alone.start, alone.transitions, alone.end
    allowed = None if alone.allowed is None else alone.allowed.repeat(2, 1)
    twice = Potentials.build(case.emissions.repeat(2, 1), case.lengths * 2, *edges, allowed=allowed)
    best = best_path(chain_of(alone))
    tags, scores = viterbi(twice)
    assert best.tags == twice.packing.unpack(tags)[: case.lengths[0]].tolist()
    assert best.score == scores[0].item()
    spans = case.tag_set.tags_to_spans(best.tags)
    expected = posteriors(twice, case.tag_set, spans)
    found = run_probabilities(sweep(chain_of(alone), best), [run_of(case.tag_set, span) for span in spans])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@given(single)
def test_viterbi_of_one_sequence_is_that_of_two(case):
    potentials = case.potentials()
    tags, scores = viterbi(potentials)
    best = best_path(chain_of(potentials))
    assert tags.tolist() == best.tags and scores.tolist() == [best.score]
    assert tags.dtype == torch.int64 and scores.dtype == torch.float32


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@pytest.mark.parametrize("scale", [30.0, 100.0, 300.0, 1000.0])
@pytest.mark.parametrize("length", [3, 60, 300])
def test_numbers_that_are_far_apart_give_what_is_right_or_nothing(scheme, scale, length):
    for seed in range(2):
        case = Case(seed, [length], labels=2, scheme=scheme, scale=scale)
        potentials = case.potentials()
        best = best_path(chain_of(potentials))
        spans = case.tag_set.tags_to_spans(best.tags)
        expected = posteriors(potentials, case.tag_set, spans)
        beside_best = sweep(chain_of(potentials), best)
        assert beside_best is not None or scale * length > 100
        alone = sweep(chain_of(potentials))
        assert alone is None or sure_path(alone) in (None, best.tags)
        for sums in (alone, beside_best):
            if sums is not None:
                found = run_probabilities(sums, [run_of(case.tag_set, span) for span in spans])
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_no_possible_path_gives_no_probabilities():
    edges = np.zeros(3), np.zeros((3, 3)), np.zeros(3)
    chain = Chain(np.full((2, 3), -np.inf), *edges)
    best = best_path(chain)
    assert best.score == -math.inf and sweep(chain) is None and sweep(chain, best) is None


def test_ties_are_broken_as_in_a_batch():
    generator = np.random.default_rng(0)
    for _ in range(20):
        emissions = torch.from_numpy(generator.integers(0, 2, (6, 4)).astype("f"))
        edges = [torch.from_numpy(generator.integers(0, 2, size).astype("f")) for size in (4, (4, 4), 4)]
        twice = Potentials.build(emissions.repeat(2, 1), [6, 6], *edges)
        best = best_path(chain_of(Potentials.build(emissions, [6], *edges)))
        assert best.tags == twice.packing.unpack(viterbi(twice)[0])[:6].tolist()
