"""Fingerprints of what a result depends on: two runs may stand in one result where theirs are equal."""

import ast
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Sequence

from spacy.util import is_package

import spacy_crfner
from spacy_crfner.files import fingerprint

PACKAGE = Path(spacy_crfner.__file__).parent
HERE = Path(__file__).parent
SHARED = (HERE / "training.py", HERE / "scores.py", HERE / "corpora.py")
"""What trains, scores and reads corpora, for all benchmarks."""


class _WithoutText(ast.NodeTransformer):
    """Takes out docstrings, and strings that stand by themselves."""

    def visit_Expr(self, node: ast.Expr) -> object:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


@cache
def _code(path: Path, changed: int) -> str:
    return ast.unparse(_WithoutText().visit(ast.parse(path.read_text(encoding="utf8"))))


def code_fingerprint(*others: Path) -> str:
    """Digest what the package does: comments, docstrings and layout do not count. others: modules beside it."""
    modules = [(path.relative_to(PACKAGE).as_posix(), path) for path in sorted(PACKAGE.rglob("*.py"))]
    modules += [(path.name, path) for path in (*SHARED, *others)]
    return fingerprint([[name, _code(path, path.stat().st_mtime_ns)] for name, path in modules])


def model_fingerprint(model: str, ignored: Sequence[str] = ()) -> str:
    """Digest the contents of a file or folder, or the name and version of a package; where there is neither, the name.

    ignored: names of files that do not count.
    """
    path = Path(model)
    if path.exists():
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        parts = [(file.relative_to(path).as_posix(), file) for file in files if file.name not in ignored]
        return fingerprint(*(part for named in parts for part in named))
    return fingerprint([model, version(model)] if is_package(model) else model)
