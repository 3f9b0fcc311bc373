"""The benchmark of back attention: its variants can be trained, and its controls know nothing."""

import json
import sys

import numpy as np
import pytest
import spacy
from samples import ROOT, english_ner
from test_benchmarks import write_corpus

sys.path.insert(0, str(ROOT / "benchmarks"))

import back_attention
import controls
import record

from spacy_crfner.back_attention.translators import load_translator, make_untranslated_v1


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
    return [*command, "--translator", str(tmp_path), "--english", english_ner()]


def test_variants_are_measured_once(command, tmp_path, capsys, monkeypatch):
    some = ["untranslated"]
    back_attention.main([*command, "--only", *some])
    assert capsys.readouterr().out.count("seed 0: dev") == 1
    back_attention.main([*command, "--only", *some, "--seeds", "0", "1", "--no-test"])
    assert capsys.readouterr().out.count("seed 1: dev") == 1
    result = json.loads((tmp_path / "back-attention-tiny.json").read_text(encoding="utf8"))
    assert {*record.COMMON_FIELDS, *back_attention.FIELDS} <= set(result)
    assert list(result["variants"]) == some
    for found in result["variants"].values():
        assert set(found["dev"]) == {"0", "1"} and set(found["test"]) == {"0"}
    with pytest.raises(SystemExit):
        back_attention.main([*command, "--only", "nothing"])
    assert "There is no variant nothing: choose from without, back attention" in capsys.readouterr().err


def test_every_variant_is_a_config_that_loads(command):
    args = back_attention.parse_args(command[1:])
    for variant in [back_attention.WITHOUT, *back_attention.VARIANTS]:
        config = back_attention.make_config(variant, args)
        nlp = spacy.util.load_model_from_config(config.interpolate(), auto_fill=True, validate=True)
        assert nlp.pipe_names[-1] == "bcrf_ner", variant


def test_controls():
    shuffled = controls.make_shuffled(make_untranslated_v1())
    words = ["uno", "dos", "tres", "cuatro", "cinco", "seis"]
    (found,) = shuffled.translate([words])
    assert found.words == words and sorted(found.attention.argmax(axis=1)) == list(range(6))
    assert not np.array_equal(found.attention, np.eye(6))
    again = load_translator(shuffled.kind, shuffled.files())
    np.testing.assert_array_equal(again.translate([words])[0].attention, found.attention)
    nlp = spacy.blank("es")
    nlp.add_pipe("random_features", name="back_attention", config={"width": 5})
    features = nlp("dos uno dos").spans["back_attention"].attrs["features"]
    assert features.shape == (3, 5) and (features[0] == features[2]).all() and (features[0] != features[1]).any()
