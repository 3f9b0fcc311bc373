"""The options of bcrf_ner, one by one, as a user meets them."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import spacy
from samples import SMALL_MODEL, TRAIN, copy_of, trained
from spacy.language import DEFAULT_CONFIG_PRETRAIN_PATH
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.pretrain import pretrain
from spacy.util import fix_random_seed, load_config, load_model_from_config, registry
from thinc.api import Adam, Config

from spacy_crfner.known_spans import KnownSpan, write_known_spans
from spacy_crfner.wrapping import shim_of

TEXT = TRAIN[0][0]


def make(examples=TRAIN, updates=60, **config):
    """A trained pipeline and its examples."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **config})
    made = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in examples]
    return trained(nlp, made, updates), made


def found(doc):
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def with_config(nlp, **config):
    """The same trained weights under other settings."""
    other = spacy.blank("en")
    other.add_pipe("bcrf_ner", config={**SMALL_MODEL, **config})
    other.get_pipe("bcrf_ner").add_label("LOC")
    for label in ("ORG", "PER"):
        other.get_pipe("bcrf_ner").add_label(label)
    other.get_pipe("bcrf_ner").model.from_bytes(nlp.get_pipe("bcrf_ner").model.to_bytes())
    return other


def test_default_pipe_learns_twenty_sentences_in_sixty_updates(examples):
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner")
    made = examples(nlp)
    optimizer = nlp.initialize(lambda: made)
    for _ in range(60):
        nlp.update(made, sgd=optimizer)
    assert nlp.evaluate(made)["ents_f"] == 1.0


# Annotation


def test_every_entity_has_its_exact_probability(small_nlp):
    doc = small_nlp(TEXT)
    attrs = doc.spans["bcrf_ner"].attrs
    found_at = zip(attrs["offsets"].tolist(), attrs["labels"], strict=True)
    places = [(start, end, label) for (start, end), label in found_at]
    assert places == found(doc) and len(attrs["scores"]) == len(doc.ents) == 3
    assert [ent._.confidence for ent in doc.ents] == pytest.approx(attrs["scores"].tolist())
    assert all(0.3 < ent._.confidence <= 1.0 for ent in doc.ents)
    assert doc[0:1]._.confidence is None


def test_marginals_and_n_best(small_nlp):
    nlp = with_config(small_nlp, annotate=["confidence", "marginals", "n_best"], n_best=3)
    doc = nlp("Anna Kell met Bob .\n It rained .")
    attrs = doc.spans["bcrf_ner"].attrs
    assert attrs["tags"] == list(nlp.get_pipe("bcrf_ner").tags)
    assert attrs["marginals"].shape == (len(doc), 13)
    np.testing.assert_allclose(attrs["marginals"].sum(1), 1.0, atol=1e-4)
    (paths,) = attrs["n_best"]
    probabilities = [path["probability"] for path in paths]
    assert len(paths) == 3 and probabilities == sorted(probabilities, reverse=True) and sum(probabilities) <= 1.0001
    assert [tuple(ent) for ent in paths[0]["ents"]] == found(doc)
    again = next(iter(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab)))
    assert again.spans["bcrf_ner"].attrs["n_best"] == attrs["n_best"]


def test_nothing_but_entities_on_request(small_nlp):
    doc = with_config(small_nlp, annotate=[])(TEXT)
    assert len(doc.ents) == 3 and "scores" not in doc.spans["bcrf_ner"].attrs
    assert doc.ents[0]._.confidence is None


def test_threshold_drops_unlikely_entities(small_nlp):
    doc = small_nlp("Perhaps Harlow met Oslo near Brandell Town .")
    confidences = sorted(ent._.confidence for ent in doc.ents)
    assert len(confidences) >= 2
    cut = (confidences[0] + confidences[1]) / 2
    kept = with_config(small_nlp, threshold=cut)(doc.text)
    assert sorted(ent._.confidence for ent in kept.ents) == pytest.approx(confidences[1:], abs=1e-4)


