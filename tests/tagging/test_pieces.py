"""Large batches, which are encoded and decoded in pieces, against the same batches read at once."""

import numpy as np
import pytest
import spacy
from samples import SMALL_MODEL, TRAIN, trained
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_crfner.tagging import excerpts as excerpts_module
from spacy_crfner.tagging import pieces as pieces_module
from spacy_crfner.tagging import pipe as pipe_module
from spacy_crfner.tagging.annotation import own_entities
from spacy_crfner.tagging.excerpts import ATTRIBUTES, cut_out

ALL = {"annotate": ["confidence", "marginals", "n_best"], "n_best": 3}


@pytest.fixture(scope="module")
def nlp():
    """Do not change its weights."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **ALL})
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    return trained(nlp, examples, 40)


def make_docs(nlp):
    """Docs of one sentence and of many, empty ones, white space, and entities and blocked tokens that are given."""
    docs = [nlp.make_doc(text) for text in ("", TRAIN[0][0], " ", TRAIN[1][0], "  \n ", TRAIN[5][0])]
    texts = [TRAIN[k][0].split() for k in (0, 3, 1, 2, 6, 7, 8, 9)]
    words = [word for text in texts for word in (*text, "\n")]
    starts = [k == 0 for text in texts for k in range(len(text) + 1)]
    docs[3:3] = [Doc(nlp.vocab, words=words, sent_starts=starts), Doc(nlp.vocab, words=words)]
    given = Doc(nlp.vocab, words=words, sent_starts=starts)
    given.set_ents([Span(given, 1, 3, label="ORG")], blocked=[given[30:32]], default="missing")
    return [*docs, given, nlp.make_doc("")]


def assert_same(found, expected):
    assert (found.spans, found.kept, found.blocked) == (expected.spans, expected.kept, expected.blocked)
    np.testing.assert_allclose(found.attrs["scores"], expected.attrs["scores"], atol=1e-5)
    np.testing.assert_allclose(found.attrs["marginals"], expected.attrs["marginals"], atol=1e-5)
    assert found.attrs["tags"] == expected.attrs["tags"]
    assert len(found.attrs["n_best"]) == len(expected.attrs["n_best"])
    for paths, wanted in zip(found.attrs["n_best"], expected.attrs["n_best"], strict=True):
        assert [path["ents"] for path in paths] == [path["ents"] for path in wanted]
        logs = [[path["log_probability"] for path in of_sentence] for of_sentence in (paths, wanted)]
        np.testing.assert_allclose(*logs, atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 12, 1000])
@pytest.mark.parametrize("scores", [1, 150, 10**6])
@pytest.mark.parametrize("long", [7, 1000])
def test_pieces_change_nothing(nlp, monkeypatch, tokens, scores, long):
    pipe, docs = nlp.get_pipe("bcrf_ner"), make_docs(nlp)
    expected = pipe.predict(docs)
    assert sum(len(prediction.spans) for prediction in expected) > 15
    monkeypatch.setattr(pipe_module, "TOKENS_AT_ONCE", tokens)
    monkeypatch.setattr(pieces_module, "SCORES_AT_ONCE", scores)
    monkeypatch.setattr(pieces_module, "LONG", long)
    for found, wanted in zip(pipe.predict(docs), expected, strict=True):
        assert_same(found, wanted)


def test_no_piece_has_more_than_it_may(nlp, monkeypatch):
    """However long the Doc: the decoder sees so many scores at once, or one sentence."""
    pipe, docs = nlp.get_pipe("bcrf_ner"), make_docs(nlp)
    task, seen = pipe.tasks[0], []
    decoder = task.decoder

    def watching(potentials, tag_set):
        seen.append((potentials.emissions.numel(), potentials.packing.n_sequences))
        return decoder(potentials, tag_set)

    monkeypatch.setattr(task, "decoder", watching)
    monkeypatch.setattr(pieces_module, "SCORES_AT_ONCE", 200)
    pipe.predict(docs)
    assert len(seen) > 5 and all(numel <= 200 or sequences == 1 for numel, sequences in seen)


def test_no_more_tokens_are_encoded_at_once_than_may_be(nlp, monkeypatch):
    pipe, seen = nlp.get_pipe("bcrf_ner"), []
    docs = [nlp.make_doc(text) for text, _ in TRAIN]
    forward = pipe.model._func
    monkeypatch.setattr(pipe_module, "TOKENS_AT_ONCE", 30)
    monkeypatch.setattr(
        pipe.model, "_func", lambda m, d, is_train: seen.append(sum(map(len, d))) or forward(m, d, False)
    )
    pipe.predict(docs)
    assert sum(seen) == sum(map(len, docs)) and max(seen) <= 30 and min(seen[:-1]) > 15


def test_long_sentences_are_decoded_apart_from_others(nlp, monkeypatch):
    """What is found in a short one thus does not depend on whether there is a long one."""
    pipe, docs = nlp.get_pipe("bcrf_ner"), make_docs(nlp)
    task, seen = pipe.tasks[0], []
    decoder = task.decoder
    monkeypatch.setattr(task, "decoder", lambda p, tags: seen.append(p.packing.lengths.tolist()) or decoder(p, tags))
    monkeypatch.setattr(pieces_module, "LONG", 20)
    pipe.predict(docs)
    assert any(max(lengths) > 20 for lengths in seen)
    assert all(len(lengths) == 1 or max(lengths) <= 20 for lengths in seen)


# Excerpts


def test_excerpts_know_of_their_tokens_what_the_doc_knows(nlp):
    doc = make_docs(nlp)[3]
    for number, token in enumerate(doc):
        token.tag_, token.lemma_, token.norm_ = f"T{number}", f"l{number}", f"n{number}"
        token.set_morph(f"Number={number}")
    doc.tensor = np.arange(2 * len(doc), dtype="f").reshape(len(doc), 2)
    sentences = list(doc.sents)
    border = sentences[1].start
    crossing = Span(doc, border - 1, border + 1, label="LOC")
    doc.set_ents([Span(doc, 1, 3, label="ORG", kb_id="Q1"), crossing], blocked=[doc[30:32]], default="missing")
    wanted = np.ones(len(sentences), dtype=bool)
    wanted[2] = False
    excerpts = cut_out([doc], [wanted], True, ["bcrf_ner"])
    assert [start for _, start, _ in excerpts] == [s.start for k, s in enumerate(sentences) if wanted[k]]
    for _, start, excerpt in excerpts:
        expected = doc[start : start + len(excerpt)].as_doc()
        assert (excerpt.text_with_ws, [t.text for t in excerpt]) == (expected.text_with_ws, [t.text for t in expected])
        np.testing.assert_array_equal(excerpt.to_array(ATTRIBUTES), expected.to_array(ATTRIBUTES))
        np.testing.assert_array_equal(excerpt.tensor, doc.tensor[start : start + len(excerpt)])
        assert [(e.start, e.end, e.label_, e.kb_id_) for e in excerpt.ents] == [
            (e.start, e.end, e.label_, e.kb_id_) for e in expected.ents
        ]
    assert len(excerpts[0][2].ents) == 1 and not excerpts[1][2].ents


def test_excerpts_know_which_entities_were_found_before(nlp):
    doc = nlp(make_docs(nlp)[3])
    owner = nlp.get_pipe("bcrf_ner").tasks[0].signature
    own = own_entities(doc, owner)
    excerpts = cut_out([doc], [np.ones(len(list(doc.sents)), dtype=bool)], True, [owner])
    found = [
        (start + first, start + end, label)
        for _, start, excerpt in excerpts
        for first, end, label in own_entities(excerpt, owner)
    ]
    assert found == own == [(ent.start, ent.end, ent.label_) for ent in doc.ents] != []


def test_a_doc_is_looked_at_once_for_all_its_excerpts(nlp, monkeypatch):
    doc, seen = nlp(make_docs(nlp)[3]), []
    looked_at = {name: getattr(excerpts_module, name) for name in ("own_entities", "batch_lengths", "_cut_entities")}
    for name, function in looked_at.items():
        monkeypatch.setattr(
            excerpts_module, name, lambda *args, n=name, function=function: seen.append(n) or function(*args)
        )
    cut_out([doc], [np.ones(len(list(doc.sents)), dtype=bool)], True, ["bcrf_ner"])
    assert sorted(seen) == sorted(looked_at)
