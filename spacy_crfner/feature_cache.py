"""Arrays that were computed before, by what they were computed from: in memory, and in a file that processes share."""

import sqlite3
from collections import OrderedDict
from contextlib import closing
from pathlib import Path
from threading import Lock
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .files import fingerprint

FILE = "features.sqlite"
TABLE = "CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, type TEXT, width INT, data BLOB)"
AT_ONCE = 500
"""Keys of one query."""


def content_key(model: str, words: Sequence[str]) -> bytes:
    """Digest what features of a sentence are computed from, as the key of a `FeatureCache`.

    Other words have another key, whatever characters they hold.

    model: fingerprint of the model and all its settings, see `files.fingerprint`. words: of the sentence.
    """
    return bytes.fromhex(fingerprint(model, list(words)))


class FeatureCache:
    """Keep arrays of numbers, (n, width) of any type, by a digest of what they were computed from.

    folder: holds the file; None keeps arrays in memory alone.
    memory_mb: how much of them is kept in memory, in units of 10^6 bytes; those that were not used for longest go
        first.
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
        """Look up those of the arrays that are kept."""
        kept: Dict[bytes, np.ndarray] = {}
        missing: List[bytes] = []
        with self._lock:
            for key in dict.fromkeys(keys):
                if key in self._memory:
                    self._memory.move_to_end(key)
                    kept[key] = self._memory[key]
                else:
                    missing.append(key)
        read = self._read(missing)
        self._remember(read)
        return {**kept, **read}

    def put(self, arrays: Mapping[bytes, np.ndarray]) -> None:
        """Keep arrays, (n, width) each.

        Raises ValueError, and keeps none, where an array has another number of dimensions.
        """
        for array in arrays.values():
            if array.ndim != 2:
                raise ValueError(f"Features to keep must have the shape (n, width), not {array.shape}.")
        self._remember(arrays)
        if self.path is not None and arrays:
            rows = [(key, array.dtype.str, array.shape[1], array.tobytes()) for key, array in arrays.items()]
            try:
                with closing(self._connect()) as connection, connection:
                    connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)", rows)
            except sqlite3.Error as error:
                raise self._failure(error) from None

    def complete(
        self, keys: Sequence[bytes], shapes: Sequence[Tuple[int, int]], make: Callable[[List[int]], List[np.ndarray]]
    ) -> List[np.ndarray]:
        """Look up the features of every key, and make and keep those that are missing.

        shapes: of the features of each key. make: the numbers of some keys -> their features, float16 of that shape.
        """
        found = self.get(keys)
        missing: Dict[bytes, int] = {}
        for number, (key, shape) in enumerate(zip(keys, shapes, strict=True)):
            # Nothing that does not fit is taken from a file that somebody may have changed.
            if key not in found or not _fits(found[key], shape):
                missing.setdefault(key, number)
        if missing:
            made = dict(zip(missing, make(list(missing.values())), strict=True))
            self.put(made)
            found.update(made)
        return [found[key] for key in keys]

    def _failure(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.path}: features cannot be kept in this file ({error}). Delete it, since they can be computed "
            "again, or choose another folder for the cache."
        )

    def _connect(self) -> sqlite3.Connection:
        # A connection for each use: it must not be carried into a forked process or another thread.
        return sqlite3.connect(str(self.path), timeout=60)

    def _read(self, keys: List[bytes]) -> Dict[bytes, np.ndarray]:
        arrays: Dict[bytes, np.ndarray] = {}
        if self.path is None or not keys:
            return arrays
        try:
            with closing(self._connect()) as connection:
                for first in range(0, len(keys), AT_ONCE):
                    part = keys[first : first + AT_ONCE]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, type, width, data FROM features WHERE key IN ({marks})"
                    for key, dtype, width, data in connection.execute(query, part):
                        arrays[key] = np.frombuffer(data, dtype=np.dtype(dtype)).reshape(-1, width)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise self._failure(error) from None
        return arrays

    def _remember(self, arrays: Mapping[bytes, np.ndarray]) -> None:
        with self._lock:
            for key, array in arrays.items():
                before = self._memory.pop(key, None)
                self._size += array.nbytes - (0 if before is None else before.nbytes)
                # A view would keep the array of its whole batch.
                self._memory[key] = array if array.base is None else array.copy()
            while self._size > 1e6 * self.memory_mb and self._memory:
                _, oldest = self._memory.popitem(last=False)
                self._size -= oldest.nbytes


def _fits(features: np.ndarray, shape: Tuple[int, int]) -> bool:
    return features.shape == shape and features.dtype == np.float16 and bool(np.isfinite(features).all())
