"""Files and folders that are whole at any time, and fingerprints of what they hold."""

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

Files = Dict[str, bytes]
"""Name -> content of the files of a folder. Names have no folders in them."""


@dataclass(frozen=True)
class _Replacement:
    """What is to take whose place.

    target: as the caller names it. path: what it stands for, with links followed. unfinished: what is written to, which
        is the target itself where that is neither a file nor a folder.
    """

    target: Path
    path: Path
    unfinished: Path

    @property
    def is_direct(self) -> bool:
        return self.unfinished == self.target


@contextmanager
def replacing(*targets: Union[str, Path]) -> Iterator[List[Path]]:
    """Give paths to write to in the place of the targets, files or folders, whose folders are made if need be.

    They take the place of the targets when the context ends, and are removed where it raises: after an error, every
    target is what it was or complete. So is a file after a kill at any time, and on Linux a folder. Elsewhere a folder
    is replaced in two renames, and for a moment between them there is none: a kill right then leaves the old one beside
    it, as `.XXXXXXXX.….old`, which the next writer puts back. Any other kill may leave a `.XXXXXXXX.….tmp`, which
    nobody needs: the next writer in this folder removes it.

    What a link points to is replaced, and the link stays. A file keeps its mode. What is neither a file nor a folder,
    such as a pipe or a device, is written to straight.

    Raises OSError, which names the target, where it cannot be replaced: as much of that as can be known, at the start.
    """
    replacements: List[_Replacement] = []
    try:
        for target in map(Path, targets):
            with _naming(target):
                replacements.append(_prepare(target))
        with _naming_targets(replacements):
            yield [replacement.unfinished for replacement in replacements]
        indirect = [replacement for replacement in replacements if not replacement.is_direct]
        for replacement in indirect:
            # Before any target is replaced.
            with _naming(replacement.target):
                _check_kinds(replacement)
        for replacement in indirect:
            with _naming(replacement.target):
                _replace(replacement.unfinished, replacement.path)
    finally:
        for replacement in replacements:
            if not replacement.is_direct:
                _remove(replacement.unfinished)


def _prepare(target: Path) -> _Replacement:
    mode = _mode(target)
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        # Not resolved: the link of a process to its output may name nothing that can be opened.
        return _Replacement(target, target, target)
    path = Path(os.path.realpath(target))
    if path.is_dir() and Path.cwd().is_relative_to(path):
        raise OSError(errno.EBUSY, "the current folder cannot be replaced")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    _tidy(path)
    return _Replacement(target, path, _beside(path, "tmp"))


def _mode(path: Path) -> Optional[int]:
    """Look up kind and permissions of what a path stands for; None where there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


LEFT = re.compile(r"\.([0-9a-f]{8})\.([0-9a-f]{8})\.([0-9]+)\.(tmp|old)")
"""Names of what is written: something of its own, the machine, the process, what it is."""

DAYS_UNTOUCHED = 7
"""After which a writer on another machine, or before this one was started anew, counts as dead."""


def _beside(path: Path, ending: str) -> Path:
    """Choose a name in the same folder that is short, whatever the other is, and nobody else's."""
    while True:
        token = secrets.token_hex(4) if ending == "tmp" else _short_digest(path.name)
        chosen = path.with_name(f".{token}.{_machine()}.{os.getpid()}.{ending}")
        if ending == "old":
            _remove(chosen)
        if not os.path.lexists(chosen):
            return chosen


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf8", "surrogateescape")).hexdigest()[:8]


@lru_cache(maxsize=1)
def _machine() -> str:
    """Name what process numbers belong to: a machine since it was started, and a container on it."""
    parts = [os.name, getattr(os, "uname", lambda: [""])()[1]]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf8"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return _short_digest("\n".join(parts))


def _tidy(path: Path) -> None:
    """Remove what killed writers have left in the folder of a target; put back a target that one has moved aside."""
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            left = LEFT.fullmatch(entry.name)
            if left is None or not _is_abandoned(Path(entry.path), left[2], int(left[3])):
                continue
            if left[4] == "tmp":
                _remove(Path(entry.path))
            elif left[1] == _short_digest(path.name):
                if os.path.lexists(path):
                    _remove(Path(entry.path))
                else:
                    os.replace(entry.path, path)


