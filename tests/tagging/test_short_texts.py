"""A short text is read as it is among others: the numpy path against the general one."""

import copy

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import TRAIN, copy_of
from spacy.tokens import Doc, Span

from spacy_crfner.tagging import task as task_module
from spacy_crfner.tagging.head import CRFScores
from spacy_crfner.tagging.short_texts import MOST_SENTENCES, read_short_text

LABELS = ("PER", "LOC", "ORG")


def make_task(scheme="BIOES", **settings):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("bcrf_ner", config={"scheme": scheme, **settings})
    for label in LABELS:
        pipe.add_label(label)
    return pipe.tasks[0]


TASKS = {scheme: make_task(scheme) for scheme in ("BIO", "BIOES")}


def random_scores(generator, lengths, n_tags, scale=2.0):
    def draw(*shape):
        return generator.normal(0, scale, shape).astype("f")

    return CRFScores([draw(length, n_tags) for length in lengths], draw(n_tags), draw(n_tags, n_tags), draw(n_tags))


def make_doc(vocab, generator, length):
    """A Doc with given entities, blocked tokens, white space and a sentence border here and there."""
    words = [" " if generator.random() < 0.1 else "word" for _ in range(length)]
    starts = [bool(i == 0 or generator.random() < 0.02) for i in range(length)]
    doc = Doc(vocab, words=words, sent_starts=starts if generator.random() < 0.5 else None)
    given, blocked, start = [], [], 0
    while start < length and generator.random() < 0.5:
        start += int(generator.integers(0, 6))
        end = min(length, start + int(generator.integers(1, 3)))
        if start < end and generator.random() < 0.7:
            given.append(Span(doc, start, end, label=str(generator.choice([*LABELS, "OTHER"]))))
        elif start < end:
            blocked.append(doc[start:end])
        start = end
    doc.set_ents(given, blocked=blocked, default="missing")
    return doc


def both_ways(task, docs, scores, monkeypatch):
    """What is found in Docs with and without the path for short texts, and whether that path was taken."""
    taken = []

    def note(*args, **options):
        taken.append(read_short_text(*args, **options))
        return taken[-1]

    found = []
    for read in (note, lambda *args, **options: None):
        monkeypatch.setattr(task_module, "read_short_text", read)
        found.append(task.decode(docs, scores))
    return *found, taken[0] is not None


def assert_same(found, expected):
    assert [prediction.spans for prediction in found] == [prediction.spans for prediction in expected]
    for prediction, wanted in zip(found, expected, strict=True):
        assert prediction.attrs.keys() == wanted.attrs.keys()
        for key, values in wanted.attrs.items():
            np.testing.assert_allclose(prediction.attrs[key], values, rtol=0, atol=1e-5)
            assert prediction.attrs[key].dtype == values.dtype


@given(
    st.integers(0, 10_000),
    st.lists(st.integers(0, 60), min_size=1, max_size=3).filter(any),
    st.sampled_from(sorted(TASKS)),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.booleans(),
)
def test_a_short_text_is_read_as_any_other(seed, lengths, scheme, threshold, confidence):
    task, generator = TASKS[scheme], np.random.default_rng(seed)
    docs = [make_doc(task.owner.vocab, generator, length) for length in lengths]
    scores = random_scores(generator, lengths, len(task.tag_set))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(task.cfg, "threshold", threshold)
        patch.setitem(task.cfg, "annotate", ["confidence"] if confidence else [])
        found, expected, _ = both_ways(task, docs, scores, patch)
    assert_same(found, expected)


def one(task, generator, length=20, **changed):
    doc = Doc(task.owner.vocab, words=["word"] * length)
    scores = random_scores(generator, [length], len(task.tag_set))
    for name, value in changed.items():
        getattr(scores, name)[...] = value
    return [doc], scores


