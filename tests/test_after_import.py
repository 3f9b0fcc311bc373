"""Functions that are called once somebody else has imported a package."""

import importlib
import sys

import pytest

from spacy_crfner.after_import import after_import


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package that notes, when it is done, what was called before."""

    def make(name, code="done = True"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    finders = list(sys.meta_path)
    yield make
    sys.meta_path[:] = finders
    for name in [name for name in sys.modules if name.startswith("watched_")]:
        del sys.modules[name]


def test_is_called_once_after_the_package_has_run(package):
    name, calls = package("watched_later"), []
    finders = len(sys.meta_path)
    after_import(name, lambda: calls.append(sys.modules[name].done))
    assert calls == [] and name not in sys.modules
    importlib.reload(importlib.import_module(name))
    assert calls == [True] and len(sys.meta_path) == finders


def test_is_called_now_if_the_package_is_there(package):
    name, calls = package("watched_before"), []
    importlib.import_module(name)
    after_import(name, lambda: calls.append(name))
    assert calls == [name]


def test_a_package_that_fails_or_is_missing_fails_as_ever(package):
    name, calls = package("watched_broken", "1 / 0"), []
    after_import(name, lambda: calls.append(name))
    after_import("watched_missing", lambda: calls.append("missing"))
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(name)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("watched_missing")
    assert calls == []


def test_asking_whether_a_package_is_there_does_not_import_it(package):
    """As `importlib.util.find_spec` does, of which there are many."""
    name, calls = package("watched_asked"), []
    after_import(name, lambda: calls.append(name))
    assert importlib.util.find_spec(name) is not None and calls == [] and name not in sys.modules
    importlib.import_module(name)
    assert calls == [name]
