"""How long the parts of a piece of work take. Needs nothing that is not Python's own."""

from collections import defaultdict
from contextlib import contextmanager
from time import perf_counter
from typing import Dict, Iterator, List


class Stopwatch:
    """Adds up the seconds of each part of some work: a part that runs inside of another one is not counted in that.

    seconds: name of the part -> seconds so far.
    """

    def __init__(self) -> None:
        self.seconds: Dict[str, float] = defaultdict(float)
        self._running: List[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time in this context, or, as a decorator, that of each call of a function."""
        self._count()
        self._running.append(name)
        try:
            yield
        finally:
            self._count()
            self._running.pop()

    def _count(self) -> None:
        now = perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