def _is_abandoned(path: Path, machine: str, process: int) -> bool:
    """Tell whether the writer of a file or folder is dead for certain, or as good as that."""
    if machine == _machine() and os.name == "posix":
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            pass
        return False
    times = [path.lstat().st_mtime]
    if path.is_dir():
        times += [inner.lstat().st_mtime for inner in path.rglob("*")]
    return time.time() - max(times) > DAYS_UNTOUCHED * 86400


def _check_kinds(replacement: _Replacement) -> None:
    if not os.path.lexists(replacement.path):
        return
    if replacement.unfinished.is_file() and replacement.path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder has this name")
    if replacement.unfinished.is_dir() and not replacement.path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file has this name")


def _replace(new: Path, path: Path) -> None:
    mode = _mode(path)
    if mode is not None and mode != new.stat().st_mode:
        # Only then: there are file systems without modes.
        os.chmod(new, stat.S_IMODE(mode))
    if mode is None or not stat.S_ISDIR(mode):
        os.replace(new, path)
        return
    if _exchange(new, path):
        return
    old = _beside(path, "old")
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders change their names at once, where the system can. Returns whether it could."""
    try:
        rename = ctypes.CDLL(None).renameat2
        here, exchange = -100, 2
        return rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0
    except (AttributeError, OSError, TypeError):
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Make an OSError name the target, and no other path."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


@contextmanager
def _naming_targets(replacements: Sequence[_Replacement]) -> Iterator[None]:
    """Make an OSError name the target where it names what is written in its place, or nothing while there is one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        for replacement in replacements:
            named = replacement.target if error.filename is None and len(replacements) == 1 else None
            for name in (error.filename, error.filename2):
                if isinstance(name, (str, Path)) and Path(name).is_relative_to(replacement.unfinished):
                    named = replacement.target / Path(name).relative_to(replacement.unfinished)
            if named is not None:
                raise OSError(error.errno, error.strerror, str(named)) from error
        raise


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


@contextmanager
def alone_in(folder: Union[str, Path], *, wait: bool = False) -> Iterator[None]:
    """Keep others that ask for the same out of a folder, until the end; a kill lets them in.

    Where the system has no locks, or none for this folder, nobody is kept out.
    wait: until another one that is in has left; else raises BlockingIOError.
    """
    handle = None
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
    if fcntl is None or handle is None:
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


def inside(folder: Union[str, Path], name: str) -> Path:
    """Make the path of a file in a folder whose name comes from data.

    Raises ValueError where it is no plain name, and could lead out of the folder.
    """
    plain = isinstance(name, str) and name not in ("", ".", "..") and "\0" not in name
    if not plain or PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
        raise ValueError(f"{str(name)[:80]!r} is no name of a file: it must stand in the folder itself")
    return Path(folder) / name


def write_files(folder: Union[str, Path], files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made if need be; none changes before all are written.

    Raises OSError, and ValueError for a name that is not that of a file in it.
    """
    targets = [inside(folder, name) for name in files]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with replacing(*targets) as unfinished:
        for target, path, content in zip(targets, unfinished, files.values(), strict=True):
            with _naming(target):
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
        files = sorted(path for path in part.rglob("*") if path.is_file())
        # So that what follows cannot be taken for files of it.
        yield "folder", str(len(files)).encode()
        for file in files:
            yield "name", file.relative_to(part).as_posix().encode("utf8", "surrogateescape")
            yield "content", file.read_bytes()
    else:
        yield "file", part.read_bytes()


def file_digests(paths: Mapping[str, Path]) -> Dict[str, str]:
    """Digest files, and all files of folders: SHA-256 by their names, such as `model` or `parts/english/config.cfg`.

    paths: name -> file or folder; what is not there is left out. Raises OSError.
    """
    digests: Dict[str, str] = {}
    for name, path in paths.items():
        files = [path] if path.is_file() else sorted(inner for inner in path.rglob("*") if inner.is_file())
        for file in files:
            inner = "" if file == path else f"/{file.relative_to(path).as_posix()}"
            digests[f"{name}{inner}"] = digest(file.read_bytes())
    return digests


def digest(content: bytes) -> str:
    """Digest content: 64 hexadecimal digits (SHA-256)."""
    return hashlib.sha256(content).hexdigest()


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while saved files are read into one ValueError.

    what: is read, as the message begins.
    """
    try:
        yield
    except ImportError:
        # It says which package is missing.
        raise
    # The libraries that read weights and pieces raise exceptions of their own, and bare ones.
    except Exception as error:
        raise ValueError(
            f"{what} cannot be read ({type(error).__name__}: {error}): the files are damaged or incomplete. Copy or "
            "make them again."
        ) from None
