"""The project file and the scripts that it calls."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import spacy
import srsly

SCRIPTS = ("install_package", "check_package", "render_entities", "clean", "write_text", "write_configs")


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
        # Something to look at first.
        *("convert", "config", "train", "render"),
        *("evaluate", "package", "install", "check"),
        *project["workflows"]["weak-class"],
        *project["workflows"]["back-attention"],
    ]


def test_own_corpora_are_driven_by_variables(project):
    """Nothing but the options of `spacy train` tells one corpus from another."""
    assert project["workflows"]["own"] == ["own-convert", "own-train", "own-evaluate"]
    script = {command["name"]: " ".join(command["script"]) for command in project["commands"]}
    for name in ("config", "lang", "vectors", "gpu_id", "seed", "own_name", "own_options"):
        assert f"${{vars.{name}}}" in script["own-train"], name
    assert "${vars.own_corpus}" in script["own-convert"] and project["vars"]["own_options"] == ""


@pytest.mark.slow
def test_own_corpus_trains_with_further_options(root, tmp_path):
    """In a copy of the project, with a config for rare labels and options that a command line would have."""
    for folder in ("configs", "scripts", "assets"):
        shutil.copytree(root / folder, tmp_path / folder)
    shutil.copy(root / "project.yml", tmp_path)
    options = " --training.max_steps 4 --training.eval_frequency 2 --tagger.model.tok2vec.width 16 --tagger.r_drop 0"
    options += " --training.optimizer.learn_rate.warmup_steps 1 --training.batcher.size 50"
    command = [sys.executable, "-m", "spacy", "project", "run", "own", ".", "--vars.own_corpus", "assets/weak"]
    command += ["--vars.config", "configs/weak_class.cfg", "--vars.own_name", "tiny", "--vars.own_options", options]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    config = spacy.util.load_config(tmp_path / "training" / "tiny" / "model-best" / "config.cfg")
    assert config["training"]["max_steps"] == 4 and config["tagger"]["model"]["tok2vec"]["width"] == 16
    assert "ents_f" in json.loads((tmp_path / "metrics" / "tiny.json").read_text())


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
    page = tmp_path / "page" / "news.html"
    result = run(root, "render_entities", "en_small", *options, "--output", page)
    assert result.returncode == 0, result.stderr
    html = page.read_text(encoding="utf8")
    assert "<title>Entities found by en_" in html and "Anna" in html
    assert re.search(r"PER (0\.\d\d|1\.00)</span>", html)


def test_a_page_shows_labels_probabilities_and_what_has_none(root, small_nlp, tmp_path):
    """Of a pipeline in a folder, with entities that a rule has found, which have no probability."""
    from spacy.tokens import DocBin

    small_nlp.to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    ruler = nlp.add_pipe("entity_ruler", before="bcrf_ner")
    ruler.add_patterns([{"label": "A<B", "pattern": "met"}])
    nlp.to_disk(tmp_path / "ruled")
    DocBin(docs=[nlp.make_doc("Anna met Bob in Oslo.")]).to_disk(tmp_path / "text.spacy")
    page = tmp_path / "ruled.html"
    result = run(root, "render_entities", tmp_path / "ruled", "--corpus", tmp_path / "text.spacy", "--output", page)
    assert result.returncode == 0, result.stderr
    html = page.read_text(encoding="utf8")
    legend = html.split('class="legend"')[1].split("</div>")[0]
    assert "A&lt;B" in legend and "PER" in legend and "found by another component" in legend
    assert "A&lt;B -</span>" in html and "A<B" not in html
    # The more probable, the stronger.
    strengths = re.findall(r"rgba\([\d,]+,(0\.\d\d)\)[^>]*title=\"\w+, probability ([\d.]+)", html)
    assert strengths and all(float(a) == pytest.approx(0.1 + 0.7 * float(p), abs=0.006) for a, p in strengths)
