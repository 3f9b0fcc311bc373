"""The shipped configs: short, filled in by `spacy train`, and what their comments say."""

import inspect
import runpy
import subprocess
import sys

import numpy as np
import pytest
import spacy
from samples import ROOT, TRAIN
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import fix_random_seed, load_config, load_model_from_config, registry
from thinc.api import Config, Optimizer
from tiny_transformers import transformer_folder

from spacy_crfner.encoders.char_cnn import build_char_cnn_v1
from spacy_crfner.shipped_configs import read_config

CONFIGS = sorted((ROOT / "configs").glob("*.cfg"))
ROUTED = ("weak_class", "weak_class_shared")
# What a config names that must be there.
PATHS = {"back_attention": {"paths.translator": "translator"}}
FROZEN = ("frozen_bilstm", "frozen_transformer")
FINE_TUNED = ("transformer", "transformer_attention", "transformer_bilstm", "transformer_features")
ROUTED_TRANSFORMER = "weak_class_transformer"
PATHS |= {name: {"paths.transformer": "bert-base-cased"} for name in (*FROZEN, *FINE_TUNED, ROUTED_TRANSFORMER)}
# The configs whose training is that of the default recipe.
RECIPES = [path.stem for path in CONFIGS if path.stem not in (*FINE_TUNED, ROUTED_TRANSFORMER)]
TAGGER = {"weak_class": "tagger.model.tok2vec", "weak_class_shared": "components.tok2vec.model"}


def raw(name, **overrides):
    return load_config(ROOT / "configs" / f"{name}.cfg", overrides={**PATHS.get(name, {}), **overrides})


def filled(name):
    return load_model_from_config(raw(name), auto_fill=True, validate=True).config.interpolate()


def small(name):
    """What makes a pipeline with a router small."""
    encoder = TAGGER[name]
    width = "listener.width" if name == "weak_class_shared" else f"{encoder}.width"
    return {width: 32, f"{encoder}.tok2vec.layout": "char16", "components.weak_class_router.model.hidden_width": 16}


def test_the_package_has_equal_copies():
    copies = {path.name: path.read_bytes() for path in (ROOT / "spacy_crfner" / "configs").iterdir()}
    assert copies == {path.name: path.read_bytes() for path in CONFIGS}, "run scripts/write_configs.py"


def test_variants_are_written_from_what_differs():
    """What configs share stands once."""
    found = runpy.run_path(str(ROOT / "scripts" / "write_configs.py"))["variants"]()
    written = {path.name: path.read_text(encoding="utf8") for path in CONFIGS if path.name in found}
    assert found == written and len(found) == 7, "run scripts/write_configs.py"


@pytest.mark.parametrize("name", [path.stem for path in CONFIGS])
def test_fills_and_resolves(name):
    config = raw(name)
    nlp = load_model_from_config(config, auto_fill=True, validate=True)
    weights = nlp.config["training"]["score_weights"]
    assert sum(value for value in weights.values() if value) == pytest.approx(1.0)
    # A score that no component returns would count as 0 without a word.
    returned = {key for pipe in nlp.pipe_names for key in nlp.get_pipe_meta(pipe).default_score_weights}
    assert {key for key, value in weights.items() if value} <= returned


@pytest.mark.parametrize("name", [path.stem for path in CONFIGS])
def test_with_a_sentencizer(name):
    """In front of all, in training too, and without weight in the score; everything else is as it was."""
    text = read_config(name, sentencizer=True)
    config = Config().from_str(text, interpolate=False, overrides=PATHS.get(name, {}))
    nlp = load_model_from_config(config, auto_fill=True, validate=True)
    plain = load_model_from_config(raw(name), auto_fill=True, validate=True)
    assert nlp.pipe_names == ["sentencizer", *plain.pipe_names]
    training, before = (one.config["training"] for one in (nlp, plain))
    assert training["annotating_components"] == ["sentencizer", *before["annotating_components"]]
    weights = training["score_weights"]
    assert sum(value for value in weights.values() if value) == pytest.approx(1.0) and not weights["sents_f"]
    assert {line for line in read_config(name).splitlines() if line.startswith("#")} <= set(text.splitlines())
    doc = nlp.get_pipe("sentencizer")(nlp.make_doc("Ada sang. Bob left."))
    assert len(list(doc.sents)) == 2


