"""Saved translators: a few named files, whether in a folder, in bytes, or inside a component."""

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, Mapping, Union

Files = Dict[str, bytes]
"""Name -> content. Names have no folders."""


@contextmanager
def damage(what: str) -> Iterator[None]:
    """Whatever goes wrong in reading saved files becomes one ValueError.

    what: is read, as the message begins.
    """
    try:
        yield
    # The libraries that read weights and pieces raise exceptions of their own, and bare ones.
    except Exception as error:
        raise ValueError(
            f"{what} cannot be read ({type(error).__name__}: {error}): the files are damaged or incomplete. Copy or "
            "make them again."
        ) from None


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
