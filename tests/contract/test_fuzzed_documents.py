"""Every component reads Docs as no corpus has them: what it writes is sound, and depends on the Doc alone."""

import random

import numpy as np
import pytest
from random_docs import random_doc, retokenize
from setups import SETUPS
from spacy.tokens import Doc, DocBin

from spacy_crfner.sentences import sentence_lengths

FUZZED = ("own_encoders", "listener", "routed", "routed_shared", "back_attention")
"""Setups with every component between them."""

FEW, MANY = 60, 1000
"""Docs for each setup."""

BATCH = 20


@pytest.fixture(params=[setup for setup in SETUPS if setup.name in FUZZED], ids=lambda setup: setup.name)
def setup(request):
    return request.param


def entities(doc):
    return [(ent.start, ent.end, ent.label_) for ent in doc.ents]


def written(doc):
    """All that components have written, as (what must be equal, numbers that may differ by rounding)."""
    spans, numbers = {"": entities(doc)}, {}
    for key, group in doc.spans.items():
        spans[key] = [(span.start, span.end, span.label_) for span in group]
        for name, values in group.attrs.items():
            if name in ("scores", "features"):
                numbers[f"{name} of {key}"] = np.asarray(values, dtype=float)
            else:
                spans[f"{name} of {key}"] = np.asarray(values).tolist()
    numbers["confidence"] = np.array([np.nan if e._.confidence is None else e._.confidence for e in doc.ents])
    return spans, numbers


def confidences(doc):
    return {(ent.start_char, ent.end_char, ent.label_): ent._.confidence for ent in doc.ents}


def assert_same(found, expected, tolerance, where):
    assert found[0] == expected[0], where
    for key, numbers in expected[1].items():
        np.testing.assert_allclose(found[1][key], numbers, rtol=0.0, atol=tolerance, err_msg=f"{key} of {where}")


def assert_sound(doc, ents, blocked, where):
    """Entities are words of one sentence, what was given stays, and every number is a probability."""
    given = {(start, end) for start, end, _ in ents}
    assert set(ents) <= set(entities(doc)), where
    starts = set(np.cumsum([0, *sentence_lengths(doc)]).tolist())
    taken = set()
    for ent in doc.ents:
        assert ent.label_ and taken.isdisjoint(range(ent.start, ent.end)), where
        taken.update(range(ent.start, ent.end))
        if (ent.start, ent.end) in given:
            continue
        assert not ent[0].is_space and not ent[-1].is_space, where
        assert starts.isdisjoint(range(ent.start + 1, ent.end)), where
        assert ent._.confidence is not None, where
    assert taken.isdisjoint(blocked), where
    assert_probabilities(doc, where)


def assert_probabilities(doc, where):
    scores = [np.asarray(group.attrs["scores"], dtype=float) for group in doc.spans.values() if "scores" in group.attrs]
    scores.append(np.array([ent._.confidence for ent in doc.ents if ent._.confidence is not None], dtype=float))
    for values in scores:
        known = values[~np.isnan(values)]
        assert ((known >= 0.0) & (known <= 1.0)).all(), where


def saved_copies(doc):
    yield "DocBin", next(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(doc.vocab))
    yield "to_bytes", Doc(doc.vocab).from_bytes(doc.to_bytes())
    yield "copy", doc.copy()


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fuzzed_documents(setup, nlp, count):
    for first in range(0, count, BATCH):
        seeds = range(first, first + BATCH)
        docs = [random_doc(nlp.vocab, seed) for seed in seeds]
        names = [f"seed {seed}: {doc.text[:60]!r}" for seed, doc in zip(seeds, docs, strict=True)]
        given = [(entities(doc), {t.i for t in doc if t.ent_iob == 3 and not t.ent_type}) for doc in docs]
        docs = list(nlp.pipe(docs, batch_size=BATCH))
        found = [written(doc) for doc in docs]
        for doc, before, was, seed, name in zip(docs, given, found, seeds, names, strict=True):
            assert_sound(doc, *before, name)
            assert_same(written(nlp(random_doc(nlp.vocab, seed))), was, 1e-4, f"{name}, alone")
            for how, copied in saved_copies(doc):
                assert_same(written(copied), was, 0.0, f"{name}, {how}")
        docs = list(nlp.pipe(docs, batch_size=BATCH))
        for doc, was, name in zip(docs, found, names, strict=True):
            assert_same(written(doc), was, 1e-4, f"{name}, twice")
        known = [confidences(doc) for doc in docs]
        for doc, scores, seed, name in zip(docs, known, seeds, names, strict=True):
            retokenize(doc, random.Random(-1 - seed))
            for place, score in confidences(doc).items():
                assert score in (None, scores.get(place)), f"{name}: {place}, merged"
        docs = list(nlp.pipe(docs, batch_size=BATCH))
        found = [entities(doc) for doc in docs]
        for doc, was, name in zip(nlp.pipe(docs, batch_size=BATCH), found, names, strict=True):
            assert_probabilities(doc, f"{name}, merged")
            assert entities(doc) == was, f"{name}, merged and read twice"
