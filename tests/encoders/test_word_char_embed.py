"""spacy_crfner.WordCharEmbed.v1: word vectors, character BiLSTMs and hash features."""

from unittest.mock import patch

import numpy as np
import pytest
import spacy
import torch
from gradients import check_gradients
from hypothesis import example, given
from hypothesis import strategies as st
from spacy import registry
from spacy.tokens import Doc
from spacy.util import fix_random_seed
from spacy.vectors import Vectors
from thinc.api import set_dropout_rate
from torch import nn

from spacy_crfner.encoders import hash_features, recurrent, word_char_embed
from spacy_crfner.encoders.few_words import FewWords
from spacy_crfner.encoders.word_char import CharBiLSTM
from spacy_crfner.encoders.word_char_embed import build_word_char_embed_v1
from spacy_crfner.encoders.words import MAX_CHARS, char_rows
from spacy_crfner.packing import Packing
from spacy_crfner.wrapping import shim_of

NO_HASH = {"hash_attrs": (), "hash_rows": ()}
HASH = {"hash_attrs": ("NORM", "SHAPE"), "hash_rows": (60, 30), "hash_width": 6, "hash_noise": 0.0}
WORDS = ["cat", "dog", "house", "Paris"]
FACE, OTHER_FACE = "\U0001f600", "\U0001f602"


def make_vocab(width=5, **settings):
    """A vocab with vectors of a few words; none where width is 0."""
    vocab = spacy.blank("en").vocab
    if width:
        data = np.random.default_rng(0).normal(size=(len(WORDS), width)).astype("f")
        vocab.vectors = Vectors(strings=vocab.strings, **{"data": data, "keys": WORDS, **settings})
    return vocab


def make(vocab, layout, **settings):
    model = build_word_char_embed_v1(
        layout, **{"char_width": 6, "char_embed_width": 4, "char_rows": 1100, **NO_HASH, **settings}
    )
    model.initialize(X=[Doc(vocab, words=["cat"])])
    return model


def encode(model, vocab, *words):
    return model.predict([Doc(vocab, words=list(words))])[0]


def hash_rows(model, docs):
    """What the hash layer alone gives for the tokens of each Doc."""
    return [model.layers[0].predict(doc.to_array(model.attrs["hash_attrs"])) for doc in docs]


def module_of(model):
    return shim_of(model)._model


def linear(layer, vectors):
    return layer(torch.tensor(np.array(vectors))).detach().numpy()


def read_by_torch(block: CharBiLSTM, rows):
    """The last states of torch's own LSTM of one word, run in both directions."""
    chars = block.embed(torch.tensor(rows))
    return torch.cat([block.left_to_right(chars)[1][0][0], block.right_to_left(chars.flip(0))[1][0][0]])


def test_it_is_registered():
    assert registry.get("architectures", "spacy_crfner.WordCharEmbed.v1") is build_word_char_embed_v1


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=7), st.sampled_from([1, 3]))
def test_words_are_read_as_torch_reads_them(words, group_size):
    block = CharBiLSTM(rows=10, embed_width=3, width=4)
    packing = Packing.from_lengths([len(word) for word in words])
    chars = packing.pack(torch.tensor([char for word in words for char in word]))
    expected = torch.stack([read_by_torch(block, word) for word in words])
    with patch.object(recurrent, "GROUP_SIZE", group_size):
        torch.testing.assert_close(block(chars, packing, 0.0), expected)


def test_a_token_is_the_states_of_its_characters():
    vocab = make_vocab(0)
    model = make(vocab, "char")
    words = ["a", "Anna", "zebra", "été", f"x{FACE}", "Anna"]
    expected = [read_by_torch(module_of(model).blocks[0], char_rows([w], 1100)).detach().numpy() for w in words]
    np.testing.assert_allclose(encode(model, vocab, *words), expected, atol=1e-6)


