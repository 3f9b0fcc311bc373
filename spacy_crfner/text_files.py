"""Files that people wrote, read line by line, and what is said of those that cannot be read."""

import gzip
import json
import re
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Tuple, Union, cast

MAX_REPORTED = 20
"""Problems of one file that an error names; the rest is only counted."""

UTF8_BOM = b"\xef\xbb\xbf"
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""JSON can write what UTF-8, and so spaCy, cannot."""


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


class FirstProblem(Problems):
    """Problems of which the first one raises CorpusError: for files that are read as a stream."""

    def add(self, line: int, message: str) -> None:
        """Raise the problem. line: counted from 1. message: what is wrong and what to do."""
        super().add(line, message)
        self.check()


def read_lines(path: Union[str, Path], problems: Optional[Problems] = None) -> Iterator[Tuple[int, str]]:
    """Read the lines of a UTF-8 file with their numbers, counted from 1, without line ends and byte order mark.

    path: a plain file, or a gzip file where the name ends in ``.gz``. It is read as a stream.
    problems: takes a line that is not UTF-8 (it is left out) and damaged gzip data (the file ends there); without it,
        the first of these raises CorpusError, naming the line.
    Raises CorpusError where the file does not exist or cannot be opened.
    """
    path = Path(path)
    problems = problems or FirstProblem(path)
    number = 0
    try:
        with closing(_open(path)) as file:
            for raw in file:
                number += 1
                if number == 1 and raw.startswith(UTF8_BOM):
                    raw = raw[len(UTF8_BOM) :]
                # Only "\n" and "\r\n" end a line: str.splitlines would also cut tokens at U+0085 or U+2028.
                raw = raw.removesuffix(b"\n").removesuffix(b"\r")
                text = _decode(raw, number, problems)
                if text is not None:
                    yield number, text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        damage = f"the gzip data is damaged or ends early ({error}): fetch or compress the file again."
    except OSError as error:
        raise CorpusError(f"{path}: the file cannot be read ({error.strerror or error}).") from None
    else:
        return
    # Data is decompressed ahead of the lines, so the damage lies at or shortly after the line named.
    problems.add(max(number, 1), damage)


def parse_object(line: str) -> Dict[str, Any]:
    """Read a line of a JSON lines file. Raises ValueError, saying what is wrong, where it is no whole JSON object."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        message = f"the line is not valid JSON ({error.msg} at character {error.pos + 1})"
        raise ValueError(f"{message}: write one whole JSON object on each line.") from None
    except RecursionError:
        raise ValueError("the line is nested too deeply: write one flat JSON object on each line.") from None
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise ValueError(f"the line is a JSON {kind}, not an object: write one JSON object on each line.")
    # Only an escape can bring one in.
    if "\\u" in line and HALF_PAIR.search(json.dumps(record, ensure_ascii=False)):
        raise ValueError("the line holds half of a surrogate pair, which is no text: remove or repair it.")
    return record


def check_file(path: Union[str, Path]) -> None:
    """Raise CorpusError where there is no such file, or where it is a folder."""
    if Path(path).is_dir():
        raise CorpusError(f"{path}: this is a folder: name a file in it.")
    if not Path(path).exists():
        raise CorpusError(f"{path}: there is no such file: check the path.")


def _open(path: Path) -> BinaryIO:
    check_file(path)
    if path.name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _decode(raw: bytes, number: int, problems: Problems) -> Optional[str]:
    try:
        return raw.decode("utf8")
    except UnicodeDecodeError as error:
        start = error.start
    where = f"byte {start + 1} of the line is 0x{raw[start]:02x}"
    problems.add(number, f"the line is not UTF-8 ({where}): save the file in UTF-8.")
    return None
