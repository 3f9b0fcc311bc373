"""Saved translators: a few named files, whether in a folder, in bytes, or inside a component."""

import hashlib
import os
from pathlib import Path
from typing import Dict, Mapping, Union

Files = Dict[str, bytes]
"""Name -> content. Names have no folders."""


def digest_of(files: Mapping[str, bytes]) -> str:
    found = hashlib.sha256()
    for name in sorted(files):
        found.update(f"{name}\0{len(files[name])}\0".encode())
        found.update(files[name])
    return found.hexdigest()


def write_files(folder: Union[str, Path], files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each in place of the one of that name, which is whole at any time."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        unfinished = folder / f".{name}.{os.getpid()}.tmp"
        try:
            unfinished.write_bytes(content)
            os.replace(unfinished, folder / name)
        finally:
            unfinished.unlink(missing_ok=True)


def read_files(folder: Union[str, Path]) -> Files:
    """The files of a folder; none where there is no folder, since packages leave empty ones out."""
    folder = Path(folder)
    if not folder.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
