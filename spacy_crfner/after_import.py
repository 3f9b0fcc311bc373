"""Call a function as soon as a package is imported, without importing it."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any, Callable, Optional


def after_import(package: str, function: Callable[[], None]) -> None:
    """Call a function once a package is imported completely: now, if it is already, or when somebody imports it.

    package: a package without a parent, such as "spacy".
    """
    if package in sys.modules:
        function()
    else:
        sys.meta_path.insert(0, _Watcher(package, function))


class _Watcher(MetaPathFinder):
    """Finds what other finders find, but lets its loader call the function when the package has run."""

    def __init__(self, package: str, function: Callable[[], None]):
        self.package, self.function = package, function
        self.is_asking = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        if fullname != self.package or self.is_asking:
            return None
        self.is_asking = True
        try:
            spec = find_spec(fullname)
        finally:
            self.is_asking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_call(module: Any) -> None:
                execute(module)
                # Somebody may only have asked where the package is, so that the watcher goes no earlier.
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                    self.function()

            spec.loader.exec_module = execute_and_call  # type: ignore[method-assign]
        return spec
