"""Pipelines that were saved before load today, and find what they found then."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import spacy
from golden.make import PIPELINES, written
from samples import ROOT

from spacy_crfner import __version__

GOLDEN = ROOT / "tests" / "golden"
MAKE = [sys.executable, str(GOLDEN / "make.py")]
SAVED = sorted(path.parent for path in GOLDEN.glob("*/*/meta.json"))
KILOBYTES_EACH, KILOBYTES_TOGETHER = 150, 600
TOLERANCE = 1e-5


@pytest.fixture(params=SAVED, ids=lambda folder: str(folder.relative_to(GOLDEN)))
def saved(request):
    """The folder of a pipeline."""
    return request.param


def assert_equal(found, expected, where):
    """Numbers that are not whole may differ by the tolerance."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_equal(found[key], expected[key], f"{where}, {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_equal(found[index], value, f"{where}, {index}")
    elif isinstance(expected, float):
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=TOLERANCE, err_msg=where)
    else:
        assert found == expected, where


def assert_finds(nlp, expected):
    docs = list(nlp.pipe([text["text"] for text in expected]))
    for doc, text in zip(docs, expected, strict=True):
        assert_equal({"text": doc.text, **written(doc)}, text, doc.text)
        for entity in doc.ents:
            assert 0.0 < entity._.confidence <= 1.0


def test_a_saved_pipeline_finds_what_it_found_and_can_be_saved_again(saved, tmp_path):
    expected = json.loads((saved.parent / "expected.json").read_text(encoding="utf-8"))[saved.name]
    assert sum(len(group["spans"]) for text in expected for group in text["spans"].values()) > 8
    nlp = spacy.load(saved)
    assert_finds(nlp, expected)
    nlp.to_disk(tmp_path)
    assert_finds(spacy.load(tmp_path), expected)


def test_every_component_is_among_those_of_this_version(root):
    folders = [folder for folder in SAVED if folder.parent.name == __version__]
    assert {folder.name for folder in folders} == set(PIPELINES)
    configs = [spacy.util.load_config(folder / "config.cfg") for folder in folders]
    factories = {block["factory"] for config in configs for block in config["components"].values()}
    assert {"bcrf_ner", "weak_class_router", "ner_vote", "back_attention"} <= factories


def test_they_are_small_and_name_no_folder_of_the_machine_that_made_them():
    sizes = [sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1000 for folder in SAVED]
    assert max(sizes) < KILOBYTES_EACH
    versions = len({folder.parent for folder in SAVED})
    assert sum(sizes) < KILOBYTES_TOGETHER * versions
    for config in GOLDEN.rglob("config.cfg"):
        paths = spacy.util.load_config(config)
        assert not any(paths["paths"].values())
        assert not paths["initialize"]["components"]


def test_making_them_replaces_nothing_by_itself():
    before = {path: path.stat().st_mtime_ns for path in GOLDEN.rglob("*") if path.is_file()}
    result = subprocess.run(MAKE, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and "is there already" in result.stderr and "--force" in result.stderr
    assert before == {path: path.stat().st_mtime_ns for path in GOLDEN.rglob("*") if path.is_file()}


def test_neither_wheel_nor_source_archive_holds_them(tmp_path):
    """Nor the snapshot: whoever installs the package needs none of them."""
    listing = ["git", "ls-files", "-co", "--exclude-standard", "spacy_crfner", "tests", "*.cfg", "*.toml", "*.md"]
    names = subprocess.run([*listing, "LICENSE"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        copied = tmp_path / "source" / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copied)
    assert (tmp_path / "source" / "tests" / "golden" / __version__).is_dir()
    build = [sys.executable, "-m", "build", "--sdist", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist")]
    subprocess.run([*build, str(tmp_path / "source")], capture_output=True, text=True, check=True)
    (wheel,), (archive,) = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as first, tarfile.open(archive) as second:
        shipped = [*first.namelist(), *second.getnames()]
    assert any(name.endswith("spacy_crfner/files.py") for name in shipped)
    assert not [name for name in shipped if "golden/" in name or name.endswith("snapshot.json")]
