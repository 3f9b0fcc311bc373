"""The benchmark of routing: what it trains can be trained, and what it scores is what the parts find."""

import argparse
import json
import shlex
import sys

import numpy as np
import pytest
import spacy
from samples import ROOT, TRAIN
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.util import load_model_from_config
from spacy.vectors import Vectors
from test_benchmarks import published, write_corpus
from tiny_transformers import transformer_folder

sys.path.insert(0, str(ROOT / "benchmarks"))

import routing
import routing_parts
from experiments import record, training
from experiments.corpora import open_corpus
from experiments.errors import BenchmarkError
from experiments.training import Variant
from thinc.api import Config

SCORES = {"f": 0.5, "macro_f": 0.5, "tuned": {"threshold": 0.5}}


@pytest.mark.parametrize("frozen", [None, *routing_parts.FROZEN])
@pytest.mark.parametrize("steps", [None, 80])
def test_every_part_is_a_config_that_loads(steps, frozen):
    parts = routing_parts.make_parts(["LOC", "PER"], ["ORG"])
    for name, config in parts.items():
        if frozen and name == routing_parts.WITHOUT_CONTEXT:
            continue
        if frozen:
            config = routing_parts.with_frozen(config, frozen, "bert-base-cased", "cache")
        if steps is not None:
            config = routing_parts.in_steps(config, steps)
            share = (2 if name.startswith("router") else 1) * (4 if "balanced" in name else 1)
            schedule = config["training"]["optimizer"]["learn_rate"]
            # The strong tagger of a whole pipeline skips what the corpus repeats.
            expected = steps * 3 // 2 if name.startswith("shipped") else steps // share
            assert config["training"]["max_steps"] == schedule["total_steps"] == expected, name
        nlp = load_model_from_config(config.interpolate(), auto_fill=True, validate=True)
        weights = {key for key, value in config["training"]["score_weights"].items() if value}
        returned = {key for pipe in nlp.pipe_names for key in nlp.get_pipe_meta(pipe).default_score_weights}
        spans = {f"spans_{nlp.get_pipe(pipe).cfg.get('spans_key')}_f" for pipe in nlp.pipe_names}
        assert weights and weights <= returned | spans, name
        layers = [node for _, pipe in nlp.pipeline if hasattr(pipe, "model") for node in pipe.model.walk()]
        transformers = [node for node in layers if node.name == "transformer" and node.attrs["frozen"]]
        encoders = [node for node in layers if node.name == "word_char_embed"]
        assert bool(transformers) == bool(frozen) and bool(encoders) == (frozen != "frozen_transformer"), name
    for name, method in routing.make_methods().items():
        assert method.needed and set(method.needed) <= set(parts), name


def test_the_tagger_without_context_fits_vectors_of_any_width():
    nlp = load_model_from_config(routing_parts.without_context().interpolate(), auto_fill=True, validate=True)
    nlp.vocab.vectors = Vectors(data=np.ones((2, 20), dtype=np.float32), keys=["met", "in"])
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN[:4]]
    nlp.initialize(lambda: examples)
    assert nlp.update(examples)["bcrf_ner"] > 0


