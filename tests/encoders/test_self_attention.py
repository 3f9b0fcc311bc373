"""spacy_crfner.SelfAttention.v1: softmax(QK^T / sqrt(d)) V of one sentence and head at a time as the oracle."""

import copy
import pickle

import numpy as np
import pytest
import spacy
import torch
from gradients import check_gradients
from hypothesis import given
from hypothesis import strategies as st
from spacy import registry
from spacy.tokens import Doc
from thinc.api import set_dropout_rate
from torch import nn

from spacy_crfner.encoders import self_attention, self_attention_module
from spacy_crfner.encoders.bilstm import build_bilstm_v1
from spacy_crfner.encoders.self_attention import build_self_attention_v1
from spacy_crfner.packing import Packing
from spacy_crfner.wrapping import shim_of

VOCAB = spacy.blank("en").vocab
TWO_SENTENCES = ["Anna", "met", "Bob", ".", "Bob", "left", "early"]
WIDTH = 8


def make_docs(*lengths):
    return [Doc(VOCAB, words=[f"w{i * i % 7}" for i in range(length)]) for length in lengths]


def two_sentences():
    return Doc(VOCAB, words=TWO_SENTENCES, sent_starts=[True, False, False, False, True, False, False])


def hash_embed(width=WIDTH):
    """Vectors of the tokens alone, without context."""
    return registry.get("architectures", "spacy.MultiHashEmbed.v2")(
        width=width, attrs=["NORM", "SHAPE"], rows=[60, 30], include_static_vectors=False
    )


def make(tok2vec=None, **settings):
    model = build_self_attention_v1(tok2vec or hash_embed(), **settings)
    model.initialize(X=make_docs(3))
    for node in model.walk():
        if node.has_param("E"):
            # New tables are so small that all words are nearly alike.
            node.set_param("E", 30 * node.get_param("E"))
    return model


def make_module(width=WIDTH, heads=2):
    """With weights that are not those of a new module, of which some are 0 or 1."""
    module = self_attention_module.SelfAttention(width=width, heads=heads)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def read_plainly(module, rows):
    """What the module makes of the rows of one sentence, head by head."""
    width, heads = rows.shape[1], module.heads
    size = width // heads
    queries, keys, values = (rows @ w.T + b for w, b in zip(*split_in_three(module.project), strict=True))
    read = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        scores = queries[:, own] @ keys[:, own].T / size**0.5
        read.append(torch.softmax(scores, dim=1) @ values[:, own])
    added = rows + torch.cat(read, dim=1) @ module.combine.weight.T + module.combine.bias
    centred = added - added.mean(dim=1, keepdim=True)
    normal = centred / (centred.pow(2).mean(dim=1, keepdim=True) + 1e-5).sqrt()
    return normal * module.norm.weight + module.norm.bias


def split_in_three(linear):
    return linear.weight.chunk(3), linear.bias.chunk(3)


