"""The benchmark of routing: what it trains can be trained, and what it scores is what the parts find."""

import json
import os
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
from test_benchmarks import write_corpus

sys.path.insert(0, str(ROOT / "benchmarks"))

import record
import routing
import routing_parts


@pytest.mark.parametrize("steps", [None, 80])
def test_every_part_is_a_config_that_loads(steps):
    parts = routing_parts.make_parts(["LOC", "PER"], ["ORG"])
    for name, config in parts.items():
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
    for method, (needed, _) in routing.make_methods().items():
        assert set(needed) <= set(parts), method


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
    with_paths = routing.with_paths

    def brief(*arguments):
        config = with_paths(*arguments)
        config["training"].update(max_steps=20, eval_frequency=20)
        return config

    monkeypatch.setattr(routing, "with_paths", brief)
    spacy.blank("en").to_disk(tmp_path / "vectors")
    command = ["benchmarks/routing.py", "--corpus", "rare", "--vectors", str(tmp_path / "vectors")]
    command += ["--work", str(tmp_path / "work"), "--to", str(tmp_path)]
    parts = ["single", "strong", "weak, rare repeated", routing.ROUTER]
    command += ["--only", *parts]
    routing.main([*command, "--train-only"])
    # A part that was made of something else is none.
    (tmp_path / "work" / "weak, balanced-0").mkdir()
    (tmp_path / "work" / "weak, balanced-0" / "done").write_text("something else")
    monkeypatch.setattr(routing.subprocess, "run", None)  # nothing is trained again
    routing.main([*command, "--test"])
    result = json.loads((tmp_path / "routing-rare.json").read_text(encoding="utf8"))
    assert {*record.COMMON_FIELDS, *routing.FIELDS} <= set(result)
    assert set(result["parts"]) == set(parts)
    assert result["command"].endswith(f"--seeds 0 --only {shlex.join(parts)}")
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
    assert saved.get_pipe("weak").cfg["predict_on"] == "routed"
    with pytest.raises(SystemExit):
        routing.main([*command, "--save", "routed, balanced", str(tmp_path / "saved")])
    assert "--only leaves out weak, balanced." in capsys.readouterr().err
    again = json.loads((tmp_path / "routing-rare.json").read_text(encoding="utf8"))
    # Also its command, which trains all that is scored.
    assert all(again[key] == result[key] for key in ("command", "methods", "routers"))


@pytest.mark.parametrize(
    "options, named",
    [
        (["--steps", "0"], "--steps must be more than 0, not 0."),
        (["--save", "single", "there", "--train-only"], "give one of them"),
        (["--save", "x", "there"], "there is no method 'x'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, named, capsys):
    with pytest.raises(SystemExit):
        routing.parse_args(["--corpus", "gmb", "--vectors", "v", "--work", "w", *options])
    assert named in capsys.readouterr().err


def test_a_whole_pipeline_is_a_method_and_has_a_router(tmp_path, monkeypatch):
    """Each is scored by itself, once, and again where the part was trained anew."""
    part = tmp_path / "shipped-0"
    part.mkdir()
    (part / "done").write_text("made of this")
    (tmp_path / "dev.spacy").write_text("text")
    files = {"dev": tmp_path / "dev.spacy"}
    scored = []
    for kind in ("router", "method"):
        found = {"dev": {"f": 0.5, "macro_f": 0.5, "kind": kind}}
        monkeypatch.setattr(routing.Scores, f"_score_{kind}", lambda self, _, found=found: scored.append(1) or found)

    def score():
        scores = routing.Scores(tmp_path, 0, {"shipped": "made of this"}, files, files)
        for kind, kinds in (("router", scores.routers()), ("method", scores.methods())):
            ((name, one),) = kinds
            assert name == "shipped" and one["dev"]["kind"] == kind

    score()
    score()
    assert len(scored) == 2
    os.utime(part / "done", (0, 0))
    score()
    assert len(scored) == 4
