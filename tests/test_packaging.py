"""The built wheel works without the source tree, alone and with a pipeline packaged by `spacy package`."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

CODE = """
import pathlib, sys
import spacy, spacy_crfner
from spacy.training import Example
where = pathlib.Path(spacy_crfner.__file__).resolve()
assert pathlib.Path({site!r}).resolve() in where.parents, where
nlp = spacy.blank("en")
nlp.add_pipe("bcrf_ner")
example = Example.from_dict(nlp.make_doc("Anna met Bob ."), {{"entities": [(0, 4, "PER"), (9, 12, "PER")]}})
optimizer = nlp.initialize(lambda: [example])
for _ in range(25):
    nlp.update([example], sgd=optimizer)
assert [ent.text for ent in nlp("Anna met Bob .").ents] == ["Anna", "Bob"]
nlp.to_disk({model!r})
"""


def run(*command, **options):
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """A folder into which only the wheel was installed, from a copy of the source that is gone."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "-co",
            "--exclude-standard",
            "spacy_crfner",
            "setup.cfg",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((root / name).read_bytes())
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "source"))
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert any(name.endswith("entry_points.txt") for name in names)
        assert "spacy_crfner/py.typed" in names and "spacy_crfner/configs/bcrf_ner.cfg" in names
        assert all(name.startswith(("spacy_crfner/", "spacy_crfner-")) for name in names)
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder / "site"), str(wheel))
    (folder / "source").rename(folder / "gone")
    return folder / "site"


def environment(*folders):
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders)}


def test_installed_wheel_trains_and_its_pipeline_packages(installed, tmp_path):
    model = tmp_path / "model"
    code = CODE.format(site=str(installed), model=str(model))
    run("-c", code, cwd=tmp_path, env=environment(installed))

    package = (
        "-m",
        "spacy",
        "package",
        str(model),
        str(tmp_path),
        "--name",
        "people",
        "--version",
        "1.2.3",
        "--build",
        "none",
    )
    run(*package, cwd=tmp_path, env=environment(installed))
    folder = tmp_path / "en_people-1.2.3"
    # `spacy package` finds this package as a requirement of the pipeline through the entry points.
    assert "spacy-crfner" in (folder / "meta.json").read_text()
    run("-m", "build", "--wheel", "--no-isolation", str(folder), env=environment(installed))
    (wheel,) = (folder / "dist").glob("*.whl")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site"), str(wheel))
    load = "import en_people; print([ent.text for ent in en_people.load()('Anna met Bob .').ents])"
    assert "['Anna', 'Bob']" in run("-c", load, cwd=tmp_path, env=environment(installed, tmp_path / "site"))


def test_everything_from_columns_to_a_package_without_a_clone(installed, tmp_path):
    """In an empty folder: what the README asks for, with nothing but the wheel."""
    pytest.importorskip("floret")
    names = ("Anna", "Bob", "Kell", "Harlow", "Pike", "Mira")
    lines = [f"{first} B-PER\nmet O\n{last} B-PER\nin O\nOslo B-LOC\n" for first in names for last in names]
    (tmp_path / "all.conll").write_text("\n".join(lines), encoding="utf8")
    environ = environment(installed)

    def spacy_command(*command):
        return run("-m", "spacy", *command, cwd=tmp_path, env=environ)

    spacy_command("crfner", "convert", "all.conll", "--to", "corpus", "--split", "80,10,10")
    options = ("--lang", "en", "--annotated", "corpus/train.spacy", "--width", "8", "--rows", "50", "--least", "1")
    spacy_command("crfner", "vectors", "vectors", *options)
    paths = ("--train", "corpus/train.spacy", "--dev", "corpus/dev.spacy", "--vectors", "vectors")
    spacy_command("crfner", "config", "bcrf_ner", *paths, "--output", "my.cfg")
    encoder = "--components.bcrf_ner.model.tok2vec"
    small = (f"{encoder}.width", "32", f"{encoder}.tok2vec.hash_width", "16", f"{encoder}.tok2vec.layout", "word+char8")
    steps = ("--training.max_steps", "30", "--training.eval_frequency", "15", "--training.dropout", "0.1")
    spacy_command("train", "my.cfg", "--output", "training", *small, *steps)
    spacy_command("evaluate", "training/model-best", "corpus/test.spacy", "--output", "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["ents_f"] > 0.5
    spacy_command("package", "training/model-best", ".", "--name", "people", "--version", "1.0.0", "--build", "none")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", "site")
    run(*install, "./en_people-1.0.0", cwd=tmp_path, env=environ)
    load = "import en_people; nlp = en_people.load(); print([ent.label_ for ent in nlp('Anna met Bob in Oslo').ents])"
    assert "PER" in run("-c", load, cwd=tmp_path, env=environment(installed, tmp_path / "site"))
