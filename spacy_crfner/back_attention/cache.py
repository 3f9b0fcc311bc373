"""Features that were computed before: in memory, and in a file that processes may share."""

import sqlite3
from collections import OrderedDict
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Dict, Iterable, List, Mapping, Optional

import numpy as np

FILE = "features.sqlite"
TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, width INT, data BLOB)"
AT_ONCE = 500
"""Keys of one query."""


class FeatureCache:
    """Key -> (n, d) float16 features of a sentence.

    folder: holds the file; None keeps features in memory alone.
    memory_mb: how much of them is kept in memory, in units of 10^6 bytes; the oldest go first.
    The file is a SQLite database: writers wait for each other, and a process that is killed leaves what it has written.
    Raises ValueError, then and later, where the folder cannot be written to, or the file is something else or damaged.
    """

    def __init__(self, folder: Optional[Path], memory_mb: float):
        self.path = None if folder is None else Path(folder) / FILE
        self.memory_mb = memory_mb
        self._memory: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._size = 0
        self._lock = Lock()
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with closing(self._connect()) as connection, connection:
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.execute(TABLE)
            except (OSError, sqlite3.Error) as error:
                raise self._failure(error) from None

    def get(self, keys: Iterable[bytes]) -> Dict[bytes, np.ndarray]:
        """Those of the features that are kept."""
        found: Dict[bytes, np.ndarray] = {}
        missing: List[bytes] = []
        with self._lock:
            for key in dict.fromkeys(keys):
                if key in self._memory:
                    self._memory.move_to_end(key)
                    found[key] = self._memory[key]
                else:
                    missing.append(key)
        read = self._read(missing)
        self._remember(read)
        return {**found, **read}

    def put(self, features: Mapping[bytes, np.ndarray]) -> None:
        self._remember(features)
        if self.path is not None and features:
            rows = [(key, array.shape[1], array.tobytes()) for key, array in features.items()]
            try:
                with closing(self._connect()) as connection, connection:
                    connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)
            except sqlite3.Error as error:
                raise self._failure(error) from None

    def _failure(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.path}: features cannot be kept in this file ({error}). Delete it, since they can be computed "
            "again, or choose another folder for the cache."
        )

    def _connect(self) -> sqlite3.Connection:
        # A connection for each use: it must not be carried into a forked process or another thread.
        return sqlite3.connect(str(self.path), timeout=60)

    def _read(self, keys: List[bytes]) -> Dict[bytes, np.ndarray]:
        found: Dict[bytes, np.ndarray] = {}
        if self.path is None or not keys:
            return found
        try:
            with closing(self._connect()) as connection:
                for first in range(0, len(keys), AT_ONCE):
                    part = keys[first : first + AT_ONCE]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, width, data FROM features WHERE key IN ({marks})"
                    for key, width, data in connection.execute(query, part):
                        found[key] = np.frombuffer(data, dtype=np.float16).reshape(-1, width)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._failure(error) from None
        return found

    def _remember(self, features: Mapping[bytes, np.ndarray]) -> None:
        with self._lock:
            for key, array in features.items():
                if key not in self._memory:
                    self._memory[key] = array
                    self._size += array.nbytes
            while self._size > 1e6 * self.memory_mb and self._memory:
                _, oldest = self._memory.popitem(last=False)
                self._size -= oldest.nbytes
