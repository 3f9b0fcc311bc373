"""How commands end that cannot do what they are asked."""

from contextlib import contextmanager
from typing import Iterator

from wasabi import msg


@contextmanager
def clear_errors() -> Iterator[None]:
    """What is wrong with the input is one line on stderr, without a traceback, and ends the program with 1."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        msg.fail(str(error), exits=1)
