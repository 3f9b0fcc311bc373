"""The benchmark of back attention: its variants can be trained, and its controls know nothing."""

import json
import shutil
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import spacy
from samples import ROOT, english_ner
from spacy.util import registry
from test_benchmarks import published, write_corpus
from tiny_transformers import transformer_folder

sys.path.insert(0, str(ROOT / "benchmarks"))

import back_attention
import back_attention_speed
import controls
import speed_spacy
import tables
from experiments import record, workers
from experiments.corpora import open_corpus
from experiments.errors import BenchmarkError

from spacy_crfner.back_attention.component import BackAttention
from spacy_crfner.back_attention.translators import load_translator, make_untranslated_v1

MAKE_CONFIG = back_attention.make_config


@pytest.fixture
def command(tmp_path, monkeypatch):
    write_corpus(tmp_path / "tiny", {"train": 20, "dev": 5, "test": 5})
    monkeypatch.setenv(record.DATA_VARIABLE, str(tmp_path))
    make_config = back_attention.make_config

    def small(*arguments):
        config = make_config(*arguments)
        config["training"].update(max_steps=4, eval_frequency=2)
        blocks = [config["components"]["bcrf_ner"]["model"]["tok2vec"]]
        while blocks:
            block = blocks.pop()
            blocks += [value for value in block.values() if isinstance(value, dict)]
            if block["@architectures"].startswith("spacy_crfner.BiLSTM"):
                block["width"] = 32
        return config

    monkeypatch.setattr(back_attention, "make_config", small)
    command = ["benchmarks/back_attention.py", "--corpus", "tiny", "--lang", "es", "--to", str(tmp_path)]
    return [*command, "--translator", str(tmp_path / "none"), "--english", english_ner()]


def test_variants_are_measured_once(command, tmp_path, capsys, monkeypatch):
    some = ["untranslated"]
    back_attention.main([*command, "--only", *some, "--keep", str(tmp_path / "kept")])
    assert capsys.readouterr().out.count("seed 0: dev") == 1
    kept = spacy.load(tmp_path / "kept" / "back-attention-tiny" / "untranslated-0")
    assert kept.pipe_names == ["back_attention", "bcrf_ner"]
    back_attention.main([*command, "--only", *some, "--seeds", "0", "1", "--no-test"])
    assert capsys.readouterr().out.count("seed 1: dev") == 1
    result = json.loads((tmp_path / "back-attention-tiny.json").read_text(encoding="utf8"))
    assert published("back_attention") <= set(result)
    assert list(result["variants"]) == some
    assert [command.partition("untranslated")[2] for command in result["commands"]] == [
        " --keep $SPACY_CRFNER_DATA/kept",
        " --seeds 0 1 --no-test",
    ]
    for found in result["variants"].values():
        assert set(found["dev"]) == {"0", "1"} and set(found["test"]) == {"0"}
    with pytest.raises(SystemExit):
        back_attention.main([*command, "--only", "nothing"])
    assert "There is no variant nothing: choose from without; back attention" in capsys.readouterr().err


def test_every_variant_is_a_config_that_loads(command):
    args = back_attention.parse_args(command[1:])
    for variant in back_attention.VARIANTS:
        config = back_attention.make_config(variant, args)
        nlp = spacy.util.load_model_from_config(config.interpolate(), auto_fill=True, validate=True)
        assert nlp.pipe_names[-1] == "bcrf_ner", variant


def test_steps_are_all_that_is_trained(command, capsys):
    """With a learning rate that falls to 0, and none of what the config says about an end."""
    args = back_attention.parse_args([*command[1:], "--steps", "400"])
    for variant in (back_attention.WITHOUT, "untranslated"):
        training = MAKE_CONFIG(variant, args)["training"]
        assert (training["max_steps"], training["patience"], training["eval_frequency"]) == (400, 0, 50)
        schedule = registry.resolve({"rate": training["optimizer"]["learn_rate"]})["rate"]
        rates = list(islice(schedule, 401))
        assert max(rates) == rates[20] == pytest.approx(back_attention.RATE) and rates[400] == 0.0
    with pytest.raises(SystemExit):
        back_attention.parse_args([*command[1:], "--steps", "0"])
    assert "--steps" in capsys.readouterr().err


