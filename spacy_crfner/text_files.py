"""Files that people wrote, read line by line, and what is said of those that cannot be read."""

import gzip
import io
import json
import re
import zlib
from bisect import insort
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union, cast

from .quoting import quote

MAX_REPORTED = 20
"""Problems of one file that an error names; the rest is only counted."""

MAX_DIGITS = 100
"""Of a whole number in JSON; Python refuses to read or write much longer ones."""

UTF8_BOM = b"\xef\xbb\xbf"
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""JSON can write what UTF-8, and so spaCy, cannot."""

HEAD = 1 << 16
"""Bytes at the start of a file that show how its lines end."""

LONGEST_LINE = 1 << 26
"""Bytes of a line. A small gzip file can hold one that no memory has room for."""

NESTED = "the line is nested too deeply: write one flat JSON object on each line."


class CorpusError(ValueError):
    """A corpus cannot be read or written. The message says where (``path:line:``), what is wrong and what to do."""


class Problems:
    """The malformed lines of one file, so that one error can name them all.

    path: the file, as it shall stand in messages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: List[Tuple[int, int, str]] = []
        self.count = 0

    def add(self, line: int, message: str) -> None:
        """Note a problem. line: counted from 1. message: what is wrong and what to do."""
        self.count += 1
        insort(self.first, (line, self.count, f"{self.path}:{line}: {message}"))
        del self.first[MAX_REPORTED:]

    @property
    def messages(self) -> List[str]:
        """The first problems of the file, by line."""
        return [message for _, _, message in self.first]

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


class Notes:
    """What is unusual in a file and was read all the same: how often it occurs, and where first."""

    def __init__(self) -> None:
        self.found: Dict[str, Tuple[int, int]] = {}
        self.remarks: List[str] = []

    def say(self, remark: str) -> None:
        """Note what concerns the file as a whole."""
        self.remarks.append(remark)

    def add(self, what: str, line: int) -> None:
        """Note it once more. what: in the plural, as it shall stand in a report. line: counted from 1."""
        count, first = self.found.get(what, (0, line))
        self.found[what] = (count + 1, min(first, line))

    def lines(self) -> List[str]:
        """Write a line of a report for each."""
        found = [f"{what}: {count:,} (first at line {line})" for what, (count, line) in self.found.items()]
        return [*self.remarks, *found]


def read_lines(
    path: Union[str, Path], problems: Optional[Problems] = None, notes: Optional[Notes] = None
) -> Iterator[Tuple[int, str]]:
    r"""Read the lines of a UTF-8 file with their numbers, counted from 1, without line ends and byte order marks.

    Lines end in ``\n`` or ``\r\n``, and in ``\r`` where the start of the file has no other line end.

    path: a plain file, or a gzip file where the name ends in ``.gz``. It is read as a stream.
    problems: takes a line that is not UTF-8 (it is left out), damaged gzip data and a line of more than LONGEST_LINE
        bytes (the file ends there); without it, the first of these raises CorpusError, naming the line.
    notes: takes byte order marks at the start of other lines than the first, and lines that end in ``\r``.
    Raises CorpusError where the file does not exist or cannot be opened.
    """
    path = Path(path)
    problems = problems or FirstProblem(path)
    notes = notes or Notes()
    number = 0
    try:
        with closing(_open(path)) as file:
            for raw in _split(file, notes):
                number += 1
                if len(raw) > LONGEST_LINE:
                    problems.add(
                        number,
                        f"the line has more than {LONGEST_LINE:,} bytes, and nothing behind it was read: check that "
                        "this is the right file, and cut the text into lines.",
                    )
                    return
                while raw.startswith(UTF8_BOM):
                    raw = raw[len(UTF8_BOM) :]
                    if number > 1:
                        notes.add("byte order marks inside the file, which were left out", number)
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


def _split(file: io.BufferedReader, notes: Notes) -> Iterator[bytes]:
    head = file.peek(HEAD)
    if b"\n" in head or b"\r" not in head:
        return iter(lambda: file.readline(LONGEST_LINE + 1), b"")
    notes.say("the lines end in CR, as on old Macs")
    # Latin-1 gives every byte back as it was.
    text = io.TextIOWrapper(file, encoding="latin-1", newline=None)
    return (line.encode("latin-1") for line in iter(lambda: text.readline(LONGEST_LINE + 1), ""))


def parse_object(line: str) -> Dict[str, Any]:
    """Read a line of a JSON lines file. Raises ValueError, saying what is wrong, where it is no whole JSON object."""
    try:
        record = json.loads(line, object_pairs_hook=_object, parse_int=_whole_number)
        # Only an escape can bring one in.
        halved = "\\u" in line and HALF_PAIR.search(json.dumps(record, ensure_ascii=False))
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at").removesuffix(" starting")
        message = f"the line is not valid JSON ({what} at character {error.pos + 1})"
        raise ValueError(f"{message}: write one whole JSON object on each line.") from None
    except RecursionError:
        raise ValueError(NESTED) from None
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise ValueError(f"the line is a JSON {kind}, not an object: write one JSON object on each line.")
    if halved:
        raise ValueError("the line holds half of a surrogate pair, which is no text: remove or repair it.")
    return record


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        # A dict keeps the first place of a key.
        twice = next(key for (key, _), once in zip_longest(pairs, made) if key != once)
        raise ValueError(f"the key {quote(twice)} stands twice in an object: keep one of them.")
    return made


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"the number {digits[:10]}... has {len(digits):,} digits: correct it.")
    return int(digits)


def check_file(path: Union[str, Path]) -> None:
    """Raise CorpusError where there is no such file, or where it is a folder."""
    if Path(path).is_dir():
        raise CorpusError(f"{path}: this is a folder: name a file in it.")
    if not Path(path).exists():
        raise CorpusError(f"{path}: there is no such file: check the path.")


def _open(path: Path) -> io.BufferedReader:
    check_file(path)
    if path.name.endswith(".gz"):
        return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(path)), HEAD)
    return io.BufferedReader(path.open("rb", buffering=0), HEAD)


def _decode(raw: bytes, number: int, problems: Problems) -> Optional[str]:
    try:
        text = raw.decode("utf8")
    except UnicodeDecodeError as error:
        start = error.start
    else:
        if "\0" not in text:
            return text
        problems.add(number, "the line holds a NUL byte, as UTF-16 and binary files do: save the file in UTF-8.")
        return None
    where = f"byte {start + 1} of the line is 0x{raw[start]:02x}"
    problems.add(number, f"the line is not UTF-8 ({where}): save the file in UTF-8.")
    return None
