"""The sentence classifiers against one sentence at a time, written out with the formulas of the papers."""

import pytest
import torch

from spacy_crfner.packing import Packing
from spacy_crfner.routing.classifiers import RCNN, LSTMAttention, StructuredSelfAttention

LENGTHS = [3, 90, 1, 7, 7, 12, 2]
MODULES = {
    "rcnn": (RCNN, {"width": 10, "hidden_width": 7}),
    "attention": (LSTMAttention, {"width": 10}),
    "self_attention": (StructuredSelfAttention, {"width": 10, "attention_width": 5, "hops": 4, "hidden_width": 6}),
}


def rcnn(module, rows, states):
    features = torch.tanh(torch.cat([rows, states], 1) @ module.hidden.weight.T + module.hidden.bias)
    return module.output(features.max(0).values), torch.zeros(1)


def attention(module, rows, states):
    weights = torch.softmax(torch.tanh(states) @ module.attention.weight[0], 0)
    return module.output(torch.tanh(sum(w * state for w, state in zip(weights, states, strict=True)))), torch.zeros(1)


def self_attention(module, rows, states):
    first, _, second = module.attention
    weights = torch.softmax(second.weight @ torch.tanh(first.weight @ states.T), 1)
    hidden = torch.relu(module.hidden((weights @ states).flatten()))
    overlap = weights @ weights.T - torch.eye(len(weights))
    return module.output(hidden), (overlap**2).sum()[None]


def rcnn_without_context(module, rows, states):
    return module.output(torch.tanh(module.hidden(rows)).max(0).values), torch.zeros(1)


ORACLES = {"rcnn": rcnn, "attention": attention, "self_attention": self_attention}
WITHOUT_CONTEXT = {**ORACLES, "rcnn": rcnn_without_context}


@pytest.fixture(params=[(name, context) for name in sorted(MODULES) for context in (True, False)])
def case(request):
    name, context = request.param
    torch.manual_seed(0)
    build, settings = MODULES[name]
    if context:
        return build(input_width=6, **settings), ORACLES[name]
    return build(input_width=6, **{**settings, "width": 0}), WITHOUT_CONTEXT[name]


def test_a_batch_gives_what_its_sentences_give(case):
    module, oracle = case
    rows = torch.randn(sum(LENGTHS), 6)
    packing = Packing.from_lengths(LENGTHS)
    with torch.no_grad():
        logits, penalties = (packing.unpack_sequences(v) for v in module(packing.pack(rows), packing, 0.0))
        for place, sentence in enumerate(rows.split(LENGTHS)):
            alone = Packing.from_lengths([len(sentence)])
            states = module.context(sentence, alone, 0.0)
            logit, penalty = oracle(module, sentence, states)
            torch.testing.assert_close(logits[place], logit[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(penalties[place], penalty[0], atol=1e-4, rtol=1e-4)


def test_gradients_are_finite_and_reach_every_weight(case):
    module, _ = case
    rows = torch.randn(sum(LENGTHS), 6, requires_grad=True)
    packing = Packing.from_lengths(LENGTHS)
    logits, penalties = module(packing.pack(rows), packing, 0.0)
    (logits.sum() + penalties.sum()).backward()
    for values in (rows, *module.parameters()):
        assert torch.isfinite(values.grad).all() and values.grad.abs().sum() > 0


def test_attentions_that_look_at_words_of_their_own_have_no_penalty():
    module = StructuredSelfAttention(input_width=2, width=4, attention_width=3, hops=3, hidden_width=2)
    packing = Packing.from_lengths([3])
    one_word_each = torch.full((3, 3), -100.0).fill_diagonal_(100.0)

    class Fixed(torch.nn.Module):
        def forward(self, states):
            return one_word_each

    module.attention = Fixed()
    assert float(module(torch.randn(3, 2), packing, 0.0)[1][0]) == pytest.approx(0.0, abs=1e-6)
    one_word_each = torch.zeros(3, 3)
    assert float(module(torch.randn(3, 2), packing, 0.0)[1][0]) == pytest.approx(3 * (2 / 3) ** 2 + 6 / 9)
