"""What is found in a Doc depends on its words alone: the same tests over all setups.

Entities and sentences must be the same, their probabilities within a tolerance.
"""

import copy
import pickle
import random
import threading

import numpy as np
import pytest
from samples import TRAIN
from spacy.tokens import Doc, DocBin

TEXTS = [text for text, _ in TRAIN]
LONG = " ".join(TEXTS * 4)
ODD = "Zwetlana Quorx of Blimwick Town met Anna Kell ."
"""A text with words that no test has read before."""

TOLERANCE = 1e-5

_EXPECTED, _SHARED = {}, {}


def findings(doc):
    """The spans of each group of a Doc, and their probabilities, as numbers that outlive the Doc."""
    groups = {"": list(doc.ents), **doc.spans}
    spans = {key: [(span.start, span.end, span.label_) for span in group] for key, group in groups.items()}
    scores = {key: np.array(group.attrs.get("scores", ()), dtype=float) for key, group in doc.spans.items()}
    return spans, scores


def assert_same(found, expected):
    """Compare lists of findings."""
    assert [spans for spans, _ in found] == [spans for spans, _ in expected]
    for (_, scores), (_, wanted) in zip(found, expected, strict=True):
        for key in wanted:
            np.testing.assert_allclose(scores[key], wanted[key], rtol=0.0, atol=TOLERANCE, err_msg=key)


def found_by(nlp, texts=TEXTS, **options):
    return [findings(doc) for doc in nlp.pipe(texts, **options)]


@pytest.fixture
def shared(setup, load):
    """A pipeline for all tests that do not change it, and that do not mind what it has read before."""
    if setup.name not in _SHARED:
        _SHARED[setup.name] = load()
    return _SHARED[setup.name]


@pytest.fixture
def expected(setup, shared):
    """What a pipeline finds in the training sentences, one after the other; something in most of them."""
    if setup.name not in _EXPECTED:
        _EXPECTED[setup.name] = [findings(shared(text)) for text in TEXTS]
    assert sum(any(spans.values()) for spans, _ in _EXPECTED[setup.name]) > 10
    assert any(len(scores) for _, of_doc in _EXPECTED[setup.name] for scores in of_doc.values())
    return _EXPECTED[setup.name]


# What else is read


def test_the_size_of_the_batch(nlp, expected):
    for size in (64, 3, 1):
        assert_same(found_by(nlp, batch_size=size), expected)


def test_the_order_of_the_docs(nlp, expected):
    order = list(range(len(TEXTS)))
    random.Random(0).shuffle(order)
    for indices in (order, order[::-1]):
        found = found_by(nlp, [TEXTS[index] for index in indices], batch_size=7)
        assert_same(found, [expected[index] for index in indices])


def test_a_long_doc_and_empty_ones_beside_it(nlp, expected):
    alone = findings(nlp(LONG))
    found = found_by(nlp, ["", LONG, *TEXTS, " ", LONG])
    assert_same([found[1], found[-1]], [alone, alone])
    assert_same(found[2:-2], expected)


def test_what_was_read_before(nlp, expected):
    found_by(nlp, [ODD, LONG])
    assert_same(found_by(nlp), expected)
    assert_same(found_by(nlp), expected)


# Where it is read


def test_two_processes(shared, expected):
    assert_same(found_by(shared, n_process=2, batch_size=4), expected)


def test_four_threads_at_once(setup, nlp, expected):
    found, errors = [None] * 4, []

    def work(number):
        try:
            for _ in range(5):
                docs = [nlp.make_doc(text) for text in TEXTS]
                for _, pipe in nlp.pipeline:
                    docs = list(pipe.pipe(docs, batch_size=7))
                found[number] = [findings(doc) for doc in docs]
        except Exception as error:
            errors.append(error)

    if setup.listens:
        setup.own_encoders(nlp)
        nlp.remove_pipe("tok2vec")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for of_thread in found:
        assert_same(of_thread, expected)


def test_a_memory_zone(nlp, expected):
    """Also what is new in it is found again when its strings are gone."""
    odd = findings(copy.deepcopy(nlp)(ODD))
    for _ in range(2):
        with nlp.memory_zone():
            assert_same(found_by(nlp, [*TEXTS, ODD]), [*expected, odd])
    assert_same(found_by(nlp, [*TEXTS, ODD]), [*expected, odd])


# How it comes


def test_a_doc_made_of_words(shared, expected):
    docs = [Doc(shared.vocab, words=[token.text for token in shared.make_doc(text)]) for text in TEXTS]
    assert_same([findings(shared(doc)) for doc in docs], expected)
    assert_same(found_by(shared, [Doc(shared.vocab, words=[token.text for token in doc]) for doc in docs]), expected)


def test_a_doc_that_was_read_before(shared, expected):
    docs = list(shared.pipe(TEXTS))
    assert_same(found_by(shared, docs), expected)
    assert_same([findings(shared(doc)) for doc in docs], expected)


def test_a_doc_that_was_stored(shared, expected):
    """What is stored comes back, and a Doc that was stored before it was read is read as any other."""
    stored = DocBin(docs=list(shared.pipe(TEXTS))).to_bytes()
    assert_same([findings(doc) for doc in DocBin().from_bytes(stored).get_docs(shared.vocab)], expected)
    unread = DocBin(docs=[shared.make_doc(text) for text in TEXTS]).to_bytes()
    assert_same(found_by(shared, DocBin().from_bytes(unread).get_docs(shared.vocab)), expected)


# Copies of the pipeline


def test_a_pickled_and_a_deep_copy(shared, expected):
    for copied in (pickle.loads(pickle.dumps(shared)), copy.deepcopy(shared)):
        assert_same(found_by(copied), expected)


def test_to_bytes(setup, shared, expected):
    assert_same(found_by(setup.blank().from_bytes(shared.to_bytes())), expected)
