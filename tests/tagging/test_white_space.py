"""White space at the ends of entities: readers, training and scores agree, whoever has made the Docs."""

import json

import pytest
import spacy
from samples import SMALL_MODEL, trained
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus, Example
from spacy.training.iob_utils import doc_to_biluo_tags

from spacy_crfner.corpora.convert import convert_file
from spacy_crfner.tagging.entity_sentences import UNANNOTATED, WITH, WITHOUT, entity_sentences
from spacy_crfner.tagging.scorer import score_entities
from spacy_crfner.white_space import entities, trim

BLANK = "\u00a0"
SENTENCES = [
    (["Anna", BLANK, "met", "Bob"], ["B-PER", "I-PER", "O", "B-PER"]),
    (["in", BLANK, "Paris", "\n", "."], ["O", "B-LOC", "I-LOC", "I-LOC", "O"]),
    (["New", BLANK, "York", "sleeps", BLANK], ["B-LOC", "I-LOC", "I-LOC", "O", "B-ORG"]),
]
RIGHT = [[(0, 1, "PER"), (3, 4, "PER")], [(2, 3, "LOC")], [(0, 3, "LOC")]]


@pytest.fixture(scope="module")
def nlp():
    """A pipeline that was trained on these sentences, as others may have saved them, by heart."""
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    return trained(nlp, examples(nlp), updates=30)


def docs(vocab):
    return [Doc(vocab, words=words, ents=tags) for words, tags in SENTENCES]


def examples(nlp):
    return [Example(Doc(nlp.vocab, words=[token.text for token in doc]), doc) for doc in docs(nlp.vocab)]


def test_a_tagger_scores_right_on_what_it_learned(nlp):
    scores = nlp.evaluate(examples(nlp))
    assert scores["ents_f"] == pytest.approx(1.0) and set(scores["ents_per_type"]) == {"PER", "LOC"}


def test_entities_of_white_space_alone_are_no_labels(nlp):
    assert nlp.get_pipe("bcrf_ner").labels == ("LOC", "PER")


def test_what_is_found_is_without_white_space(nlp):
    for (words, _), right in zip(SENTENCES, RIGHT, strict=True):
        doc = nlp(Doc(nlp.vocab, words=words))
        assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == right


def test_a_file_of_others_is_read_and_scored_alike(nlp, tmp_path):
    DocBin(docs=docs(nlp.vocab)).to_disk(tmp_path / "a.spacy")
    assert nlp.evaluate(list(Corpus(tmp_path / "a.spacy")(nlp)))["ents_f"] == pytest.approx(1.0)


@pytest.mark.parametrize("spans_key", [None, "x"])
@pytest.mark.parametrize("label_filter", [None, ["LOC", "ORG", "PER"]])
def test_scores_do_not_depend_on_who_has_trimmed(spans_key, label_filter):
    """Other components may find entities with white space at their ends."""
    nlp = spacy.blank("en")
    for trimmed_gold in (True, False):
        made = []
        for gold, found in zip(docs(nlp.vocab), docs(nlp.vocab), strict=True):
            right = [Span(gold, *span[:2], label=span[2]) for span in entities(gold.ents)]
            if trimmed_gold:
                gold.set_ents(right)
            if spans_key:
                found.spans[spans_key] = list(found.ents)
            made.append(Example(found, gold))
        scores = score_entities(made, spans_key=spans_key, label_filter=label_filter)
        prefix = f"spans_{spans_key}" if spans_key else "ents"
        assert scores[f"{prefix}_f"] == pytest.approx(1.0) and "ORG" not in scores[f"{prefix}_per_type"]


def test_missing_annotation_of_white_space_does_not_matter():
    nlp = spacy.blank("en")
    gold, found = (Doc(nlp.vocab, words=["New", BLANK, "York", "."]) for _ in range(2))
    gold.set_ents([], missing=[gold[1:2]], default="outside")
    found.set_ents([Span(found, 0, 3, label="LOC")])
    assert score_entities([Example(found, gold)])["ents_p"] == 0.0


