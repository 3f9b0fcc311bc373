"""Bad input gets one clear sentence."""

import numpy as np
import pytest
import spacy
import srsly
from samples import SMALL_MODEL, TRAIN, copy_of
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.vectors import Vectors
from thinc.api import Adam


def blank(**config):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **config})
    return nlp, pipe


def examples(nlp):
    return [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]


def assert_one_sentence(error, *parts):
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    for part in parts:
        assert part in message


@pytest.mark.parametrize("label", ["", "O", " blank", "two  blanks", "tab\t", 3])
def test_labels_that_no_tag_can_hold(label):
    _, pipe = blank()
    with pytest.raises(ValueError) as error:
        pipe.add_label(label)
    assert_one_sentence(error, repr(label), "ename")


def test_unknown_scheme():
    with pytest.raises(ValueError) as error:
        blank(scheme="BILOU2")
    assert_one_sentence(error, "'BILOU2'", "BIOES, BIO")


def test_overlapping_entities():
    nlp, _ = blank()
    with pytest.raises(ValueError, match=r"overlap|E103"):
        Example.from_dict(nlp.make_doc("Anna Kell left ."), {"entities": [(0, 9, "PER"), (5, 9, "PER")]})


def test_unknown_loss():
    with pytest.raises(Exception, match=r"spacy_crfner\.nope\.v1") as error:
        blank(loss={"@misc": "spacy_crfner.nope.v1"})
    assert "spacy_crfner.bernoulli.v1" in str(error.value)


def test_unknown_annotation_and_numbers_out_of_range():
    for config, part in (
        ({"annotate": ["colour"]}, "colour"),
        ({"threshold": 1.5}, "threshold"),
        ({"n_best": 0}, "n_best"),
        ({"label_filter": []}, "label_filter"),
        ({"r_drop": -0.5}, "r_drop"),
    ):
        with pytest.raises(ValueError) as error:
            blank(**config)
        assert_one_sentence(error, part, "bcrf_ner")
    for function, settings in (("bernoulli", {"P": 0.0}), ("focal", {"gamma": -1.0})):
        with pytest.raises(ValueError, match=r"not (0\.0|-1\.0)"):
            blank(loss={"@misc": f"spacy_crfner.{function}.v1", **settings})
    with pytest.raises(ValueError, match="max-F decoder"):
        blank(decoder={"@misc": "spacy_crfner.max_f_decoder.v1", "threshold": 1.0})
    with pytest.raises(ValueError, match="max_length"):
        blank(decoder={"@misc": "spacy_crfner.max_f_decoder.v1", "max_length": 0})


def test_functions_of_another_kind():
    for kind, function in (("loss", "viterbi_decoder"), ("decoder", "nll"), ("loss", "cross_entropy")):
        with pytest.raises(ValueError) as error:
            blank(**{kind: {"@misc": f"spacy_crfner.{function}.v1"}})
        assert_one_sentence(error, f"not a {kind} for this component", "bcrf_ner")


def test_labels_that_the_component_does_not_have():
    nlp, _ = blank(label_filter=["PERSON", "PER"])
    made = examples(nlp)
    with pytest.warns(UserWarning, match="PERSON, which the training data does not have: its labels are LOC, ORG, PER"):
        nlp.initialize(lambda: made)


def test_empty_corpus():
    nlp, pipe = blank()
    with pytest.raises(ValueError) as error:
        pipe.initialize(lambda: [], nlp=nlp)
    assert_one_sentence(error, "bcrf_ner", "no examples")


def test_labels_and_examples_of_the_wrong_kind():
    nlp, pipe = blank()
    with pytest.raises(ValueError, match="must be a list such as"):
        pipe.initialize(lambda: examples(nlp), nlp=nlp, labels="PER")
    with pytest.raises(TypeError, match="Example"):
        pipe.initialize(lambda: [nlp.make_doc("Bob")], nlp=nlp)


def test_corpus_without_entities():
    nlp, _ = blank()
    made = [Example.from_dict(nlp.make_doc("Nothing here ."), {"entities": []})] * 3
    with pytest.raises(ValueError) as error:
        nlp.initialize(lambda: made)
    assert_one_sentence(error, "no entities in 3 training examples", "add_label")


def test_nan_loss():
    nlp, pipe = blank()
    made = examples(nlp)
    nlp.initialize(lambda: made)
    weights = pipe.model.get_ref("head").get_ref("output_layer")
    weights.set_param("W", weights.get_param("W") * np.nan)
    with pytest.raises(ValueError) as error:
        nlp.update(made, sgd=Adam(0.001))
    assert_one_sentence(error, "bcrf_ner", "not finite", "learning rate")