def test_spans_key_leaves_doc_ents_alone(small_nlp):
    nlp = with_config(small_nlp, spans_key="crf")
    nlp.add_pipe("entity_ruler", first=True).add_patterns([{"label": "DAY", "pattern": "Sunday"}])
    doc = nlp("Paris beat Lyon 2-1 on Sunday .")
    assert found(doc) == [(23, 29, "DAY")]
    assert {span.label_ for span in doc.spans["crf"]} == {"ORG"} and "bcrf_ner" not in doc.spans
    assert doc.spans["crf"][0]._.confidence > 0.5


def test_entities_that_were_there_stay_unless_overwritten(small_nlp):
    for overwrite in (False, True):
        nlp = with_config(small_nlp, overwrite_ents=overwrite)
        ruler = nlp.add_pipe("entity_ruler", first=True)
        ruler.add_patterns([{"label": "TEAM", "pattern": "Bob in"}, {"label": "LOC", "pattern": "Anna"}])
        doc = nlp(TEXT)
        if overwrite:
            assert found(doc) == TRAIN[0][1]
            continue
        assert (14, 20, "TEAM") in found(doc) and (0, 4, "LOC") in found(doc)
        assert (21, 26, "LOC") in found(doc) and (0, 9, "PER") not in found(doc)
        # It has something to say of what it found itself alone.
        attrs = doc.spans["bcrf_ner"].attrs
        assert len(attrs["labels"]) == len(attrs["scores"]) > 0 and "TEAM" not in attrs["labels"]


def test_running_twice_changes_nothing(small_nlp):
    doc = small_nlp(TEXT)
    before = [(ent.text, ent.label_, ent._.confidence) for ent in doc.ents]
    again = small_nlp(doc)
    assert [(ent.text, ent.label_, ent._.confidence) for ent in again.ents] == before and before[0][2] is not None


def test_spans_key_does_not_care_for_what_others_found(small_nlp):
    nlp = with_config(small_nlp, spans_key="crf")
    nlp.add_pipe("entity_ruler", first=True).add_patterns([{"label": "TEAM", "pattern": "Anna Kell"}])
    doc = nlp(TEXT)
    assert [(s.start_char, s.end_char, s.label_) for s in doc.spans["crf"]] == TRAIN[0][1]
    assert doc.ents[0].label_ == "TEAM"


def test_blocked_tokens_stay_blocked(small_nlp):
    doc = small_nlp.make_doc(TEXT)
    doc.set_ents([], blocked=[doc[0:2]])
    doc = small_nlp(doc)
    assert found(doc) == TRAIN[0][1][1:]
    assert [(token.ent_iob, token.ent_type) for token in doc[0:2]] == [(3, 0), (3, 0)]


def test_confidence_ignores_the_scores_of_other_components(small_nlp):
    doc = small_nlp(TEXT)
    score = doc.ents[0]._.confidence
    other = Doc(small_nlp.vocab, words=[t.text for t in doc])
    other.spans["sc"] = [Span(other, 0, 2, label="PER")]
    other.spans["sc"].attrs["scores"] = np.array([0.111])
    assert small_nlp(other).ents[0]._.confidence == pytest.approx(score)
    assert Span(other, 0, 3, label="PER")._.confidence is None


@pytest.mark.parametrize(
    "imports",
    [
        "import spacy_crfner; from spacy.tokens import DocBin; from spacy.vocab import Vocab; vocab = Vocab()",
        "from spacy.tokens import DocBin; from spacy.vocab import Vocab; import spacy_crfner; vocab = Vocab()",
        "import spacy; from spacy.tokens import DocBin; vocab = spacy.blank('en').vocab",
    ],
)
def test_confidence_is_known_without_the_component(imports, small_nlp, tmp_path, root):
    """Once the package is imported, before spaCy or after it, or any pipeline is made."""
    DocBin(docs=[small_nlp(TEXT)]).to_disk(tmp_path / "docs.spacy")
    code = (
        f"{imports}; doc = next(DocBin().from_disk({str(tmp_path / 'docs.spacy')!r}).get_docs(vocab));"
        "print(doc.ents[0]._.confidence > 0.3, doc.ents[0]._.weak_probability)"
    )
    result = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "True None", result.stderr


