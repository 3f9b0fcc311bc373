"""The entities of several taggers become one set."""

import numpy as np
import pytest
import spacy
from routing_samples import GATED, examples, flag, gates_doc, pipeline, spans
from samples import SMALL_MODEL, TRAIN
from spacy.tokens import Doc, Span


def test_the_vote_finds_what_the_taggers_found(nlp):
    scores = nlp.evaluate(examples(nlp))
    assert scores["ents_f"] == scores["ents_macro_f"] == 1.0
    doc = nlp(TRAIN[11][0])
    merged = sorted(spans(doc.spans["strong"]) + spans(doc.spans["weak"]))
    assert spans(doc.ents) == merged
    for ent, score in zip(doc.ents, doc.spans["ner_vote"].attrs["scores"], strict=True):
        assert ent._.confidence == pytest.approx(float(score))


def test_words_are_merged_behind_trained_taggers(nlp):
    both = {"annotate": ["confidence", "marginals"]}
    words = pipeline(weak=both, strong=both, vote={"rule": "word"})
    with pytest.raises(ValueError, match="needs confidence, marginals of 'strong': set annotate"):
        pipeline(weak=both, vote={"rule": "word"}).initialize(lambda: examples(nlp))
    for name in ("weak_class_router", "strong", "weak"):
        words.get_pipe(name).from_bytes(nlp.get_pipe(name).to_bytes())
        if name != "weak_class_router":
            words.get_pipe(name).cfg.update(both)
    for text, _ in TRAIN:
        assert spans(words(text).ents) == spans(nlp(text).ents)
    spaced = words(TRAIN[4][0].replace("Bank of", "Bank \n of"))
    assert all(ent[0].text.strip() and ent[-1].text.strip() for ent in spaced.ents)


def test_settings_of_the_vote_are_saved(tmp_path):
    nlp = pipeline()
    nlp.get_pipe("ner_vote").cfg["overwrite_ents"] = True
    nlp.to_disk(tmp_path / "model")
    assert spacy.load(tmp_path / "model").get_pipe("ner_vote").cfg["overwrite_ents"]
    assert pipeline().from_bytes(nlp.to_bytes()).get_pipe("ner_vote").cfg["overwrite_ents"]


def voted(config, router=(), ents=(), **groups):
    """doc.ents after a vote on spans (start, end, label, score) of six words in two sentences."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config=config)
    doc = Doc(nlp.vocab, words=list("abcdef"), sent_starts=[True, False, False] * 2)
    for key, found in groups.items():
        doc.spans[key] = [Span(doc, start, end, label=label) for start, end, label, _ in found]
        doc.spans[key].attrs["scores"] = np.array([score for *_, score in found])
    doc.set_ents([Span(doc, *ent) for ent in ents])
    flag(nlp, doc, router)
    return spans(vote(vote(doc)).ents)


STRONG = [(0, 2, "A", 0.6), (3, 4, "A", 0.9)]
WEAK = [(1, 3, "B", 0.8), (4, 6, "B", 0.3)]


def test_gated_groups_vote_in_flagged_sentences_only():
    gated = {"router": "weak_class_router", "gated": ["weak"]}
    assert voted({}, strong=STRONG, weak=WEAK) == [(1, 3, "B"), (3, 4, "A"), (4, 6, "B")]
    assert voted(gated, strong=STRONG, weak=WEAK) == [(0, 2, "A"), (3, 4, "A")]
    assert voted(gated, router=(0,), strong=STRONG, weak=WEAK) == [(1, 3, "B"), (3, 4, "A")]
    assert voted(gated, router=(3,), strong=STRONG, weak=WEAK) == [(0, 2, "A"), (3, 4, "A"), (4, 6, "B")]


def test_a_gate_asks_for_more_than_a_flag():
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config={**GATED, "gates": {"A": 0.5, "B": 0.0}})
    doc = gates_doc(nlp, [0.05, 0.2, 0.6], [(0, "B"), (1, "A"), (2, "A")]).predicted
    assert spans(vote(doc).ents) == [(0, 1, "B"), (2, 3, "A")]
    doc = gates_doc(nlp, [0.05, 0.2, 0.6], [(0, "C"), (1, "C"), (2, "A")]).predicted
    assert spans(vote(doc).ents) == [(1, 2, "C"), (2, 3, "A")]
    with pytest.raises(ValueError, match="needs the groups that they are for"):
        nlp.add_pipe("ner_vote", name="other", config={"groups": ["weak"], "gates": {"A": 0.5}})


def test_entities_of_others_stay():
    given = [(3, 5, "C")]
    assert voted({}, ents=given, strong=STRONG, weak=WEAK) == [(1, 3, "B"), (3, 5, "C")]
    assert (3, 5, "C") not in voted({"overwrite_ents": True}, ents=given, strong=STRONG, weak=WEAK)


def test_entities_that_a_tagger_found_too_stay():
    """That a tagger found in its span group what was given is no reason to drop it."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote")
    doc = Doc(nlp.vocab, words=list("abcdef"), ents=["B-A", "I-A", "O", "O", "O", "O"])
    for key, found in (("strong", STRONG), ("weak", WEAK)):
        doc.spans[key] = [Span(doc, start, end, label=label) for start, end, label, _ in found]
        doc.spans[key].attrs.update(scores=np.array([score for *_, score in found]), component=key)
    assert spans(vote(doc).ents) == [(0, 2, "A"), (3, 4, "A"), (4, 6, "B")]


