"""The ragged bidirectional LSTM against torch.nn.LSTM, sequence by sequence."""

import itertools
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spacy_crfner.encoders import recurrent
from spacy_crfner.encoders.recurrent import STEP_COST, BiLSTM, PaddedGroups, group_starts, locked_dropout
from spacy_crfner.packing import Packing

ragged = st.lists(st.integers(1, 6), min_size=1, max_size=7)


def make(input_width=3, width=4, depth=1, **settings) -> BiLSTM:
    return BiLSTM(input_width=input_width, width=width, depth=depth, **settings).double()


def run(module, rows, lengths, dropout=0.0, group_size=64):
    """Rows in and out in the order of the batch."""
    packing = Packing.from_lengths(lengths)
    with patch.object(recurrent, "GROUP_SIZE", group_size):
        return packing.unpack(module(packing.pack(rows), packing, dropout))


def oracle_of(module: BiLSTM) -> nn.LSTM:
    """torch's own bidirectional LSTM with the same weights."""
    first = module.forwards[0]
    oracle = nn.LSTM(first.input_size, first.hidden_size, num_layers=len(module.forwards), bidirectional=True).double()
    for name, target in oracle.named_parameters():
        layers = module.backwards if name.endswith("_reverse") else module.forwards
        name, depth = name.removesuffix("_reverse").rsplit("_l", 1)
        target.data.copy_(getattr(layers[int(depth)], f"{name}_l0"))
    return oracle


@given(ragged, st.integers(1, 3), st.sampled_from([1, 2, 3, 64]))
def test_states_and_gradients_are_those_of_torch(lengths, depth, group_size):
    check_against_torch(lengths, depth, group_size)


@given(ragged, st.integers(1, 2), st.integers(1, 5), st.sampled_from([0, 1000]))
def test_so_they_are_where_long_grids_are_read_in_pieces(lengths, depth, at_once, held):
    """Whether the backward pass finds what it needs, or computes it again."""
    with patch.multiple(recurrent, ROWS_AT_ONCE=at_once, MOST_ROWS_HELD=held):
        check_against_torch(lengths, depth, 3)


def check_against_torch(lengths, depth, group_size):
    module = make(depth=depth)
    oracle = oracle_of(module)
    rows = torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    expected_rows = rows.detach().clone().requires_grad_()
    weights = torch.randn(sum(lengths), 4, dtype=torch.float64)

    states = run(module, rows, lengths, group_size=group_size)
    expected = torch.cat([oracle(sequence)[0] for sequence in expected_rows.split(lengths)])
    torch.testing.assert_close(states, expected)

    states.backward(weights)
    expected.backward(weights)
    torch.testing.assert_close(rows.grad, expected_rows.grad)
    for name, target in oracle.named_parameters():
        layers = module.backwards if name.endswith("_reverse") else module.forwards
        name, number = name.removesuffix("_reverse").rsplit("_l", 1)
        torch.testing.assert_close(getattr(layers[int(number)], f"{name}_l0").grad, target.grad)


@given(ragged, st.randoms())
def test_a_sequence_does_not_see_the_others(lengths, random):
    module = make(depth=2)
    rows = torch.randn(sum(lengths), 3, dtype=torch.float64)
    sequences = rows.split(lengths)
    expected = [run(module, sequence, [len(sequence)]) for sequence in sequences]
    order = list(range(len(lengths)))
    random.shuffle(order)
    states = run(module, torch.cat([sequences[i] for i in order]), [lengths[i] for i in order], group_size=3)
    torch.testing.assert_close(states, torch.cat([expected[i] for i in order]))


@given(ragged, st.sampled_from([1, 2, 64]))
def test_grids_hold_every_sequence_from_either_end(lengths, group_size):
    packing = Packing.from_lengths(lengths)
    with patch.object(recurrent, "GROUP_SIZE", group_size):
        groups = PaddedGroups.build(packing)
    rows = 1.0 + packing.pack(torch.arange(sum(lengths)))[:, None]
    sequences = [rows[packing.sequences == i, 0] for i in range(len(lengths))]
    for places, turn in ((groups.forward, lambda s: s), (groups.backward, lambda s: s.flip(0))):
        grids = groups.scatter(rows, places)
        assert all(grid.shape[1] <= group_size for grid in grids)
        assert sum(grid.shape[0] * grid.shape[1] for grid in grids) == groups.size
        columns = [column for grid in grids for column in grid[:, :, 0].T]
        for column, sequence in zip(columns, sequences, strict=True):
            assert column[: len(sequence)].tolist() == turn(sequence).tolist()
            assert not column[len(sequence) :].any()


@given(st.lists(st.integers(1, 200), min_size=1, max_size=200))
def test_groups_never_cost_twice_what_one_after_the_other_do(lengths):
    lengths = sorted(lengths, reverse=True)

    def cost(firsts):
        ends = [*firsts[1:], len(lengths)]
        return sum(lengths[first] * (STEP_COST + end - first) for first, end in zip(firsts, ends, strict=True))

    firsts = group_starts(lengths).tolist()
    assert firsts[0] == 0 and all(0 < b - a <= 64 for a, b in itertools.pairwise([*firsts, len(lengths)]))
    assert cost(firsts) <= 2 * cost(list(range(0, len(lengths), 64)))


def test_sequences_of_one_length_stay_together():
    assert group_starts([7] * 64).tolist() == [0]
    assert group_starts([60, 60, 1, 1]).tolist() == [0, 2]


def test_dropout_has_one_mask_a_sequence():
    lengths = [5, 1, 7, 3]
    packing = Packing.from_lengths(lengths)
    kept = packing.unpack(locked_dropout(torch.ones(sum(lengths), 200), packing, 0.25))
    assert kept.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    masks = [sequence[0] for sequence in kept.split(lengths)]
    for sequence, mask in zip(kept.split(lengths), masks, strict=True):
        assert (sequence == mask).all()
    for one, other in itertools.combinations(masks, 2):
        assert (one != other).any()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(rate):
    packing = Packing.from_lengths([1] * 1000)
    rows = torch.full((1000, 100), 3.0)
    kept = locked_dropout(rows, packing, rate)
    assert (kept == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert kept.mean().item() == pytest.approx(3.0, rel=0.05)


def test_no_dropout_changes_nothing():
    packing = Packing.from_lengths([2, 3])
    rows = torch.randn(5, 4)
    assert torch.equal(locked_dropout(rows, packing, 0.0), rows)


def test_dropout_stands_before_every_layer_and_after_the_last():
    lengths = [4, 2, 6]
    module = make(input_width=50, width=60, depth=2)
    seen = []
    for lstm in (*module.forwards, *module.backwards):
        lstm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    states = run(module, torch.ones(12, 50, dtype=torch.float64), lengths, dropout=0.5)
    for grid in seen:
        # A feature that is dropped is zero at every step of its sequence.
        dropped = (grid == 0).all(0).double().mean(1)
        assert ((dropped > 0.2) & (dropped < 0.8)).all()
    assert len(seen) == 4
    for sequence in states.split(lengths):
        dropped = (sequence == 0).all(0)
        assert 0.2 < dropped.double().mean() < 0.8
        assert (sequence[:, ~dropped] != 0).all()


def test_without_dropout_the_states_are_always_the_same():
    module = make(depth=2)
    rows = torch.randn(9, 3, dtype=torch.float64)
    assert torch.equal(run(module, rows, [4, 5]), run(module, rows, [4, 5]))
    assert not torch.equal(run(module, rows, [4, 5], 0.3), run(module, rows, [4, 5], 0.3))