def test_somebody_elses_confidence_stays():
    """Only a component that is to write confidences says that it is in the way."""
    code = (
        "from spacy.tokens import Span; Span.set_extension('confidence', default=2); import spacy_crfner, spacy;"
        "doc = spacy.blank('en')('Anna met Bob'); print(doc[0:1]._.confidence)"
    )
    result = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "2", result.stderr


def test_settings_changed_after_training_are_saved_and_overridden(small_nlp, tmp_path):
    nlp = with_config(small_nlp)
    nlp.get_pipe("bcrf_ner").cfg["threshold"] = 0.9
    nlp.to_disk(tmp_path / "model")
    assert spacy.load(tmp_path / "model").get_pipe("bcrf_ner").cfg["threshold"] == 0.9
    override = {"components": {"bcrf_ner": {"threshold": 0.2, "annotate": ["n_best"]}}}
    again = spacy.load(tmp_path / "model", config=override)
    assert again.get_pipe("bcrf_ner").cfg["threshold"] == 0.2
    assert "n_best" in again(TEXT).spans["bcrf_ner"].attrs


def test_8_bit_weights_are_a_matter_of_loading(small_nlp, tmp_path):
    small_nlp.to_disk(tmp_path)
    setting = "components.bcrf_ner.model.tok2vec.int8"
    fast = spacy.load(tmp_path, config={setting: True})
    text = " ".join(text for text, _ in TRAIN)
    expected, found = (
        [(ent.text, ent.label_, ent._.confidence) for ent in nlp(text).ents] for nlp in (small_nlp, fast)
    )
    assert [ent[:2] for ent in found] == [ent[:2] for ent in expected]
    confidences = [ent[2] for ent in found]
    assert confidences != [ent[2] for ent in expected]
    assert confidences == pytest.approx([ent[2] for ent in expected], abs=0.05)
    fast.to_disk(tmp_path / "again")
    again = spacy.load(tmp_path / "again")
    assert again.config["components"]["bcrf_ner"]["model"]["tok2vec"]["int8"] is True
    assert [ent._.confidence for ent in again(text).ents] == confidences


def test_n_best_of_a_long_text(small_nlp):
    nlp = with_config(small_nlp, annotate=["n_best"], n_best=2)
    doc = nlp(Doc(nlp.vocab, words=[word for text, _ in TRAIN for word in text.split()] * 20))
    (paths,) = doc.spans["bcrf_ner"].attrs["n_best"]
    assert len(paths) == 2 and paths[0]["log_probability"] >= paths[1]["log_probability"]


def test_labels_with_blanks():
    nlp, made = make([("Anna Kell left .", [(0, 9, "FULL NAME")])], updates=20)
    assert nlp.evaluate(made)["ents_f"] == 1.0


def test_confidence_of_many_entities(small_nlp):
    doc = Doc(small_nlp.vocab, words=["Bob", "met"] * 5000)
    doc.ents = [Span(doc, i, i + 1, label="PER") for i in range(0, 10000, 2)]
    scores = np.linspace(0, 1, 5000).tolist()
    found = [KnownSpan.of(ent, score, "me") for ent, score in zip(doc.ents, scores, strict=True)]
    write_known_spans(doc, "bcrf_ner", found, component="bcrf_ner", owner="me", attrs={"scores": None})
    reads = [ent._.confidence for ent in doc.ents]
    assert reads == pytest.approx(np.linspace(0, 1, 5000).tolist())


def test_blocked_white_space_inside_an_entity(small_nlp):
    doc = small_nlp.make_doc("Anna \n Kell met Bob in Paris .")
    doc.set_ents([], blocked=[doc[1:2]])
    assert all(not (ent.start <= 1 < ent.end) for ent in small_nlp(doc).ents)


