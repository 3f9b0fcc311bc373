"""Sentence lengths of Docs against doc.sents."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_crfner.sentences import batch_lengths, find_sentence_lengths, sentence_lengths

VOCAB = Vocab()


def make_doc(length, sent_starts=None, **annotation):
    return Doc(VOCAB, words=["w"] * length, sent_starts=sent_starts, **annotation)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_sentences_are_those_of_the_doc(sent_starts):
    doc = make_doc(len(sent_starts), sent_starts)
    assert sentence_lengths(doc) == [len(sent) for sent in doc.sents]


@pytest.mark.parametrize(
    "words, sent_starts, lengths",
    [
        ("It rained . It snowed .", None, [3, 3]),
        ("It rained", None, [2]),
        ("It rained . It snowed .", [True, False, False, False, False, False], [6]),
        ("", None, []),
    ],
)
def test_unknown_boundaries_are_found_by_the_sentencizer(words, sent_starts, lengths):
    doc = Doc(VOCAB, words=words.split(), sent_starts=sent_starts)
    assert find_sentence_lengths(doc) == lengths
    assert doc.has_annotation("SENT_START") == (sent_starts is not None or not words)


def test_boundaries_may_be_known_for_some_tokens_only():
    doc = make_doc(5)
    doc[2].is_sent_start = True
    doc[3].is_sent_start = False
    assert sentence_lengths(doc) == [2, 3]


@pytest.mark.parametrize("length", [1, 2, 9])
def test_a_doc_without_boundaries_is_one_sentence(length):
    assert sentence_lengths(make_doc(length)) == [length]
    assert sentence_lengths(make_doc(length, [True] + [False] * (length - 1))) == [length]


def test_sentences_of_one_token():
    assert sentence_lengths(make_doc(1, [True])) == [1]
    assert sentence_lengths(make_doc(3, [True, True, True])) == [1, 1, 1]


def test_an_empty_doc_has_no_sentence():
    assert sentence_lengths(make_doc(0)) == []


def test_sentences_of_a_parse():
    doc = make_doc(5, heads=[0, 0, 3, 3, 3], deps=["ROOT", "dep", "dep", "ROOT", "dep"])
    assert sentence_lengths(doc) == [2, 3]


def test_sentences_of_the_sentencizer():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    assert sentence_lengths(nlp("One two. Three! Four five six?")) == [3, 2, 4]
    assert sentence_lengths(nlp("")) == []


def test_batches_are_read_by_sentence_or_by_doc():
    docs = [make_doc(0), make_doc(4, [True, False, False, True]), make_doc(0), make_doc(2)]
    assert batch_lengths(docs, per_sentence=True) == [3, 1, 2]
    assert batch_lengths(docs, per_sentence=False) == [4, 2]
    assert batch_lengths([make_doc(0)], per_sentence=True) == []
    assert batch_lengths([make_doc(0)], per_sentence=False) == []
    assert batch_lengths([], per_sentence=True) == []