def test_a_transformer_takes_the_place_of_the_encoder(command):
    args = back_attention.parse_args([*command[1:], "--transformer", transformer_folder("bert"), "--rate", "0.2"])
    for variant in back_attention.VARIANTS:
        if variant in ("at the input", "alone as embeddings", "random features alone"):
            with pytest.raises(BenchmarkError, match=f"'{variant}' has no encoder whose place"):
                MAKE_CONFIG(variant, args)
            continue
        config = MAKE_CONFIG(variant, args)
        model = config["components"]["bcrf_ner"]["model"]
        assert "WordCharEmbed" not in str(model) and str(model).count("spacy_crfner.Transformer.v1") == 1, variant
        assert ("BackAttentionFeatures" in str(model)) == (variant != back_attention.WITHOUT), variant
        assert config["components"]["bcrf_ner"]["r_drop"] == 0.0 and config["training"]["dropout"] == 0.1
        spacy.util.load_model_from_config(config.interpolate(), auto_fill=True, validate=True)
    for steps, last in ((None, 2000), (400, 400)):
        args.steps = steps
        training = MAKE_CONFIG("untranslated", args)["training"]
        assert training["max_steps"] == training["optimizer"]["learn_rate"]["total_steps"] == last
    assert training["eval_frequency"] == 100 and training["annotating_components"] == ["back_attention"]
    assert training["optimizer"]["learn_rate"]["initial_rate"] == 0.001 and training["optimizer"]["L2"] == 0.01


def test_a_result_of_other_models_is_not_gone_on_with(command, tmp_path, capsys):
    """What was measured with another English pipeline cannot stand beside what is measured now."""
    english = tmp_path / "english"
    shutil.copytree(english_ner(), english)
    command[command.index("--english") + 1] = str(english)
    back_attention.main([*command, "--only", "untranslated", "--no-test"])
    before = (tmp_path / "back-attention-tiny.json").read_text(encoding="utf8")
    (english / "vocab" / "more").write_text("changed")
    with pytest.raises(SystemExit):
        back_attention.main([*command, "--only", "untranslated", "--no-test", "--seeds", "1"])
    assert "was measured with another config, code, vectors or other model" in capsys.readouterr().err
    back_attention.main([*command, "--only", "without", "--no-test", "--seeds", "1"])
    with pytest.raises(SystemExit):
        back_attention.main([*command, "--only", "without", "--limit-train", "5", "--name", "back-attention-tiny"])
    assert "is of another limit_train" in capsys.readouterr().err
    kept = json.loads((tmp_path / "back-attention-tiny.json").read_text(encoding="utf8"))["variants"]
    assert kept["untranslated"] == json.loads(before)["variants"]["untranslated"]


def test_what_is_scored_is_not_translated_again(command, tmp_path, monkeypatch):
    """Training, in another process, has left the features of these sentences in the cache."""
    asked = []
    make = BackAttention._make
    monkeypatch.setattr(BackAttention, "_make", lambda self, words: asked.append(len(words)) or make(self, words))
    back_attention.main([*command, "--only", "untranslated", "--cache", str(tmp_path / "cache")])
    assert not asked


def test_tables_of_back_attention(tmp_path):
    """Gains are of equal seeds; the page shows the control without a translator beside it."""
    runs = {
        "without": {"0": 0.6, "1": 0.7, "3": 0.1},
        "back attention": {"0": 0.63, "1": 0.75, "2": 0.9},
        "untranslated": {"0": 0.61, "1": 0.74, "3": 0.1},
    }
    variants = {
        name: {split: {seed: {"f": f} for seed, f in found.items()} for split in ("dev", "test")}
        for name, found in runs.items()
    }
    result = {"benchmark": "back_attention", "corpus": "c", "limit_train": "5%", "variants": variants}
    (tmp_path / "one.json").write_text(json.dumps(result))
    *_, row = tables.make_table("docs/measurements.md", "other languages", tmp_path).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:6] == ["5%", "2", "65.00 ± 7.07", "69.00 ± 8.49", "+4.00 ± 1.41"]
    assert cells[6:] == ["67.50 ± 9.19", "+2.50 ± 2.12"]
    *_, without, carried, _ = tables.make_table("docs/measurements.md", "back attention", tmp_path).splitlines()
    assert (
        without.count("±") == 2
        and without.count("+") == 0
        and carried.count("+4.00 ± 1.41") == 2
        and "76.00 ± 13.53" in carried
    )


def test_training_is_timed_with_and_without(command, tmp_path, monkeypatch):
    """In turns; the features are there when the clock starts."""
    jobs = []

    def timed(task, job, folder, threads, **options):
        jobs.append((job, task, threads))
        return {"words_per_second": 100.0 - len(jobs)}

    monkeypatch.setattr(workers, "call", timed)
    back_attention_speed.main(["benchmarks/back_attention_speed.py", *command[1:], "--rounds", "3", "--seconds", "1"])
    result = json.loads((tmp_path / "back-attention-speed-tiny.json").read_text(encoding="utf8"))
    assert published("back_attention_speed") <= set(result)
    assert [Path(job["model"]).name for job, _, _ in jobs] == ["without", "back attention"] * 3
    assert {task for _, task, _ in jobs} == {"speed_spacy.train"} and result["ratio"] == round(96 / 97, 3)