def test_entities_given_to_a_doc_of_white_space_stay(small_nlp):
    for texts in (["\n \n"], ["\n \n", TEXT]):
        docs = [small_nlp.make_doc(text) for text in texts]
        docs[0].ents = [Span(docs[0], 0, 1, label="BREAK")]
        assert [ent.label_ for ent in next(iter(small_nlp.pipe(docs))).ents] == ["BREAK"]


def test_running_again_after_tokens_were_merged(small_nlp):
    doc = small_nlp(TEXT)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:5])
    assert len(small_nlp(doc)) == 3


def test_docs_without_words_get_the_same_annotation(small_nlp):
    nlp = with_config(small_nlp, annotate=["confidence", "marginals", "n_best"])
    for doc in [nlp(""), nlp(" \n"), *nlp.pipe(["", " \n", TEXT])]:
        attrs = doc.spans["bcrf_ner"].attrs
        assert {"scores", "marginals", "tags", "n_best"} <= set(attrs)
        assert attrs["marginals"].shape == (len(doc), 13)


def test_docs_of_several_vocabs_in_one_batch(small_nlp):
    other = spacy.blank("en")
    docs = [small_nlp.make_doc(TEXT), other.make_doc("Zanzibarium met Foo in Paris .")]
    assert [ent.text for ent in next(iter(small_nlp.pipe(docs))).ents] == ["Anna Kell", "Bob", "Paris"]


def test_label_added_before_rehearsal(small_nlp, examples):
    nlp = with_config(small_nlp)
    for node in nlp.get_pipe("bcrf_ner").model.walk():
        if "noise" in node.attrs:
            node.attrs["noise"] = 0.0
    optimizer = nlp.resume_training()
    nlp.get_pipe("bcrf_ner").add_label("EVENT")
    losses = nlp.rehearse(examples(nlp), sgd=optimizer)
    assert losses["bcrf_ner"] == pytest.approx(0.0, abs=1e-3)


def test_a_learning_rate_that_stays_at_0_is_named(small_nlp, examples):
    """As one with a warm-up does in a loop that does not step its schedules."""
    nlp = with_config(small_nlp)
    warm = {"@schedules": "warmup_linear.v1", "warmup_steps": 10, "total_steps": 100, "initial_rate": 0.01}
    optimizer = Adam(registry.resolve({"rate": warm})["rate"])
    batch = examples(nlp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            nlp.update(batch, sgd=optimizer)
    with pytest.warns(UserWarning, match=r"'bcrf_ner' has learned nothing in 5 updates, since the learning rate is 0"):
        nlp.update(batch, sgd=optimizer)
    other = Adam(registry.resolve({"rate": warm})["rate"])
    nlp = with_config(small_nlp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.update(batch, sgd=optimizer)
        for _ in range(8):
            nlp.update(batch, sgd=other)
            other.step_schedules()


def test_loading_replaces_other_labels(small_nlp, tmp_path):
    small_nlp.to_disk(tmp_path / "model")
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL).add_label("Q")
    nlp.from_disk(tmp_path / "model")
    assert found(nlp(TEXT)) == TRAIN[0][1] and nlp.get_pipe("bcrf_ner").labels == ("LOC", "ORG", "PER")


def test_get_loss_changes_nothing(small_nlp, examples):
    nlp = with_config(small_nlp)
    pipe = nlp.get_pipe("bcrf_ner")
    made = examples(nlp)
    scores, _ = pipe.model.begin_update([example.predicted for example in made])
    first, gradient = pipe.get_loss(made, scores)
    again, _ = pipe.get_loss(made, scores)
    assert first == again and pipe.skipped_sentences == 0
    assert [rows.shape for rows in gradient.emissions] == [rows.shape for rows in scores.emissions]
    assert gradient.transitions.shape == scores.transitions.shape


def test_the_best_model_is_chosen_by_the_span_group_that_is_written(small_nlp):
    """Where nothing writes doc.ents, its F1 is 0 at every evaluation."""
    weights = {}
    for settings, given in [({}, {}), ({"spans_key": "crf"}, {}), ({"spans_key": "crf"}, {"spans_crf_per_type": 0.5})]:
        nlp = spacy.blank("en")
        nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **settings})
        nlp.config["training"]["score_weights"] = given
        example = Example.from_dict(nlp.make_doc("Bob left ."), {"entities": [(0, 3, "PER")]})
        nlp.initialize(lambda example=example: [example])
        found = Config().from_str(nlp.config.to_str())["training"]["score_weights"]
        weights[len(weights)] = {name: weight for name, weight in found.items() if weight}
    assert weights[0] == {"ents_f": 1.0} and weights[1] == {"spans_crf_f": 1.0}
    assert "ents_f" not in weights[2] and weights[2]["spans_crf_f"] > 0


