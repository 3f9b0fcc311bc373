"""The threshold of a router and the gates of a vote, found on a dev corpus."""

import numpy as np
import pytest
import spacy
from routing_samples import GATED, examples, gates_doc, pipeline
from samples import TRAIN
from spacy.tokens import DocBin, Span
from spacy.training import Example

from spacy_crfner.routing import threshold
from spacy_crfner.routing.threshold import find_gates, make_tune_threshold_v1


def test_threshold_is_tuned_where_the_model_is_saved(nlp, tmp_path):
    copied = pipeline().from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    router = copied.get_pipe("weak_class_router")
    router.cfg["threshold"] = 1.0
    assert copied.evaluate(examples(copied))["weak_r"] == 0.0
    assert make_tune_threshold_v1(tmp_path / "dev.spacy")(copied) is copied
    assert copied.evaluate(examples(copied))["weak_f"] == 1.0
    copied.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model").get_pipe("weak_class_router")
    assert again.cfg["threshold"] == pytest.approx(router.cfg["threshold"])
    with pytest.raises(ValueError, match="no weak_class_router named 'strong'"):
        make_tune_threshold_v1(tmp_path / "dev.spacy", component="strong")(copied)


def test_a_threshold_can_be_set_again_when_the_pipeline_is_loaded(nlp, tmp_path):
    copied = pipeline().from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    make_tune_threshold_v1(tmp_path / "dev.spacy")(copied)
    tuned = copied.get_pipe("weak_class_router").cfg["threshold"]
    assert tuned != 0.5
    copied.to_disk(tmp_path / "model")
    path = "components.weak_class_router.threshold"
    for given, expected in (({}, tuned), ({path: 0.5}, 0.5), ({path: 0.3}, 0.3)):
        loaded = spacy.load(tmp_path / "model", config=given)
        assert loaded.get_pipe("weak_class_router").cfg["threshold"] == pytest.approx(expected)


def test_gates_are_for_labels_that_are_better_with_them():
    """A is right only in probable sentences, B everywhere, C nowhere."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config={**GATED, "gates": {"B": 1.0}})
    found = [(0, "A"), (1, "A"), (2, "B"), (3, "B"), (4, "C")]
    example = gates_doc(nlp, [0.2, 0.9, 0.2, 0.9, 0.9], found, [(1, "A"), (2, "B"), (3, "B")])
    empty = Example(nlp.make_doc(""), nlp.make_doc(""))
    empty.predicted.spans["weak"] = []
    empty.predicted.spans["weak"].attrs["scores"] = []
    assert find_gates([example, empty], vote, 0.5) == {"A": 0.5}
    assert vote.cfg["gates"] == {"B": 1.0}


def test_gates_are_for_what_the_vote_finds():
    """The gated tagger is wrong about A in doubtful sentences, but there the other one outvotes it."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config={**GATED, "groups": ["strong", "weak"]})
    example = gates_doc(
        nlp, [0.2] * 5, [(k, "A") for k in range(5)], [(0, "A"), (1, "A"), (2, "B"), (3, "B"), (4, "B")]
    )
    doc = example.predicted
    doc.spans["weak"].attrs["scores"] = np.full(5, 0.6)
    doc.spans["strong"] = [Span(doc, k, k + 1, label="B") for k in (2, 3, 4)]
    doc.spans["strong"].attrs["scores"] = np.full(3, 0.9)
    assert find_gates([example], vote, 0.5) == {}


def test_the_gate_tells_sentences_apart_best(nlp, tmp_path, monkeypatch):
    """It is the threshold with the best F1, whatever beta is for the router's own; and the taggers read what that
    flags."""
    copied = pipeline(vote={"router": "weak_class_router", "gated": ["weak"]}).from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    seen = {}

    def find(found, vote, gate):
        flagged = [span.label_ == "weak" for e in found for span in e.predicted.spans["weak_class_router"]]
        seen.update(gate=gate, flagged=sum(flagged), read=sum(len(e.predicted.spans["weak"]) > 0 for e in found))
        return {}

    monkeypatch.setattr(threshold, "find_gates", find)
    copied.get_pipe("weak_class_router").configure("threshold", 1.0)
    make_tune_threshold_v1(tmp_path / "dev.spacy", beta=0.1, vote="ner_vote")(copied)
    with_org = sum(any(ent[2] == "ORG" for ent in ents) for _, ents in TRAIN)
    assert seen["flagged"] == seen["read"] == with_org
    make_tune_threshold_v1(tmp_path / "dev.spacy")(copied)
    assert seen["gate"] == pytest.approx(copied.get_pipe("weak_class_router").cfg["threshold"])


def test_the_meta_has_the_scores_of_what_is_saved(nlp, tmp_path):
    copied = pipeline(vote={"router": "weak_class_router", "gated": ["weak"]}).from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    copied.meta["performance"] = {"ents_f": 0.1, "weak_f": 0.1, "speed": 7.0}
    make_tune_threshold_v1(tmp_path / "dev.spacy", vote="ner_vote")(copied)
    assert copied.meta["performance"] == {"ents_f": 1.0, "weak_f": 1.0, "speed": 7.0}


def test_a_dev_corpus_without_weak_labels_changes_nothing(nlp, tmp_path, caplog):
    copied = pipeline().from_bytes(nlp.to_bytes())
    without = [e.reference for e, (_, ents) in zip(examples(nlp), TRAIN, strict=True) if "ORG" not in str(ents)]
    DocBin(docs=without).to_disk(tmp_path / "dev.spacy")
    before = copied.get_pipe("weak_class_router").cfg["threshold"]
    make_tune_threshold_v1(tmp_path / "dev.spacy")(copied)
    assert copied.get_pipe("weak_class_router").cfg["threshold"] == before
    assert "no sentence of" in caplog.text and "weak labels ORG" in caplog.text


def test_gates_need_all_taggers(nlp, tmp_path):
    copied = pipeline(vote={"router": "weak_class_router", "gated": ["weak"]}).from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    copied.disable_pipe("weak")
    with pytest.raises(ValueError, match=r"no enabled component before it writes doc\.spans\['weak'\]"):
        make_tune_threshold_v1(tmp_path / "dev.spacy", vote="ner_vote")(copied)


def test_gates_are_tuned_where_the_model_is_saved(nlp, tmp_path, monkeypatch):
    copied = pipeline(vote={"router": "weak_class_router", "gated": ["weak"]}).from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    tune = make_tune_threshold_v1(tmp_path / "dev.spacy", beta=8.0, vote="ner_vote")
    copied.get_pipe("ner_vote").configure("gates", {"ORG": 1.0})
    assert copied.evaluate(examples(copied))["ents_per_type"]["ORG"]["f"] < 1.0
    tune(copied)
    assert copied.get_pipe("ner_vote").cfg["gates"] == {}
    assert copied.evaluate(examples(copied))["ents_per_type"]["ORG"]["f"] == 1.0
    monkeypatch.setattr(threshold, "find_gates", lambda *arguments: {"ORG": 0.25, "GPE.NAM": 0.5})
    tune(copied)
    copied.to_disk(tmp_path / "model")
    assert spacy.load(tmp_path / "model").get_pipe("ner_vote").cfg["gates"] == {"ORG": 0.25, "GPE.NAM": 0.5}
    with pytest.raises(ValueError, match="finds no ner_vote 'strong' that 'weak_class_router' gates"):
        make_tune_threshold_v1(tmp_path / "dev.spacy", vote="strong")(copied)