def test_scores_are_those_of_spacy(small_nlp, tmp_path):
    """They come from the pipeline's predictions, not from what the corpus says."""
    examples = [Example.from_dict(small_nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    DocBin(docs=[example.reference for example in examples]).to_disk(tmp_path / "dev.spacy")
    found, expected = routing.score_method(small_nlp, tmp_path / "dev.spacy"), small_nlp.evaluate(examples)
    assert found["f"] == pytest.approx(expected["ents_f"], abs=1e-4) and found["f"] > 0.9
    per_type = {label: scores["f"] for label, scores in expected["ents_per_type"].items()}
    assert found["per_type"] == pytest.approx(per_type, abs=1e-4)


@pytest.mark.slow
def test_parts_are_trained_once_and_put_together(tmp_path, monkeypatch, capsys):
    write_corpus(tmp_path / "rare", {"train": 60, "dev": 10, "test": 10})
    monkeypatch.setenv(record.DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr(routing, "rare_labels", lambda counts, rare: ["PER"])
    make_parts = routing.make_parts

    def brief(*labels):
        configs = make_parts(*labels)
        for config in configs.values():
            config["training"].update(max_steps=20, eval_frequency=20)
        return configs

    monkeypatch.setattr(routing, "make_parts", brief)
    spacy.blank("en").to_disk(tmp_path / "vectors")
    command = ["benchmarks/routing.py", "--corpus", "rare", "--vectors", str(tmp_path / "vectors")]
    command += ["--work", str(tmp_path / "work"), "--to", str(tmp_path)]
    parts = ["single", "strong", "weak, rare repeated", routing.ROUTER]
    command += ["--only", *parts]
    routing.main([*command, "--train-only"])
    # A part that was trained from something else is none, and is not trained again unasked.
    path = tmp_path / "work" / "parts.json"
    trained = json.loads(path.read_text(encoding="utf8"))
    other = {
        **trained["variants"],
        "weak, balanced": {**trained["variants"]["single"], "fingerprint": "something else"},
    }
    path.write_text(json.dumps({**trained, "variants": other}), encoding="utf8")
    (tmp_path / "work" / "parts" / "weak, balanced-0").mkdir()
    with pytest.raises(SystemExit):
        routing.main([*command[: command.index("--only")], "--only", "weak, balanced"])
    assert "'weak, balanced' was measured with another config" in capsys.readouterr().err
    monkeypatch.setattr(training, "train_and_score", lambda *_, **options: pytest.fail("trained again"))
    routing.main([*command, "--test"])
    result = json.loads((tmp_path / "routing-rare.json").read_text(encoding="utf8"))
    assert published("routing") <= set(result)
    assert set(result["parts"]) == set(parts)
    # Those that were run: to train, and to score.
    ends = [command.partition(shlex.join(parts))[2] for command in result["commands"]]
    assert sorted(ends) == [" --test", " --train-only"]
    beside = ", all labels beside"
    kinds = ["double", f"double|{beside}", "routed", "routed|, by words", f"routed|{beside}"]
    kinds += [f"routed|{beside}{how}" for how in (", flagged for recall", ", gates")]
    named = [kind.partition("|") for kind in kinds]
    assert set(result["methods"]) == {"single", *(f"{kind}, rare repeated{how}" for kind, _, how in named)}
    for method in result["methods"].values():
        for split in ("dev", "test"):
            assert all(0 <= method[split]["0"][key] <= 1 for key in ("f", "macro_f", "weighted_f"))
    (router,) = result["routers"].values()
    assert router["test"]["0"]["tuned"]["threshold"] == router["dev"]["0"]["tuned"]["threshold"]
    # What is scored is not scored again.
    monkeypatch.setattr(routing, "score_method", None)
    monkeypatch.setattr(routing, "score_router", None)
    fewer = [*command[: command.index("--only")], "--only", "strong"]
    routing.main([*fewer, "--test", "--save", "routed, rare repeated", str(tmp_path / "saved")])
    saved = spacy.load(tmp_path / "saved")
    assert saved.pipe_names == ["weak_class_router", "strong", "weak", "ner_vote"]
    assert saved.get_pipe("weak").sentences.predict == "routed"
    with pytest.raises(SystemExit):
        routing.main([*command, "--save", "routed, balanced", str(tmp_path / "saved")])
    assert "--only leaves out weak, balanced." in capsys.readouterr().err
    again = json.loads((tmp_path / "routing-rare.json").read_text(encoding="utf8"))
    assert again == result


@pytest.mark.parametrize(
    "options, named",
    [
        (["--steps", "0"], "argument --steps: must be more than 0, not 0."),
        (["--save", "single", "there", "--train-only"], "give one of them"),
        (["--save", "x", "there"], "there is no method 'x'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, named, capsys):
    with pytest.raises(SystemExit):
        routing.parse_args(["--corpus", "gmb", "--vectors", "v", "--work", "w", *options])
    assert named in capsys.readouterr().err


def test_what_a_frozen_transformer_makes_is_kept_while_methods_are_scored(tmp_path, monkeypatch):
    nlp = spacy.blank("en")
    layer = {
        "@architectures": "spacy_crfner.Transformer.v1",
        **{"name": transformer_folder("bert"), "window": 60, "stride": 40, "frozen": True},
    }
    nlp.add_pipe("bcrf_ner", config={"model": {"tok2vec": layer}})
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    args = argparse.Namespace(corpus="rare", work=tmp_path, to=tmp_path, command=["benchmarks/routing.py"])
    monkeypatch.setattr(routing.spacy, "load", lambda path: nlp)
    files = argparse.Namespace(sources={"train": b"train", "dev": b"dev"})
    loaded = routing.Method(routing.Parts(args, files, {}), "single").load(0)
    found = [[str(ent) for ent in doc.ents] for doc in loaded.pipe(text for text, _ in TRAIN)]
    (node,) = (node for node in nlp.get_pipe("bcrf_ner").model.walk() if node.name == "transformer")
    monkeypatch.setattr(node.shims[0], "predict", None)
    assert [[str(ent) for ent in doc.ents] for doc in loaded.pipe(text for text, _ in TRAIN)] == found
    assert (tmp_path / routing.CACHE).exists()


def test_a_whole_pipeline_is_a_method_and_has_a_router(tmp_path, monkeypatch, capsys):
    """Each is scored by itself, once, and refused where the part is another one now."""
    write_corpus(tmp_path / "rare", {"train": 1, "dev": 1})
    monkeypatch.setenv(record.DATA_VARIABLE, str(tmp_path))
    scored = []
    for score in ("score_router", "score_method"):
        monkeypatch.setattr(routing, score, lambda *_, kind=score: scored.append(kind) or SCORES)
    monkeypatch.setattr(routing.spacy, "load", lambda path: spacy.blank("en"))
    args = argparse.Namespace(corpus="rare", seeds=[0], test=False, name=None, work=tmp_path, to=tmp_path)
    args.command = ["benchmarks/routing.py"]

    def score(text):
        config = Config().from_str(text)
        with open_corpus(args) as corpus:
            parts = routing.Parts(args, corpus, {"shipped": Variant(config)})
            monkeypatch.setattr(routing, "make_methods", lambda parts: {"shipped": routing.Method(parts, "shipped")})
            parts.folder(0, "shipped").mkdir(parents=True, exist_ok=True)
            monkeypatch.setattr(parts, "ready", lambda seed: ["shipped"])
            return json.loads(routing.score_all(args, parts, {}).read_text(encoding="utf8"))

    first = score("[a]\nb = 1")
    assert scored == ["score_router", "score_method"] and score("[a]\nb = 1") == first
    assert len(scored) == 2 and list(first["routers"]) == list(first["methods"]) == ["shipped"]
    assert first["seeds"] == [0] and set(first["parts"]) == {"shipped"}
    with pytest.raises(BenchmarkError, match="'router: shipped' was measured with another config"):
        score("[a]\nb = 2")