def test_settings_are_attributes(small_nlp):
    nlp = copy_of(small_nlp)
    ner = nlp.get_pipe("bcrf_ner")
    ner.threshold = 1.0
    assert ner.cfg["threshold"] == ner.threshold == 1.0 and not nlp(TEXT).ents
    with pytest.raises(ValueError, match="threshold of 'bcrf_ner' must be a number from 0 to 1, not 2"):
        ner.threshold = 2.0
    assert ner.threshold == 1.0
    with pytest.raises(AttributeError, match="no setting 'treshold': do you mean 'threshold'"):
        ner.treshold = 0.9
    ner.of_mine = 1
    assert ner.of_mine == 1


def test_label_filter_is_scored_on_its_own_labels():
    nlp, made = make(label_filter=["PER"])
    scores = nlp.evaluate(made)
    assert scores["ents_f"] == 1.0 and set(scores["ents_per_type"]) == {"PER"}


def test_white_space_never_begins_or_ends_an_entity(small_nlp):
    doc = small_nlp("Anna \n Kell   met  \n Bob \n in Paris \n\n .")
    assert doc.ents
    for ent in doc.ents:
        assert not ent[0].is_space and not ent[-1].is_space
    assert any(token.is_space for ent in doc.ents for token in ent)  # "Anna \n Kell" is one entity


def test_other_encoders_of_the_scheme():
    nlp, made = make(scheme="BIO")
    assert nlp.evaluate(made)["ents_f"] == 1.0
    assert nlp.get_pipe("bcrf_ner").tags == ("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER")


@pytest.mark.parametrize("loss", ["nll", "bernoulli", "viterbi_gated", "focal", "softmax"])
def test_every_loss_learns(loss):
    decoder = "softmax_decoder" if loss == "softmax" else "viterbi_decoder"
    nlp, made = make(
        loss={"@misc": f"spacy_crfner.{loss}.v1"}, decoder={"@misc": f"spacy_crfner.{decoder}.v1"}, updates=60
    )
    assert nlp.evaluate(made)["ents_f"] == 1.0


def test_max_f_decoder(small_nlp):
    nlp = with_config(small_nlp, decoder={"@misc": "spacy_crfner.max_f_decoder.v1"})
    assert found(nlp(TEXT)) == TRAIN[0][1]
    eager = with_config(small_nlp, decoder={"@misc": "spacy_crfner.max_f_decoder.v1", "threshold": 0.01})
    text = "Perhaps Harlow met Oslo near Brandell Town ."
    assert len(eager(text).ents) >= len(nlp(text).ents)


# Sentences


def joined(nlp, texts, with_sents):
    docs = [nlp.make_doc(text) for text in texts]
    doc = Doc.from_docs(docs)
    starts = np.cumsum([0, *(len(d) for d in docs)])[:-1].tolist()
    if with_sents:
        for token in doc:
            token.is_sent_start = token.i in starts
    return doc


