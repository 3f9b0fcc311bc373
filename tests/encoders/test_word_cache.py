"""What WordCharEmbed.v1 keeps of words from batch to batch, and when it forgets it."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from thinc.api import Adam

from spacy_crfner.encoders.word_cache import BYTES_A_KEY, WordCache
from spacy_crfner.encoders.word_char_embed import build_word_char_embed_v1
from spacy_crfner.encoders.words import row_keys
from spacy_crfner.wrapping import shim_of

WIDTH = 3
A_WORD = WIDTH * 4 + BYTES_A_KEY


def features(keys, version):
    return np.stack([keys % 1000, keys // 1000, np.full(len(keys), version)], axis=1).astype("f")


def look_up(cache, keys, version, computed=None):
    keys = np.array(keys, dtype=np.uint64)

    def compute(places):
        if computed is not None:
            computed.extend(keys[places].tolist())
        return features(keys[places], version)

    return cache.look_up(keys, version, compute)


@given(st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 60), min_size=1)), max_size=20))
def test_gives_what_would_be_computed(calls):
    # Room for 20 words: the cache starts anew now and then, and larger batches pass it by.
    cache = WordCache(max_bytes=20 * A_WORD)
    for version, keys in calls:
        expected = features(np.array(list(keys), dtype=np.uint64), version)
        np.testing.assert_array_equal(look_up(cache, list(keys), version), expected)
        assert len(cache) <= 20


def test_computes_each_word_once():
    cache, computed = WordCache(), []
    for keys in ([5, 7], [7, 5], [5, 9]):
        look_up(cache, keys, 0, computed)
    assert computed == [5, 7, 9]


def test_another_version_forgets():
    cache, computed = WordCache(), []
    for version in (0, 1):
        look_up(cache, [5], version, computed)
    assert computed == [5, 5]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_copies_begin_empty(copied):
    cache = WordCache(1000)
    look_up(cache, [5], 0)
    assert len(copied(cache)) == 0 and copied(cache).max_bytes == 1000


def test_several_threads_at_once():
    cache = WordCache(max_bytes=40 * A_WORD)
    batches = [np.random.default_rng(seed).permutation(100)[:30] for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda keys: look_up(cache, keys, 0), batches))
    for keys, rows in zip(batches, found, strict=True):
        np.testing.assert_array_equal(rows, features(keys, 0))


@given(st.lists(st.tuples(*[st.integers(0, 2**64 - 1)] * 3), min_size=1, max_size=50))
def test_equal_rows_have_equal_keys_and_others_do_not(rows):
    keys = row_keys(np.array(rows, dtype=np.uint64))
    assert len(set(keys.tolist())) == len(set(rows))
    assert len({(row, key) for row, key in zip(rows, keys.tolist(), strict=True)}) == len(set(rows))


@pytest.fixture
def embed():
    vocab = spacy.blank("en").vocab
    doc = Doc(vocab, words=["Anna", "met", "Anna"])
    model = build_word_char_embed_v1("char4", hash_attrs=("NORM",), hash_rows=(50,), hash_width=4, hash_noise=0.0)
    model.initialize(X=[doc])
    return model, doc


def fresh(model, doc):
    """What a model without a cache predicts."""
    shim_of(model).version += 1
    return model.predict([doc])[0]


def test_weights_that_training_changed_are_used(embed):
    model, doc = embed
    before = model.predict([doc])[0].copy()
    optimizer = Adam(0.1)
    for _ in range(2):
        output, backprop = model.begin_update([doc])
        backprop([np.ones_like(output[0])])
        model.finish_update(optimizer)
    after = model.predict([doc])[0].copy()
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(after, fresh(model, doc))
    with model.use_params(optimizer.averages):
        averaged = model.predict([doc])[0].copy()
        assert not np.allclose(averaged, after)
    np.testing.assert_array_equal(model.predict([doc])[0], after)


def test_loaded_weights_are_used(embed):
    model, doc = embed
    other = build_word_char_embed_v1("char4", hash_attrs=("NORM",), hash_rows=(50,), hash_width=4, hash_noise=0.0)
    other.initialize(X=[doc])
    expected = other.predict([doc])[0].copy()
    assert not np.allclose(model.predict([doc])[0], expected)
    model.from_bytes(other.to_bytes())
    np.testing.assert_array_equal(model.predict([doc])[0], expected)


def test_weights_of_hash_features_that_were_set_by_hand_are_used(embed):
    model, doc = embed
    for node in model.layers[0].walk():
        for name in node.param_names:
            before = model.predict([doc])[0].copy()
            kept = node.get_param(name)
            node.set_param(name, kept + 0.5 * np.random.rand(*kept.shape).astype("f"))
            after = model.predict([doc])[0].copy()
            assert not np.allclose(before, after)
            np.testing.assert_array_equal(after, fresh(model, doc))
            with node.use_params({(node.id, name): kept}):
                np.testing.assert_array_equal(model.predict([doc])[0], before)
            np.testing.assert_array_equal(model.predict([doc])[0], after)


def test_words_are_told_apart_by_what_the_hash_features_read(embed):
    model, doc = embed
    other = Doc(doc.vocab, words=["Anna", "met", "Anna"])
    other[2].norm_ = "berta"
    rows = model.predict([doc])[0]
    changed = model.predict([other])[0]
    np.testing.assert_array_equal(rows[:2], changed[:2])
    assert not np.allclose(rows[2], changed[2])


def test_vectors_that_were_set_later_are_used():
    vocab = spacy.blank("en").vocab
    vocab.reset_vectors(width=3)
    vocab.set_vector("Anna", np.array([1, 2, 3], dtype="f"))
    doc = Doc(vocab, words=["Anna"])
    model = build_word_char_embed_v1("word+char4", hash_attrs=(), hash_rows=())
    model.initialize(X=[doc])
    before = model.predict([doc])[0]
    vocab.set_vector("Anna", np.array([3, 2, 1], dtype="f"))
    after = model.predict([doc])[0]
    assert not np.allclose(before[:, :3], after[:, :3])
    np.testing.assert_array_equal(before[:, 3:], after[:, 3:])


def test_a_model_that_was_run_for_prediction_cannot_learn_from_it(embed):
    model, doc = embed
    output, backprop = model([doc], is_train=False)
    with pytest.raises(ValueError, match="is_train=True"):
        backprop(output)
