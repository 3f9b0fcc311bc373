"""What an encoder computed for words that it has seen, kept from batch to batch at prediction."""

from threading import Lock
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
from thinc.types import Floats2d
from thinc.util import get_array_module

from ..wrapping import TorchShim

MAX_BYTES = 32 * 1024 * 1024
# What a key and its row take in a dictionary.
BYTES_A_KEY = 150

Compute = Callable[[np.ndarray], Floats2d]
"""Indices (M,) of words in a batch -> their features (M, width)."""


class WordCache:
    """Features of words under 64-bit keys, for one version of the weights.

    Several threads may look words up at once: one that finds another at work goes on without the cache. When it is
    full, it starts anew: the frequent words are soon back. The model must not be trained at the same time.

    max_bytes: memory that keys and features may take.
    """

    def __init__(self, max_bytes: int = MAX_BYTES):
        self.max_bytes = max_bytes
        self._lock = Lock()
        self._version = -1
        self._rows: Dict[int, int] = {}
        self._features: Any = None

    def __reduce__(self) -> Tuple[type, Tuple[int]]:
        # Copies and pickles begin empty.
        return type(self), (self.max_bytes,)

    def __len__(self) -> int:
        return len(self._rows)

    def look_up(self, keys: np.ndarray, version: int, compute: Compute) -> Floats2d:
        """Look up the features (W, width) of W distinct words; those that are not there are computed and kept.

        keys: (W,) of the words. version: of the weights; what was computed with another is forgotten.
        """
        names = keys.tolist()
        rows = np.full(len(names), -1, dtype=np.int64)
        features = None
        if self._lock.acquire(blocking=False):
            try:
                if version != self._version:
                    self._clear(version)
                known = self._rows.get
                rows = np.array([known(name, -1) for name in names], dtype=np.int64)
                if (rows >= 0).any():
                    features = self._features[rows]
            finally:
                self._lock.release()
        missing = np.flatnonzero(rows < 0)
        if features is not None and not len(missing):
            return features
        computed = compute(missing)
        self._keep([names[index] for index in missing.tolist()], computed, version)
        if features is None:
            return computed
        features[missing] = computed
        return features

    def _clear(self, version: int) -> None:
        self._version = version
        self._rows = {}
        self._features = None

    def _keep(self, names: list, computed: Floats2d, version: int) -> None:
        capacity = self.max_bytes // (computed.shape[1] * computed.itemsize + BYTES_A_KEY)
        if len(names) > capacity or not self._lock.acquire(blocking=False):
            return
        try:
            # Another thread may have kept the same words, or trained the model, in the meantime.
            if version != self._version or not self._rows.keys().isdisjoint(names):
                return
            if len(self._rows) + len(names) > capacity:
                self._clear(version)
            first, end = len(self._rows), len(self._rows) + len(names)
            if self._features is None or end > len(self._features):
                xp = get_array_module(computed)
                larger = xp.empty((min(capacity, max(1024, 2 * end)), computed.shape[1]), dtype=computed.dtype)
                if first:
                    larger[:first] = self._features[:first]
                self._features = larger
            self._features[first:end] = computed
            self._rows.update(zip(names, range(first, end), strict=True))
        finally:
            self._lock.release()


class CachingShim(TorchShim):
    """A torch shim with a word cache, for weights that compute features of words."""

    def __init__(self, build: Callable, for_prediction: Optional[Callable] = None):
        super().__init__(build, for_prediction)
        self.cache = WordCache()
        self._beside: List[Any] = []
        self._made_beside: Tuple[int, Any] = (-1, None)

    def version_with(self, arrays: List[Any]) -> int:
        """Look up the version, after a look at the parameters and at weights beside them, (arrays of Thinc).

        These arrays must be others than before where they have changed: what is written into them is not seen.
        """
        before = self._beside
        if len(arrays) != len(before) or any(now is not then for now, then in zip(arrays, before, strict=True)):
            self.version += 1
            self._beside = arrays
        return self.current_version()

    def made_beside(self, version: int, make: Callable[[], Any]) -> Any:
        """Get what predicts in the place of the layers beside, made once for each version of the weights."""
        of_version, made = self._made_beside
        if of_version != version:
            made = make()
            self._made_beside = (version, made)
        return made

    def __getstate__(self) -> Dict[str, Any]:
        return {**super().__getstate__(), "_made_beside": (-1, None)}
