"""How the rows of a ragged batch are ordered, so that each time step is one contiguous run.

Sequences are sorted by decreasing length and their rows laid out step by step: first the first row of
every sequence, then the second row of every sequence that has one, and so on. Nothing is padded, and the
sequences that are still running at a step are always the first rows of its run.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """The order of the rows of a ragged batch of B sequences with N rows in all.

    order: (B,) the index in the batch of each packed sequence; its lengths decrease.
    lengths: (B,) rows of each packed sequence.
    batch_sizes: how many sequences have a row at step t, for each of the T steps.
    offsets: the packed row at which step t begins.
    rows: (N,) the row of the concatenated batch that each packed row was.
    sequences: (N,) the packed sequence that each packed row belongs to.
    """

    order: Tensor
    lengths: Tensor
    batch_sizes: Tuple[int, ...]
    offsets: Tuple[int, ...]
    rows: Tensor
    sequences: Tensor

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], device: "torch.device | str | None" = None) -> "Packing":
        """Order the rows of sequences with these lengths.

        Raises ValueError where a sequence is empty: leave empty sequences out of a batch.
        """
        sizes = np.asarray(lengths, dtype=np.int64)
        if sizes.ndim != 1 or not len(sizes) or sizes.min() < 1:
            raise ValueError(f"A batch needs one or more sequences of one or more rows, but the lengths are {sizes}.")
        if len(sizes) == 1:
            return cls._of_one(int(sizes[0]), device)
        order = np.argsort(-sizes, kind="stable")
        ordered = sizes[order]
        # Counted, not compared: a table of steps by sequences would be as large as the batch were it padded.
        batch_sizes = len(sizes) - np.cumsum(np.bincount(ordered))[: ordered[0]]
        offsets = np.cumsum(batch_sizes) - batch_sizes
        sequences = np.arange(sizes.sum()) - np.repeat(offsets, batch_sizes)
        steps = np.repeat(np.arange(ordered[0]), batch_sizes)
        starts = (np.cumsum(sizes) - sizes)[order]

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, device=device)

        return cls(
            order=tensor(order),
            lengths=tensor(ordered),
            batch_sizes=tuple(batch_sizes.tolist()),
            offsets=tuple(offsets.tolist()),
            rows=tensor(starts[sequences] + steps),
            sequences=tensor(sequences),
        )

    @classmethod
    def _of_one(cls, length: int, device: "torch.device | str | None") -> "Packing":
        """Make the packing of one sequence, whose rows stay as they are."""
        rows = torch.arange(length, device=device)
        sequences = torch.zeros_like(rows)
        lengths = torch.tensor([length], device=device)
        return cls(sequences[:1], lengths, (1,) * length, tuple(range(length)), rows, sequences)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_sequences(self) -> int:
        """B, the number of sequences."""
        return self.batch_sizes[0]

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.rows.device

    @property
    def is_dense(self) -> bool:
        """Whether all sequences have the same length."""
        return self.batch_sizes[-1] == self.batch_sizes[0]

    @cached_property
    def offset_tensor(self) -> Tensor:
        """(T,) the offsets as a tensor."""
        return torch.tensor(self.offsets, device=self.device)

    @cached_property
    def previous(self) -> Tensor:
        """(N - B,) the packed row before each packed row of step 1 and later."""
        ahead = np.repeat(np.array(self.batch_sizes[:-1], dtype=np.int64), self.batch_sizes[1:])
        return torch.as_tensor(np.arange(self.n_sequences, len(self)) - ahead, device=self.device)

    @cached_property
    def last(self) -> Tensor:
        """(B,) the packed row at which each packed sequence ends."""
        return self.row(torch.arange(self.n_sequences, device=self.device), self.lengths - 1)

    def row(self, sequences: Tensor, steps: Tensor) -> Tensor:
        """Find the packed rows of (packed sequence, step) pairs."""
        return self.offset_tensor[steps] + sequences

    def packed_sequences(self, indices: Tensor) -> Tensor:
        """Find the packed sequences of indices in the batch: what `order` maps back."""
        packed = torch.empty_like(self.order)
        packed[self.order] = torch.arange(self.n_sequences, device=self.device)
        return packed[indices]

    def steps(self) -> List[slice]:
        """List the packed rows of each step."""
        return [slice(start, start + size) for start, size in zip(self.offsets, self.batch_sizes, strict=True)]

    def pack(self, rows: Tensor) -> Tensor:
        """Put concatenated rows (N, ...) into packed order; those of one sequence are in it already."""
        return rows if self.n_sequences == 1 else rows.index_select(0, self.rows)

    def unpack(self, packed: Tensor) -> Tensor:
        """Put packed rows (N, ...) into the order of the concatenated batch."""
        if self.n_sequences == 1:
            return packed
        rows = torch.empty_like(packed)
        rows[self.rows] = packed
        return rows

    def unpack_sequences(self, packed: Tensor) -> Tensor:
        """Put values of the packed sequences (B, ...) into the order of the batch."""
        values = torch.empty_like(packed)
        values[self.order] = packed
        return values

    def sums(self, values: Tensor) -> Tensor:
        """Sum the values (N,) of each packed sequence: (B,)."""
        if self.is_dense:
            return values.view(-1, self.n_sequences).sum(0)
        return values.new_zeros(self.n_sequences).index_add_(0, self.sequences, values)

    def running_sum(self, values: Tensor) -> Tensor:
        """Sum the values (N,) of each sequence from its first row to each row: (N,)."""
        sums = values.clone()
        for before, now in pairwise(self.steps()):
            sums[now] += sums[before][: now.stop - now.start]
        return sums
