"""Memory that the process has freed and the C library has kept."""

import ctypes
from functools import cache
from typing import Any, Optional


def release_memory() -> None:
    """Give freed memory back to the system, where the C library is glibc; elsewhere nothing happens.

    Tensors whose sizes change from batch to batch leave gaps that glibc keeps: a transformer that is trained on a CPU
    would hold several times of what it needs. It takes less than a tenth of a second.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Optional[Any]:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
