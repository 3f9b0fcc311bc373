"""Best paths, n-best paths and the max-F span set against enumeration."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import Case, cases

from spacy_crfner.crf import forward_backward, max_f_spans, n_best, viterbi


@given(cases())
def test_viterbi_finds_the_best_path(case):
    potentials = case.potentials()
    tags, scores = viterbi(potentials)
    tags = potentials.packing.unpack(tags)
    for oracle, rows, score in zip(
        case.oracles(), case.slices(), potentials.packing.unpack_sequences(scores).tolist(), strict=True
    ):
        best_score, best_path = oracle.ranked()[0]
        assert score == pytest.approx(best_score, rel=1e-9)
        assert tuple(tags[rows].tolist()) == best_path


@given(cases(), st.integers(1, 6))
def test_n_best_paths_in_order(case, n):
    potentials = case.potentials()
    tags, scores = n_best(potentials, n)
    tags = potentials.packing.unpack(tags)
    scores = potentials.packing.unpack_sequences(scores)
    for number, (oracle, rows) in enumerate(zip(case.oracles(), case.slices(), strict=True)):
        expected = oracle.ranked()[:n]
        for rank, (score, path) in enumerate(expected):
            assert float(scores[number, rank]) == pytest.approx(score, rel=1e-9)
            assert tuple(tags[rows, rank].tolist()) == path
        assert all(math.isinf(float(score)) for score in scores[number, len(expected) :])


@given(cases(labels=2, mask=False), st.sampled_from([0.1, 0.3, 0.5]))
def test_max_f_spans_have_the_best_expected_gain(case, threshold):
    potentials = case.potentials()
    chosen = max_f_spans(forward_backward(potentials), case.tag_set, threshold=threshold, max_length=4)
    order = potentials.packing.order.tolist()
    oracles = case.oracles()
    for spans, number in zip(chosen, order, strict=True):
        oracle, length = oracles[number], case.lengths[number]
        p = {}
        for score, path in zip(oracle.scores, oracle.paths, strict=True):
            for span in case.tag_set.tags_to_spans(path):
                p[span] = p.get(span, 0.0) + math.exp(score - oracle.log_partition)
        best = max(
            sum(p[span] - threshold for span in subset)
            for size in range(length + 1)
            for subset in itertools.combinations(sorted(p), size)
            if all(a[1] <= b[0] for a, b in itertools.pairwise(subset))
        )
        assert sum(value - threshold for *_, value in spans) == pytest.approx(best, abs=1e-6)
        for start, end, label, value in spans:
            assert p[(start, end, case.tag_set.labels[label])] == pytest.approx(value, abs=1e-6)


def test_decoding_is_well_formed_whatever_the_scores():
    for scheme in ("BIOES", "BIO"):
        case = Case(0, [30] * 20, labels=3, scheme=scheme, scale=50.0)
        potentials = case.potentials()
        tags = potentials.packing.unpack(viterbi(potentials)[0]).view(20, 30)
        first, steps, last = case.tag_set.legal
        assert all(first[row[0]] and last[row[-1]] for row in tags.tolist())
        assert all(steps[a, b] for row in tags.tolist() for a, b in itertools.pairwise(row))


def test_n_best_needs_a_positive_number():
    with pytest.raises(ValueError, match="1 or more"):
        n_best(Case(0, [2]).potentials(), 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_as_on_the_cpu():
    case = Case(0, [3, 2, 4])
    here = viterbi(case.potentials())
    for name in ("emissions", "start", "transitions", "end"):
        setattr(case, name, getattr(case, name).cuda())
    case.legal = tuple(mask.cuda() for mask in case.legal)
    there = viterbi(case.potentials())
    assert here[0].tolist() == there[0].tolist()
    log_z = forward_backward(case.potentials()).log_partition
    assert log_z.is_cuda and bool(torch.isfinite(log_z).all())
