"""The code blocks of the README and the docs run; their links lead somewhere; their configs resolve."""

import inspect
import json
import os
import re
import subprocess
import sys

import pytest
import spacy
from samples import ROOT, declared
from spacy.training import Corpus, Example
from thinc.api import Config
from tiny_transformers import transformer_folder

from spacy_crfner.shipped_configs import read_config

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CHANGELOG.md"]
PRINTED = ("README.md",)
"""Pages whose code prints, on any machine, what is shown below it."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [code for kind, code in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run(page, tmp_path, small_nlp):
    """Each page is one script: later blocks may use what earlier ones made, and a pipeline that `spacy train` made."""
    (tmp_path / "training").mkdir()
    nlp = frozen_pipeline() if page.name == "transformers.md" else small_nlp
    nlp.to_disk(tmp_path / "training" / "model-best")
    code = "\n".join(blocks(page, "python"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    if page.name in PRINTED:
        expected = re.findall(
            r"^```python\n[^`]+^```\n+^```\n(.*?)^```", page.read_text("utf8"), re.MULTILINE | re.DOTALL
        )
        assert expected and all(text in result.stdout for text in expected), result.stdout


def frozen_pipeline():
    """A pipeline as `frozen_bilstm` makes it."""
    config = read_config("frozen_bilstm")
    shipped = Config().from_str(config, interpolate=False)["components"]["bcrf_ner"]["model"]["tok2vec"]
    transformer = {**shipped["tok2vec"]["first"], "name": transformer_folder("bert"), "layers": 2, "cache": None}
    transformer.update(window=32, stride=20)
    nlp = spacy.blank("en")
    tok2vec = {**shipped, "tok2vec": {**shipped["tok2vec"], "first": transformer}}
    nlp.add_pipe("bcrf_ner", config={"model": {"tok2vec": tok2vec}})
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("Anna sang ."), {"entities": [(0, 4, "PER")]})])
    return nlp


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "ini")], ids=lambda p: p.name)
def test_config_blocks_resolve(page):
    from spacy import registry

    for code in blocks(page, "ini"):
        config = Config().from_str(with_parents(code), interpolate=False)
        for path, block in walk(config):
            for key, name in block.items():
                if key.startswith("@"):
                    assert callable(registry.get(key[1:], name)), (path, name)


def with_parents(code):
    """A piece of a config with the empty sections above its own, which a whole config would have."""
    names = re.findall(r"^\[([\w.]+)\]", code, re.MULTILINE)
    above = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)} - set(names)
    return "".join(f"[{name}]\n" for name in sorted(above)) + code


def walk(block, path=""):
    if isinstance(block, dict):
        yield path, block
        for key, value in block.items():
            yield from walk(value, f"{path}.{key}")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (page.parent / target).exists(), target
    for command in blocks(page, "bash"):
        for path in re.findall(r"(?<![\w./-])((?:configs|scripts|benchmarks|assets)/[\w./-]+\.\w+)", command):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_into_a_page_lead_to_a_heading(page):
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


def anchors(page):
    """As GitHub makes them of headings, and those that are set by hand."""
    text = page.read_text(encoding="utf-8")
    outside = BLOCK.sub("", text)
    made = {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    }
    return made | set(re.findall(r'<a id="([^"]+)">', text))


def test_lines_can_be_read_without_scrolling():
    """Those of tables aside."""
    for path in [*PAGES, ROOT / "benchmarks" / "README.md", ROOT / "project.yml", *(ROOT / "configs").glob("*.cfg")]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert len(line) <= 120 or line.startswith("|"), f"{path}:{number}"


def test_the_package_of_the_readme_is_where_it_is_installed_from(tmp_path, small_nlp):
    """In an empty folder but for the pipeline that its code has saved; pip and the building of the wheel aside."""
    (tmp_path / "training").mkdir()
    small_nlp.to_disk(tmp_path / "training" / "pipeline")
    (block,) = [code for code in blocks(ROOT / "README.md", "bash") if "spacy package" in code]
    builds, wheel = block.splitlines()[0], block.splitlines()[-1].split()[-1]
    assert builds == "pip install build", "--build wheel needs it, and spaCy does not bring it"
    commands = "\n".join(line for line in block.splitlines() if not line.startswith("pip"))
    commands = commands.replace("python", sys.executable).replace("--build wheel", "--build none")
    result = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    folder = (tmp_path / wheel).parent.parent
    assert (folder / "setup.py").exists() and wheel.endswith(f"{folder.name}-py3-none-any.whl")


def test_readme_names_the_two_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in (
        "pip install -r requirements.txt -e . && python -m spacy project run all",
        "pip install -r requirements-dev.txt -e . && python -m pytest -n 2",
    ):
        assert command in readme


def test_tables_of_results_are_what_the_results_say():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from tables import TABLES, page_with_tables

    for page in {page for page, _ in TABLES}:
        assert page_with_tables(page) == (ROOT / page).read_text(encoding="utf-8"), f"run benchmarks/tables.py: {page}"


def test_documented_defaults_are_the_real_ones():
    from spacy_crfner.corpora.sampling import make_balanced_corpus_v1
    from spacy_crfner.encoders.word_char_embed import build_word_char_embed_v1
    from spacy_crfner.tagging import factory

    rows = documented("The reader `spacy_crfner.BalancedCorpus.v1` gives")
    parameters = inspect.signature(make_balanced_corpus_v1).parameters
    own = set(parameters) - set(inspect.signature(Corpus).parameters)
    assert set(rows) == own
    assert all(json.loads(rows[name]) == parameters[name].default for name in own)

    rows = documented("Arguments of `spacy_crfner.WordCharEmbed.v1`:")
    for name, parameter in inspect.signature(build_word_char_embed_v1).parameters.items():
        value = list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        assert json.loads(rows[name]) == value, name
        assert factory.DEFAULT_MODEL["tok2vec"]["tok2vec"][name] == value, name


def test_reference_tables_are_what_the_code_says():
    sys.path.insert(0, str(ROOT / "scripts"))
    import write_reference

    assert write_reference.page() == write_reference.PAGE.read_text(encoding="utf-8"), "run scripts/write_reference.py"


def test_the_reference_has_everything_that_is_registered():
    text = (ROOT / "docs" / "components.md").read_text(encoding="utf-8")
    names = [name for name in declared() if name != "crfner" and not name.startswith("spacy_crfner.saved_")]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_argument_of_a_component_has_a_meaning():
    sys.path.insert(0, str(ROOT / "scripts"))
    import write_reference

    for name in write_reference.FACTORIES:
        for row in write_reference.factory_table(name).splitlines()[2:]:
            assert all(cell.strip() for cell in row.split(" | ")), row


def documented(heading):
    """Argument -> default of the first table after a heading of docs/components.md."""
    text = (ROOT / "docs" / "components.md").read_text(encoding="utf-8")
    table = text.split(heading, 1)[1].split("|---|---|---|\n", 1)[1].split("\n\n", 1)[0]
    return {name: value.strip("`") for name, value in re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", table, re.MULTILINE)}
