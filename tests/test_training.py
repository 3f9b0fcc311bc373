"""`spacy train` with the shipped recipe: on the demo corpus, and when it is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import spacy
from spacy.training import Corpus
from tiny_transformers import make_transformer

from spacy_crfner.corpora.convert import convert_file

SMALL = [
    "--components.bcrf_ner.model.tok2vec.width=64",
    "--components.bcrf_ner.model.tok2vec.tok2vec.layout=char20",
    "--components.bcrf_ner.model.tok2vec.tok2vec.hash_width=48",
    "--components.bcrf_ner.model.tok2vec.tok2vec.hash_noise=0",
    "--training.dropout=0.1",
]


@pytest.fixture(scope="module")
def corpus(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for split, limit in (("train", 300), ("dev", 60), ("test", 60)):
        convert_file(root / "assets" / "news" / f"{split}.conll", folder / f"{split}.spacy", limit=limit)
    return folder


def command(root, corpus, output, *options):
    paths = ["--paths.train", str(corpus / "train.spacy"), "--paths.dev", str(corpus / "dev.spacy")]
    config = str(root / "configs" / "bcrf_ner.cfg")
    return [sys.executable, "-m", "spacy", "train", config, "--output", str(output), *paths, *SMALL, *options]


def test_recipe_learns_from_the_command_line(root, corpus, tmp_path):
    options = ["--training.max_steps=120", "--training.eval_frequency=60"]
    subprocess.run(command(root, corpus, tmp_path, *options), check=True, capture_output=True)
    nlp = spacy.load(tmp_path / "model-best")
    scores = nlp.evaluate(list(Corpus(corpus / "train.spacy", limit=100)(nlp)))
    assert scores["ents_f"] > 0.6
    assert all(ent._.confidence is not None for doc in nlp.pipe(["Harlow said so ."] * 3) for ent in doc.ents)


def test_a_transformer_learns_from_the_command_line(root, corpus, tmp_path):
    """And is used in a process of its own, without its folder, a network or a change of its weights."""
    folder = make_transformer(tmp_path / "transformer", "roberta")
    command = [sys.executable, "-m", "spacy", "train", str(root / "configs" / "transformer.cfg")]
    command += ["--output", str(tmp_path), "--paths.train", str(corpus / "train.spacy")]
    command += ["--paths.dev", str(corpus / "dev.spacy"), "--paths.transformer", folder]
    command += ["--components.bcrf_ner.model.tok2vec.window=60", "--components.bcrf_ner.model.tok2vec.stride=40"]
    command += ["--components.bcrf_ner.model.tok2vec.rate=1", "--training.max_steps=40"]
    subprocess.run([*command, "--training.eval_frequency=20"], check=True, capture_output=True)
    shutil.rmtree(folder)
    program = "import spacy, sys; nlp = spacy.load(sys.argv[1]); print([e.text for e in nlp(sys.argv[2]).ents])"
    text = next(iter(Corpus(corpus / "train.spacy")(spacy.blank("en")))).reference.text
    used = [sys.executable, "-c", program, str(tmp_path / "model-best"), text]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(used, check=True, capture_output=True, text=True, env=env).stdout
    nlp = spacy.load(tmp_path / "model-best")
    assert found.strip() == str([ent.text for ent in nlp(text).ents])


def test_killed_training_leaves_a_model_that_loads(root, corpus, tmp_path):
    # An evaluation, and so a save, at every other step: the kill falls into the middle of them.
    options = ["--training.max_steps=100000", "--training.eval_frequency=2", "--training.patience=0"]
    process = subprocess.Popen(
        command(root, corpus, tmp_path, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "model-last" / "config.cfg").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1.0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    loaded = []
    for name in ("model-best", "model-last"):
        try:
            loaded.append(spacy.load(tmp_path / name))
        except (OSError, ValueError) as error:
            assert "\n" not in str(error) or name in str(error)
    assert loaded
    loaded[0]("Anna Kell met Bob in Paris .")


@pytest.mark.slow
def test_project_runs_from_convert_to_page(root, tmp_path):
    """The README's main job in a copy of the project, with a short training."""
    files = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((root / name).read_bytes())
    config = tmp_path / "configs" / "bcrf_ner.cfg"
    config.write_text(config.read_text().replace("max_steps = ", "max_steps = 100\n# max_steps = "))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "spacy", "project", "run", "all"], cwd=tmp_path, check=True, env=environment)
    assert "PER" in (tmp_path / "render" / "news.html").read_text()
