"""Files and folders that are whole at any time, and fingerprints of what they hold."""

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Union

Files = Dict[str, bytes]
"""Name -> content of the files of a folder. Names have no folders in them."""


@contextmanager
def replacing(*targets: Union[str, Path]) -> Iterator[List[Path]]:
    """Give paths to write to in the place of the targets, files or folders, whose folders are made if need be.

    They take the place of the targets when the context ends, and are removed where it raises: after an error, and after
    a kill at any time, every target is what it was or complete.

    Raises OSError where a target cannot be replaced.
    """
    paths = [Path(target) for target in targets]
    unfinished = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in paths]
    try:
        for path, new in zip(paths, unfinished, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(new)
        yield unfinished
        for path, new in zip(paths, unfinished, strict=True):
            # Before any target is replaced.
            if new.is_file() and path.is_dir():
                raise IsADirectoryError("a folder has this name")
        for path, new in zip(paths, unfinished, strict=True):
            _replace(new, path)
    finally:
        for new in unfinished:
            _remove(new)


def _replace(new: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(new, target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    os.replace(target, old)
    os.replace(new, target)
    shutil.rmtree(old, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_file(target: Union[str, Path], content: Union[bytes, str]) -> None:
    """Write a file, text in UTF-8, in the place of one that is there already.

    Raises OSError.
    """
    with replacing(target) as (unfinished,):
        unfinished.write_bytes(content.encode("utf8") if isinstance(content, str) else content)


def write_json(target: Union[str, Path], content: Any) -> None:
    """Write a JSON file, indented.

    Raises OSError.
    """
    write_file(target, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_files(folder: Union[str, Path], files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made if need be; none changes before all are written.

    Raises OSError.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with replacing(*(Path(folder) / name for name in files)) as unfinished:
        for path, content in zip(unfinished, files.values(), strict=True):
            path.write_bytes(content)


def read_files(folder: Union[str, Path]) -> Files:
    """Read the files of a folder; none where there is no folder, since packages leave empty ones out."""
    folder = Path(folder)
    if not folder.is_dir():
        return {}
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def fingerprint(*parts: Any) -> str:
    """Digest the parts, in this order: 64 hexadecimal digits, the same ones wherever and whenever the parts are equal.

    parts: bytes; paths, whose contents count (of a folder also the names of its files); or anything that JSON can hold,
        in which the order of keys does not count.
    Raises OSError for a path that cannot be read, TypeError for a part that is none of these.
    """
    digest = hashlib.sha256()
    for part in parts:
        for kind, content in _contents(part):
            digest.update(f"{kind}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _contents(part: Any) -> Iterable[Any]:
    if isinstance(part, bytes):
        yield "bytes", part
    elif not isinstance(part, Path):
        yield "json", json.dumps(part, sort_keys=True, ensure_ascii=False).encode("utf8")
    elif part.is_dir():
        for file in sorted(path for path in part.rglob("*") if path.is_file()):
            yield file.relative_to(part).as_posix(), file.read_bytes()
    else:
        yield "file", part.read_bytes()


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while saved files are read into one ValueError.

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