def test_it_is_registered():
    assert registry.get("architectures", "spacy_crfner.SelfAttention.v1") is build_self_attention_v1


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.sampled_from([1, 2, 4, 8]))
def test_sentences_are_read_as_the_formula_says(lengths, heads):
    with torch.no_grad():
        module, rows = make_module(heads=heads), torch.randn(sum(lengths), WIDTH)
        packing = Packing.from_lengths(lengths)
        found = packing.unpack(module(packing.pack(rows), packing, 0.0))
        expected = torch.cat([read_plainly(module, sentence) for sentence in rows.split(lengths)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("at_once", [1, 50, 200])
def test_portions_of_queries_change_nothing(monkeypatch, at_once):
    lengths = [9, 9, 8, 3, 1, 30]
    module, packing = make_module(), Packing.from_lengths(lengths)
    rows = torch.randn(sum(lengths), WIDTH, requires_grad=True)
    found = []
    for scores in (1 << 24, at_once):
        monkeypatch.setattr(self_attention_module, "SCORES_AT_ONCE", scores)
        states = module(packing.pack(rows), packing, 0.0)
        found.append((states, *torch.autograd.grad(states.pow(3).sum(), [rows, *module.parameters()])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-4)


def test_few_scores_are_there_at_a_time(monkeypatch):
    """However long the sentences are."""
    sizes, attend = [], self_attention_module.scaled_dot_product_attention

    def count_and_attend(query, key, value, **options):
        sizes.append(query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2])
        return attend(query, key, value, **options)

    monkeypatch.setattr(self_attention_module, "scaled_dot_product_attention", count_and_attend)
    monkeypatch.setattr(self_attention_module, "SCORES_AT_ONCE", 4000)
    make(heads=2).predict(make_docs(120, 118, 2, 40, 500))
    assert max(sizes) <= 4000 and len(sizes) > 100


@pytest.mark.parametrize("lengths", [[3], [2, 5, 1], [0, 3, 0, 0, 2], [0], [0, 0]])
@pytest.mark.parametrize("heads", [1, 4])
def test_one_vector_a_token(lengths, heads):
    model = make(heads=heads)
    assert (model.get_dim("nI"), model.get_dim("nO")) == (WIDTH, WIDTH)
    docs = make_docs(*lengths)
    predicted = model.predict(docs)
    outputs, backprop = model.begin_update(docs)
    assert [rows.shape for rows in outputs] == [rows.shape for rows in predicted] == [(n, WIDTH) for n in lengths]
    for rows, expected in zip(outputs, predicted, strict=True):
        assert rows.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    backprop([np.ones_like(rows) for rows in outputs])
    model.finish_update(lambda key, weights, gradient: (weights, gradient))


def test_a_sentence_is_the_same_alone_and_in_a_batch():
    model = make()
    docs = make_docs(5, 1, 40, 0, 38, 2)
    for doc, rows in zip(docs, model.predict(docs), strict=True):
        np.testing.assert_allclose(rows, model.predict([doc])[0], atol=1e-5)


def test_sentences_are_read_by_themselves():
    model = make()
    alone = [Doc(VOCAB, words=TWO_SENTENCES[:4]), Doc(VOCAB, words=TWO_SENTENCES[4:])]
    by_sentence, first, second, whole = model.predict([two_sentences(), *alone, Doc(VOCAB, words=TWO_SENTENCES)])
    np.testing.assert_allclose(by_sentence, np.vstack([first, second]), atol=1e-5)
    assert (np.abs(by_sentence - whole) > 1e-5).any(1).all()

    model.attrs["per_sentence"] = False
    np.testing.assert_allclose(model.predict([two_sentences()])[0], whole, atol=1e-5)


def test_every_word_is_read_by_every_other_in_any_order():
    """Order is what the layer below knows."""
    model = make()
    words = ["a", "b", "c", "d"]
    rows = model.predict([Doc(VOCAB, words=words)])[0]
    turned = model.predict([Doc(VOCAB, words=words[::-1])])[0]
    np.testing.assert_allclose(turned[::-1], rows, atol=1e-5)
    changed = model.predict([Doc(VOCAB, words=["a", "b", "c", "X7"])])[0]
    assert (np.abs(changed - rows)[:3] > 1e-7).any(1).all()


@pytest.mark.parametrize("most", [1, 3, 9])
def test_a_large_batch_is_read_in_runs(monkeypatch, most):
    model, docs = make(), [*make_docs(5, 0, 1, 9, 2), two_sentences()]
    expected = model.predict(docs)
    monkeypatch.setattr(self_attention, "ROWS_AT_ONCE", most)
    for found, wanted in zip(model.predict(docs), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("over_bilstm", [False, True])
def test_gradients_of_all_parameters(over_bilstm):
    model = make(build_bilstm_v1(hash_embed(), width=WIDTH) if over_bilstm else None, heads=2)
    norms = check_gradients(model, [*make_docs(2, 0), two_sentences(), *make_docs(3)])
    # One addend that all keys share moves no attention.
    (project,) = (name for name in norms if name.endswith("project.bias"))
    assert {name for name, norm in norms.items() if norm == 0.0} == set()
    gradient = shim_of(model)._model.project.bias.grad.chunk(3)[1]
    assert norms[project] > 0 and float(gradient.abs().max()) < 1e-4


def test_dropout_follows_the_training_config():
    model, docs = make(), make_docs(6, 3)
    predicted = model.predict(docs)[0]
    set_dropout_rate(model, 0.5)
    assert (np.abs(model.begin_update(docs)[0][0] - predicted) > 1e-4).any()
    np.testing.assert_array_equal(model.predict(docs)[0], predicted)
    set_dropout_rate(model, 0.0)
    np.testing.assert_allclose(model.begin_update(docs)[0][0], predicted, atol=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_compute_the_same(copied):
    model, docs = make(), make_docs(4, 2)
    np.testing.assert_array_equal(copied(model).predict(docs)[0], model.predict(docs)[0])


def test_save_and_load(tmp_path):
    model, docs = make(heads=2), make_docs(4, 2)
    expected = np.concatenate(model.predict(docs))
    other = build_self_attention_v1(hash_embed(), heads=2).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(np.concatenate(other.predict(docs)), expected)
    model.to_disk(tmp_path / "model")
    np.testing.assert_array_equal(np.concatenate(make(heads=2).from_disk(tmp_path / "model").predict(docs)), expected)


def test_a_model_that_was_run_for_prediction_cannot_learn_from_it():
    output, backprop = make()(make_docs(3), is_train=False)
    with pytest.raises(ValueError, match=r"'self_attention' was run for prediction.* is_train=True"):
        backprop(output)


def test_heads_must_share_the_features():
    with pytest.raises(ValueError, match=r"SelfAttention.v1 has 3 heads, which cannot share the 8 features of the"):
        make(heads=3)
    with pytest.raises(ValueError, match="needs 1 head or more, not 0"):
        build_self_attention_v1(hash_embed(), heads=0)


def test_it_needs_weights():
    model = make()
    with pytest.raises(ValueError, match=r"'self_attention' has no weights yet"):
        build_self_attention_v1(model.layers[0]).predict(make_docs(2))
