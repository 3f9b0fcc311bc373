"""The reader that gives rare labels a larger part."""

import numpy as np
import pytest
import spacy
from routing_samples import SMALL_ROUTER, examples, selecting
from samples import SMALL_MODEL, TRAIN
from spacy.tokens import DocBin, Span
from spacy.training import Corpus, Example
from spacy.util import fix_random_seed, registry
from thinc.api import Adam

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.sampling import make_balanced_corpus_v1


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twenty Docs, one of them with the label RARE."""
    nlp = spacy.blank("en")
    docs = [example.reference for example in examples(nlp)]
    docs[3].set_ents([Span(docs[3], 0, 1, label="RARE")])
    path = tmp_path_factory.mktemp("balanced") / "train.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


@pytest.mark.parametrize(("method", "weak", "others"), [("repeat", 19, 19), ("drop", 1, 1)])
def test_balanced_corpus(corpus, method, weak, others):
    nlp = spacy.blank("en")
    for labels in (["RARE"], None):
        found = list(make_balanced_corpus_v1(corpus, labels=labels, rare=0.05, share=0.5, method=method)(nlp))
        rare = [example.text for example in found if any(ent.label_ == "RARE" for ent in example.reference.ents)]
        assert (len(rare), len(found) - len(rare)) == (weak, others)
        assert len({id(example.predicted) for example in found}) == len(found)
    assert len({example.text for example in found} - set(rare)) == others


def test_balanced_corpus_has_the_options_of_spacys_own(corpus):
    nlp, seen = spacy.blank("en"), []

    def augmenter(nlp, example):
        seen.append(example)
        yield example
        yield Example(nlp.make_doc("more"), nlp.make_doc("more"))

    options = {"limit": 10, "augmenter": augmenter, "share": 0.5, "labels": ["RARE"]}
    found = list(make_balanced_corpus_v1(corpus, **options)(nlp))
    assert len(found) == 2 * len(seen) == 2 * (9 + 9)
    assert len({id(example.predicted) for example in seen}) == len(seen)
    longest = max(len(example.reference) for example in seen)
    seen.clear()
    list(make_balanced_corpus_v1(corpus, **options, max_length=longest - 1)(nlp))
    assert seen and max(len(example.reference) for example in seen) < longest


def test_a_tagger_can_learn_from_repeated_docs_once(corpus):
    """Weights are what they would be without the copies, whose sentences cost nothing."""
    weights = []
    readers = {"once": make_balanced_corpus_v1(corpus, labels=["RARE"], share=0.5), "all": Corpus(corpus)}
    for train, read in readers.items():
        fix_random_seed(0)
        nlp = spacy.blank("en")
        nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **selecting(train=train), "r_drop": 0.0})
        found = sorted(read(nlp), key=lambda example: example.text)
        assert len(found) == (38 if train == "once" else 20)
        nlp.initialize(lambda found=found: found)
        losses = {}
        nlp.update(found, sgd=Adam(0.001, L2=0.0), losses=losses)
        output = nlp.get_pipe("bcrf_ner").model.get_ref("head").get_ref("output_layer")
        weights.append((losses["bcrf_ner"], [output.get_param(name) for name in ("W", "b")]))
    assert weights[0][0] == pytest.approx(weights[1][0], rel=1e-4)
    for one, other in zip(weights[0][1], weights[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_order_is_mixed_and_that_of_the_seed(corpus):
    nlp = spacy.blank("en")
    orders = [[e.text for e in make_balanced_corpus_v1(corpus, labels=["RARE"], seed=seed)(nlp)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    rare = [place for place, text in enumerate(orders[0]) if text == TRAIN[3][0]]
    assert len(rare) == 19 and rare != list(range(19)) and rare[-1] > 25


def test_what_is_dropped_is_drawn_by_the_seed(corpus):
    nlp = spacy.blank("en")
    kept = [
        {e.text for e in make_balanced_corpus_v1(corpus, labels=["RARE"], share=0.2, method="drop", seed=seed)(nlp)}
        for seed in range(6)
    ]
    assert all(len(texts) == 5 and TRAIN[3][0] in texts for texts in kept)
    assert len({frozenset(texts) for texts in kept}) > 3


@pytest.mark.parametrize("method", ["repeat", "drop"])
def test_the_router_takes_the_labels_of_the_reader(corpus, method):
    """Also where an augmenter makes new Docs, and where few Docs are left to count in."""
    nlp = spacy.blank("en")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER})
    augmenter = registry.augmenters.get("spacy.lower_case.v1")(1.0)
    nlp.initialize(lambda: make_balanced_corpus_v1(corpus, rare=0.05, method=method, augmenter=augmenter)(nlp))
    assert router.labels == ("RARE",)
    assert router.strong_labels and set(router.strong_labels) <= {"LOC", "ORG", "PER"}


def test_balanced_corpus_never_has_fewer_rare_docs(corpus):
    found = list(make_balanced_corpus_v1(corpus, labels=["PER"], share=0.01)(spacy.blank("en")))
    assert len(found) == 20


def test_balanced_corpus_says_what_is_wrong(corpus, tmp_path):
    nlp = spacy.blank("en")
    with pytest.raises(CorpusError, match="no Doc has one of the rare labels NOPE: correct the names"):
        list(make_balanced_corpus_v1(corpus, labels=["NOPE"])(nlp))
    with pytest.raises(CorpusError, match=r"no label has less than 1\.0% of the entities\. Name the rare ones"):
        list(make_balanced_corpus_v1(corpus, rare=0.01)(nlp))
    for docs, message in (([], "it holds no Docs"), ([nlp.make_doc("nothing")], "no Doc has an entity")):
        DocBin(docs=docs).to_disk(tmp_path / "other.spacy")
        with pytest.raises(CorpusError, match=message):
            list(make_balanced_corpus_v1(tmp_path / "other.spacy")(nlp))
    for labels in ([], "RARE"):
        with pytest.raises(ValueError, match="are a list such as"):
            make_balanced_corpus_v1(corpus, labels=labels)
    with pytest.raises(CorpusError, match=r"--paths\.train"):
        list(make_balanced_corpus_v1(None)(nlp))
    with pytest.raises(ValueError, match="share between 0 and 1"):
        make_balanced_corpus_v1(corpus, share=1.0)
    with pytest.raises(ValueError, match="choose from repeat, drop"):
        make_balanced_corpus_v1(corpus, method="none")