@pytest.mark.parametrize("name", RECIPES)
def test_trains_as_the_recipe_does(name):
    """The settings that were chosen on dev, wherever spaCy's defaults differ."""
    config = filled(name)
    assert config["nlp"]["batch_size"] == 256 and config["training"]["dropout"] == 0.4
    training = config["training"]
    assert (training["patience"], training["max_steps"], training["eval_frequency"]) == (1600, 20000, 200)
    assert training["batcher"] == {
        "@batchers": "spacy.batch_by_words.v1",
        "size": 500,
        "tolerance": 0.2,
        "discard_oversize": False,
        "get_length": None,
    }
    rate = {"@schedules": "warmup_linear.v1", "warmup_steps": 100, "total_steps": 20000, "initial_rate": 0.001}
    assert training["optimizer"] == {
        "@optimizers": "Adam.v1",
        "beta1": 0.9,
        "beta2": 0.999,
        "L2_is_weight_decay": True,
        "L2": 0.5,
        "grad_clip": 1.0,
        "use_averages": True,
        "eps": 1e-8,
        "learn_rate": rate if name in ROUTED else 0.001,
    }
    assert config["initialize"]["vectors"] is None and config["corpora"]["dev"]["@readers"] == "spacy.Corpus.v1"
    annotating = ["back_attention"] if "back_attention" in config["components"] else []
    assert training["annotating_components"] == annotating


def arguments_of(function):
    return {name: own.default for name, own in inspect.signature(function).parameters.items()}


def defaults(factory):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory)
    return nlp.config["components"][factory]


@pytest.mark.parametrize("name", RECIPES)
def test_components_differ_from_the_defaults_only_where_they_must(name):
    """The recipe says what add_pipe would do anyway: nobody has to keep two sets of numbers in mind."""
    features = {"@architectures": "spacy_crfner.BackAttentionFeatures.v1", "width": 400}
    features.update(component="back_attention", dropout=0.0)
    tagger = defaults("bcrf_ner")
    for component, block in filled(name)["components"].items():
        default = defaults(block["factory"]) if block["factory"] != "tok2vec" else None
        if component == "tok2vec":
            assert block["model"] == tagger["model"]["tok2vec"]
            continue
        if name in FROZEN:
            encoder, own = block["model"].pop("tok2vec"), default["model"].pop("tok2vec")
            parts = encoder.pop("*") if name == "frozen_transformer" else encoder["tok2vec"]
            transformer = parts["encoder" if name == "frozen_transformer" else "first"]
            assert transformer["frozen"] and transformer["layers"] == 4 and transformer["cache"] is None
            if name == "frozen_bilstm":
                assert {**encoder, "tok2vec": parts["second"]} == own
        elif name == "bilstm_cnn":
            encoder, own = block["model"].pop("tok2vec"), default["model"].pop("tok2vec")
            words, chars = (encoder["tok2vec"].pop(key) for key in ("first", "second"))
            assert {key for key in words if words[key] != own["tok2vec"][key]} == {"layout", "hash_attrs", "hash_rows"}
            assert chars == {"@architectures": "spacy_crfner.CharCNN.v1", **arguments_of(build_char_cnn_v1)}
            assert {**encoder, "tok2vec": None} == {**own, "tok2vec": None}
        elif component == "bcrf_ner" and name != "bcrf_ner":
            encoder = block["model"].pop("tok2vec")
            assert encoder["first"] == default["model"].pop("tok2vec") and encoder["second"] == features
        differing = {key for key, value in block.items() if value != default[key]}
        shared = {"model", "r_drop"} if name == "weak_class_shared" else set()
        assert differing == {
            "strong": {"sentences", "spans_key", *shared},
            "weak": {"sentences", "spans_key", *shared},
            "weak_class_router": shared - {"r_drop"},
            "ner_vote": {"router", "gated"},
        }.get(component, set())


@pytest.mark.parametrize("name", ROUTED)
def test_both_taggers_are_made_alike(name):
    components = filled(name)["components"]
    for key in ("model", "loss", "decoder", "r_drop", "threshold"):
        assert components["strong"][key] == components["weak"][key]
    # One change in the config changes both.
    changed = raw(name, **{"tagger.loss.P": 0.3, **small(name)})
    components = load_model_from_config(changed, auto_fill=True).config.interpolate()["components"]
    assert components["strong"]["loss"]["P"] == components["weak"]["loss"]["P"] == 0.3
    assert components["strong"]["model"] == components["weak"]["model"] != filled(name)["components"]["weak"]["model"]


