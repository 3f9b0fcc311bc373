"""Fingerprints of what a result depends on: two runs may stand in one result where theirs are equal."""

import ast
from functools import cache
from importlib.metadata import distribution, version
from importlib.util import resolve_name
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from spacy.util import is_package

import spacy_crfner
from spacy_crfner.files import fingerprint
from spacy_crfner.training_loop import CHECKPOINT, LOG

PACKAGE = Path(spacy_crfner.__file__).parent
SHARED = [Path(__file__).with_name(name) for name in ("training.py", "scores.py", "corpora.py")]
"""What trains, scores and reads corpora, for all benchmarks."""


def code_fingerprint(config: str, *others: Path) -> str:
    """Digest what the modules of the package do that a config needs. Comments, docstrings and layout do not count.

    config: its text. others: modules beside the package that it needs.
    """
    modules = [*SHARED, *others, *needed_modules(config, *others)]
    return fingerprint([[path.name, _read(path, path.stat().st_mtime_ns)[0]] for path in modules])


def needed_modules(config: str, *others: Path) -> List[Path]:
    """Find the modules of the package that register what a config names, and all that these import or name in turn."""
    registered = {entry.name: entry.value.partition(":")[0] for entry in distribution("spacy-crfner").entry_points}
    waiting = [module for name, module in registered.items() if f'"{name}"' in config]
    needed: Dict[Path, None] = {}
    paths = [*SHARED, *others]
    while waiting or paths:
        if not paths:
            # A package runs before its modules; what the whole package offers is only looked up.
            parts = waiting.pop().split(".")[1:]
            ends = [PACKAGE.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
            files = [path for end in ends for path in (end / "__init__.py", end.with_suffix(".py")) if path.exists()]
            paths = [path for path in files if path not in needed]
            needed.update(dict.fromkeys(paths))
            continue
        path = paths.pop()
        _, imported, strings = _read(path, path.stat().st_mtime_ns)
        waiting += imported
        waiting += [module for name, module in registered.items() if any(_names(text, name) for text in strings)]
    return sorted(needed)


def _names(text: str, name: str) -> bool:
    """Tell whether a string is a name, or a config with this name in it; an error message may speak of components."""
    return text == name or f'"{name}"' in text


class _WithoutText(ast.NodeTransformer):
    """Takes out docstrings, and strings that stand by themselves."""

    def visit_Expr(self, node: ast.Expr) -> object:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


@cache
def _read(path: Path, changed: int) -> Tuple[str, List[str], List[str]]:
    """What a module does, the names of modules that it imports (or of what stands in them), and its strings."""
    tree = _WithoutText().visit(ast.parse(path.read_text(encoding="utf8")))
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return ast.unparse(tree), list(_imports(tree, path)), strings


def _imports(tree: ast.AST, path: Path) -> Iterator[str]:
    own = ".".join(path.relative_to(PACKAGE.parent).parts[:-1]) if path.is_relative_to(PACKAGE) else None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), own)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE.name)


def model_fingerprint(model: str) -> str:
    """Digest the contents of a file or folder, or the name and version of a package; where there is neither, the name.

    What the training of a model leaves beside it is none of the model.
    """
    path = Path(model)
    if path.exists():
        files = [file for file in sorted([path, *path.rglob("*")]) if file.is_file()]
        parts = [(file.relative_to(path).as_posix(), file) for file in files if file.name not in (CHECKPOINT, LOG)]
        return fingerprint(*(part for named in parts for part in named))
    return fingerprint([model, version(model)] if is_package(model) else model)
