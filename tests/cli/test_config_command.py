"""`python -m spacy crfner config`, and what all commands have in common."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from samples import ROOT
from thinc.api import Config
from tiny_transformers import transformer_folder
from typer.testing import CliRunner

from spacy_crfner import cli

FINE_TUNED = (*(f"transformer{kind}" for kind in ("", "_bilstm", "_attention", "_features")), "weak_class_transformer")
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.cfg"))


def crfner(*arguments):
    result = CliRunner().invoke(cli.crfner, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_lists_each_config_with_a_sentence():
    status, out, err = crfner("config")
    assert status == 0 and [line.split()[0] for line in out.splitlines()] == NAMES
    assert all(len(line.split()) > 5 and line.endswith(".") for line in out.splitlines())
    assert "config NAME --train FILE --dev FILE --output" in err


@pytest.mark.parametrize("name", NAMES)
def test_writes_the_config_and_says_what_comes_next(name, tmp_path):
    output = tmp_path / "new" / "my.cfg"
    status, out, err = crfner("config", name, "--output", output)
    assert (status, out) == (0, "")
    assert output.read_text(encoding="utf8") == (ROOT / "configs" / f"{name}.cfg").read_text(encoding="utf8")
    assert f"python -m spacy train {output} --paths.train train.spacy" in err and err.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_command_can_be_pasted(name, tmp_path):
    output = tmp_path / "it's my $HOME.cfg"
    _, _, err = crfner("config", name, "--output", output)
    words = shlex.split(err.partition("Train with: ")[2])
    assert words[:5] == ["python", "-m", "spacy", "train", str(output)] and words[-2:] == ["--output", "training"]
    assert not any(sign in err for sign in "[]\\")


def test_follows_the_data_and_names_it_no_more(tmp_path, write):
    """From converted files to a command that has nothing left to fill in."""
    columns = "Anna B-PER\nmet O\nBob B-PER\n\n" * 20
    for split in ("train", "dev"):
        write(f"raw/{split}.conll", columns)
    status, _, err = crfner("convert", tmp_path / "raw", "--to", tmp_path / "corpus", "--lang", "de")
    assert (
        status == 0 and err.startswith("Next: python -m spacy crfner config bcrf_ner --train ") and err.count("\n") == 1
    )
    words = shlex.split(err)
    output = tmp_path / "bcrf_ner.cfg"
    status, out, err = crfner(*words[words.index("crfner") + 1 : -1], output, "--vectors", "de_core_news_md")
    assert (status, out) == (0, "") and "20 docs, 60 words, 40 entities" in err and "minute" in err
    assert err.splitlines()[-1] == f"Wrote {output}. Train with: python -m spacy train {output} --output training"
    text = output.read_text(encoding="utf8")
    for line in ('lang = "de"', 'vectors = "de_core_news_md"', f'train = "{tmp_path / "corpus" / "train.spacy"}"'):
        assert f"\n{line}\n" in text
    # Printed, it can be read from a pipe.
    assert crfner("config", "bcrf_ner", "--lang", "de")[:2] == (
        0,
        (ROOT / "configs" / "bcrf_ner.cfg").read_text(encoding="utf8").replace('lang = "en"', 'lang = "de"'),
    )


def test_a_transformer_is_named_and_its_time_unknown(tmp_path, write):
    write("train.conll", "Anna B-PER\nmet O\nBob B-PER\n\n" * 20)
    crfner("convert", tmp_path / "train.conll", "--to", tmp_path / "corpus")
    train, output = next((tmp_path / "corpus").glob("*.spacy")), tmp_path / "my.cfg"
    options = ["config", "transformer", "--train", train, "--transformer", "bert-base-cased", "--output", output]
    status, _, err = crfner(*options)
    assert status == 0 and "Training: 400 updates (3,333.3 passes over the data)" in err and "word vectors" not in err
    text = output.read_text(encoding="utf8")
    for line in ('transformer = "bert-base-cased"', "max_steps = 400", "patience = 0", "eval_frequency = 100"):
        assert f"\n{line}\n" in text
    assert "--paths.transformer" not in err and "--paths.dev dev.spacy" in err
    status, _, err = crfner(*options, "--force", "--minutes", "3")
    assert status == 1 and "How long a transformer takes is not known" in err
    status, _, err = crfner("config", "bcrf_ner", "--transformer", "bert-base-cased")
    assert status == 1 and "no use for 'bert-base-cased': leave --transformer out" in err
    status, out, err = crfner("config", "frozen_bilstm", "--train", train)
    assert status == 0 and "on two cores, after the transformer has read the data once" in err
    assert "\nmax_steps = 1000\n" in out
    status, _, err = crfner("config", "frozen_transformer", "--vectors", "en_core_web_md")
    assert status == 1 and "no use for 'en_core_web_md': leave --vectors out" in err


@pytest.mark.parametrize(
    "name, remark",
    [
        ("bert-base-cased", "will look for this name on the Hugging Face hub"),
        ("intfloat/multilingual-e5-small", "will look for this name on the Hugging Face hub"),
        ("./models/bert", "there is no model in this folder yet"),
        ("models/of/bert", "there is no model in this folder yet"),
        ("models", "its config.json names no width"),
        ("tiny", "with rate = 0.2"),
        ("mute", "a model without a tokenizer: put its tokenizer.json into this folder"),
    ],
)
def test_it_says_where_a_transformer_will_be_looked_for(name, remark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config.json").write_text("{}")
    shutil.copytree(transformer_folder("bert"), tmp_path / "tiny")
    (tmp_path / "mute").mkdir()
    (tmp_path / "mute" / "config.json").write_text('{"hidden_size": 768}')
    status, _, err = crfner("config", "transformer", "--transformer", name)
    assert status == 0 and f"{name}: " in err and remark in err and err.count("\n") == 1


@pytest.mark.parametrize("width, rate", [(384, 0.2), (768, 0.05), (1024, 0.05)])
@pytest.mark.parametrize("name", FINE_TUNED)
def test_rate_and_listeners_follow_the_width_of_a_transformer(name, width, rate, tmp_path):
    key = "dim" if width == 384 else "hidden_size"
    (tmp_path / "config.json").write_text(json.dumps({key: width}))
    status, out, err = crfner("config", name, "--transformer", tmp_path)
    config = Config().from_str(out, interpolate=False)
    assert status == 0 and str(config["components"]).count(f"'rate': {rate}") == 1
    assert config.get("listener", {"width": width})["width"] == width and (rate == 0.2) == ("small models" in err)
    # Nothing else, and no comment.
    shipped = (ROOT / "configs" / f"{name}.cfg").read_text(encoding="utf8")
    changed = [new for old, new in zip(shipped.splitlines(), out.splitlines(), strict=True) if old != new]
    assert {line.partition(" = ")[0] for line in changed} <= {"transformer", "rate", "width"}


@pytest.mark.parametrize("name", ["frozen_transformer", "frozen_bilstm"])
def test_a_frozen_one_gives_the_mean_of_the_layers_that_it_has(name, tmp_path):
    for key, has, layers in (("num_hidden_layers", 2, 2), ("n_layers", 3, 3), ("num_hidden_layers", 12, 4)):
        (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 128, key: has}))
        status, out, _ = crfner("config", name, "--transformer", tmp_path)
        components = Config().from_str(out, interpolate=False)["components"]
        assert status == 0 and str(components).count(f"'layers': {layers}") == 1


def test_data_that_cannot_be_read_leaves_no_config(tmp_path):
    status, out, err = crfner("config", "bcrf_ner", "--train", tmp_path / "no.spacy", "--output", tmp_path / "my.cfg")
    assert (status, out, list(tmp_path.iterdir())) == (1, "", []) and err.count("\n") == 1 and "no.spacy" in err


def test_prints_the_config():
    text = (ROOT / "configs" / "bcrf_ner.cfg").read_text(encoding="utf8")
    assert crfner("config", "bcrf_ner") == crfner("config", "bcrf_ner", "--output", "-") == (0, text, "")


def test_sentences_are_found_first_if_told(tmp_path):
    assert crfner("config", "bcrf_ner", "--sentencizer", "--output", tmp_path / "my.cfg")[0] == 0
    written = (tmp_path / "my.cfg").read_text(encoding="utf8")
    assert 'pipeline = ["sentencizer","bcrf_ner"]' in written
    assert crfner("config", "bcrf_ner", "--sentencizer")[1] == written


def test_unknown_name_is_one_sentence(tmp_path):
    status, out, err = crfner("config", "crf", "--output", tmp_path / "my.cfg")
    assert (status, out) == (1, "") and list(tmp_path.iterdir()) == []
    assert err == f"There is no config 'crf': choose one of {', '.join(NAMES)}.\n"


@pytest.mark.parametrize("options", ["--train train.spacy", "--minutes 0", "--output my.cfg", "--force"])
def test_options_without_a_name_are_not_passed_over(options):
    status, out, err = crfner("config", *options.split())
    assert (status, out) == (1, "") and "crfner config bcrf_ner" in err and err.count("\n") == 1


def test_overwrites_only_if_told(tmp_path):
    (tmp_path / "my.cfg").write_text("mine")
    status, _, err = crfner("config", "bcrf_ner", "--output", tmp_path / "my.cfg")
    assert status == 1 and "--force" in err and (tmp_path / "my.cfg").read_text() == "mine"
    assert crfner("config", "bcrf_ner", "--output", tmp_path / "my.cfg", "--force")[0] == 0
    assert (tmp_path / "my.cfg").read_text() != "mine"
    assert crfner("config", "bcrf_ner", "--output", tmp_path, "--force")[0] == 1


def test_every_file_of_the_folder_is_a_command():
    """Nobody has to list them."""
    files = {path.stem for path in (ROOT / "spacy_crfner" / "cli").glob("*.py")} - {"__init__", "messages"}
    assert {command.name.replace("-", "_") for command in cli.crfner.registered_commands} == files


def test_help_needs_no_torch():
    """spaCy itself imports it where it is installed; ours are not to load what takes time before they are called."""
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['spacy', 'crfner', {command!r}, '--help'];"
        "from spacy.cli import setup_cli; setup_cli()"
    )
    for command in cli.crfner.registered_commands:
        done = subprocess.run([sys.executable, "-c", code.format(command=command.name)], capture_output=True, text=True)
        assert done.returncode == 0 and "Usage" in done.stdout, done.stderr
