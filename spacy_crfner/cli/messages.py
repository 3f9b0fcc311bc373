"""What commands say on stderr: how far they are, and why they end."""

import sys
from contextlib import contextmanager
from typing import Iterator

from typer import Exit

from ..quoting import printable


def say(line: str) -> None:
    """Print a line to stderr, where it is in no output's way."""
    print(printable(line), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print to stdout what the command is for, without control characters, which input can hold."""
    print(printable(text), flush=True)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Make what is wrong with the input one line on stderr, without a traceback, and end the program with 1."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        say(str(error))
        raise Exit(1) from None
