"""The errors of benchmarks. Needs nothing that is not Python's own, as workers in other environments do."""

import sys
from contextlib import contextmanager
from typing import Iterator, Type


class BenchmarkError(ValueError):
    """A benchmark cannot run. The message says what is wrong and what to do."""


@contextmanager
def clear_errors(*others: Type[Exception]) -> Iterator[None]:
    """Write errors that say what to do to stderr, without a traceback, and end the program with 1."""
    try:
        yield
    except (BenchmarkError, *others) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
