"""LSTMs with packed weights against the LSTMs that they were made of."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spacy_crfner.encoders import packed_lstm
from spacy_crfner.encoders.packed_lstm import PackedLSTM, packed, with_packed_lstms
from spacy_crfner.encoders.recurrent import BiLSTM
from spacy_crfner.packing import Packing

here = not isinstance(packed(nn.LSTM(2, 2)), PackedLSTM)
needs_the_kernel = pytest.mark.skipif(here, reason="this build of torch has no kernel for packed weights")


@needs_the_kernel
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_the_states_are_those_of_torch(steps, sequences, width, hidden):
    lstm = nn.LSTM(width, hidden)
    faster = packed(lstm)
    assert isinstance(faster, PackedLSTM)
    grid = torch.randn(steps, sequences, width)
    with torch.no_grad():
        torch.testing.assert_close(faster(grid)[0], lstm(grid)[0], rtol=0, atol=1e-5)
        reverse = lstm(grid.flip(0))[0].flip(0)
    torch.testing.assert_close(faster(grid, reverse=True)[0], reverse, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "lstm",
    [
        nn.LSTM(3, 4, num_layers=2),
        nn.LSTM(3, 4, bidirectional=True),
        nn.LSTM(3, 4, bias=False),
        nn.LSTM(3, 4, proj_size=2),
        nn.LSTM(3, 4, batch_first=True),
        nn.LSTM(3, 4).double(),
    ],
)
def test_other_lstms_stay_what_they_are(lstm):
    assert packed(lstm) is lstm


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_torch_without_the_kernel_predicts_the_same(error, monkeypatch):
    module = BiLSTM(input_width=3, width=4, depth=2)
    expected = read(module, [5])

    def fail(lstm):
        raise error

    monkeypatch.setattr(packed_lstm, "PackedLSTM", fail)
    ready = module.for_prediction()
    assert ready.one is None
    torch.testing.assert_close(read(ready, [5]), expected)


def test_a_kernel_that_gives_something_else_is_not_used(monkeypatch):
    class Other(nn.Module):
        def __init__(self, lstm):
            super().__init__()
            self.lstm = lstm

        def forward(self, grid, reverse=False):
            return self.lstm(grid)

    monkeypatch.setattr(packed_lstm, "PackedLSTM", Other)
    lstm = nn.LSTM(3, 4)
    assert packed(lstm) is lstm


def read(module, lengths, rows=None):
    torch.manual_seed(0)
    rows = torch.randn(sum(lengths), 3) if rows is None else rows
    packing = Packing.from_lengths(lengths)
    with torch.no_grad():
        return packing.unpack(module(packing.pack(rows), packing, 0.0))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 2))
def test_batches_and_one_sequence_are_read_as_before(lengths, depth):
    module = BiLSTM(input_width=3, width=4, depth=depth)
    ready = module.for_prediction()
    torch.testing.assert_close(read(ready, lengths), read(module, lengths), rtol=0, atol=1e-6)
    if ready.one is not None:
        rows = torch.randn(lengths[0], 3)
        expected = read(module, lengths[:1], rows)
        np.testing.assert_allclose(ready.one.read(rows.numpy()), expected, rtol=0, atol=1e-6)


def test_the_module_itself_stays_as_it_is_and_its_other_parameters_are_shared():
    module = nn.ModuleDict({"embed": nn.Embedding(3, 4), "lstm": nn.LSTM(4, 2), "none": nn.Identity()})
    copied = with_packed_lstms(module)
    assert type(module["lstm"]) is nn.LSTM
    assert copied["embed"].weight is module["embed"].weight
    assert [*copied.state_dict()] == [name for name in module.state_dict() if here or "lstm" not in name]
    assert copy.deepcopy(module).state_dict().keys() == module.state_dict().keys()
