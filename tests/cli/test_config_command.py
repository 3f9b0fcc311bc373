"""`python -m spacy crfner config`, and what all commands have in common."""

import shlex
import subprocess
import sys

import pytest
from samples import ROOT
from typer.testing import CliRunner

from spacy_crfner import cli

NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.cfg"))


def crfner(*arguments):
    result = CliRunner().invoke(cli.crfner, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_lists_each_config_with_a_sentence():
    status, out, err = crfner("config")
    assert status == 0 and [line.split()[0] for line in out.splitlines()] == NAMES
    assert all(len(line.split()) > 5 and line.endswith(".") for line in out.splitlines())
    assert "config NAME --output" in err


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
