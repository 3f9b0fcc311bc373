"""Files that belong together, such as the splits of a corpus, written so that old and new ones never mix."""

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Dict, Iterator, Mapping, Sequence

from ..files import replacing
from ..text_files import CorpusError

ASIDE = ".aside"
"""How names of old files end while new ones take theirs."""


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together, whose folders are made if need be.

    An error leaves neither half a file nor a changed one. New files never stand beside old ones: when all are written,
    the old ones are moved aside, and then the new ones take their names. A kill in the moment that this takes leaves
    some of the files missing, which every reader notices, and the old ones as `.XXXXXXXX.aside`; the next conversion
    writes them all, and removes these. One file alone takes its place in a single step.
    Raises CorpusError where a file cannot be written.
    """
    target = next(iter(files), Path())
    try:
        with _moving_aside(list(files)) as aside, replacing(*files) as unfinished:
            for (target, content), path in zip(files.items(), unfinished, strict=True):
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "a folder has this name", str(target))
                path.write_bytes(content)
            if len(files) > 1:
                for target, path in zip(files, unfinished, strict=True):
                    _move_aside(target, path, aside)
    except OSError as error:
        # An error without a name is of the file that was being written.
        path = error.filename or target
        raise CorpusError(f"{path}: the file cannot be written ({error.strerror or error}).") from None


@contextmanager
def _moving_aside(targets: Sequence[Path]) -> Iterator[Dict[Path, Path]]:
    """Give a place to note files that were moved, path -> new path; they come back where the context raises."""
    aside: Dict[Path, Path] = {}
    new = [target for target in targets if not os.path.lexists(target)]
    try:
        yield aside
    except BaseException:
        for target in new:
            with suppress(OSError):
                target.unlink()
        for path, old in aside.items():
            with suppress(FileNotFoundError):
                os.replace(old, path)
        raise
    # Those of a killed conversion too.
    for folder in {Path(os.path.realpath(target)).parent for target in targets}:
        for old in folder.glob(f".????????{ASIDE}"):
            with suppress(OSError):
                old.unlink()


def _move_aside(target: Path, new: Path, aside: Dict[Path, Path]) -> None:
    if not target.is_file() or new == target:
        return
    path = Path(os.path.realpath(target))
    mode = path.stat().st_mode
    if mode != new.stat().st_mode:
        # Only then: there are file systems without modes.
        os.chmod(new, stat.S_IMODE(mode))
    old = path.with_name(f".{secrets.token_hex(4)}{ASIDE}")
    aside[path] = old
    os.replace(path, old)
