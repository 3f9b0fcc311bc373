"""spacy_crfner.BiLSTM.v1 as a layer over other layers."""

import numpy as np
import pytest
import spacy
from gradients import check_gradients
from spacy import registry
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, set_dropout_rate

from spacy_crfner.encoders import bilstm, recurrent
from spacy_crfner.encoders.bilstm import build_bilstm_v1
from spacy_crfner.wrapping import shim_of

VOCAB = spacy.blank("en").vocab
TWO_SENTENCES = ["Anna", "met", "Bob", ".", "Bob", "left", "early"]


def make_docs(*lengths):
    return [Doc(VOCAB, words=[f"w{i}" for i in range(length)]) for length in lengths]


def hash_embed(width=6):
    """Vectors of the tokens alone, without context."""
    return registry.get("architectures", "spacy.MultiHashEmbed.v2")(
        width=width, attrs=["NORM", "SHAPE"], rows=[60, 30], include_static_vectors=False
    )


def hash_embed_cnn(width=6):
    return registry.get("architectures", "spacy.HashEmbedCNN.v2")(
        width=width,
        depth=1,
        embed_size=50,
        window_size=1,
        maxout_pieces=2,
        subword_features=True,
        pretrained_vectors=None,
    )


def make(tok2vec=None, **settings):
    model = build_bilstm_v1(tok2vec or hash_embed(), **{"width": 8, **settings})
    model.initialize(X=make_docs(3))
    return model


def test_it_is_registered():
    assert registry.get("architectures", "spacy_crfner.BiLSTM.v1") is build_bilstm_v1


@pytest.mark.parametrize("lengths", [[3], [2, 5, 1], [0, 3, 0, 0, 2], [0], [0, 0]])
@pytest.mark.parametrize("tok2vec", [hash_embed, hash_embed_cnn])
@pytest.mark.parametrize("depth", [1, 2])
def test_one_vector_a_token(lengths, tok2vec, depth):
    model = make(tok2vec(), depth=depth)
    assert (model.get_dim("nI"), model.get_dim("nO")) == (6, 8)
    assert len(shim_of(model)._model.forwards) == depth
    docs = make_docs(*lengths)
    predicted = model.predict(docs)
    outputs, backprop = model.begin_update(docs)
    assert [rows.shape for rows in outputs] == [rows.shape for rows in predicted] == [(n, 8) for n in lengths]
    for rows, expected in zip(outputs, predicted, strict=True):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-7)
    backprop([np.ones_like(rows) for rows in outputs])
    model.finish_update(lambda key, weights, gradient: (weights, gradient))


def test_states_depend_on_both_sides():
    model = make()
    words = ["a", "b", "c"]
    middle = model.predict([Doc(VOCAB, words=words)])[0][1]
    for i, half in ((0, slice(0, 4)), (2, slice(4, 8))):
        changed = list(words)
        changed[i] = "x"
        differs = model.predict([Doc(VOCAB, words=changed)])[0][1] != middle
        assert differs[half].all() and differs.sum() == 4


@pytest.mark.parametrize("depth", [1, 2])
def test_sentences_are_read_by_themselves(depth):
    model = make(depth=depth)
    two = Doc(VOCAB, words=TWO_SENTENCES, sent_starts=[True, False, False, False, True, False, False])
    alone = [Doc(VOCAB, words=TWO_SENTENCES[:4]), Doc(VOCAB, words=TWO_SENTENCES[4:])]
    one = Doc(VOCAB, words=TWO_SENTENCES)
    by_sentence, first, second, whole = model.predict([two, *alone, one])
    np.testing.assert_allclose(by_sentence, np.vstack([first, second]), atol=1e-6)
    assert (np.abs(by_sentence - whole) > 1e-6).any(1).all()

    model.attrs["per_sentence"] = False
    np.testing.assert_allclose(model.predict([two])[0], whole, atol=1e-6)


def test_per_sentence_is_an_argument():
    assert make().attrs["per_sentence"] is True
    assert make(per_sentence=False).attrs["per_sentence"] is False


