"""Corpora: annotated files of other tools -> spaCy Docs and ``.spacy`` files.

This module holds what every reader shares: the error, the list of problems of one file, and decoded lines.
"""

import gzip
import zlib
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Iterator, List, Tuple, cast

MAX_REPORTED = 20
"""Problems of one file that an error names; the rest is only counted."""

UTF8_BOM = b"\xef\xbb\xbf"


class CorpusError(ValueError):
    """A corpus cannot be read or written. The message says where (``path:line:``), what is wrong and what to do."""


class Problems:
    """The malformed lines of one file, so that one error can name them all.

    path: the file, as it shall stand in messages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: List[str] = []
        self.count = 0

    def add(self, line: int, message: str) -> None:
        """Note a problem. line: counted from 1. message: what is wrong and what to do."""
        self.count += 1
        if len(self.messages) < MAX_REPORTED:
            self.messages.append(f"{self.path}:{line}: {message}")

    def check(self) -> None:
        """Raise CorpusError if there were problems: the one problem, or a summary line and then a line for each."""
        if self.count == 1:
            raise CorpusError(self.messages[0])
        if self.count:
            shown = f", the first {MAX_REPORTED} of them" if self.count > MAX_REPORTED else ""
            summary = f"{self.path}: {self.count} problems must be corrected in this file{shown}:"
            raise CorpusError("\n".join([summary, *self.messages]))


def read_lines(path: Path, problems: Problems) -> Iterator[Tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers, counted from 1, without line ends and byte order mark.

    path: a plain file, or a gzip file where the name ends in ``.gz``.
    problems: takes a line that is not UTF-8 (it is left out) and damaged gzip data (the file ends there).
    Raises CorpusError where the file does not exist or cannot be opened.
    """
    number = 0
    try:
        with closing(_open(path)) as file:
            for raw in file:
                number += 1
                if number == 1 and raw.startswith(UTF8_BOM):
                    raw = raw[len(UTF8_BOM) :]
                # Only "\n" and "\r\n" end a line: str.splitlines would also cut tokens at U+0085 or U+2028.
                raw = raw.removesuffix(b"\n").removesuffix(b"\r")
                try:
                    yield number, raw.decode("utf8")
                except UnicodeDecodeError as error:
                    byte = raw[error.start]
                    place = f"byte {error.start + 1} of the line is 0x{byte:02x}"
                    problems.add(number, f"the line is not UTF-8 ({place}): save the file in UTF-8.")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        # Data is decompressed ahead of the lines, so the damage lies at or shortly after the line named.
        message = f"the gzip data is damaged or ends early ({error}): fetch or compress the file again."
        problems.add(max(number, 1), message)
    except OSError as error:
        raise CorpusError(f"{path}: the file cannot be read ({error.strerror or error}).") from None


def _open(path: Path) -> BinaryIO:
    if path.is_dir():
        raise CorpusError(f"{path}: this is a folder: name a file in it.")
    if not path.exists():
        raise CorpusError(f"{path}: there is no such file: check the path.")
    if path.name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")
