"""The project file and the scripts that it calls."""

import json
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

SCRIPTS = ("install_package", "check_package", "render_entities", "clean", "convert", "write_text", "train_vectors")


@pytest.fixture(scope="module")
def project(root):
    return srsly.read_yaml(root / "project.yml")


def run(root, script, *arguments, cwd=None):
    command = [sys.executable, str(root / "scripts" / f"{script}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_every_command_says_what_it_does_needs_and_makes(project, root):
    for command in project["commands"]:
        assert len(command["help"]) > 10
        assert command["deps"], command["name"]
        for dep in command["deps"]:
            if dep.startswith(("assets/", "scripts/", "configs/")):
                assert (root / dep).exists(), dep
        if command["name"] not in ("check", "clean"):
            assert command["outputs"], command["name"]


def test_workflows_name_commands_in_an_order_that_works(project):
    commands = {command["name"]: command for command in project["commands"]}
    for steps in project["workflows"].values():
        made = set()
        for step in steps:
            needed = {
                dep
                for dep in commands[step]["deps"]
                if dep.split("/")[0] in ("corpus", "training", "metrics", "packages", "target")
            }
            assert needed <= made, step
            made |= set(commands[step].get("outputs", []))
    assert project["workflows"]["all"] == [
        *("convert", "train", "evaluate", "package", "install", "check", "render"),
        *project["workflows"]["weak-class"],
        *project["workflows"]["back-attention"],
    ]


@pytest.mark.parametrize("corpus", ["conll2003", "bc5cdr", "gmb"])
def test_missing_corpus_is_one_readable_sentence(root, project, tmp_path, corpus):
    result = run(root, "convert", tmp_path / project["vars"][corpus], "--to", tmp_path / "corpus")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert project["vars"][corpus] in result.stderr and len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("language", ["eng", "esp"])
def test_own_copy_of_conll_under_its_official_names(root, tmp_path, language):
    text = "-DOCSTART- -X- O O\n\nRome NNP I-NP I-LOC\nwins VBZ I-VP O\n\n"
    for name in (f"{language}.train", f"{language}.testa", f"{language}.testb"):
        (tmp_path / name).write_text(text)
    result = run(root, "convert", tmp_path, "--to", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev.spacy", "test.spacy", "train.spacy"]


def test_vectors_of_the_text_at_hand(root, tmp_path):
    """Every word has one, and the same text gives the same ones."""
    pytest.importorskip("floret")
    rng = random.Random(0)
    choices = ("el", "un"), ("perro", "gato"), ("come", "ve")
    lines = [" ".join(rng.choice(words) for words in choices) for _ in range(400)]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf8")
    doc = Doc(Vocab(), words=["el", "perro", "duerme"])
    DocBin(docs=[doc] * 10).to_disk(tmp_path / "train.spacy")
    options = ["--lang", "es", "--text", tmp_path / "text.txt", "--annotated", tmp_path / "train.spacy"]
    options += ["--width", "16", "--rows", "500"]
    tables = []
    for name in ("one", "two"):
        result = run(root, "train_vectors", *options, "--to", tmp_path / name)
        assert result.returncode == 0 and "1,230 words" in result.stdout, result.stderr
        nlp = spacy.load(tmp_path / name)
        tables.append(nlp.vocab.vectors.data)
    np.testing.assert_array_equal(*tables)
    assert nlp.lang == "es" and nlp.vocab["gatito"].vector.any()
    result = run(root, "train_vectors", "--lang", "es", "--to", tmp_path / "three")
    assert result.returncode == 1 and "no words to learn from" in result.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_explain_themselves(root, script):
    result = run(root, script, "--help")
    assert result.returncode == 0 and "usage" in result.stdout


def test_install_without_a_wheel_says_what_to_do(root, tmp_path):
    result = run(root, "install_package", tmp_path, "--target", tmp_path / "target")
    assert result.returncode == 1 and "run the package command first" in result.stderr


def test_clean_removes_nothing_outside(root, tmp_path):
    inside, outside = tmp_path / "project" / "corpus", tmp_path / "other"
    inside.mkdir(parents=True)
    outside.mkdir()
    assert run(root, "clean", outside, cwd=tmp_path / "project").returncode == 1 and outside.exists()
    assert run(root, "clean", "corpus", cwd=tmp_path / "project").returncode == 0 and not inside.exists()


def test_check_notices_another_score(root, small_nlp, tmp_path, examples):
    from spacy.tokens import DocBin

    package = tmp_path / "target" / "en_small"
    package.mkdir(parents=True)
    small_nlp.to_disk(package / "model")
    (package / "__init__.py").write_text(
        "from pathlib import Path\nimport spacy\ndef load():\n    return spacy.load(Path(__file__).parent / 'model')\n"
    )
    DocBin(docs=[example.reference for example in examples(small_nlp)]).to_disk(tmp_path / "test.spacy")
    score = small_nlp.evaluate(examples(small_nlp))["ents_f"]
    for expected, code in ((score, 0), (0.5, 1)):
        (tmp_path / "metrics.json").write_text(json.dumps({"ents_f": expected}))
        options = ("--target", tmp_path / "target", "--corpus", tmp_path / "test.spacy")
        result = run(root, "check_package", "en_small", *options, "--metrics", tmp_path / "metrics.json")
        assert result.returncode == code, result.stderr
    result = run(root, "render_entities", "en_small", *options, "--output", tmp_path / "page" / "news.html")
    assert result.returncode == 0, result.stderr
    html = (tmp_path / "page" / "news.html").read_text()
    assert "Anna" in html and re.search(r"PER (0\.\d\d|1\.00)", html)
