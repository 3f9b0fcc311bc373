"""Load a packaged pipeline from the folder that its wheel was installed into."""

import importlib
import sys
from pathlib import Path

from spacy.language import Language


def load_installed(package: str, target: Path) -> Language:
    """The pipeline of a package such as en_bcrf_news. Exits with a message where it is found, but not in `target`."""
    sys.path.insert(0, str(target.resolve()))
    module = importlib.import_module(package)
    if target.resolve() not in Path(str(module.__file__)).resolve().parents:
        sys.exit(f"{package} was found in {module.__file__}, not in {target}: install it there first.")
    return module.load()
