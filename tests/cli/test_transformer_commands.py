"""`python -m spacy crfner pretrain-transformer` and `trim-transformer`"""

import sys

import pytest
from tiny_transformers import TEXTS, make_causal, make_transformer, transformer_folder
from transformers import AutoModel, AutoTokenizer
from typer.testing import CliRunner

from spacy_crfner.cli import crfner

BRIEF = ("--block", "16", "--batch-pieces", "64", "--warmup", "2", "--max-updates", "4", "--eval-every", "2")


def call(*arguments):
    result = CliRunner().invoke(crfner, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(TEXTS), encoding="utf8")
    return path


def test_pretrain_goes_on_and_is_read_again(text, tmp_path):
    output = tmp_path / "out"
    command = ["pretrain-transformer", output, "--text", text, "--text", text, "--dev-text", text, *BRIEF]
    status, out, err = call(*command, "--model", transformer_folder("bert"))
    assert status == 0, err
    said = " ".join(out.split())
    assert "given to learn from and to evaluate on" in said
    assert "it gets a new one, with random weights" in said and "pieces to learn from" in said
    assert "Perplexity of masked pieces on dev before training" in said and "perplexity" in said
    assert "The model of update 4 is in" in said and "before," in said and out.count(" *") == 2
    status, out, _ = call(*command, "--model", transformer_folder("bert"))
    assert status == 0 and "There is a training" in out
    AutoModel.from_pretrained(output)
    assert AutoTokenizer.from_pretrained(output).mask_token == "[MASK]"
    status, _, err = call(*command, "--model", transformer_folder("bert"), "--seed", "3")
    assert status == 1 and "--overwrite" in err and err.count("\n") == 1
    # From there into another folder.
    command[1] = tmp_path / "more"
    status, out, err = call(*command, "--model", output, "--no-whole-word", "--no-mixed-precision")
    assert status == 0 and "gets a new one" not in out, err


def test_pretrain_from_scratch(text, tmp_path):
    sizes = ["--layers", "1", "--size", "8", "--heads", "2", "--vocab", "270"]
    options = ["--text", text, "--dev-text", text, *BRIEF, "--from-scratch", *sizes]
    status, _, err = call("pretrain-transformer", tmp_path / "out", *options)
    assert status == 0, err
    assert AutoModel.from_pretrained(tmp_path / "out").config.hidden_size == 8


def test_trim_says_what_is_left(text, tmp_path):
    (tmp_path / "kept.txt").write_text("Anna met Bob.")
    options = ["--model", transformer_folder("bert"), "--text", tmp_path / "kept.txt", "--lang", "en"]
    status, out, err = call("trim-transformer", tmp_path / "small", *options)
    assert (status, out) == (0, "") and "of 120 pieces" in err and err.count("\n") == 1
    command = ["pretrain-transformer", tmp_path / "out", "--text", text, "--dev-text", text, *BRIEF]
    assert call(*command, "--model", tmp_path / "small")[0] == 0
    assert call("trim-transformer", tmp_path / "small", *options)[0] == 1
    assert call("trim-transformer", tmp_path / "small", *options, "--overwrite")[0] == 0


def test_errors_are_one_sentence_and_leave_nothing(text, tmp_path, monkeypatch):
    (tmp_path / "short.txt").write_text("Anna")
    output, model = tmp_path / "out", transformer_folder("bert")
    file, other = tmp_path / "file", make_transformer(tmp_path / "other", "bert")
    file.write_text("")
    for options, message in (
        (["--text", text], "Begin with what?"),
        (["--text", text, "--model", model, "--from-scratch"], "Begin with what?"),
        (["--text", tmp_path / "nowhere.txt", "--model", model], "nowhere.txt: there is no such file"),
        (["--text", tmp_path / "short.txt", "--model", model], "The text is too short"),
        (["--text", text, "--model", tmp_path / "nowhere"], "there is no such folder"),
        (["--text", text, "--model", output], "this is the model to begin with"),
        (["--text", text, "--model", model, "--block", "600"], "a block cannot have 600"),
        (["--text", text, "--model", model, "--dev-share", "2"], "between 0 and 1"),
        (["--text", text, "--from-scratch", "--heads", "3"], "a width that its heads divide"),
        (["--text", text, "--model", model, "--layers", "2"], "belong to --from-scratch"),
        (
            ["--text", text, "--model", model, "--max-updates", "5", "--warmup", "6"],
            "--warmup 6 never ends in 5 updates",
        ),
        (["--text", text, "--model", make_causal(tmp_path / "causal")], "has no head that finds masked pieces"),
    ):
        status, _, err = call("pretrain-transformer", output, "--block", "16", *options)
        assert status == 1 and message in err and err.count("\n") == 1, err
    # Before a model or a text is read.
    monkeypatch.setattr("spacy_crfner.transfer.masked_model.read_masked_model", None)
    for folder, message in ((file, "this is a file"), (other, "config.json, model.safetensors, but no checkpoint")):
        status, _, err = call("pretrain-transformer", folder, "--text", text, "--model", model)
        assert status == 1 and message in err and err.count("\n") == 1, err
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "transformers", None)
    for command in ("pretrain-transformer", "trim-transformer"):
        status, _, err = call(command, output, "--text", text, "--model", model)
        assert status == 1 and "pip install 'spacy-crfner[transformers]'" in err and err.count("\n") == 1
    assert not output.exists()