def test_scores_of_corpora_without_white_space_are_those_of_spacy(small_nlp, examples_of_spacy):
    from spacy.scorer import get_ner_prf

    ours, theirs = score_entities(examples_of_spacy), get_ner_prf(examples_of_spacy)
    assert ours.keys() == theirs.keys() and 0.1 < theirs["ents_f"] < 1.0
    assert {key: ours[key] for key in ("ents_p", "ents_r", "ents_f")} == pytest.approx(
        {key: theirs[key] for key in ("ents_p", "ents_r", "ents_f")}
    )
    assert ours["ents_per_type"] == theirs["ents_per_type"]
    nothing = [Example(small_nlp.make_doc("a b"), Doc(small_nlp.vocab, words=["a", "b"], ents=["O", "O"]))]
    assert score_entities(nothing) == get_ner_prf(nothing)


@pytest.fixture
def examples_of_spacy(small_nlp, examples):
    made = examples(small_nlp)
    for number, example in enumerate(made):
        small_nlp.get_pipe("bcrf_ner")(example.predicted)
        if number % 3 == 0:
            wrong = Span(example.predicted, 0, 1, label="WRONG")
            example.predicted.set_ents([wrong], default="outside")
    return made


def test_routers_count_words_alone():
    nlp = spacy.blank("en")
    reference = Doc(nlp.vocab, words=["a", BLANK, "b", BLANK], ents=["O", "B-X", "I-X", "B-Y"])
    example = Example(Doc(nlp.vocab, words=["a", BLANK, "b", BLANK]), reference)
    assert entity_sentences(example, ["X"], [2, 2]).tolist() == [WITHOUT, WITH]
    assert entity_sentences(example, ["Y"], [4]).tolist() == [WITHOUT]
    assert UNANNOTATED not in entity_sentences(example, ["X"], [4])


@pytest.mark.parametrize("scheme", ["IOB2", "BILUO"])
def test_columns_are_trimmed_and_say_so(write, tmp_path, scheme):
    lines = []
    for (words, tags), doc in zip(SENTENCES, docs(spacy.blank("en").vocab), strict=True):
        written = doc_to_biluo_tags(doc) if scheme == "BILUO" else tags
        # A line end cannot stand in a column.
        cells = zip(words, written, strict=True)
        lines.append("".join(f"{BLANK if word.isspace() else word}\t{tag}\n" for word, tag in cells))
    report = convert_file(write("a.conll", "\n".join(lines)), tmp_path / "a.spacy")
    assert (report.trimmed_entities, report.first_trimmed) == (2, 1)
    assert (report.blank_entities, report.first_blank) == (1, 16)
    assert "  entities with white space at an end, which was trimmed: 2 (first at line 1)" in str(report).splitlines()
    assert "  entities of white space alone, which were left out: 1 (first at line 16)" in str(report).splitlines()
    read = DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)
    assert [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in read] == RIGHT


@pytest.mark.parametrize("alignment", ["strict", "contract", "expand", "skip"])
def test_json_lines_are_trimmed_and_say_so(write, tmp_path, alignment):
    spans = [[0, 5, "PER"], [10, 16, "PER"], [15, 18, "X"]]
    source = write("a.jsonl", json.dumps({"text": "Anna sang \n Bob\u00a0\n .", "label": spans}))
    report = convert_file(source, tmp_path / "a.spacy", alignment=alignment)
    assert (report.trimmed_entities, report.blank_entities, report.entities) == (2, 1, {"PER": 2})
    (doc,) = DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)
    assert [ent.text for ent in doc.ents] == ["Anna", "Bob"]


def test_trim():
    assert trim(["a", " ", "b", BLANK], 0, 4) == (0, 3) and trim(" \t", 0, 2)[0] == trim(" \t", 0, 2)[1]
    assert trim("  ab ", 1, 5) == (2, 4) and trim([], 0, 0) == (0, 0)