@pytest.mark.parametrize("tok2vec", [hash_embed, hash_embed_cnn])
@pytest.mark.parametrize("depth", [1, 2])
def test_gradients_of_all_parameters(tok2vec, depth):
    model = make(tok2vec(), depth=depth)
    two = Doc(VOCAB, words=TWO_SENTENCES, sent_starts=[True, False, False, False, True, False, False])
    norms = check_gradients(model, [*make_docs(2, 0), two, *make_docs(3)])
    assert {name for name, norm in norms.items() if norm == 0.0} == set()
    assert any(name.endswith(".E") for name in norms)


@pytest.mark.parametrize("width", [-2, 0, 1, 7])
def test_width_must_be_even(width):
    with pytest.raises(ValueError, match=f"even width of 2 or more .* not {width}"):
        build_bilstm_v1(hash_embed(), width=width)


@pytest.mark.parametrize("depth", [-1, 0])
def test_depth_must_be_positive(depth):
    with pytest.raises(ValueError, match=f"depth of 1 or more, not {depth}"):
        build_bilstm_v1(hash_embed(), depth=depth)


def test_dropout_follows_the_training_config():
    model = make(width=40)
    docs = make_docs(6, 3)
    predicted = model.predict(docs)
    np.testing.assert_allclose(model.begin_update(docs)[0][0], predicted[0], rtol=1e-5)

    set_dropout_rate(model, 0.5)
    for rows in model.begin_update(docs)[0]:
        # The same features are dropped at every token.
        dropped = (rows == 0).all(0)
        assert 0.2 < dropped.mean() < 0.8
        assert (rows[:, ~dropped] != 0).all()
    np.testing.assert_array_equal(model.predict(docs)[0], predicted[0])

    set_dropout_rate(model, 0.0)
    np.testing.assert_allclose(model.begin_update(docs)[0][0], predicted[0], rtol=1e-5)


def test_gradients_agree_with_the_dropout_mask():
    model = make(width=40)
    docs = make_docs(5)
    set_dropout_rate(model, 0.5)
    outputs, backprop = model.begin_update(docs)
    dropped = (outputs[0] == 0).all(0)
    backprop([np.where(dropped, np.ones_like(outputs[0]), 0.0).astype("f")])
    assert all(not parameter.grad.any() for parameter in shim_of(model)._model.parameters())


