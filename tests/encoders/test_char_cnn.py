"""spacy_crfner.CharCNN.v1: torch's convolution of one word at a time as the oracle."""

import copy
import pickle
import unicodedata

import numpy as np
import pytest
import spacy
import torch
from gradients import check_gradients
from hypothesis import example, given
from hypothesis import strategies as st
from spacy import registry
from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Adam, set_dropout_rate

from spacy_crfner.encoders import char_cnn, word_shape
from spacy_crfner.encoders.bilstm import build_bilstm_v1
from spacy_crfner.encoders.char_cnn import build_char_cnn_v1
from spacy_crfner.encoders.concatenate import build_concatenate_v1
from spacy_crfner.encoders.word_char_embed import build_word_char_embed_v1
from spacy_crfner.encoders.word_shape import capitalizations, char_types
from spacy_crfner.encoders.words import MAX_CHARS, char_rows
from spacy_crfner.wrapping import shim_of

VOCAB = Vocab()
SMALL = {"width": 5, "char_embed_width": 4, "char_rows": 1100, "type_width": 3, "capitalization_width": 2}
WORDS = ["a", "Anna", "ANNA", "McDonald", "1,000.5", "ärger", "漢字", "\U0001f600!", " ", "\n\t", "aaaa", "x" * 200]
WRITABLE = st.characters(exclude_categories=["Cs"])


def make(**settings):
    model = build_char_cnn_v1(**{**SMALL, **settings})
    model.initialize()
    return model


def make_doc(*words, vocab=VOCAB):
    return Doc(vocab, words=list(words))


def encode(model, *words):
    return model.predict([make_doc(*words)])[0]


def module_of(model):
    return shim_of(model)._model


def read_by_torch(model, word):
    """The features of one word by torch's convolution over it alone, between its paddings."""
    module, size = module_of(model), model.attrs["window"] // 2
    half = MAX_CHARS // 2
    cut = word if len(word) <= MAX_CHARS else word[:half] + word[-half:]
    padded = [model.attrs["char_rows"]] * size
    chars = [*padded, *char_rows([cut], model.attrs["char_rows"]).tolist(), *padded]
    features = [module.chars.weight[chars]]
    if module.types is not None:
        features.append(module.types.weight[[4] * size + char_types([cut]).tolist() + [4] * size])
    grid = torch.cat(features, dim=1).T[None]
    convolved = torch.nn.functional.conv1d(grid, module.convolution.weight, module.convolution.bias)
    parts = [convolved[0].max(dim=1).values]
    if module.capitalizations is not None:
        parts.append(module.capitalizations.weight[int(capitalizations([word])[0])])
    return torch.cat(parts).detach().numpy()


def test_it_is_registered():
    assert registry.get("architectures", "spacy_crfner.CharCNN.v1") is build_char_cnn_v1


def test_the_sizes_of_the_paper_are_the_default():
    model = build_char_cnn_v1()
    model.initialize()
    module = module_of(model)
    assert tuple(module.chars.weight.shape) == (4097, 25) and tuple(module.types.weight.shape) == (5, 4)
    assert tuple(module.convolution.weight.shape) == (53, 29, 3)
    assert encode(model, "Anna").shape == (1, model.get_dim("nO")) == (1, 53 + 5)
    assert float(module.chars.weight.detach().abs().max()) <= 0.5


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("without", [{}, {"type_width": 0}, {"capitalization_width": 0}])
def test_a_word_is_read_as_torch_reads_it(window, without):
    model = make(window=window, **without)
    expected = [read_by_torch(model, word) for word in WORDS]
    np.testing.assert_allclose(encode(model, *WORDS), expected, atol=1e-6)


@given(st.lists(st.text(WRITABLE, min_size=1, max_size=70), min_size=1, max_size=8))
@example(["İ", "ß", "ǅ", "\U0001f600"])
def test_a_word_is_the_same_alone_and_in_a_batch(words):
    model = make()
    # Copies have kept nothing of what was read before.
    together = encode(model.copy(), *words)
    for word, row in zip(words, together, strict=True):
        np.testing.assert_allclose(row, encode(model.copy(), word)[0], atol=1e-6)


def test_a_short_word_beside_a_long_one():
    model = make(window=9)
    alone, beside = encode(model.copy(), "to")[0], encode(model.copy(), "x" * 59, "to", "internationalization")[1]
    np.testing.assert_allclose(beside, alone, atol=1e-6)


