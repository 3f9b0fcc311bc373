"""Log-partition, marginals, expected transitions and span posteriors against enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from oracle import Case, Oracle, cases

from spacy_crfner.crf import Potentials, forward_backward, span_log_posteriors
from spacy_crfner.crf.forward_backward import _steps_between_tags
from spacy_crfner.tags import TagSet


def sequence_values(potentials, values):
    return potentials.packing.unpack_sequences(values).tolist()


@given(cases())
def test_log_partition_and_marginals_equal_enumeration(case):
    potentials = case.potentials()
    posteriors = forward_backward(potentials)
    marginals = potentials.packing.unpack(posteriors.marginals)
    for oracle, value, rows in zip(
        case.oracles(), sequence_values(potentials, posteriors.log_partition), case.slices(), strict=True
    ):
        assert value == pytest.approx(oracle.log_partition, rel=1e-9, abs=1e-9)
        for t in range(rows.stop - rows.start):
            for tag in range(len(case.tag_set)):
                expected = math.exp(oracle.log_p(lambda path, t=t, tag=tag: path[t] == tag))
                assert float(marginals[rows][t, tag]) == pytest.approx(expected, abs=1e-9)


@given(cases())
def test_expected_transitions_equal_enumeration(case):
    potentials = case.potentials()
    weights = torch.arange(1.0, len(case.lengths) + 1, dtype=torch.float64)
    counts = forward_backward(potentials).expected_transitions(weights[potentials.packing.order])
    expected = np.zeros(counts.shape)
    for weight, oracle in zip(weights.tolist(), case.oracles(), strict=True):
        for score, path in zip(oracle.scores, oracle.paths, strict=True):
            for a, b in itertools.pairwise(path):
                expected[a, b] += weight * math.exp(score - oracle.log_partition)
    np.testing.assert_allclose(counts.numpy(), expected, atol=1e-9)


@given(cases())
def test_span_posteriors_equal_enumeration(case):
    potentials = case.potentials()
    tag_set = case.tag_set
    posteriors = forward_backward(potentials)
    place = torch.empty_like(potentials.packing.order)
    place[potentials.packing.order] = torch.arange(len(case.lengths))
    for number, (oracle, length) in enumerate(zip(case.oracles(), case.lengths, strict=True)):
        for start in range(length):
            for end in range(start + 1, length + 1):
                span = (start, end, "A")
                columns = [torch.tensor([value]) for value in (int(place[number]), start, end, 0)]
                found = span_log_posteriors(posteriors, tag_set, *columns).exp().item()
                expected = math.exp(oracle.log_p(lambda path, span=span: span in tag_set.tags_to_spans(path)))
                assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 30.0, 200.0, 1000.0])
@pytest.mark.parametrize("mask", [False, True])
def test_extreme_emissions_neither_underflow_nor_overflow(dtype, scale, mask):
    case = Case(3, [4, 1, 3], dtype=dtype, mask=mask)
    case.emissions = (case.emissions.sign() * scale).to(dtype)
    potentials = case.potentials()
    posteriors = forward_backward(potentials)
    tolerance = {"rel": 1e-4, "abs": 1e-4} if dtype == torch.float32 else {"rel": 1e-9, "abs": 1e-9}
    marginals = potentials.packing.unpack(posteriors.marginals)
    for oracle, value, rows in zip(
        case.oracles(), sequence_values(potentials, posteriors.log_partition), case.slices(), strict=True
    ):
        assert value == pytest.approx(oracle.log_partition, **tolerance)
        assert torch.allclose(marginals[rows].sum(1), torch.ones(rows.stop - rows.start, dtype=dtype), atol=1e-4)
        for t in range(rows.stop - rows.start):
            expected = math.exp(oracle.log_p(lambda path, t=t: path[t] == 0))
            assert float(marginals[rows][t, 0]) == pytest.approx(expected, abs=1e-4)


def test_long_sentences_keep_their_precision():
    """A prefix that looks hopeless for a long time but must win in the end is not lost."""
    case = Case(5, [60], dtype=torch.float32)
    case.emissions = torch.zeros_like(case.emissions)
    case.emissions[:, 0] = 6.0  # O looks better at every token ...
    allowed = torch.ones_like(case.emissions, dtype=torch.bool)
    allowed[:-1, 4] = False
    allowed[-1] = False
    allowed[-1, case.tag_set.index["E-A"]] = True  # ... but the last token ends an entity
    allowed[1:-1, case.tag_set.index["B-A"]] = False  # that can only have begun at the first.
    case.allowed = allowed
    posteriors = forward_backward(case.potentials())
    span = [torch.tensor([value]) for value in (0, 0, 60, 0)]
    assert span_log_posteriors(posteriors, case.tag_set, *span).exp().item() == pytest.approx(1.0, abs=1e-5)


def test_impossible_sentences_do_not_touch_the_others():
    case = Case(1, [3, 2])
    case.allowed = torch.ones_like(case.emissions, dtype=torch.bool)
    case.allowed[1] = False
    potentials = case.potentials()
    posteriors = forward_backward(potentials)
    assert sequence_values(potentials, posteriors.possible) == [False, True]
    value = sequence_values(potentials, posteriors.log_partition)[1]
    assert value == pytest.approx(case.oracles()[1].log_partition)
    marginals = potentials.packing.unpack(posteriors.marginals)
    assert torch.isfinite(marginals).all() and float(marginals[:3].sum()) == 0.0
    assert torch.isfinite(posteriors.expected_transitions()).all()


def test_batch_order_does_not_matter():
    case = Case(2, [2, 5, 1, 5, 3])
    together = case.potentials()
    values = sequence_values(together, forward_backward(together).log_partition)
    for value, rows in zip(values, case.slices(), strict=True):
        edges = [
            np.where(m, e.numpy(), -np.inf)
            for e, m in zip((case.start, case.transitions, case.end), case.tag_set.legal, strict=True)
        ]
        assert value == pytest.approx(Oracle(case.emissions[rows].numpy(), *edges).log_partition, rel=1e-9)


def test_shapes_that_do_not_fit_are_named():
    case = Case(0, [2, 2])
    with pytest.raises(ValueError, match=r"emissions \(4, 5\), lengths that sum to 5"):
        type(case.potentials()).build(case.emissions, [2, 3], case.start, case.transitions, case.end)
    with pytest.raises(ValueError, match="one or more rows"):
        type(case.potentials()).build(case.emissions, [4, 0], case.start, case.transitions, case.end)


def test_chains_that_never_meet_are_not_lost():
    """Illegal steps of any kind, under which a prefix that is far behind can be the only one that may end."""
    emissions = torch.tensor([[5.0, 0.0]] * 60)
    apart = torch.tensor([[0.0, float("-inf")], [float("-inf"), 0.0]])
    end = torch.tensor([float("-inf"), 0.0])
    potentials = Case(0, [1]).potentials().build(emissions, [60], torch.zeros(2), apart, end)
    assert forward_backward(potentials).log_partition.item() == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(("length", "score"), [(21, 5.0), (21, 6.0), (41, 3.0)])
def test_masks_that_keep_two_chains_apart(length, score):
    tags = TagSet(("X", "Y"))
    inside = [tags.index["I-X"], tags.index["I-Y"]]
    emissions = torch.zeros(length, len(tags))
    emissions[:, [i for i, name in enumerate(tags.names) if name.endswith("X")]] = score
    allowed = torch.ones(length, len(tags), dtype=torch.bool)
    allowed[1:-1:2] = False
    allowed[1:-1:2, inside] = True
    allowed[-1] = False
    allowed[-1, tags.index["E-Y"]] = True
    legal = tuple(torch.from_numpy(mask) for mask in tags.legal)
    zeros = torch.zeros(len(tags))
    edges = (zeros, torch.zeros(len(tags), len(tags)), zeros)
    single = Case(0, [1]).potentials().build(emissions, [length], *edges, legal=legal, allowed=allowed)
    double = single.to(torch.float64)
    expected = forward_backward(double.restrict(allowed)).log_partition.item()
    assert math.isfinite(expected)
    assert forward_backward(single).log_partition.item() == pytest.approx(expected, abs=1e-3)


def test_tags_that_are_left_for_good_may_win_late():
    """The first tag is far behind for twenty rows, and cannot be entered again when it is far ahead."""
    emissions = torch.cat([torch.tensor([[-8.0, 8.0]]).repeat(20, 1), torch.tensor([[8.0, -8.0]]).repeat(30, 1)])
    never = float("-inf")
    transitions = torch.tensor([[0.0, 0.0], [never, 0.0]])
    posteriors = forward_backward(Potentials.build(emissions, [50], torch.zeros(2), transitions, torch.zeros(2)))
    assert posteriors.log_partition.item() == pytest.approx(80.0, abs=1e-3)
    assert torch.isfinite(posteriors.marginals).all()


@pytest.mark.parametrize("scheme, steps", [("BIO", 2), ("BIOES", 3)])
def test_every_tag_is_a_few_steps_from_every_tag(scheme, steps):
    legal = torch.from_numpy(TagSet(("PER", "LOC"), scheme).legal[1])
    transitions = torch.zeros(legal.shape).masked_fill(~legal, float("-inf"))
    assert _steps_between_tags(transitions) == steps
    assert _steps_between_tags(torch.zeros(3, 3)) == 1
    assert _steps_between_tags(torch.tensor([[0.0, float("-inf")], [0.0, 0.0]])) is None


def test_half_precision_and_gradients_do_not_matter():
    emissions, edge, transitions = torch.randn(5, 3), torch.zeros(3), torch.randn(3, 3)
    exact = forward_backward(Potentials.build(emissions, [5], edge, transitions, edge))
    half = Potentials.build(emissions.half(), [5], edge.half(), transitions.half(), edge.half())
    torch.testing.assert_close(forward_backward(half).marginals.float(), exact.marginals, atol=5e-3, rtol=0)
    learning = Potentials.build(emissions.requires_grad_(), [5], edge, transitions, edge)
    assert not forward_backward(learning).marginals.requires_grad