@pytest.fixture
def listening(examples):
    """A pipeline whose tagger listens to a tok2vec component, and its examples."""
    nlp = spacy.blank("en")
    cnn = {"@architectures": "spacy.HashEmbedCNN.v2", "width": 12, "depth": 1, "embed_size": 100, "window_size": 1}
    nlp.add_pipe(
        "tok2vec", config={"model": {**cnn, "maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None}}
    )
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 12, "upstream": "tok2vec"}
    bilstm = {"@architectures": "spacy_crfner.BiLSTM.v1", "tok2vec": listener, "width": 16, "depth": 1}
    nlp.add_pipe("bcrf_ner", config={"model": {"tok2vec": {**bilstm, "per_sentence": True}}})
    data = examples(nlp)
    nlp.initialize(lambda: data)
    return nlp, data


def test_it_reads_a_listener_as_it_reads_the_encoder(listening):
    nlp, data = listening
    docs = [example.x for example in data]
    encoder, model = nlp.get_pipe("tok2vec"), nlp.get_pipe("bcrf_ner").model.get_ref("tok2vec")
    alone = build_bilstm_v1(encoder.model.copy(), width=16)
    alone.initialize(X=docs)
    alone.layers[0].from_bytes(encoder.model.to_bytes())
    alone.shims[0].from_bytes(model.shims[0].to_bytes())

    encoder.set_annotations(docs, encoder.predict(docs))
    for rows, expected in zip(model.predict(docs), alone.predict(docs), strict=True):
        np.testing.assert_allclose(rows, expected, atol=1e-5)

    generator = np.random.default_rng(0)
    gradient = [generator.normal(size=(len(doc), 16)).astype("f") for doc in docs]
    encoder.update([Example(doc, doc) for doc in docs], drop=0.0)
    for layer in (model, alone):
        layer.begin_update(docs)[1](gradient)
    nodes, expected_nodes = (tok2vec.walk() for tok2vec in (encoder.model, alone.layers[0]))
    for node, expected in zip(nodes, expected_nodes, strict=True):
        for name in node.param_names:
            assert node.has_grad(name)
            np.testing.assert_allclose(node.get_grad(name), expected.get_grad(name), atol=1e-4)


def test_training_reaches_the_encoder_behind_a_listener(listening):
    nlp, data = listening
    nodes = [node for node in nlp.get_pipe("tok2vec").model.walk() if node.has_param("E")]
    before = [node.get_param("E").copy() for node in nodes]
    optimizer = nlp.resume_training()
    losses = [nlp.update(data, sgd=optimizer, losses={}, drop=0.1)["bcrf_ner"] for _ in range(8)]
    assert losses[-1] < losses[0]
    assert len(nodes) == 4
    for node, table in zip(nodes, before, strict=True):
        assert (node.get_param("E") != table).any()
    doc = nlp("Anna Kell met Bob in Paris . It rained .")
    assert nlp.get_pipe("bcrf_ner").model.get_ref("tok2vec").predict([doc])[0].shape == (len(doc), 16)


def test_an_encoder_that_is_disabled_while_what_listens_to_it_learns():
    nlp = spacy.blank("en")
    embed = {"@architectures": "spacy.MultiHashEmbed.v2", "width": 16, "attrs": ["NORM"], "rows": [60]}
    bilstm = {"@architectures": "spacy_crfner.BiLSTM.v1", "width": 16}
    nlp.add_pipe("tok2vec", config={"model": {**bilstm, "tok2vec": {**embed, "include_static_vectors": False}}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    nlp.add_pipe("bcrf_ner", config={"model": {"tok2vec": listener}, "r_drop": 0.0})
    examples = [Example.from_dict(nlp.make_doc("Anna met Bob ."), {"entities": [(0, 4, "PER"), (9, 12, "PER")]})]
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    with nlp.select_pipes(enable="bcrf_ner"), pytest.raises(ValueError, match=r"a tok2vec that was disabled.*both"):
        nlp.update(examples, sgd=optimizer)
    nlp.update(examples, sgd=optimizer)


def test_8_bit_weights_predict_nearly_the_same_and_train_exactly_the_same():
    docs = make_docs(5, 9, 1)
    exact, fast = (make(width=64, int8=int8) for int8 in (False, True))
    fast.from_bytes(exact.to_bytes())
    expected, found = np.concatenate(exact.predict(docs)), np.concatenate(fast.predict(docs))
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=0.03)
    trained = [np.concatenate(model.begin_update(docs)[0]) for model in (exact, fast)]
    np.testing.assert_array_equal(*trained)
    assert fast.to_bytes() == exact.to_bytes()
    np.testing.assert_array_equal(np.concatenate(fast.copy().predict(docs)), found)


def test_8_bit_weights_follow_the_weights():
    docs = make_docs(5, 9, 1)
    model = make(width=64, int8=True)
    before = np.concatenate(model.predict(docs))
    outputs, backprop = model.begin_update(docs)
    backprop([np.ones_like(rows) for rows in outputs])
    model.finish_update(Adam(0.1))
    after = np.concatenate(model.predict(docs))
    assert not np.allclose(before, after, atol=0.1)
    np.testing.assert_allclose(after, np.concatenate(model.begin_update(docs)[0]), atol=0.1)


@pytest.mark.parametrize("most", [1, 3, 9])
def test_a_large_batch_is_read_in_runs(monkeypatch, most):
    model, docs = (
        make(depth=2),
        [*make_docs(5, 0, 1, 9, 2), Doc(VOCAB, words=TWO_SENTENCES, sent_starts=[1, 0, 0, 0, 1, 0, 0])],
    )
    expected = model.predict(docs)
    monkeypatch.setattr(bilstm, "MOST_ROWS_HELD", most)
    for found, wanted in zip(model.predict(docs), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_large_batch_is_read_in_runs_with_8_bit_weights_too(monkeypatch):
    model, docs = make(int8=True), make_docs(40, 3)
    expected = model.predict(docs)
    monkeypatch.setattr(bilstm, "MOST_ROWS_HELD", 10)
    monkeypatch.setattr(recurrent, "ROWS_AT_ONCE", 7)
    for found, wanted in zip(model.predict(docs), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=0.02)