@pytest.mark.parametrize("per_sentence", [True, False])
def test_sentences_are_read_by_themselves(small_nlp, per_sentence):
    nlp = with_config(small_nlp, per_sentence=per_sentence)
    texts = [text for text, _ in TRAIN[:10]]
    single = [ent.text for text in texts for ent in nlp(text).ents]
    scores = [ent._.confidence for text in texts for ent in nlp(text).ents]
    doc = nlp(joined(nlp, texts, with_sents=True))
    if per_sentence:
        assert [ent.text for ent in doc.ents] == single
        assert [ent._.confidence for ent in doc.ents] == pytest.approx(scores, abs=1e-5)
    else:
        assert [ent._.confidence for ent in doc.ents] != pytest.approx(scores, abs=1e-5)


def test_entities_never_cross_sentence_borders(small_nlp):
    words = ["Anna", "Kell", "met", "Bob", "in", "Paris", "."]
    doc = Doc(small_nlp.vocab, words=words, sent_starts=[True, True, True, False, False, False, False])
    assert all(len(list(ent.sents)) == 1 for ent in small_nlp(doc).ents)


def test_impossible_gold_is_left_out_with_one_warning(small_nlp):
    nlp = with_config(small_nlp)
    predicted = nlp.make_doc("Anna Kell left . Bob stayed .")
    for token in predicted:
        token.is_sent_start = token.i in (0, 1, 4)  # a border inside "Anna Kell"
    example = Example.from_dict(predicted, {"entities": [(0, 9, "PER"), (17, 20, "PER")]})
    pipe = nlp.get_pipe("bcrf_ner")
    with pytest.warns(UserWarning, match="left 2 sentence") as caught:
        losses = nlp.update([example], sgd=Adam(0.001))
    assert len(caught) == 1 and pipe.skipped_sentences == 2
    assert np.isfinite(losses["bcrf_ner"])
    nlp.update([example], sgd=Adam(0.001))
    assert pipe.skipped_sentences == 4


# Annotation to learn from


def test_label_filter_counts_other_entities_as_none():
    nlp, _ = make(label_filter=["PER"])
    assert nlp.get_pipe("bcrf_ner").labels == ("PER",)
    assert found(nlp(TEXT)) == [(0, 9, "PER"), (14, 17, "PER")]
    with pytest.raises(ValueError, match="label_filter"):
        nlp.get_pipe("bcrf_ner").add_label("LOC")


def test_partial_annotation_is_summed_over():
    """Sentences in which only some entities are marked teach those and leave the others open."""
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    made = []
    for number, (text, ents) in enumerate(TRAIN):
        example = Example.from_dict(nlp.make_doc(text), {"entities": ents})
        if number % 2:
            doc = example.reference
            doc.set_ents(list(doc.ents)[:1], default="missing")
        made.append(example)
    trained(nlp, made)
    complete = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    scores = nlp.evaluate(complete)
    assert scores["ents_r"] > 0.85
    assert nlp.evaluate(made)["ents_r"] == 1.0


def test_tokens_that_the_gold_cuts_differently_are_aligned():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    pipe.add_label("LOC")
    predicted = Doc(nlp.vocab, words=["New", "York", "-", "based", "staff"], spaces=[True, False, False, True, False])
    reference = Doc(nlp.vocab, words=["New", "York-based", "staff"], spaces=[True, True, False])
    reference.ents = [Span(reference, 0, 2, label="LOC")]
    example = Example(predicted, reference)
    nlp.initialize(lambda: [example])
    for _ in range(60):
        nlp.update([example], sgd=Adam(0.01))
    doc = Doc(nlp.vocab, words=[t.text for t in predicted], spaces=[bool(t.whitespace_) for t in predicted])
    for _, proc in nlp.pipeline:
        doc = proc(doc)
    assert [(ent.start, ent.end, ent.label_) for ent in doc.ents] == [(0, 4, "LOC")]


def test_incorrect_spans_teach_what_is_no_entity(small_nlp):
    nlp = with_config(small_nlp, incorrect_spans_key="wrong")
    assert found(nlp("Rome and Oslo signed the treaty .")) == [(0, 4, "LOC"), (9, 13, "LOC")]
    reference = nlp.make_doc("Rome and Oslo signed the treaty .")
    reference.spans["wrong"] = [Span(reference, 0, 1, label="LOC")]
    example = Example(nlp.make_doc(reference.text), reference)
    for _ in range(20):
        losses = nlp.update([example], sgd=Adam(0.005))
    assert (0, 4, "LOC") not in found(nlp(reference.text))
    assert losses["bcrf_ner"] < 0.5


