"""What is known of spans, when tokens are merged and split, Docs joined, cut, saved and written as JSON."""

import pickle

import pytest
from samples import TRAIN, copy_of
from spacy import displacy
from spacy.tokens import Doc, DocBin, Span

WORDS = ["Dr.", "Anna", "Kell", ",", "44", ",", "met", "Bob", ",", "Tom", "and", "Ann", "in", "New", "York", "."]


@pytest.fixture
def doc(small_nlp):
    doc = small_nlp(Doc(small_nlp.vocab, words=WORDS))
    assert len(doc.ents) >= 3
    return doc


def confidences(doc):
    return {(ent.text, ent.label_): ent._.confidence for ent in doc.ents}


def test_merging_tokens_in_front_gives_no_entity_the_confidence_of_another(doc):
    before = confidences(doc)
    assert len(set(before.values())) == len(before)
    last = doc.ents[-1]
    key = (last.text, last.label_)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[: last.start])
    after = confidences(doc)
    assert all(after[place] in (before.get(place), None) for place in after)
    assert after[key] == before[key]


def test_splitting_a_token_in_front(doc):
    before = confidences(doc)
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["D", "r."], [doc[1], doc[1]])
    assert confidences(doc) == before


def test_an_entity_that_grows_has_no_confidence(doc):
    ent = doc.ents[-1]
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[ent.start - 1 : ent.end])
    assert Span(doc, ent.start - 1, ent.start, label=ent.label)._.confidence is None


def test_merge_entities_behind_the_component(small_nlp):
    nlp = copy_of(small_nlp, "merge_entities")
    text = " ".join(WORDS)
    expected = confidences(small_nlp(text))
    doc = nlp(text)
    assert len(doc) < len(WORDS) and confidences(doc) == pytest.approx(expected)
    copies = [
        doc.copy(),
        pickle.loads(pickle.dumps(doc)),
        Doc(nlp.vocab).from_bytes(doc.to_bytes()),
        next(iter(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab))),
        Doc.from_docs([doc, doc]),
        Doc(nlp.vocab).from_json(doc.to_json(underscore=["confidences"])),
        *nlp.pipe([text, text], n_process=2),
    ]
    for copy in copies:
        assert confidences(copy) == pytest.approx(expected)
    assert displacy.render(doc, style="ent") and displacy.render(doc, style="span", options={"spans_key": "bcrf_ner"})


def test_joined_docs_keep_their_confidences_apart(small_nlp):
    docs = list(small_nlp.pipe([text for text, _ in TRAIN[:8]]))
    joined = Doc.from_docs(docs)
    expected = [ent._.confidence for doc in docs for ent in doc.ents]
    assert [ent._.confidence for ent in joined.ents] == expected and None not in expected


def test_a_piece_that_takes_its_user_data_along(doc):
    ent = doc.ents[-1]
    piece = doc[ent.start - 1 :].as_doc(copy_user_data=True)
    assert piece.ents[0]._.confidence == ent._.confidence
    assert doc[ent.start - 1 :].as_doc().ents[0]._.confidence is None


def test_json(doc, small_nlp):
    (first, *_) = doc._.confidences
    assert first["label"] == doc.ents[0].label_ and first["confidence"] == doc.ents[0]._.confidence
    data = doc.to_json(underscore=["confidences"])
    assert data["_"]["confidences"] == doc._.confidences
    again = Doc(small_nlp.vocab).from_json(data)
    assert confidences(again) == confidences(doc)
    assert Doc(small_nlp.vocab, words=["It", "rained"]).to_json(underscore=["confidences"])["_"] == {"confidences": []}


def test_another_label_at_the_same_place_has_no_confidence(doc):
    ent = doc.ents[0]
    joined = Doc.from_docs([doc])
    for each in (doc, joined):
        assert Span(each, ent.start, ent.end, label="Q")._.confidence is None


def test_reading_a_doc_again_forgets_what_was_found_before(small_nlp):
    nlp = copy_of(small_nlp)
    doc = nlp(TRAIN[0][0])
    gone = doc.ents[0]
    nlp.get_pipe("bcrf_ner").cfg["threshold"] = 1.0
    nlp(doc)
    assert not doc.ents and gone._.confidence is None and not doc._.confidences and not doc.user_data


def test_two_taggers_that_find_the_same_span(small_nlp):
    nlp = copy_of(small_nlp, name="first", spans_key="crf")
    nlp.add_pipe("second", source=copy_of(small_nlp, name="second", spans_key="other"))
    doc = nlp(TRAIN[0][0])
    joined = Doc.from_docs([doc, doc])
    for key in ("crf", "other"):
        assert [span._.confidence for span in joined.spans[key]] == [span._.confidence for span in doc.spans[key]] * 2
