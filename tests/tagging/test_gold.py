"""From entities to tags, against the obvious loop."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_crfner.tagging.gold import NO_ENTITY, UNKNOWN, EntityRuns, label_numbers, rows_of_tokens, runs_to_tags
from spacy_crfner.tagging.sequences import TokenSequences
from spacy_crfner.tags import TagSet

NLP = spacy.blank("en")


@st.composite
def docs(draw):
    """A Doc with entities, white space, sentence borders and gaps in the annotation."""
    size = draw(st.integers(0, 8))
    words = [draw(st.sampled_from(["a", "b", "\n"])) for _ in range(size)]
    starts = [True if i == 0 else draw(st.sampled_from([True, False, False])) for i in range(size)]
    doc = Doc(NLP.vocab, words=words, sent_starts=starts if size else None)
    spans, at = [], 0
    while at < size:
        step = draw(st.integers(1, 3))
        if draw(st.booleans()) and at + step <= size:
            spans.append(Span(doc, at, at + step, label=draw(st.sampled_from(["A", "B", "C"]))))
        at += step
    missing = [
        Span(doc, i, i + 1) for i in range(size) if draw(st.booleans()) and not any(s.start <= i < s.end for s in spans)
    ]
    doc.set_ents(spans, missing=missing, default="outside")
    return doc


@given(st.lists(docs(), min_size=1, max_size=3), st.sampled_from(["BIOES", "BIO"]))
def test_tags_equal_the_obvious_loop(batch, scheme):
    tag_set = TagSet(("A", "B"), scheme)
    sequences = TokenSequences.build(batch, per_sentence=True)
    if not sequences.lengths:
        return
    runs = [EntityRuns.from_doc(doc) for doc in batch]
    tags, cut = runs_to_tags(runs, label_numbers(tag_set, NLP.vocab.strings), tag_set, sequences, unlisted=UNKNOWN)
    expected, expected_cut = [], []
    for doc in batch:
        for sent in doc.sents if len(doc) else []:
            kept = [token for token in sent if not token.is_space]
            if not kept:
                continue
            row, is_cut = [], False
            for token in kept:
                if token.ent_iob == 0 or token.ent_type_ == "C":
                    row.append(-1)
                elif token.ent_iob == 2:
                    row.append(0)
                else:
                    ent = next(e for e in doc.ents if e.start <= token.i < e.end)
                    parts = [t for t in ent if not t.is_space]
                    is_cut |= any(t.sent.start != sent.start for t in parts)
                    row.append(tag_set.span_tags(len(parts), ent.label_)[parts.index(token)])
            expected += row
            expected_cut.append(is_cut)
    assert tags.tolist() == expected
    assert cut.tolist() == expected_cut


def test_sequences_without_sentences_take_the_doc():
    doc = Doc(NLP.vocab, words=["a", " ", "b"])
    whole = TokenSequences.build([doc, Doc(NLP.vocab), doc], per_sentence=True)
    assert whole.lengths == [2, 2] and whole.rows.tolist() == [0, 2, 3, 5] and whole.docs.tolist() == [0, 2]
    assert rows_of_tokens(whole).tolist() == [0, -1, 1, 2, -1, 3]
    assert TokenSequences.build([], per_sentence=True).lengths == []


@pytest.mark.parametrize(("unlisted", "expected"), [(UNKNOWN, -1), (NO_ENTITY, 0)])
def test_labels_that_are_not_listed(unlisted, expected):
    doc = Doc(NLP.vocab, words=["a", "b"])
    doc.ents = [Span(doc, 0, 1, label="C")]
    tag_set = TagSet(("A",))
    sequences = TokenSequences.build([doc], per_sentence=True)
    tags, _ = runs_to_tags(
        [EntityRuns.from_doc(doc)], label_numbers(tag_set, NLP.vocab.strings), tag_set, sequences, unlisted=unlisted
    )
    assert tags.tolist() == [expected, 0]


def test_blocked_and_unannotated_tokens_are_unknown():
    doc = Doc(NLP.vocab, words=["a", "b", "c"])
    doc.set_ents([], blocked=[Span(doc, 0, 1)], missing=[Span(doc, 1, 2)], default="outside")
    assert EntityRuns.from_doc(doc).entity.tolist() == [UNKNOWN, UNKNOWN, NO_ENTITY]
    plain = EntityRuns.from_example(Example(Doc(NLP.vocab, words=["a"]), Doc(NLP.vocab, words=["a"])))
    assert plain.entity.tolist() == [UNKNOWN]


def test_alignment_is_that_of_spacy():
    predicted = Doc(NLP.vocab, words=["New", "York", "-", "based"], spaces=[True, False, False, False])
    reference = Doc(NLP.vocab, words=["New", "York-based"], spaces=[True, False])
    reference.ents = [Span(reference, 0, 2, label="A")]
    runs = EntityRuns.from_example(Example(predicted, reference))
    assert runs.entity.tolist() == [0, 0, 0, 0] and NLP.vocab.strings[int(runs.labels[0])] == "A"
    np.testing.assert_array_equal(runs.entity, EntityRuns.from_example(Example(predicted.copy(), reference)).entity)
