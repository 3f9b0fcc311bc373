"""Losses against their formulas over all paths, and their gradients against numerical ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import Case, agrees, cases
from samples import declared

from spacy_crfner.crf import (
    MISSING,
    Potentials,
    bernoulli,
    bernoulli_costs,
    distillation,
    focal,
    forward_backward,
    incorrect_spans,
    nll,
    viterbi,
    viterbi_gated,
)

COSTS = {"p": 0.2, "p_missed": 0.1, "p_invented": 0.4}
SETTINGS = {
    "bernoulli": {"P": COSTS["p"], "P_missed": COSTS["p_missed"], "P_invented": COSTS["p_invented"]},
    "focal": {"gamma": 1.5},
}
"""Arguments other than the defaults, for losses that have some."""

LOSSES = {
    name.split(".")[1]: make(**SETTINGS.get(name.split(".")[1], {}))
    for name, make in declared("spacy_misc", "spacy_crfner.crf.losses").items()
}
"""Every registered loss, as a function of potentials and gold tags in packed order."""


def expected_loss(case, name, oracle, rows, gold):
    p_gold = oracle.log_p(agrees(gold))
    if name == "nll":
        return -p_gold
    if name == "focal":
        return (1 - math.exp(p_gold)) ** 1.5 * -p_gold
    if name == "viterbi_gated":
        best = oracle.ranked()[0][1]
        wrong = [t for t, tag in enumerate(gold) if tag not in (MISSING, best[t])]
        return -p_gold - sum(oracle.log_p(lambda path, t=t: path[t] == gold[t]) for t in wrong)
    if name == "bernoulli":
        # -log( q(gold) p(gold) / sum_y q(y) p(y) ) with one Bernoulli factor a word.
        def log_q(path):
            total = 0.0
            for g, tag in zip(gold, path, strict=True):
                if g != MISSING:
                    kind = "p" if g and tag else ("p_missed" if g else "p_invented")
                    total += math.log(COSTS[kind] if g == tag else 1 - COSTS[kind]) - math.log(COSTS[kind])
            return total

        scored = [
            math.exp(s - oracle.log_partition + log_q(path))
            for s, path in zip(oracle.scores, oracle.paths, strict=True)
        ]
        right = [v for v, path in zip(scored, oracle.paths, strict=True) if agrees(gold)(path)]
        return -math.log(sum(right) / sum(scored))
    emissions = case.potentials().packing.unpack(case.potentials().masked_emissions)[rows]
    log_p = emissions.log_softmax(1)
    return -sum(float(log_p[t, tag]) for t, tag in enumerate(gold) if tag != MISSING)


@pytest.mark.parametrize("name", LOSSES)
@given(case=cases(), missing=st.sampled_from([0.0, 0.4]))
def test_loss_equals_its_formula(name, case, missing):
    potentials = case.potentials()
    gold = case.gold(missing)
    result = LOSSES[name](potentials, potentials.packing.pack(gold))
    values = potentials.packing.unpack_sequences(result.loss).tolist()
    for oracle, rows, value in zip(case.oracles(), case.slices(), values, strict=True):
        expected = expected_loss(case, name, oracle, rows, gold[rows].tolist())
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-8)


def numerical_gradient(case, loss, gold, name, place, step=1e-5):
    values = getattr(case, name)
    total = 0.0
    for sign in (1, -1):
        moved = values.clone()
        moved[place] += sign * step
        potentials = case.potentials(**{name: moved})
        total += sign * float(loss(potentials, potentials.packing.pack(gold)).loss.sum())
    return total / (2 * step)


@pytest.mark.parametrize("name", LOSSES)
@given(case=cases(scale=2.0), missing=st.sampled_from([0.0, 0.4]))
def test_gradient_equals_the_numerical_one(name, case, missing):
    gold = case.gold(missing)
    loss = LOSSES[name]
    potentials = case.potentials()
    result = loss(potentials, potentials.packing.pack(gold))
    gradients = {
        "emissions": potentials.packing.unpack(result.emissions),
        "start": result.start,
        "transitions": result.transitions,
        "end": result.end,
    }
    for part, gradient in gradients.items():
        flat = list(np.ndindex(tuple(gradient.shape)))
        for place in [flat[i] for i in case.generator.choice(len(flat), size=min(6, len(flat)), replace=False)]:
            expected = numerical_gradient(case, loss, gold, part, place)
            assert float(gradient[place]) == pytest.approx(expected, abs=2e-5)


@given(cases())
def test_half_probability_is_the_plain_crf(case):
    potentials = case.potentials()
    gold = potentials.packing.pack(case.gold())
    plain = nll(potentials, gold)
    for other in (
        bernoulli(potentials, gold, p=0.5),
        focal(potentials, gold, gamma=0.0),
    ):
        torch.testing.assert_close(other.loss, plain.loss)
        torch.testing.assert_close(other.emissions, plain.emissions)


@given(cases(mask=False))
def test_bernoulli_bounds(case):
    """At least the NLL, and at least lambda for each wrong word of the Viterbi path."""
    potentials = case.potentials()
    gold = potentials.packing.pack(case.gold(0.0))
    value = bernoulli(potentials, gold, p=0.2).loss
    assert bool((value >= nll(potentials, gold).loss - 1e-9).all())
    best, _ = viterbi(potentials)
    wrong = torch.zeros_like(value).index_add_(0, potentials.packing.sequences, (best != gold).double())
    assert bool((value >= math.log(4) * wrong - 1e-9).all())


def test_viterbi_gated_equals_nll_where_the_best_path_is_right():
    case = Case(0, [3, 4])
    potentials = case.potentials()
    best, _ = viterbi(potentials)
    torch.testing.assert_close(viterbi_gated(potentials, best).loss, nll(potentials, best).loss)


def test_everything_missing_costs_nothing():
    case = Case(0, [3, 4])
    potentials = case.potentials()
    gold = torch.full((7,), MISSING)
    for loss in LOSSES.values():
        result = loss(potentials, gold)
        assert float(result.loss.abs().sum()) == pytest.approx(0.0, abs=1e-12)
        assert float(result.emissions.abs().max()) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"softmax"}))
def test_impossible_gold_is_skipped_and_reported(name):
    case = Case(0, [2, 2])
    potentials = case.potentials()
    inside = case.tag_set.index["I-A"]
    gold = torch.tensor([inside, 0, 0, 0])
    result = LOSSES[name](potentials, potentials.packing.pack(gold))
    assert potentials.packing.unpack_sequences(result.possible).tolist() == [False, True]
    values = potentials.packing.unpack_sequences(result.loss).tolist()
    assert values[0] == 0.0 and values[1] > 0
    assert float(potentials.packing.unpack(result.emissions)[:2].abs().max()) == 0.0
    assert all(bool(torch.isfinite(g).all()) for g in (result.start, result.transitions, result.end))


@given(cases(), st.data())
def test_incorrect_spans_equal_enumeration(case, data):
    """With one span a sentence, the NLL and this are together -log p(gold tags and not the span)."""
    potentials = case.potentials()
    gold = case.gold(0.7)
    order = potentials.packing.order.tolist()
    spans = []
    for packed, number in enumerate(order):
        length = case.lengths[number]
        start = data.draw(st.integers(0, length - 1))
        spans.append((packed, start, data.draw(st.integers(start + 1, length)), 0))
    columns = torch.tensor(spans).unbind(1)
    packed_gold = potentials.packing.pack(gold)
    total = nll(potentials, packed_gold) + incorrect_spans(potentials, packed_gold, case.tag_set, *columns)
    for (packed, start, end, _), number in zip(spans, order, strict=True):
        oracle, tags = case.oracles()[number], gold[case.slices()[number]].tolist()
        span = (start, end, "A")
        both = oracle.log_p(lambda p: agrees(tags)(p) and span not in case.tag_set.tags_to_spans(p))  # noqa: B023
        if math.isinf(both):
            both = oracle.log_p(agrees(tags))  # the gold tags hold the span: the annotation wins
        assert float(total.loss[packed]) == pytest.approx(-both, rel=1e-6, abs=1e-8)


@given(cases(scale=2.0, mask=False))
def test_incorrect_spans_gradient(case):
    gold = case.gold(0.9)
    spans = torch.tensor([(0, 0, 1, 0), (0, 0, max(case.lengths), 0)]).unbind(1)

    def loss(potentials, packed_gold):
        return incorrect_spans(potentials, packed_gold, case.tag_set, *spans)

    potentials = case.potentials()
    result = loss(potentials, potentials.packing.pack(gold))
    gradient = potentials.packing.unpack(result.emissions)
    for place in [(0, 0), (0, 1), (sum(case.lengths) - 1, 0)]:
        expected = numerical_gradient(case, loss, gold, "emissions", place)
        assert float(gradient[place]) == pytest.approx(expected, abs=2e-5)
    assert float(result.transitions[0, 0]) == pytest.approx(
        numerical_gradient(case, loss, gold, "transitions", (0, 0)), abs=2e-5
    )


@given(cases(), st.integers(0, 100))
def test_distillation_is_the_divergence_of_the_two_path_distributions(case, seed):
    other = Case(seed, case.lengths, scheme=case.tag_set.scheme)
    other.allowed = case.allowed
    student, teacher = case.potentials(), other.potentials()
    result = distillation(student, teacher)
    expected = 0.0
    for ours, theirs in zip(case.oracles(), other.oracles(), strict=True):
        for a, b in zip(ours.scores, theirs.scores, strict=True):
            log_p, log_q = b - theirs.log_partition, a - ours.log_partition
            expected += math.exp(log_p) * (log_p - log_q)
    assert float(result.loss.sum()) == pytest.approx(expected, rel=1e-6, abs=1e-8)
    difference = forward_backward(student).marginals - forward_backward(teacher).marginals
    torch.testing.assert_close(result.emissions, difference)


def weighted_losses(case, gold):
    """Name -> a function of potentials, rows of gold tags, and weights, for all that learning is made of."""
    other = Case(1, case.lengths, scheme=case.tag_set.scheme)
    other.allowed = case.allowed

    def distilled(potentials, packed_gold, weights, repeated):
        return distillation(potentials, repeated(other.potentials()), weights)

    def spans(potentials, packed_gold, weights, repeated):
        # One span at the beginning of every sentence, and one that is the whole of it.
        lengths = potentials.packing.lengths
        sequences = torch.arange(len(lengths)).repeat(2)
        ends = torch.cat([torch.ones_like(lengths), lengths])
        zeros = torch.zeros_like(ends)
        return incorrect_spans(potentials, packed_gold, case.tag_set, sequences, zeros, ends, zeros, weights)

    plain = {name: lambda p, g, w, _, loss=loss: loss(p, g, w) for name, loss in LOSSES.items()}
    return {**plain, "distillation": distilled, "incorrect_spans": spans}


@pytest.mark.parametrize("name", [*LOSSES, "distillation", "incorrect_spans"])
@given(case=cases(scale=2.0), missing=st.sampled_from([0.0, 0.6]), times=st.lists(st.integers(0, 3), min_size=3))
def test_a_weight_counts_as_often_as_the_sentence_would_stand_there(name, case, missing, times):
    """A weight of 2 equals the sentence twice, one of 0 its absence; also in the mean."""
    potentials, packing = case.potentials(), case.potentials().packing
    times = torch.tensor(times[: packing.n_sequences])
    gold = packing.pack(case.gold(missing))
    loss = weighted_losses(case, gold)[name]
    weighted = loss(potentials, gold, times.double(), lambda p: p)
    copies = torch.arange(packing.n_sequences).repeat_interleave(times)
    if not len(copies):
        assert float(weighted.loss.abs().sum()) == float(weighted.mean(times.double()).emissions.abs().sum()) == 0.0
        return
    repeated, rows = potentials.repeat(copies)
    expected = loss(repeated, gold[rows], None, lambda p: p.repeat(copies)[0])
    by_sequence = torch.zeros_like(weighted.loss).index_add_(0, copies, expected.loss)
    if name != "distillation":  # of which only the total is exact
        torch.testing.assert_close(weighted.loss, by_sequence)
    for ours, theirs in ((weighted, expected), (weighted.mean(times.double()), expected.mean())):
        torch.testing.assert_close(ours.loss.sum(), theirs.loss.sum())
        folded = torch.zeros_like(ours.emissions).index_add_(0, rows, theirs.emissions)
        torch.testing.assert_close(ours.emissions, folded)
        for part in ("start", "transitions", "end"):
            torch.testing.assert_close(getattr(ours, part), getattr(theirs, part))


@pytest.mark.parametrize(("name", "value"), [("p", 0.0), ("p", 1.0), ("p_missed", -1.0), ("p_invented", 2.0)])
def test_bernoulli_parameters_are_probabilities(name, value):
    with pytest.raises(ValueError, match="between 0 and 1"):
        bernoulli_costs(5, **{"p": 0.3, name: value})


def test_negative_gamma():
    case = Case(0, [1])
    with pytest.raises(ValueError, match="gamma of 0 or more"):
        focal(case.potentials(), torch.zeros(1, dtype=torch.int64), gamma=-1.0)


@pytest.mark.parametrize("name", ["nll", "bernoulli"])
def test_small_losses_of_long_texts_are_precise(name):
    """The loss is the small difference of two large numbers."""
    case = Case(0, [2000], labels=2, scale=1.0)
    best, _ = viterbi(case.potentials())
    case.emissions[torch.arange(2000), best] += 7.0
    loss = LOSSES[name]
    exact = float(loss(case.potentials(), best).loss.sum())
    for part in ("emissions", "start", "transitions", "end"):
        setattr(case, part, getattr(case, part).float())
    assert 0.0 < float(loss(case.potentials(), best).loss.sum()) == pytest.approx(exact, rel=1e-2)


def test_transitions_in_any_memory_order():
    emissions, edge, transitions = torch.randn(5, 3), torch.randn(3), torch.randn(3, 3)
    gold = torch.tensor([0, 1, 2, 0, 1])
    turned = nll(Potentials.build(emissions, [5], edge, transitions.T.contiguous().T, edge), gold)
    plain = nll(Potentials.build(emissions, [5], edge, transitions, edge), gold)
    torch.testing.assert_close(turned.transitions, plain.transitions)
