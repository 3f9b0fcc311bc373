"""spacy_crfner.upper_case.v1: copies of examples in capitals."""

import pytest
import spacy
from spacy import registry
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus, Example

from spacy_crfner.corpora.augment import add_upper_case, make_upper_case_v1


@pytest.fixture
def nlp():
    return spacy.blank("en")


def make_example(nlp):
    words = ["Straße", "in", "New", "York", ".", "Ada", "left"]
    form = {"words": words, "spaces": [True, True, True, False, True, True, False]}
    ents = ["B-LOC", "O", "B-LOC", "I-LOC", "O", "", "O"]
    reference = Doc(nlp.vocab, **form, ents=ents, sent_starts=[True, False, False, False, False, True, False])
    return Example(Doc(nlp.vocab, **form), reference)


def test_the_copy_has_the_annotation_of_the_example(nlp):
    example = make_example(nlp)
    original, copy = add_upper_case(nlp, example, level=1.0)
    assert original is example
    assert [token.text for token in copy.reference] == ["STRASSE", "IN", "NEW", "YORK", ".", "ADA", "LEFT"]
    assert copy.reference.text == copy.predicted.text == "STRASSE IN NEW YORK. ADA LEFT"
    assert [(ent.start, ent.end, ent.label_) for ent in copy.reference.ents] == [(0, 1, "LOC"), (2, 4, "LOC")]
    assert [sent.start for sent in copy.reference.sents] == [0, 5]
    assert copy.get_aligned_ner() == example.get_aligned_ner()
    assert copy.get_aligned_ner()[5] is None
    assert not copy.predicted.ents


def test_a_predicted_doc_with_other_tokens_is_tokenized_anew(nlp):
    reference = Doc(nlp.vocab, words=["Ada's", "dog"], ents=["B-X", "O"])
    example = Example(nlp.make_doc(reference.text), reference)
    copy = list(add_upper_case(nlp, example, level=1.0))[1]
    assert [token.text for token in copy.predicted] == ["ADA", "'S", "DOG"]
    assert copy.get_aligned_ner() == ["B-X", "L-X", "O"]


def test_the_level_is_the_share_of_copies(nlp):
    example = make_example(nlp)
    spacy.util.fix_random_seed(0)
    counts = [len(list(add_upper_case(nlp, example, level=0.2))) for _ in range(2000)]
    assert sum(counts) / 2000 == pytest.approx(1.2, abs=0.03)
    assert {len(list(add_upper_case(nlp, example, level=0.0))) for _ in range(50)} == {1}


def test_it_augments_a_corpus(nlp, tmp_path):
    DocBin(docs=[make_example(nlp).reference] * 3).to_disk(tmp_path / "train.spacy")
    augmenter = registry.get("augmenters", "spacy_crfner.upper_case.v1")(level=1.0)
    texts = [example.reference.text for example in Corpus(tmp_path / "train.spacy", augmenter=augmenter)(nlp)]
    assert texts == ["Straße in New York. Ada left", "STRASSE IN NEW YORK. ADA LEFT"] * 3


def test_spans_and_links_stay_on_their_tokens(nlp):
    example = make_example(nlp)
    doc = example.reference
    doc.spans["wrong"] = [Span(doc, 1, 3, label="ORG"), Span(doc, 5, 6, label="PER", span_id="x")]
    doc.ents = [Span(doc, 2, 4, label="LOC", kb_id="Q60")]
    copy = list(add_upper_case(nlp, example, level=1.0))[1].reference
    spans = [(span.start, span.end, span.label_, span.id_) for span in copy.spans["wrong"]]
    assert spans == [(1, 3, "ORG", ""), (5, 6, "PER", "x")]
    assert [(ent.text, ent.kb_id_) for ent in copy.ents] == [("NEW YORK", "Q60")]


@pytest.mark.parametrize("level", [-0.1, 1.1])
def test_a_level_that_is_no_share(level):
    with pytest.raises(ValueError, match=f"from 0 to 1, not {level}"):
        make_upper_case_v1(level)
