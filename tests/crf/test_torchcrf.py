"""Values, gradients and paths equal those of pytorch-crf."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracle import Case

from spacy_crfner.crf import from_torchcrf, nll, to_torchcrf, viterbi

TOLERANCE = {torch.float32: {"rtol": 1e-4, "atol": 1e-4}, torch.float64: {"rtol": 1e-9, "atol": 1e-9}}


def padded(case, values):
    """(sequences, longest, ...) zeros where padded, and the mask."""
    grid = values.new_zeros((len(case.lengths), max(case.lengths), *values.shape[1:]))
    mask = torch.zeros(grid.shape[:2], dtype=torch.bool)
    for number, rows in enumerate(case.slices()):
        grid[number, : rows.stop - rows.start] = values[rows]
        mask[number, : rows.stop - rows.start] = True
    return grid, mask


@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    labels=st.integers(1, 4),
    scale=st.sampled_from([0.1, 3.0, 30.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_values_gradients_and_paths(seed, lengths, labels, scale, dtype):
    case = Case(seed, lengths, labels=labels, scale=scale, dtype=dtype, legal=False)
    gold = torch.tensor(np.random.default_rng(seed).integers(0, len(case.tag_set), sum(lengths)))
    # In double precision: at this scale, pytorch-crf in single precision is itself off by more than the tolerance.
    crf = to_torchcrf(case.start.double(), case.transitions.double(), case.end.double())
    emissions, mask = padded(case, case.emissions.double())
    emissions.requires_grad_()
    expected = -crf(emissions, padded(case, gold)[0], mask, reduction="none")
    # Sentences of one token have no transitions, so that no gradient would reach them.
    (expected.sum() + 0.0 * crf.transitions.sum()).backward()

    potentials = case.potentials()
    result = nll(potentials, potentials.packing.pack(gold))
    pairs = (
        (potentials.packing.unpack_sequences(result.loss), expected.detach()),
        (potentials.packing.unpack(result.emissions), emissions.grad[mask]),
        (result.transitions, crf.transitions.grad),
        (result.start, crf.start_transitions.grad),
        (result.end, crf.end_transitions.grad),
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.double(), theirs, **TOLERANCE[dtype])
    tags = potentials.packing.unpack(viterbi(potentials)[0])
    assert [tags[rows].tolist() for rows in case.slices()] == crf.decode(emissions.detach(), mask)


def test_illegal_steps_stay_out_of_exported_paths():
    case = Case(0, [20] * 10, labels=2, scale=5.0)
    crf = to_torchcrf(case.start, case.transitions, case.end, case.tag_set)
    tags = case.potentials().packing.unpack(viterbi(case.potentials())[0])
    assert [tags[rows].tolist() for rows in case.slices()] == crf.decode(*padded(case, case.emissions))


def test_round_trip():
    case = Case(0, [2])
    parts = (case.start, case.transitions, case.end)
    for before, after in zip(parts, from_torchcrf(to_torchcrf(*parts)), strict=True):
        torch.testing.assert_close(before, after)


def test_missing_package_says_how_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchcrf", None)
    with pytest.raises(ImportError, match="pip install pytorch-crf"):
        to_torchcrf(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1))
