"""Records that accept or reject one span each."""

import json

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Corpus

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.convert import convert_file

TEXT = "Ada met Bob in Bonn ."


def record(start, end, label, answer="accept", text=TEXT, view="ner"):
    spans = [{"start": start, "end": end, "label": label}]
    return {"text": text, "spans": spans, "answer": answer, **({"_view_id": view} if view else {})}


RECORDS = [
    record(0, 3, "PER"),
    record(8, 11, "PER"),
    record(8, 11, "ORG", "reject"),
    record(15, 19, "PER", "reject"),
    record(4, 7, "PER", "ignore"),
    record(0, 3, "PER"),
    record(0, 3, "LOC", "reject", text="Ada sang"),
]


@pytest.fixture
def convert(write, tmp_path):
    def run(records, **options):
        report = convert_file(write("a.jsonl", "\n".join(map(json.dumps, records))), tmp_path / "a.spacy", **options)
        return list(DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)), report

    return run


def test_answers_of_a_text_are_one_doc(convert):
    (doc, other), report = convert(RECORDS)
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Ada", "PER"), ("Bob", "PER")]
    assert [token.ent_iob_ for token in doc] == ["B", "", "B", "", "", ""]
    assert [(span.text, span.label_) for span in doc.spans["incorrect_spans"]] == [("Bob", "ORG"), ("Bonn", "PER")]
    assert not other.ents and [span.label_ for span in other.spans["incorrect_spans"]] == ["LOC"]
    assert (report.documents, report.unannotated_tokens, report.skipped_examples) == (2, 6, 1)
    assert "merged to 2 docs; 3 rejected spans" in str(report)
    assert "--components.bcrf_ner.incorrect_spans_key incorrect_spans" in str(report)


def test_records_without_the_name_of_their_view_need_the_option(convert):
    plain = [{key: value for key, value in record.items() if key != "_view_id"} for record in RECORDS]
    docs, report = convert(plain)
    assert len(docs) == 3 and "texts that stood before with other entities" in str(report) and "--binary" in str(report)
    docs, report = convert(plain, binary=True)
    assert len(docs) == 2 and "other entities" not in str(report)


def test_whole_texts_are_not_taken_for_answers(convert):
    (doc,), report = convert([record(0, 3, "PER", view="ner_manual"), record(0, 3, "PER", "reject", view="ner_manual")])
    assert [token.ent_iob_ for token in doc] == ["B", *"OOOOO"] and report.skipped_examples == 1


def test_a_rejected_span_is_not_stretched_to_other_borders(convert):
    """That "Bon" is no entity does not say that "Bonn" is none."""
    records = [record(0, 3, "PER"), record(15, 18, "LOC", "reject")]
    with pytest.raises(CorpusError, match=r":1: the span 15-18 'Bon' \(LOC\) does not begin and end with a token"):
        convert(records)
    for alignment in ("expand", "contract", "skip"):
        (doc,), report = convert(records, alignment=alignment)
        assert not doc.spans and report.skipped_spans == 1


def test_a_record_that_rejects_several_spans_says_nothing_of_each(convert):
    several = record(0, 3, "PER", "reject")
    several["spans"].append({"start": 8, "end": 11, "label": "PER"})
    (doc,), report = convert([record(15, 19, "LOC"), several])
    assert not doc.spans and len(doc.ents) == 1 and "which reject several" in str(report)


@pytest.mark.parametrize(
    "records, message",
    [
        (
            [record(0, 3, "PER"), record(0, 3, "PER", "reject")],
            r":2: the span 0-3 'Ada' .* is rejected, but line 1",
        ),
        ([record(0, 3, "PER"), record(0, 7, "PER")], r"0-3 'Ada' \(PER\) at line 1 and 0-7 .* at line 2 overlap"),
    ],
)
def test_answers_that_contradict_each_other(convert, records, message):
    with pytest.raises(CorpusError, match=message):
        convert(records)


def test_binary_needs_answers(convert):
    with pytest.raises(CorpusError, match=r":1: there is no 'answer': leave --binary out"):
        convert([{"text": "Ada", "spans": []}], binary=True)


def test_a_tagger_learns_from_them(convert, tmp_path):
    """What was rejected is not found, and what was accepted is."""
    convert([*RECORDS[:4], record(4, 7, "PER", "reject"), record(12, 14, "PER", "reject")])
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config={"incorrect_spans_key": "incorrect_spans"})
    examples = list(Corpus(tmp_path / "a.spacy")(nlp))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(15):
        nlp.update(examples, sgd=optimizer)
    found = {(ent.text, ent.label_) for ent in nlp(TEXT).ents}
    assert {("Ada", "PER"), ("Bob", "PER")} <= found and ("Bonn", "PER") not in found