@pytest.mark.parametrize("most", [0, 1000])
def test_every_distinct_word_is_read_once(most, monkeypatch):
    vocab = make_vocab(0)
    model = make(vocab, "char*2")
    monkeypatch.setattr(word_char_embed, "MOST_CELLS", most)
    seen, read = [], FewWords.read

    def count_and_read(self, chars, lengths):
        seen.extend([len(chars)] * (len(self.tables) // 2))
        return read(self, chars, lengths)

    monkeypatch.setattr(FewWords, "read", count_and_read)
    for block in module_of(model).blocks:
        block.embed.register_forward_hook(lambda _, args, output: seen.append(len(output)))
    docs = [
        Doc(vocab, words=["the", "cat", "saw", "the", "dog"]),
        Doc(vocab, words=["The", "dog", "saw", "the", "cat"]),
    ]
    first, second = model.predict(docs)
    assert seen == [len("the" + "cat" + "saw" + "dog" + "The")] * 2
    np.testing.assert_array_equal(first[[0, 1, 2, 4]], second[[3, 4, 2, 1]])
    np.testing.assert_array_equal(first[0], first[3])
    assert (first[0] != second[0]).all()


def test_a_word_has_the_same_vector_in_every_batch():
    vocab = make_vocab()
    model = make(vocab, "word4+char", **HASH)
    alone = encode(model, vocab, "house")[0]
    for words in (["a", "house"], ["internationalisation", "x", "house", "cat"]):
        np.testing.assert_allclose(encode(model, vocab, *words)[words.index("house")], alone, atol=1e-6)


def test_docs_of_several_vocabs_in_one_batch():
    vocab, other = make_vocab(0), make_vocab(0)
    model = make(vocab, "char", **HASH)
    docs = [Doc(vocab, words=["only", "here"]), Doc(other, words=["there", "only"]), Doc(vocab)]
    for rows, doc in zip(model.predict(docs), docs, strict=True):
        np.testing.assert_allclose(rows, model.predict([doc])[0], atol=1e-6)


@pytest.mark.parametrize("hashed", [NO_HASH, HASH])
@pytest.mark.parametrize("layout, word, char", [("word4+char6", 0, 4), ("char6+word4", 6, 0)])
def test_blocks_stand_in_the_order_of_the_layout(hashed, layout, word, char):
    vocab = make_vocab()
    model = make(vocab, layout, **hashed)
    words = ["cat", "dog", "Paris"]
    rows = encode(model, vocab, *words)
    assert rows.shape == (3, model.get_dim("nO")) == (3, 10 + (6 if hashed is HASH else 0))
    linear_layer, char_layer = sorted(module_of(model).blocks, key=lambda block: isinstance(block, CharBiLSTM))
    np.testing.assert_allclose(
        rows[:, word : word + 4], linear(linear_layer, [vocab.get_vector(w) for w in words]), atol=1e-6
    )
    expected = [read_by_torch(char_layer, char_rows([w], 1100)).detach().numpy() for w in words]
    np.testing.assert_allclose(rows[:, char : char + 6], expected, atol=1e-6)

    # Only the word block reads the vectors.
    vocab.vectors.data += 1
    changed = (encode(model, vocab, *words) != rows).any(0)
    assert np.flatnonzero(changed).tolist() == list(range(word, word + 4))


def test_hash_features_come_last():
    vocab = make_vocab(0)
    model = make(vocab, "char4", **HASH)
    docs = [Doc(vocab, words=["Anna", "met", "me"]), Doc(vocab, words=["x"])]
    for rows, expected in zip(model.predict(docs), hash_rows(model, docs), strict=True):
        np.testing.assert_allclose(rows[:, 4:], expected, rtol=0, atol=1e-6)


def test_repeated_character_encoders_are_independent():
    vocab = make_vocab(0)
    model = make(vocab, "char4*3")
    blocks = np.split(encode(model, vocab, "house", "cat"), 3, axis=1)
    assert (blocks[0] != blocks[1]).all() and (blocks[0] != blocks[2]).all() and (blocks[1] != blocks[2]).all()


@pytest.mark.parametrize(
    "layout, width", [("word", 5), ("word7", 7), ("char", 6), ("word+char", 11), ("(word2+char4)*2+char", 18)]
)
def test_widths(layout, width):
    vocab = make_vocab()
    assert make(vocab, layout).get_dim("nO") == encode(make(vocab, layout), vocab, "cat").shape[1] == width


def test_without_vectors_the_word_block_is_left_out(caplog):
    vocab = make_vocab(0)
    with caplog.at_level("INFO", logger="spacy"):
        model = make(vocab, "word4+char6+word", **HASH)
    assert "leaves 'word' out of 'word4+char6+word'" in caplog.text
    assert encode(model, vocab, "cat").shape == (1, 12)
    assert [type(block) for block in module_of(model).blocks] == [CharBiLSTM]


def test_without_vectors_hash_features_may_stand_alone():
    vocab = make_vocab(0)
    model = make(vocab, "word", **HASH)
    docs = [Doc(vocab, words=["Anna", "met", "me"]), Doc(vocab), Doc(vocab, words=["x"])]
    for rows, expected in zip(model.predict(docs), hash_rows(model, docs), strict=True):
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
    assert any(norm > 0 for norm in check_gradients(model, docs).values())
    copy = build_word_char_embed_v1("word", **HASH).from_bytes(model.to_bytes())
    np.testing.assert_array_equal(copy.predict(docs)[0], model.predict(docs)[0])


def test_a_layer_needs_some_features():
    with pytest.raises(ValueError, match=r"The layout 'word' needs word vectors, but the vocab holds none: give .*"):
        make(make_vocab(0), "word")


def test_it_needs_examples():
    with pytest.raises(ValueError, match="must be initialized with example Docs"):
        build_word_char_embed_v1().initialize()


def test_unknown_words_have_the_vector_of_the_lower_cased_word_or_none():
    vocab = make_vocab()
    model = make(vocab, "word")
    before = vocab.vectors.data.copy()
    words = ["cat", "CAT", "Cat", "paris", "xyz", "house"]
    cat, upper, title, paris, unknown, house = encode(model, vocab, *words)
    np.testing.assert_array_equal([cat, house], [vocab.get_vector("cat"), vocab.get_vector("house")])
    np.testing.assert_array_equal([upper, title], [cat, cat])
    np.testing.assert_array_equal([paris, unknown], np.zeros((2, 5)))
    np.testing.assert_array_equal(vocab.vectors.data, before)


def test_headlines_have_the_vectors_of_title_cased_words():
    vocab = make_vocab()
    for word in ("PARIS", "DOG", "Dog", "paris", "Rome", "rome"):
        vocab.set_vector(word, np.random.default_rng(list(word.encode())).normal(size=5).astype("f"))
    model = make(vocab, "word")

    def check(words, expected, **form):
        rows = model.predict([Doc(vocab, words=words, **form), Doc(vocab, words=["the", "cat"])])[0]
        np.testing.assert_array_equal(rows, [vocab.get_vector(word) for word in expected])

    check(["PARIS", "-", "DOG", "1996"], ["Paris", "-", "Dog", "1996"])
    check(["ROME", "CAT"], ["Rome", "cat"])
    check(["the", "ROME", "of", "dogs"], ["the", "rome", "of", "dogs"])
    check(["the", "DOG", "of", "PARIS", "."], ["the", "DOG", "of", "PARIS", "."])
    # Two sentences, each by itself.
    starts = [True, False, True, False, False]
    check(["PARIS", ":", "the", "DOG", "was"], ["Paris", ":", "the", "DOG", "was"], sent_starts=starts)


def test_a_word_block_with_a_width_is_a_projection():
    vocab = make_vocab()
    model = make(vocab, "word7+word")
    rows = encode(model, vocab, "cat", "house")
    vectors = [vocab.get_vector("cat"), vocab.get_vector("house")]
    np.testing.assert_allclose(rows[:, :7], linear(module_of(model).blocks[0], vectors), atol=1e-6)
    np.testing.assert_array_equal(rows[:, 7:], vectors)


def test_vectors_alone_have_nothing_to_learn():
    vocab = make_vocab()
    model = make(vocab, "word")
    docs = [Doc(vocab, words=["cat", "dog"]), Doc(vocab, words=["house"])]
    rows, backprop = model.begin_update(docs)
    assert backprop(rows) == docs
    np.testing.assert_array_equal(np.concatenate(rows), np.concatenate(model.predict(docs)))


@pytest.mark.parametrize("width, other", [(5, 3), (5, 0)])
def test_vectors_of_another_width(width, other):
    model = make(make_vocab(width), "word4+char")
    with pytest.raises(
        ValueError, match=f"trained with word vectors of width {width}, .* vectors of width {other}: load"
    ):
        encode(model, make_vocab(other), "cat")


def test_vectors_do_not_matter_where_no_block_reads_them():
    vocab = make_vocab(0)
    model = make(vocab, "char")
    np.testing.assert_allclose(encode(model, make_vocab(3), "cat"), encode(model, vocab, "cat"), atol=1e-6)


def test_a_vector_table_without_words():
    vocab = make_vocab(0)
    vocab.reset_vectors(width=5)
    model = make(vocab, "word4")
    np.testing.assert_allclose(encode(model, vocab, "cat")[0], module_of(model).blocks[0].bias.detach(), atol=1e-6)


@pytest.mark.parametrize("attr", ["ORTH", "LOWER"])
def test_floret_vectors(attr):
    data = np.random.default_rng(0).normal(size=(40, 5)).astype("f")
    vocab = make_vocab(mode="floret", data=data, keys=None, minn=2, maxn=3, hash_count=2, attr=attr)
    doc = Doc(vocab, words=["cat", "Cat", "unheard", "x", "cat"])
    model = make(vocab, "word4")
    expected = linear(module_of(model).blocks[0], [token.vector for token in doc])
    assert (expected[0] != expected[2]).all()
    np.testing.assert_allclose(model.predict([doc])[0], expected, atol=1e-6)


def test_long_words_are_read_by_both_ends():
    vocab = make_vocab(0)
    model = make(vocab, "char")
    half = MAX_CHARS // 2
    head, tail = "ab" * (half // 2), "yz" * (half // 2)
    short, other, cut, long, another = encode(
        model,
        vocab,
        head + tail,
        f"{head[:-1]}M{tail}",
        f"{head}{tail[1:]}M",
        f"{head}{'M' * 5000}{tail}",
        f"{head}N{tail}",
    )
    np.testing.assert_allclose([long, another], [short, short], atol=1e-6)
    assert (other != short).any() and (cut != short).any()


def test_characters_beyond_the_basic_plane_are_one_character_each():
    vocab = make_vocab(0)
    model = make(vocab, "char")
    words = ["a", f"{FACE}b", OTHER_FACE, "c" * 9, f"b{FACE}"]
    rows = encode(model, vocab, *words)
    for word, row in zip(words, rows, strict=True):
        np.testing.assert_allclose(encode(model, vocab, word)[0], row, atol=1e-6)
    assert len(np.unique(rows, axis=0)) == 5


@given(st.text(min_size=1, max_size=90), st.integers(1025, 5000))
@example("a\u00ff\u0101\u03c0\u03ff\u0400\u6f22\ufffd" + FACE, 1100)
def test_every_character_has_a_row_of_the_table(text, n_rows):
    rows = char_rows([text, "ab"], n_rows)
    assert len(rows) == min(len(text), MAX_CHARS) + 2
    assert rows[-2:].tolist() == [ord("a"), ord("b")]
    assert rows.min() >= 0 and rows.max() < n_rows
    for char, row in zip(text[: MAX_CHARS // 2], rows.tolist(), strict=False):
        assert row == ord(char) if ord(char) < 1024 else row >= 1024


def test_neighbouring_characters_rarely_share_a_row():
    chars = [chr(0x4E00 + i) for i in range(500)]
    assert len(set(char_rows(chars, 4096).tolist())) > 400


@pytest.mark.parametrize(
    "layout, hashed", [("word4+char6*2", HASH), ("char6", NO_HASH), ("word", NO_HASH), ("word", HASH)]
)
@pytest.mark.parametrize("lengths", [[0], [0, 0], [0, 3, 0, 1], [2]])
def test_empty_docs(layout, hashed, lengths):
    vocab = make_vocab()
    model = make(vocab, layout, **hashed)
    docs = [Doc(vocab, words=WORDS[:length]) for length in lengths]
    predicted = model.predict(docs)
    outputs, backprop = model.begin_update(docs)
    for rows, expected, length in zip(outputs, predicted, lengths, strict=True):
        assert rows.shape == expected.shape == (length, model.get_dim("nO"))
        np.testing.assert_allclose(rows, expected, rtol=1e-5)
    backprop([np.ones_like(rows) for rows in outputs])
    model.finish_update(lambda key, weights, gradient: (weights, gradient))


@pytest.mark.parametrize("layout, hashed", [("word4+char6*2", HASH), ("char4+word+char6", NO_HASH)])
def test_gradients_of_all_parameters(layout, hashed):
    vocab = make_vocab()
    model = make(vocab, layout, **hashed)
    docs = [Doc(vocab, words=words) for words in (["cat", "Dog", "cat"], [], ["été", "cat"], ["Paris"])]
    norms = check_gradients(model, docs)
    assert {name for name, norm in norms.items() if norm == 0.0} == set()
    assert len([name for name in norms if name.endswith(".E")]) == len(hashed["hash_attrs"])


def test_dropout_follows_the_training_config():
    vocab = make_vocab(0)
    model = make(vocab, "char30")
    docs = [Doc(vocab, words=["internationally", "known"])]
    predicted = model.predict(docs)[0]
    np.testing.assert_allclose(model.begin_update(docs)[0][0], predicted, rtol=1e-5, atol=1e-6)
    set_dropout_rate(model, 0.5)
    assert (np.abs(model.begin_update(docs)[0][0] - predicted) > 1e-6).any(1).all()
    np.testing.assert_array_equal(model.predict(docs)[0], predicted)
    set_dropout_rate(model, 0.0)
    np.testing.assert_allclose(model.begin_update(docs)[0][0], predicted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", ["char4", "word"])
def test_noise_replaces_a_share_of_the_hash_features_in_training(layout):
    vocab = make_vocab(0)
    docs = [Doc(vocab, words=[f"w{i}" for i in range(1000)])]
    noisy = make(vocab, layout, **{**HASH, "hash_noise": 0.3})
    predicted = noisy.predict(docs)[0]
    np.testing.assert_array_equal(noisy.predict(docs)[0], predicted)
    differs = np.abs(noisy.begin_update(docs)[0][0] - predicted) > 1e-5
    assert not differs[:, :-6].any()
    # Either of the two attributes of a token may be hit.
    assert differs[:, -6:].any(1).mean() == pytest.approx(1 - 0.7**2, abs=0.06)

    without = make(vocab, layout, **HASH)
    np.testing.assert_allclose(without.begin_update(docs)[0][0], without.predict(docs)[0], rtol=1e-5, atol=1e-6)


def test_the_character_table_is_as_large_as_asked():
    tables = [
        m for m in module_of(make(make_vocab(0), "char*2", char_rows=1500)).modules() if isinstance(m, nn.Embedding)
    ]
    assert [(table.num_embeddings, table.embedding_dim) for table in tables] == [(1500, 4)] * 2


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"layout": "char3"}, "Character features need an even width, half for each direction: 'char3', char_width 50"),
        ({"layout": "word+char", "char_width": 7}, "even width, half for each direction: 'word.char', char_width 7"),
        ({"char_width": 0}, "char_width 0"),
        ({"char_width": -2}, "char_width -2"),
        ({"char_embed_width": 0}, "char_embed_width"),
        ({"char_rows": 1024}, "char_rows must be more than 1024, not 1024"),
        ({"hash_attrs": ["NORM"], "hash_rows": [50, 20]}, "must have the same length, not 1 and 2"),
        ({"hash_attrs": ["FOO"], "hash_rows": [50]}, "hash_attrs names 'FOO', which is no token attribute"),
        ({"hash_attrs": ["NORM"], "hash_rows": [0]}, "hash_rows must be 1 or more, not .0."),
        ({"hash_noise": 1.0}, "hash_noise is a share from 0 to below 1, not 1.0"),
        ({"hash_noise": -0.1}, "hash_noise is a share from 0 to below 1, not -0.1"),
        ({"layout": "chars"}, "needs 'word', 'char' or '"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(ValueError, match=message):
        build_word_char_embed_v1(**settings)


def test_odd_character_width_does_not_matter_where_blocks_have_their_own():
    assert make(make_vocab(0), "char4", char_width=7).get_dim("nO") == 4


def test_noise_and_dropout_of_a_large_batch_are_drawn_once():
    """The backward pass, which computes hash features again, goes by those of the forward pass."""
    vocab = make_vocab()
    values = Doc(vocab, words=[f"word{k % 7}" for k in range(23)]).to_array(["NORM", "SHAPE"]).astype("uint64")
    gradient = np.random.default_rng(0).normal(size=(23, 6)).astype("f")

    def learn(held):
        fix_random_seed(0)
        layer = make(vocab, "word", **{**HASH, "hash_noise": 0.4}).layers[0]
        set_dropout_rate(layer, 0.3)
        with patch.multiple(hash_features, ROWS_AT_ONCE=23, MOST_ROWS_HELD=held):
            features, backprop = hash_features.update_hash_features(layer, values)
            backprop(gradient)
        drawn = np.random.random()
        return drawn, features, [node.get_grad(name) for node in layer.walk() for name in node.param_names]

    (drawn, features, gradients), (expected_draw, expected, expected_gradients) = learn(held=0), learn(held=23)
    assert drawn == expected_draw
    np.testing.assert_array_equal(features, expected)
    for ours, wanted in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-6)


def test_portions_of_hash_features_change_nothing():
    """Without noise and dropout, which are drawn by portion."""
    vocab = make_vocab()
    doc = Doc(vocab, words=[f"word{k % 7}" for k in range(23)])
    gradient = np.random.default_rng(0).normal(size=(23, 6)).astype("f")
    found = []
    for at_once, held in ((5, 22), (1, 0), (1, 23)):
        fix_random_seed(0)
        layer = make(vocab, "word", **HASH).layers[0]
        with patch.multiple(hash_features, ROWS_AT_ONCE=at_once, MOST_ROWS_HELD=held):
            features, backprop = hash_features.update_hash_features(
                layer, doc.to_array(["NORM", "SHAPE"]).astype("uint64")
            )
            backprop(gradient)
        found.append([features, *(node.get_grad(name) for node in layer.walk() for name in node.param_names)])
    for portions in found[:2]:
        for ours, expected in zip(portions, found[2], strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-5)