def test_any_number_of_groups():
    groups = {"groups": ["x", "y", "z"]}
    assert voted(groups, x=STRONG, y=WEAK, z=[(0, 6, "C", 0.95)]) == [(0, 6, "C")]


def test_what_a_vote_cannot_do_without():
    with pytest.raises(ValueError, match=r"no entities with probabilities in doc\.spans\['weak'\]"):
        voted({}, strong=STRONG)
    with pytest.raises(ValueError, match="needs the marginals of 'strong': set annotate"):
        voted({"rule": "word"}, strong=STRONG, weak=WEAK)
    for config, message in (
        ({"rule": "majority"}, "must be one of span, word"),
        ({"groups": []}, "no groups"),
        ({"gated": ["other"]}, "cannot gate other"),
        ({"gated": ["weak"]}, "name of a router"),
    ):
        with pytest.raises(ValueError, match=message):
            voted(config, strong=STRONG, weak=WEAK)


@pytest.mark.parametrize("gates", [{"A": 5}, {"A": -0.1}, {"A": "x"}, [0.5], 0.5])
def test_gates_that_are_none(gates):
    with pytest.raises(ValueError, match="gates"):
        spacy.blank("en").add_pipe("ner_vote", config={**GATED, "gates": gates})
    vote = spacy.blank("en").add_pipe("ner_vote", config=GATED)
    vote.cfg["gates"] = gates
    with pytest.raises(ValueError, match="probability from 0 to 1"):
        vote(spacy.blank("en")("a"))


def test_a_group_twice():
    with pytest.raises(ValueError, match="merges a group with itself"):
        voted({"groups": ["strong", "strong"]}, strong=STRONG)


def test_gates_for_labels_that_no_tagger_has():
    nlp = pipeline(vote={"router": "weak_class_router", "gated": ["weak"], "gates": {"OGR": 0.5, "ORG": 0.5}})
    with pytest.warns(UserWarning, match="has gates for OGR, but its taggers have only the labels LOC, ORG, PER"):
        nlp.initialize(lambda: examples(nlp))


def test_a_tagger_that_writes_entities_under_the_name_of_a_group():
    nlp = spacy.blank("en")
    for name in ("strong", "weak"):
        nlp.add_pipe("bcrf_ner", name=name, config=SMALL_MODEL)
    nlp.add_pipe("ner_vote")
    with pytest.raises(ValueError, match=r'the tagger of this name writes doc\.ents: set spans_key = "strong" there'):
        nlp.initialize(lambda: examples(nlp))


def test_groups_that_are_none():
    """One span without a score; and the sentences of a router."""
    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, words=["a"])
    for attrs in ({}, {"scores": [0.5], "threshold": 0.5}):
        doc.spans["strong"] = [Span(doc, 0, 1, label="weak")]
        doc.spans["strong"].attrs.update(attrs)
        with pytest.raises(ValueError, match="no entities with probabilities"):
            nlp.add_pipe("ner_vote", name=str(len(attrs)), config={"groups": ["strong"]})(doc)


def test_a_router_that_was_not_asked_everywhere():
    """Where a group written by hand has no sentence, nothing is flagged."""
    nlp = spacy.blank("en")
    doc = gates_doc(nlp, [0.6, 0.6], [(0, "A"), (1, "A")]).predicted
    doc.spans["weak_class_router"] = [Span(doc, 0, 1, label="weak")]
    assert spans(nlp.add_pipe("ner_vote", config=GATED)(doc).ents) == [(0, 1, "A")]


def test_blocked_tokens_stay_blocked():
    nlp = spacy.blank("en")
    doc = gates_doc(nlp, [0.6, 0.6], [(0, "A"), (1, "A")]).predicted
    doc.set_ents([], blocked=[doc[0:1]])
    assert spans(nlp.add_pipe("ner_vote", config=GATED)(doc).ents) == [(1, 2, "A")]
    assert doc[0].ent_iob_ == "B" and not doc[0].ent_type_


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"configured": null}', '{"groups": [], "configured": {}}'])
def test_a_damaged_vote_says_where(tmp_path, content):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_vote")
    nlp.to_disk(tmp_path / "model")
    (tmp_path / "model" / "ner_vote" / "cfg").write_text(content)
    with pytest.raises(ValueError, match=r"'ner_vote' in .*ner_vote cannot be read .* damaged or incomplete"):
        spacy.load(tmp_path / "model")


def test_groups_that_no_component_writes():
    nlp = pipeline(vote={"groups": ["strong", "weka"]})
    with pytest.warns(UserWarning, match="merges weka, but no component of the pipeline has this spans_key"):
        nlp.initialize(lambda: examples(nlp))