def test_features_are_there_when_training_is_timed(command, tmp_path, monkeypatch):
    args = back_attention_speed.parse_args([*command[1:], "--seconds", "0.1"])
    config = back_attention.make_config("untranslated", args)
    monkeypatch.setattr(speed_spacy, "LEAST_UPDATES", 2)
    monkeypatch.setattr(speed_spacy, "WARM_UP_UPDATES", 1)
    asked = []
    make = BackAttention._make
    monkeypatch.setattr(BackAttention, "_make", lambda self, words: asked.append(len(words)) or make(self, words))
    with open_corpus(args) as corpus:
        config["paths"].update({split: str(path) for split, path in corpus.files.items()})
        config.to_disk(tmp_path / "timed.cfg")
        job = {"config": str(tmp_path / "timed.cfg"), "train": str(corpus.files["train"]), "seconds": 0.1}
        found = speed_spacy.train({**job, "model": str(tmp_path / "timed")})
    assert found["words_per_second"] > 0 and 0 < sum(asked) <= 20
    assert spacy.load(tmp_path / "timed").pipe_names == ["back_attention", "bcrf_ner"]


def test_variants_are_what_they_are_called(command):
    args = back_attention.parse_args(command[1:])
    configs = {name: back_attention.make_config(name, args) for name in back_attention.VARIANTS}
    blocks = {name: str(config["components"]["bcrf_ner"]["model"]) for name, config in configs.items()}
    made = {
        name: config.get("initialize", {}).get("components", {}).get("back_attention", {})
        for name, config in configs.items()
    }
    translators = {name: block.get("translator", {}).get("@misc") for name, block in made.items()}
    carried = {name for name, block in blocks.items() if "BackAttentionFeatures" in block}
    assert carried == set(configs) - {back_attention.WITHOUT}
    assert {name for name, block in blocks.items() if "WordCharEmbed" not in block} == {
        "alone as embeddings",
        "random features alone",
    }
    # A Concatenate below the BiLSTM, beside it, or none.
    encoders = {name: config["components"]["bcrf_ner"]["model"]["tok2vec"] for name, config in configs.items()}
    below = {name for name, block in encoders.items() if "BackAttention" in str(block.get("tok2vec"))}
    assert below == {"at the input", "alone as embeddings", "random features alone"}
    assert "Concatenate" in str(encoders["at the input"]["tok2vec"])
    assert translators["shuffled alignment"] == "controls.Shuffled.v1"
    assert translators["untranslated"] == "spacy_crfner.Untranslated.v1"
    assert translators["random features"] is translators["random features alone"] is None
    assert "'component': 'as_they_are'" in blocks["both"] and "'component': 'back_attention'" in blocks["both"]
    others = {"back attention", "short parts", "row-normalised", "marginals", "projected entities", "at the input"}
    assert {translators[name] for name in (*others, "alone as embeddings")} == {"spacy_crfner.ConvSeq2Seq.v1"}
    settings = {name: configs[name]["components"]["back_attention"] for name in others}
    assert settings["marginals"]["representation"] == "marginals"
    assert settings["projected entities"]["representation"] == "tags"
    assert made["short parts"]["translator"]["longest"] < made["back attention"]["translator"]["longest"]
    assert settings["row-normalised"]["normalisation"] == "row_normalised"
    assert settings["back attention"]["representation"] == "states"
    of_both = configs["both"]["initialize"]["components"]
    assert {of_both[name]["translator"]["@misc"] for name in ("back_attention", "as_they_are")} == {
        "spacy_crfner.ConvSeq2Seq.v1",
        "spacy_crfner.Untranslated.v1",
    }
    assert len({config.to_str() for config in configs.values()}) == len(configs)


def test_controls():
    shuffled = controls.make_shuffled(make_untranslated_v1())
    words = ["uno", "dos", "tres", "cuatro", "cinco", "seis"]
    (found,) = shuffled.translate([words])
    assert found.words == words and sorted(found.attention.argmax(axis=1)) == list(range(6))
    assert not (found.attention * np.eye(6)).any()  # no word keeps its own
    assert {controls._shift(list(words[:2])) for words in (["a", "b"], ["c", "d"])} == {1} and controls._shift(
        ["a"]
    ) == 0
    again = load_translator(shuffled.kind, shuffled.files())
    np.testing.assert_array_equal(again.translate([words])[0].attention, found.attention)
    nlp = spacy.blank("es")
    nlp.add_pipe("random_features", name="back_attention", config={"width": 5})
    features = nlp("dos uno dos").spans["back_attention"].attrs["features"]
    assert features.shape == (3, 5) and (features[0] == features[2]).all() and (features[0] != features[1]).any()
    many = nlp(" ".join(map(str, range(500)))).spans["back_attention"].attrs["features"].astype(float)
    assert many.std() == pytest.approx(3**-0.5, abs=0.02) and abs(many.mean()) < 0.05
