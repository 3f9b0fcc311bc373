"""The order of the rows of a ragged batch against plain loops over its sequences."""

import tracemalloc

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from spacy_crfner.packing import Packing

ragged = st.lists(st.integers(1, 6), min_size=1, max_size=7)


def starts_of(lengths):
    return [sum(lengths[:i]) for i in range(len(lengths))]


@given(ragged, st.sampled_from([(), (3,), (2, 2)]))
def test_unpack_undoes_pack(lengths, shape):
    packing = Packing.from_lengths(lengths)
    rows = torch.randn(sum(lengths), *shape)
    assert torch.equal(packing.unpack(packing.pack(rows)), rows)
    assert torch.equal(packing.pack(packing.unpack(rows)), rows)
    assert len(packing) == sum(lengths)
    assert packing.n_sequences == len(lengths)


@given(ragged)
def test_sequences_are_sorted_by_decreasing_length(lengths):
    packing = Packing.from_lengths(lengths)
    assert sorted(packing.order.tolist()) == list(range(len(lengths)))
    assert packing.lengths.tolist() == sorted(lengths, reverse=True)
    assert [lengths[i] for i in packing.order] == packing.lengths.tolist()


@given(ragged)
def test_a_step_holds_one_row_of_each_running_sequence(lengths):
    packing = Packing.from_lengths(lengths)
    starts = starts_of(lengths)
    steps = packing.steps()
    assert len(steps) == max(lengths)
    assert torch.cat([packing.rows[step] for step in steps]).tolist() == packing.rows.tolist()
    for number, step in enumerate(steps):
        running = [i for i in packing.order.tolist() if lengths[i] > number]
        assert packing.rows[step].tolist() == [starts[i] + number for i in running]
        assert packing.sequences[step].tolist() == list(range(len(running)))


@given(ragged)
def test_previous_is_the_row_before(lengths):
    packing = Packing.from_lengths(lengths)
    following = packing.rows[packing.n_sequences :]
    firsts = starts_of(lengths)
    assert sorted(following.tolist()) == [row for row in range(sum(lengths)) if row not in firsts]
    assert torch.equal(packing.rows[packing.previous], following - 1)


@given(ragged)
def test_last_is_the_row_at_which_a_sequence_ends(lengths):
    packing = Packing.from_lengths(lengths)
    lasts = packing.unpack_sequences(packing.rows[packing.last])
    assert lasts.tolist() == [start + length - 1 for start, length in zip(starts_of(lengths), lengths, strict=True)]


@given(ragged)
def test_row_finds_every_step_of_every_sequence(lengths):
    packing = Packing.from_lengths(lengths)
    for place, number in enumerate(packing.order.tolist()):
        steps = torch.arange(lengths[number])
        rows = packing.rows[packing.row(torch.full_like(steps, place), steps)]
        assert rows.tolist() == [starts_of(lengths)[number] + step for step in steps.tolist()]


@given(ragged, st.sampled_from([(), (2,)]))
def test_unpack_sequences_restores_the_order_of_the_batch(lengths, shape):
    packing = Packing.from_lengths(lengths)
    values = torch.randn(len(lengths), *shape)
    assert torch.equal(packing.unpack_sequences(values[packing.order]), values)


@given(ragged)
def test_running_sum_adds_up_each_sequence(lengths):
    packing = Packing.from_lengths(lengths)
    values = torch.randint(-9, 9, (sum(lengths),)).double()
    packed = packing.pack(values)
    expected = torch.cat([sequence.cumsum(0) for sequence in values.split(lengths)])
    assert torch.equal(packing.unpack(packing.running_sum(packed)), expected)
    assert torch.equal(packed, packing.pack(values))


@given(ragged)
@example([3, 3])
@example([2, 5])
def test_sums_add_up_each_sequence(lengths):
    packing = Packing.from_lengths(lengths)
    values = torch.randint(-9, 9, (sum(lengths),)).double()
    expected = torch.stack([sequence.sum() for sequence in values.split(lengths)])
    assert torch.equal(packing.unpack_sequences(packing.sums(packing.pack(values))), expected)
    assert packing.is_dense == (len(set(lengths)) == 1)


@pytest.mark.parametrize("lengths", [[], [0], [2, 0, 1], [-1], [[1, 2]]])
def test_every_sequence_needs_a_row(lengths):
    with pytest.raises(ValueError, match="one or more sequences of one or more rows"):
        Packing.from_lengths(lengths)


def test_packed_sequences_are_where_the_order_says():
    packing = Packing.from_lengths([2, 5, 1, 5])
    places = torch.tensor([0, 1, 2, 3, 1])
    assert packing.order[packing.packed_sequences(places)].tolist() == places.tolist()


def test_memory_does_not_depend_on_how_lengths_are_spread():
    """One long sequence among short ones takes what as many rows take in equal ones, not what padding would."""
    rows = 10_000

    def peak(lengths):
        tracemalloc.start()
        Packing.from_lengths(lengths)
        needed = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return needed

    assert peak([rows] + [1] * rows) < 4 * peak([20] * (rows // 10))
