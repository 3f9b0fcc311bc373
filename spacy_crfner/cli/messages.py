"""What commands say on stderr: how far they are, and why they end."""

import sys
from contextlib import contextmanager
from typing import Iterator

from typer import Exit


def say(line: str) -> None:
    """Print a line to stderr, where it is in no output's way."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Make what is wrong with the input one line on stderr, without a traceback, and end the program with 1."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        say(str(error))
        raise Exit(1) from None