def test_long_words_are_their_first_and_last_characters():
    model = make()
    head, tail = "abc" * 10, "xyz" * 10
    short, long, other = encode(model, head + tail, f"{head}{'m' * 5000}{tail}", f"b{head[1:]}m{tail}")
    np.testing.assert_allclose(long, short, atol=1e-6)
    assert (other[:5] != short[:5]).any()


def test_types_tell_characters_apart_that_have_the_same_embedding():
    model = make(capitalization_width=0)
    with torch.no_grad():
        module_of(model).chars.weight.fill_(0.1)
    upper, lower, punctuation, other, same = encode(model, "A", "a", "-", "7", "b")
    rows = np.stack([upper, lower, punctuation, other])
    assert len(np.unique(rows, axis=0)) == 4
    np.testing.assert_array_equal(lower, same)

    without = make(type_width=0, capitalization_width=0)
    with torch.no_grad():
        module_of(without).chars.weight.fill_(0.1)
    assert np.ptp(encode(without, "A", "a", "-", "7"), axis=0).max() < 1e-6


def test_capitalization_tells_words_apart_that_have_the_same_characters():
    model = make(type_width=0)
    with torch.no_grad():
        module_of(model).chars.weight.fill_(0.1)
    rows = encode(model, "PARIS", "Paris", "paris", "pAris", "12345", "ROMES")
    assert np.ptp(rows[:, :5], axis=0).max() < 1e-6
    assert len(np.unique(rows[:5, 5:], axis=0)) == 5
    np.testing.assert_array_equal(rows[0, 5:], rows[5, 5:])


@pytest.mark.parametrize(
    "expected, words",
    [
        (word_shape.ALL_CAPS, ["USA", "I", "F-16", "U.S.", "ÄÖ", "ДА"]),
        (word_shape.INITIAL_CAP, ["Paris", "Élan", "Да", "Al-masri", "ǅungla"]),
        (word_shape.LOWER_CASE, ["paris", "a", "1st", "straße", "да"]),
        (word_shape.MIXED, ["iPhone", "McDonald", "L'Oréal", "(Paris"]),
        (word_shape.NO_INFO, ["1996", "-", "漢字", " ", "\n", "\U0001f600", "שלום"]),
    ],
)
def test_capitalizations(expected, words):
    assert capitalizations(words).tolist() == [expected] * len(words)


@given(st.text(max_size=50), st.text(max_size=20))
def test_every_character_has_one_type(first, second):
    types = char_types([first, second]).tolist()
    assert len(types) == len(first + second)
    for char, found in zip(first + second, types, strict=True):
        assert (found == word_shape.UPPER) == (char.isupper() or char.istitle())
        assert (found == word_shape.LOWER) == char.islower()
        if found == word_shape.PUNCTUATION:
            assert unicodedata.category(char)[0] in "PS"


def test_types_of_characters():
    upper, lower, punctuation, other = word_shape.UPPER, word_shape.LOWER, word_shape.PUNCTUATION, word_shape.OTHER
    expected = [upper, lower, punctuation, punctuation, other, other, upper, lower, other, punctuation]
    assert char_types(["Aa", ".$7 ", "Éß漢„"]).tolist() == expected


@pytest.mark.parametrize("lengths", [[0], [0, 0], [0, 3, 0, 1], [2]])
def test_empty_docs(lengths):
    model = make()
    docs = [make_doc(*WORDS[:length]) for length in lengths]
    predicted = model.predict(docs)
    outputs, backprop = model.begin_update(docs)
    for rows, expected, length in zip(outputs, predicted, lengths, strict=True):
        assert rows.shape == expected.shape == (length, 7) and rows.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(rows, expected, atol=1e-6)
    backprop([np.ones_like(rows) for rows in outputs])
    model.finish_update(lambda key, weights, gradient: (weights, gradient))


def test_what_is_kept_is_what_training_computes():
    model = make()
    docs = [make_doc(*WORDS), make_doc(*WORDS[::-1], "Bob")]
    expected = [rows.copy() for rows in model.begin_update(docs)[0]]
    for _ in range(2):
        for rows, wanted in zip(model.predict(docs), expected, strict=True):
            np.testing.assert_allclose(rows, wanted, atol=1e-6)
    assert len(shim_of(model).cache) == len({*WORDS, "Bob"})


def test_kept_words_follow_the_weights():
    model, doc = make(), make_doc("Anna", "met", "Bob")
    before = model.predict([doc])[0].copy()
    optimizer = Adam(0.1)
    output, backprop = model.begin_update([doc])
    backprop([np.ones_like(output[0])])
    model.finish_update(optimizer)
    after = model.predict([doc])[0]
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, model.begin_update([doc])[0][0], atol=1e-6)


