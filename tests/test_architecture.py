"""The floors of docs/architecture.md: lower ones never import upper ones."""

import ast
import re

import pytest
from samples import ROOT

PACKAGE = ROOT / "spacy_crfner"


def floors():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {name: int(floor) for name, floor in re.findall(r"^  (\w+)(?:\.py|/)\s+floor (\d)", text, re.MULTILINE)}


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """The rooms of the package that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            inside = path.relative_to(PACKAGE).parts[:-1]
            target = [*inside[: len(inside) - node.level + 1], *(node.module or "").split(".")]
            yield target[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_imports_an_upper_floor(path):
    known = floors()
    if path.parent == PACKAGE and path.stem in ("__init__", "about"):
        return
    assert room(path) in known, "docs/architecture.md does not say on which floor this stands"
    for other in imported(path):
        assert other == room(path) or known[other] <= known[room(path)], f"{path} imports {other}"


def test_crf_knows_neither_spacy_nor_thinc():
    for path in (PACKAGE / "crf").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (spacy|thinc)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