def test_it_is_the_way_of_short_texts_and_them_alone(monkeypatch):
    task, generator = TASKS["BIOES"], np.random.default_rng(0)
    assert both_ways(task, *one(task, generator), monkeypatch)[2]
    many = [Doc(task.owner.vocab, words=["word"]) for _ in range(MOST_SENTENCES + 1)]
    assert not both_ways(task, many, random_scores(generator, [1] * len(many), len(task.tag_set)), monkeypatch)[2]
    for annotate in (["marginals"], ["confidence", "n_best"]):
        monkeypatch.setitem(task.cfg, "annotate", annotate)
        assert not both_ways(task, *one(task, generator), monkeypatch)[2]


@pytest.mark.parametrize("length, scale", [(20, 300.0), (1000, 2.0)])
def test_what_numpy_leaves_is_read_by_torch(length, scale, monkeypatch):
    task, generator = TASKS["BIOES"], np.random.default_rng(0)
    docs, _ = one(task, generator, length)
    scores = random_scores(generator, [length], len(task.tag_set), scale)
    found, expected, _ = both_ways(task, docs, scores, monkeypatch)
    assert_same(found, expected)
    assert found[0].spans


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    task, generator = TASKS["BIOES"], np.random.default_rng(0)
    docs, scores = one(task, generator)
    scores.emissions[0][3, 2] = value
    with pytest.raises(ValueError, match="are not finite numbers"):
        task.decode(docs, scores)


def test_a_pipeline_reads_a_text_without_what_batches_need(small_nlp, monkeypatch):
    texts = ["Anna Kell met Bob in Paris .", "Harlow & Pike moved to Oslo ."]
    expected = list(small_nlp.pipe(texts * 5))
    monkeypatch.delattr(task_module, "build_potentials")
    for text, wanted in zip(texts, expected, strict=False):
        doc = small_nlp(text)
        assert [(e.start, e.end, e.label_) for e in doc.ents] == [(e.start, e.end, e.label_) for e in wanted.ents]
        scores = [d.spans["bcrf_ner"].attrs["scores"] for d in (doc, wanted)]
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-5)


def test_weights_that_were_changed_by_hand_are_read(small_nlp):
    """No text is read with weights that are kept from before."""
    text = "Anna Kell met Bob in Paris ."
    small_nlp = copy.deepcopy(small_nlp)
    pipe = small_nlp.get_pipe("bcrf_ner")
    before = small_nlp(text).spans["bcrf_ner"].attrs["scores"]
    modules = [shim._model for node in pipe.model.walk() for shim in node.shims]
    assert modules
    for module in modules:
        with torch.no_grad():
            kept = [parameter.clone() for parameter in module.parameters()]
            for parameter in module.parameters():
                parameter.mul_(0.9)
        changed = small_nlp(text).spans["bcrf_ner"].attrs["scores"]
        assert len(changed) != len(before) or not np.allclose(changed, before, rtol=0, atol=1e-7)
        for parameter, values in zip(module.parameters(), kept, strict=True):
            parameter.data = values
        np.testing.assert_allclose(small_nlp(text).spans["bcrf_ner"].attrs["scores"], before, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["start", "transitions", "end"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, -3e38])
def test_numbers_that_are_set_by_hand_do_for_one_text_what_they_do_for_many(small_nlp, name, value):
    nlp = copy_of(small_nlp)
    node = next(node for node in nlp.get_pipe("bcrf_ner").model.walk() if node.name == "crf_transitions")
    weights = node.get_param(name).copy()
    weights.flat[::3] = value
    node.set_param(name, weights)
    texts = [text for text, _ in TRAIN[:6]]

    def found(docs):
        try:
            return [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs()]
        except ValueError as error:
            return str(error)

    alone = [found(lambda text=text: [nlp(text)]) for text in texts]
    together = found(lambda: list(nlp.pipe(texts)))
    assert alone == ([together] * 6 if isinstance(together, str) else [[doc] for doc in together])
