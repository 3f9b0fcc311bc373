"""Large batches in portions, so that what is computed beside the result needs a bounded amount of memory."""

from typing import List, Optional, Sequence

TOKENS_AT_ONCE = 1 << 16
"""Tokens of the Docs that a model encodes together at prediction; a longer Doc is encoded by itself."""


def portions(sizes: Sequence[int], most: int, *, alone: Optional[int] = None) -> List[slice]:
    """Cut a list of items into consecutive portions, in order.

    sizes: of the items. most: the sizes of a portion sum to this at most; a larger item is a portion of its own.
    alone: so is an item with a size above this; None for none.
    """
    if sum(sizes) <= most and (alone is None or not sizes or max(sizes) <= alone):
        return [slice(0, len(sizes))]
    ends, total, before = [], 0, False
    for number, size in enumerate(sizes):
        stands_alone = alone is not None and size > alone
        if number and (total + size > most or stands_alone or before):
            ends.append(number)
            total = 0
        total, before = total + size, stands_alone
    starts = [0, *ends]
    return [slice(start, end) for start, end in zip(starts, [*ends, len(sizes)], strict=True)]