def test_another_scheme_after_training(small_nlp):
    nlp = copy_of(small_nlp)
    nlp.get_pipe("bcrf_ner").cfg["scheme"] = "BIO"
    with pytest.raises(ValueError) as error:
        nlp("Bob left .")
    assert_one_sentence(error, "another scheme", "bcrf_ner")


def test_a_setting_that_does_not_exist():
    nlp, pipe = blank()
    made = examples(nlp)
    nlp.initialize(lambda: made)
    pipe.cfg["treshold"] = 0.5
    with pytest.raises(ValueError) as error:
        nlp(TRAIN[0][0])
    assert_one_sentence(error, "bcrf_ner", "no setting treshold", "threshold")


def test_a_component_of_an_earlier_version(small_nlp, tmp_path):
    small_nlp.to_disk(tmp_path / "model")
    cfg = srsly.read_json(tmp_path / "model" / "bcrf_ner" / "cfg")
    # It has written no digests.
    del cfg["saved"]
    srsly.write_json(tmp_path / "model" / "bcrf_ner" / "cfg", {**cfg, "train_on": "all", "filtered": None})
    with pytest.raises(ValueError) as error:
        spacy.load(tmp_path / "model")
    assert_one_sentence(error, "bcrf_ner", "was saved by an earlier version: train it again")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
def test_model_file_cut_in_half(small_nlp, tmp_path, share):
    small_nlp.to_disk(tmp_path / "model")
    file = tmp_path / "model" / "bcrf_ner" / "model"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ValueError) as error:
        spacy.load(tmp_path / "model")
    assert_one_sentence(error, "bcrf_ner", "damaged")


def test_settings_file_cut_in_half(small_nlp, tmp_path):
    small_nlp.to_disk(tmp_path / "model")
    file = tmp_path / "model" / "bcrf_ner" / "cfg"
    file.write_text(file.read_text()[:20])
    with pytest.raises(ValueError) as error:
        spacy.load(tmp_path / "model")
    assert_one_sentence(error, "bcrf_ner", "damaged")


def vectors(nlp, width):
    words = sorted({token.text for text, _ in TRAIN for token in nlp.make_doc(text)})
    data = np.random.default_rng(0).normal(size=(len(words), width)).astype("f")
    return Vectors(strings=nlp.vocab.strings, data=data, keys=words)


def test_vectors_of_another_width():
    nlp, _ = blank()
    nlp.vocab.vectors = vectors(nlp, 12)
    made = examples(nlp)
    nlp.initialize(lambda: made)
    nlp(TRAIN[0][0])
    nlp.vocab.vectors = vectors(nlp, 7)
    with pytest.raises(ValueError) as error:
        nlp(TRAIN[0][0])
    assert_one_sentence(error, "width 12", "width 7")


def test_path_that_does_not_exist(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        spacy.load(tmp_path / "nowhere")


def test_training_corpus_that_does_not_exist(root, tmp_path):
    from spacy.cli.train import train

    with pytest.raises(OSError, match=r"nowhere\.spacy"):
        train(
            root / "configs" / "bcrf_ner.cfg",
            overrides={"paths.train": str(tmp_path / "nowhere.spacy"), "paths.dev": str(tmp_path / "nowhere.spacy")},
        )


@pytest.mark.parametrize("kind", ["empty", "no entities"])
def test_spacy_train_on_a_corpus_of_nothing(root, tmp_path, kind):
    from spacy.cli.train import train

    nlp = spacy.blank("en")
    doc = Doc(nlp.vocab, words=["Nothing", "here"])
    doc.set_ents([])
    DocBin(docs=[] if kind == "empty" else [doc]).to_disk(tmp_path / "train.spacy")
    with pytest.raises(ValueError) as error:
        train(
            root / "configs" / "bcrf_ner.cfg",
            overrides={"paths.train": str(tmp_path / "train.spacy"), "paths.dev": str(tmp_path / "train.spacy")},
        )
    assert_one_sentence(error, "bcrf_ner", "no examples" if kind == "empty" else "no entities")


def test_span_group_of_wrong_spans_that_is_missing_is_no_error(small_nlp):
    nlp, _ = blank(incorrect_spans_key="wrong")
    made = examples(nlp)
    nlp.initialize(lambda: made)
    nlp.update(made, sgd=Adam(0.001))
    reference = made[0].reference
    reference.spans["wrong"] = [Span(reference, 0, 1, label="")]
    nlp.update(made, sgd=Adam(0.001))