def layers_of(block):
    """List the registered layers of a block of a config, from the outside in."""
    if not isinstance(block, dict):
        return []
    own = [block[key].split(".")[1] for key in ("@architectures", "@layers") if key in block]
    return [*own, *(name for value in block.values() for name in layers_of(value))]


@pytest.mark.parametrize("name", FINE_TUNED)
def test_a_transformer_takes_the_place_of_the_encoder_alone(name):
    config, tagger = filled(name), defaults("bcrf_ner")
    block = config["components"]["bcrf_ner"]
    assert {key for key, value in block.items() if value != tagger[key]} == {"model", "r_drop"}
    assert (
        layers_of(block["model"]["tok2vec"])
        == {
            "transformer": ["Transformer"],
            "transformer_bilstm": ["BiLSTM", "Transformer"],
            "transformer_attention": ["SelfAttention", "BiLSTM", "Transformer"],
            "transformer_features": ["BiLSTM", "Concatenate", "Transformer", "WordCharEmbed"],
        }[name]
    )
    assert "bert-base-cased" in str(block["model"]["tok2vec"]) and block["r_drop"] == 0.0
    optimizer = config["training"]["optimizer"]
    assert optimizer["use_averages"] and optimizer["learn_rate"]["@schedules"] == "warmup_linear.v1"
    assert optimizer["learn_rate"]["total_steps"] == config["training"]["max_steps"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_rate_that_falls_does_so_until_the_end_and_needs_no_variable(path):
    """`nlp.resume_training()` and `spacy debug data` make the optimizer of the config as it is."""
    training = Config().from_disk(path, interpolate=False)["training"]
    optimizer = registry.resolve({"optimizer": training["optimizer"]})["optimizer"]
    rate = training["optimizer"]["learn_rate"]
    assert isinstance(optimizer, Optimizer)
    assert not isinstance(rate, dict) or rate.get("total_steps", training["max_steps"]) == training["max_steps"]


def routed_with_a_tiny_transformer(**overrides):
    config = raw(ROUTED_TRANSFORMER, **{"paths.transformer": transformer_folder("bert"), **overrides})
    fit_to_tiny(config["components"]["tok2vec"]["model"])
    return config


def test_router_and_taggers_read_one_transformer():
    fix_random_seed(0)
    config = routed_with_a_tiny_transformer(**{"listener.width": 16, "routing.weak_labels": ["ORG"]})
    nlp = load_model_from_config(config.interpolate(), auto_fill=True, validate=True)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(60):
        nlp.update(examples, sgd=optimizer, drop=0.0)
    assert nlp.evaluate(examples)["ents_f"] > 0.8
    transformers = [pipe for pipe, own in nlp.pipeline if "transformer" in str([n.name for n in nodes_of(own)])]
    assert transformers == ["tok2vec"]


def nodes_of(pipe):
    return list(pipe.model.walk()) if hasattr(pipe, "model") else []


def test_listeners_of_another_width_than_the_transformer_are_refused():
    config = routed_with_a_tiny_transformer(**{"routing.weak_labels": ["ORG"]})
    nlp = load_model_from_config(config.interpolate(), auto_fill=True, validate=True)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    with pytest.raises(ValueError, match=r"was made for 768 features a token, but what it reads has 16: .*width = 16"):
        nlp.update(examples)


@pytest.mark.parametrize("name", (*FROZEN, *FINE_TUNED))
def test_transformers_train_as_they_stand(name, tmp_path):
    docs = [Example.from_dict(spacy.blank("en").make_doc(text), {"entities": ents}).reference for text, ents in TRAIN]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    paths = {f"paths.{split}": str(tmp_path / "train.spacy") for split in ("train", "dev")}
    config = raw(name, **paths, **{"paths.transformer": transformer_folder("bert")})
    # What is made on the fly is smaller than any model that somebody has trained.
    fit_to_tiny(config["components"]["bcrf_ner"]["model"])
    config["training"].update(max_steps=200, eval_frequency=50, dropout=0.0)
    config["training"]["optimizer"]["learn_rate"] = 0.005
    nlp = init_nlp(config)
    (tmp_path / "trained").mkdir()
    train(nlp, tmp_path / "trained")
    best = spacy.load(tmp_path / "trained" / "model-best")
    assert best.evaluate([Example(best.make_doc(doc.text), doc) for doc in docs])["ents_f"] > 0.8


def fit_to_tiny(block):
    """Set windows and layers of each Transformer.v1 to what a tiny one has."""
    for value in block.values():
        if isinstance(value, dict):
            fit_to_tiny(value)
    if block.get("@architectures") == "spacy_crfner.Transformer.v1":
        block.update(window=32, stride=20, layers=min(2, block.get("layers", 1)))


def examples_with_vectors(nlp, width=20):
    """Training examples, and a random vector for each of their words."""
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    generator = np.random.default_rng(0)
    nlp.vocab.reset_vectors(width=width)
    for word in sorted({token.text for example in examples for token in example.x}):
        nlp.vocab.set_vector(word, generator.normal(size=width).astype("f"))
    return examples


@pytest.mark.parametrize("decides", ["by sentence", "word by word"])
def test_bilstm_cnn_learns_with_word_vectors(decides):
    config = raw("bilstm_cnn")
    if decides == "word by word":
        # As the comment in the config says.
        config["components"]["bcrf_ner"]["loss"] = {"@misc": "spacy_crfner.softmax.v1"}
        config["components"]["bcrf_ner"]["decoder"]["@misc"] = "spacy_crfner.softmax_decoder.v1"
    fix_random_seed(0)
    nlp = load_model_from_config(config, auto_fill=True)
    examples = examples_with_vectors(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(90):
        nlp.update(examples, sgd=optimizer, drop=0.1)
    assert nlp.evaluate(examples)["ents_f"] == 1.0


def test_bilstm_cnn_needs_word_vectors():
    nlp = load_model_from_config(raw("bilstm_cnn"), auto_fill=True)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    with pytest.raises(ValueError, match=r"The layout 'word' needs word vectors, .*: give .initialize. vectors"):
        nlp.initialize(lambda: examples)


def test_back_attention_with_and_without_a_translator_differ_in_that_alone():
    files = [
        (ROOT / "configs" / f"{name}.cfg").read_text(encoding="utf8") for name in ("back_attention", "untranslated")
    ]
    lines = [[line for line in text.splitlines() if line and not line.startswith("#")] for text in files]
    translator = [text.index("[initialize.components.back_attention.translator]") for text in lines]
    heads = [text[:index] for text, index in zip(lines, translator, strict=True)]
    heads[0].remove("translator = null")
    assert heads[0] == heads[1]


@pytest.mark.parametrize("name", ROUTED)
def test_a_trained_pipeline_that_refers_to_sections_is_like_any_other(name, tmp_path):
    """Saved, loaded, taken apart, sourced, and filled in by `spacy init fill-config`."""
    blank = spacy.blank("en")
    docs = [Example.from_dict(blank.make_doc(text), {"entities": ents}).reference for text, ents in TRAIN]
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    paths = {f"paths.{split}": str(tmp_path / "train.spacy") for split in ("train", "dev")}
    raw(name, **paths, **small(name), **{"routing.weak_labels": ["ORG"]}).to_disk(tmp_path / "short.cfg")
    command = [sys.executable, "-m", "spacy", "init", "fill-config", "short.cfg", "full.cfg"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    full = load_config(tmp_path / "full.cfg")
    assert load_model_from_config(full, auto_fill=False, validate=True).pipe_names == full["nlp"]["pipeline"]
    nlp = init_nlp(load_config(tmp_path / "short.cfg"))
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    for _ in range(30):
        nlp.update(examples, drop=0.1)
    nlp.to_disk(tmp_path / "model")
    text = TRAIN[0][0]
    expected = scores(nlp, text)
    assert expected
    loaded = spacy.load(tmp_path / "model")
    assert scores(loaded, text) == expected and "${" in loaded.config.to_str()

    # Without the tagger that was named first, and in a pipeline without any of these sections.
    loaded.remove_pipe("strong")
    loaded.to_disk(tmp_path / "fewer")
    assert spacy.load(tmp_path / "fewer").pipe_names == [pipe for pipe in nlp.pipe_names if pipe != "strong"]
    if name == "weak_class_shared":
        nlp.replace_listeners("tok2vec", "strong", ["model.tok2vec"])
        assert scores(nlp, text) == expected
    sourced = Language(nlp.vocab)
    sourced.add_pipe("strong", source=nlp)
    sourced.to_disk(tmp_path / "sourced")
    again = spacy.load(tmp_path / "sourced")
    assert scores(again, text) == expected and "${tagger" not in again.config.to_str()


def scores(nlp, text):
    doc = nlp(text)
    return [(str(span), span.label_, float(span._.confidence)) for span in doc.spans["strong"]]