# Around the component


def test_initialize_again_with_other_labels(small_nlp):
    nlp = with_config(small_nlp)
    example = Example.from_dict(nlp.make_doc("The Harvest Fair is on ."), {"entities": [(4, 16, "EVENT")]})
    nlp.initialize(lambda: [example])
    assert nlp.get_pipe("bcrf_ner").labels == ("LOC", "ORG", "PER", "EVENT")
    nlp("Nothing .")


def test_pretrained_weights_reach_the_encoder(tmp_path, root):
    """`spacy pretrain` over the shipped recipe, then the weights it wrote as `paths.init_tok2vec`."""
    texts = tmp_path / "texts.jsonl"
    texts.write_text("\n".join(json.dumps({"text": text}) for text, _ in TRAIN))
    nlp = spacy.blank("en")
    docs = [Example.from_dict(nlp.make_doc(text), {"entities": ents}).reference for text, ents in TRAIN]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    paths = {"paths.train": str(tmp_path / "train.spacy"), "paths.dev": str(tmp_path / "train.spacy")}
    small = "components.bcrf_ner.model.tok2vec"
    sizes = {f"{small}.width": 64, f"{small}.tok2vec.hash_width": 48, f"{small}.tok2vec.char_rows": 1100}
    config = load_config(root / "configs" / "bcrf_ner.cfg", overrides={**paths, **sizes})
    config = load_model_from_config(config, auto_fill=True).config
    extra = load_config(DEFAULT_CONFIG_PRETRAIN_PATH)
    config = Config(extra).merge(config)
    config["paths"]["raw_text"] = str(texts)
    config["pretraining"] = {**extra["pretraining"], "component": "bcrf_ner", "layer": "tok2vec", "max_epochs": 1}
    config = config.interpolate()
    (tmp_path / "pretrained").mkdir()
    pretrain(config, tmp_path / "pretrained", silent=True)
    (weights,) = (tmp_path / "pretrained").glob("model-last.bin")
    plain, same = init_nlp(config), init_nlp(config)
    config["paths"]["init_tok2vec"] = config["initialize"]["init_tok2vec"] = str(weights)
    loaded = init_nlp(config)
    encoders = [n.get_pipe("bcrf_ner").model.get_ref("tok2vec") for n in (plain, same, loaded)]
    first, repeated, second = (shim_of(encoder)._model.state_dict()["forwards.0.weight_ih_l0"] for encoder in encoders)
    # Equal seeds give equal weights, so that only what was loaded can make the difference.
    assert bool((first == repeated).all()) and first.shape == second.shape and not bool((first == second).all())


def test_scores_of_a_span_group(small_nlp):
    nlp = with_config(small_nlp, spans_key="crf")
    scores = nlp.evaluate([Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN])
    assert scores["spans_crf_f"] == 1.0 and scores["spans_crf_per_type"]["PER"]["r"] == 1.0
    # Labels that the component does not have count as missed.
    text = "The Harvest Fair is on ."
    event = Example.from_dict(nlp.make_doc(text), {"entities": [(4, 16, "EVENT")]})
    assert nlp.evaluate([event])["spans_crf_per_type"]["EVENT"]["r"] == 0.0
    half = [Example.from_dict(nlp.make_doc(text), {"entities": []}) for text, _ in TRAIN]
    assert nlp.evaluate(half)["spans_crf_p"] == 0.0
    missing = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text, _ in TRAIN]
    assert nlp.evaluate(missing)["spans_crf_f"] is None


def test_find_threshold_can_set_the_threshold(small_nlp):
    nlp = with_config(small_nlp)
    pipe = nlp.get_pipe("bcrf_ner")
    assert "threshold" in pipe.cfg
    pipe.cfg["threshold"] = 1.0
    assert nlp(TEXT).ents == ()
