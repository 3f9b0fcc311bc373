"""Packages that only some parts need."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str, wanted_by: str) -> ModuleType:
    """Import a module of an optional package.

    Raises ImportError, which says how to install it, where it is missing.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{wanted_by} needs the package {module.partition('.')[0]!r}: pip install 'spacy-crfner[{extra}]'."
        ) from error
