"""The floors of docs/architecture.md: a room imports only from lower ones."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Dict, Iterator, Sequence, Set

import pytest
from samples import ROOT

PACKAGE = ROOT / "spacy_crfner"
ROOM = re.compile(r"^  (\w+(?:\.py|/))\s+floor (\d+)", re.MULTILINE)
MODULES = sorted(PACKAGE.rglob("*.py"))


def floors() -> Dict[str, int]:
    """Read the floor of each room, a module or folder of the package."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {name.removesuffix("/").removesuffix(".py"): int(floor) for name, floor in ROOM.findall(text)}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(code: str, inside: Sequence[str]) -> Iterator[str]:
    """Find the rooms that a module imports anywhere, in functions too; `__init__` is the package itself.

    inside: the folders of the package that the module stands in.
    """
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = (node.module or "").split(".") if node.module else []
            if node.level:
                names = [PACKAGE.name, *inside[: len(inside) - node.level + 1], *names]
            # `from .. import tags` names a room, or something of the package itself.
            targets = [[*names, alias.name] for alias in node.names]
        else:
            continue
        for package, *rest in targets:
            if package == PACKAGE.name:
                yield rest[0] if rest and rest[0] in floors() else "__init__"


def rooms_of(path: Path) -> Set[str]:
    """Find the other rooms that a module of the package imports."""
    code, inside = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE).parts[:-1]
    return set(imported(code, inside)) - {room(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_imports_from_lower_floors_alone(path):
    known = floors()
    assert room(path) in known, f"{room(path)} is not listed in docs/architecture.md: add it there, with its floor"
    for other in rooms_of(path):
        assert known[other] < known[room(path)], (
            f"{path.relative_to(ROOT)} (floor {known[room(path)]}) imports {other} (floor {known[other]}): move what "
            "it needs to a lower floor, or correct the floors in docs/architecture.md"
        )


def test_no_rooms_import_each_other_in_a_circle():
    graph: Dict[str, Set[str]] = {}
    for path in MODULES:
        graph.setdefault(room(path), set()).update(rooms_of(path))
    # Raises CycleError, which names the rooms.
    assert set(TopologicalSorter(graph).static_order()) == set(floors())


def test_every_room_is_listed_once_and_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = [name for name, _ in ROOM.findall(text)]
    there = [path.name for path in PACKAGE.glob("*.py")]
    there += [f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.py"))]
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize(
    "code, rooms",
    [
        ("from ..tags import TagSet", ["tags"]),
        ("from ..routing.annotation import WEAK", ["routing"]),
        ("from .. import tags, routing", ["tags", "routing"]),
        ("from .. import register_extensions", ["__init__"]),
        ("from . import task", ["tagging"]),
        ("from .task import CRFTask", ["tagging"]),
        ("from spacy_crfner.routing import annotation", ["routing"]),
        ("from spacy_crfner import routing, __version__", ["routing", "__init__"]),
        ("import spacy_crfner.routing.vote as vote", ["routing"]),
        ("import spacy, spacy_crfner", ["__init__"]),
        ("def late():\n    import spacy_crfner.cli\n    from ..routing import vote", ["cli", "routing"]),
        ("import spacy\nfrom spacy.tokens import Doc\nimport torch.nn", []),
    ],
)
def test_imports_are_seen_however_they_are_written(code, rooms):
    assert list(imported(code, ["tagging"])) == rooms


def test_crf_knows_neither_spacy_nor_thinc():
    for path in (PACKAGE / "crf").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (spacy|thinc)\b", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_files_that_the_page_names_are_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = re.findall(r"`(\w+/\w+\.py)`", text)
    assert len(paths) > 4
    assert [path for path in paths if not (PACKAGE / path).is_file()] == []