def test_docs_of_several_vocabs_in_one_batch():
    model = make()
    docs = [make_doc("only", "here"), make_doc("there", "only", vocab=Vocab()), make_doc()]
    for rows, doc in zip(model.predict(docs), docs, strict=True):
        np.testing.assert_allclose(rows, model.copy().predict([doc])[0], atol=1e-6)


def test_many_words_are_read_in_portions(monkeypatch):
    model = make()
    words = [f"{word}{number}" for number in range(5) for word in WORDS]
    expected = encode(model.copy(), *words)
    monkeypatch.setattr(char_cnn, "CHARS_AT_ONCE", 20)
    np.testing.assert_allclose(encode(model.copy(), *words), expected, atol=1e-6)


@pytest.mark.parametrize("without", [{}, {"type_width": 0}, {"capitalization_width": 0}, {"window": 1}])
def test_gradients_of_all_parameters(without):
    model = make(**without)
    docs = [make_doc("cat", "Dog", "cat", "anna's"), make_doc(), make_doc("ÉTÉ", "iPod", "1-2"), make_doc("Paris")]
    norms = check_gradients(model, docs)
    assert {name for name, norm in norms.items() if norm == 0.0} == set()
    assert len(norms) == 5 - sum(setting == 0 for setting in without.values())


def test_dropout_follows_the_training_config():
    model, docs = make(width=30), [make_doc("internationally", "known")]
    predicted = model.predict(docs)[0]
    set_dropout_rate(model, 0.5)
    dropped = model.begin_update(docs)[0][0]
    assert (np.abs(dropped - predicted)[:, :30] > 1e-6).any(1).all()
    np.testing.assert_array_equal(dropped[:, 30:], predicted[:, 30:])
    np.testing.assert_array_equal(model.predict(docs)[0], predicted)
    set_dropout_rate(model, 0.0)
    np.testing.assert_allclose(model.begin_update(docs)[0][0], predicted, atol=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_compute_the_same(copied):
    model = make()
    np.testing.assert_array_equal(encode(copied(model), *WORDS), encode(model, *WORDS))


def test_save_and_load(tmp_path):
    model = make(type_width=0, window=5)
    expected = encode(model, *WORDS)
    other = build_char_cnn_v1(**{**SMALL, "type_width": 0, "window": 5}).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(encode(other, *WORDS), expected)
    model.to_disk(tmp_path / "model")
    other = make(type_width=0, window=5).from_disk(tmp_path / "model")
    np.testing.assert_array_equal(encode(other, *WORDS), expected)


def test_beside_word_vectors_under_a_bilstm():
    vocab = spacy.blank("en").vocab
    vocab.reset_vectors(width=6)
    for word in ("Anna", "met"):
        vocab.set_vector(word, np.random.default_rng(len(word)).normal(size=6).astype("f"))
    words = build_word_char_embed_v1("word", hash_attrs=[], hash_rows=[])
    both = build_concatenate_v1(words, build_char_cnn_v1(**SMALL))
    model = build_bilstm_v1(both, width=8)
    docs = [make_doc("Anna", "met", "Bob", vocab=vocab), make_doc(vocab=vocab)]
    model.initialize(X=docs)
    assert both.get_dim("nO") == 6 + 7
    expected = np.concatenate([words.predict(docs)[0], both.layers[1].predict(docs)[0]], axis=1)
    np.testing.assert_allclose(both.predict(docs)[0], expected, atol=1e-6)
    norms = check_gradients(model, docs)
    assert {name for name, norm in norms.items() if norm == 0.0} == set()


def test_a_model_that_was_run_for_prediction_cannot_learn_from_it():
    output, backprop = make()([make_doc("Anna")], is_train=False)
    with pytest.raises(ValueError, match="is_train=True"):
        backprop(output)


def test_it_needs_weights():
    with pytest.raises(ValueError, match="'char_cnn' has no weights yet"):
        encode(build_char_cnn_v1(), "Anna")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 0}, "needs a width and a char_embed_width of 1 or more, not 0 and 25"),
        ({"char_embed_width": 0}, "needs a width and a char_embed_width of 1 or more, not 53 and 0"),
        ({"window": 4}, "needs an odd window, with a character in its middle, not 4"),
        ({"window": -1}, "needs an odd window, with a character in its middle, not -1"),
        ({"char_rows": 1024}, "char_rows must be more than 1024, not 1024"),
        ({"type_width": -1}, "type_width and capitalization_width .* must be 0 .none. or more, not -1 and 5"),
        ({"capitalization_width": -3}, "type_width and capitalization_width .* not 4 and -3"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        build_char_cnn_v1(**settings)
