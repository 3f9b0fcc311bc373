"""The commands: a translator is trained, a pipeline uses it, its attention is drawn."""

import sys

import pytest
import spacy
from samples import english_ner
from test_translators import make_pairs
from typer.testing import CliRunner

from spacy_crfner.cli import align
from spacy_crfner.cli import crfner as commands


def crfner(*arguments, code=0):
    result = CliRunner().invoke(commands, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for place, language in enumerate(("es", "en")):
        lines = [" ".join(pair[place]) for pair in make_pairs(60)]
        (folder / f"text.{language}").write_text("\n".join(lines), encoding="utf8")
    return folder


def test_train_translator_and_align(text, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    files = []
    for option, language in (("source", "es"), ("target", "en"), ("dev-source", "es"), ("dev-target", "en")):
        files += [f"--{option}", text / f"text.{language}"]
    command = ["train-translator", tmp_path / "translator", *files, "--lang", "es", "--vocab", "300", "--size", "16"]
    printed = crfner(*command, "--max-updates", "4", "--eval-every", "2")
    assert "60 pairs of sentences" in printed and printed.count(" *") >= 1 and "dev BLEU" in printed
    assert "There is a training" in crfner(*command, "--max-updates", "6", "--eval-every", "2")
    assert "other settings" in crfner(*command, "--max-updates", "6", "--seed", "3", code=1)
    assert "in pairs" in crfner(*command, "--source", text / "text.es", code=1)

    nlp = spacy.blank("es")
    nlp.add_pipe("back_attention")
    block = {"@misc": "spacy_crfner.ConvSeq2Seq.v1", "path": str(tmp_path / "translator")}
    nlp.config["initialize"]["components"]["back_attention"] = {"translator": block, "english": english_ner()}
    nlp.initialize()
    nlp.to_disk(tmp_path / "model")
    output = tmp_path / "new" / "picture"
    printed = crfner("align", tmp_path / "model", "Kell <ve> el $ perro", "--output", output)
    assert "Kell < ve > el $ perro" in printed or "Kell <ve> el $ perro" in printed
    page = output.with_suffix(".html").read_text(encoding="utf8")
    assert "perro" in page and "<ve>" not in page and page.count("<tr>") > 4
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    # Without matplotlib there is no PNG, unless one is asked for; an ending is not doubled.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(align, "find_spec", lambda name: None)
    crfner("align", tmp_path / "model", "Kell", "--output", tmp_path / "other.html")
    assert sorted(path.name for path in tmp_path.glob("other*")) == ["other.html"]
    assert "matplotlib" in crfner("align", tmp_path / "model", "Kell", "--png", "--output", tmp_path / "third", code=1)
    anew = crfner(*command, "--max-updates", "2", "--eval-every", "2", "--seed", "3", "--overwrite")
    assert "translator of update 2" in anew


def test_align_says_what_is_missing(tmp_path):
    spacy.blank("es").to_disk(tmp_path / "model")
    assert "has no back_attention" in crfner("align", tmp_path / "model", "Hola", code=1)
    assert "Can't find model" in crfner("align", tmp_path / "none", "Hola", code=1)
    assert "no text to draw" in crfner("align", tmp_path / "model", " ", code=1)
    assert "names no file" in crfner("align", tmp_path / "model", "Hola", "--output", ".", code=1)
