"""`python -m spacy crfner vectors`"""

import gzip
import random
import sys

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from typer.testing import CliRunner

from spacy_crfner.cli import crfner

SMALL = ("--lang", "es", "--width", "16", "--rows", "500")


def vectors(*arguments):
    result = CliRunner().invoke(crfner, ["vectors", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def files(tmp_path):
    """A text of 1,200 words in two files, one of them compressed, and annotated Docs and columns of 30 each."""
    rng = random.Random(0)
    choices = ("el", "un"), ("perro", "gato"), ("come", "ve")
    lines = [" ".join(rng.choice(words) for words in choices) for _ in range(400)]
    (tmp_path / "one.txt").write_text("\n".join(lines[:200]), encoding="utf8")
    (tmp_path / "two.txt.gz").write_bytes(gzip.compress("\n".join(lines[200:]).encode("utf8")))
    words = ["el", "perro", "duerme"]
    DocBin(docs=[Doc(Vocab(), words=words)] * 10).to_disk(tmp_path / "train.spacy")
    (tmp_path / "train.conll").write_text("\n".join(f"{word} O" for word in words) + "\n\n" * 1, encoding="utf8")
    return {name: tmp_path / name for name in ("one.txt", "two.txt.gz", "train.spacy", "train.conll")}


def test_every_word_has_a_vector_and_the_same_text_gives_the_same(files, tmp_path):
    pytest.importorskip("floret")
    options = ["--text", files["one.txt"], "--text", files["two.txt.gz"]]
    options += ["--annotated", files["train.spacy"], "--annotated", files["train.conll"]]
    tables = []
    for name in ("first", "second"):
        status, out, err = vectors(tmp_path / name, *SMALL, *options)
        assert (status, out) == (0, ""), err
        assert "1,233 words" in err and "--paths.vectors" in err
        nlp = spacy.load(tmp_path / name)
        tables.append(nlp.vocab.vectors.data)
    np.testing.assert_array_equal(*tables)
    assert nlp.lang == "es" and nlp.pipe_names == [] and tables[0].shape == (500, 16)
    assert nlp.vocab["gatito"].vector.any()


def test_errors_are_one_sentence_and_leave_what_is_there(files, tmp_path):
    pytest.importorskip("floret")
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes("señor".encode("latin1"))
    (tmp_path / "broken.spacy").write_bytes(b"no DocBin")
    (tmp_path / "cut.txt.gz").write_bytes(files["two.txt.gz"].read_bytes()[:50])
    output = tmp_path / "new"
    for options, message in (
        ([], "no words to learn from"),
        (["--text", tmp_path / "empty.txt"], "no words to learn from"),
        (["--text", tmp_path / "nowhere.txt"], "nowhere.txt: there is no such file"),
        (["--text", tmp_path / "cut.txt.gz"], "cut.txt.gz:1: the gzip data is damaged"),
        (["--text", tmp_path / "latin.txt"], "latin.txt:1: the line is not UTF-8"),
        (["--annotated", tmp_path / "nowhere.spacy"], "nowhere.spacy: there is no such file"),
        (["--annotated", tmp_path / "broken.spacy"], "broken.spacy: this is not spaCy's binary format"),
        (["--annotated", tmp_path / "nowhere.conll"], "nowhere.conll: there is no such file"),
        (["--text", files["one.txt"], "--lang", "klingon"], "spaCy has no language 'klingon'"),
    ):
        status, out, err = vectors(output, *SMALL, *options)
        assert (status, out) == (1, "") and message in err and err.count("\n") == 1, err
        assert not output.exists()


def test_only_a_pipeline_is_replaced(files, tmp_path):
    pytest.importorskip("floret")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letters.txt").write_text("dear")
    for output in (mine, mine / "letters.txt"):
        status, _, err = vectors(output, *SMALL, "--text", files["one.txt"])
        assert status == 1 and "this holds no pipeline" in err
    assert (mine / "letters.txt").read_text() == "dear"
    for width in ("16", "8"):
        assert vectors(tmp_path / "new", *SMALL, "--width", width, "--text", files["one.txt"])[0] == 0
    assert spacy.load(tmp_path / "new").vocab.vectors.shape == (500, 8)


def test_a_pipeline_with_components_is_not_replaced(files, tmp_path):
    pytest.importorskip("floret")
    nlp = spacy.blank("es")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "model")
    nlp.disable_pipe("sentencizer")
    nlp.to_disk(tmp_path / "disabled")
    for name in ("model", "disabled"):
        status, _, err = vectors(tmp_path / name, *SMALL, "--text", files["one.txt"])
        assert status == 1 and "components (sentencizer)" in err and err.count("\n") == 1
        assert spacy.load(tmp_path / name).component_names == ["sentencizer"]


def test_a_bad_output_is_noticed_before_training(files, tmp_path, monkeypatch):
    pytest.importorskip("floret")
    monkeypatch.setattr("floret.train_unsupervised", lambda *args, **settings: pytest.fail("it has trained"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for output, message in ((".", "current folder"), (files["one.txt"] / "new", "Not a directory")):
        status, _, err = vectors(output, *SMALL, "--text", files["one.txt"])
        assert status == 1 and message in err and str(output) in err and err.count("\n") == 1
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    status, _, err = vectors(tmp_path / "new", *SMALL, "--text", files["one.txt"])
    assert status == 1 and "Permission denied" in err and err.count("\n") == 1


def test_without_floret_it_says_how_to_get_it(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "floret", None)
    status, _, err = vectors(tmp_path / "new", *SMALL, "--text", files["one.txt"])
    assert status == 1 and "pip install 'spacy-crfner[vectors]'" in err and err.count("\n") == 1
