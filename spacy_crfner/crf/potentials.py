"""The numbers that define a linear-chain CRF over a ragged batch."""

from dataclasses import dataclass, replace
from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from ..packing import Packing

NEVER = float("-inf")

LONG = 1000
"""Rows of a sequence above which single precision would lose digits that count: rounding adds up along it."""


@dataclass(frozen=True, eq=False)
class Potentials:
    """A linear-chain CRF over B sequences with N rows in all and K tags.

    The score of a tag sequence y is start[y_1] + sum_t emissions[t, y_t] + sum_t transitions[y_t, y_t+1]
    + end[y_T]; its probability is proportional to exp(score).

    emissions: (N, K) floating, finite, rows in the order of `packing`.
    start, transitions, end: (K,), (K from, K to), (K,); -inf where a step is illegal.
    packing: the order of the rows.
    allowed: (N, K) booleans, the tags that a row may have; None allows all.
    """

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor
    packing: Packing
    allowed: Optional[Tensor] = None

    @classmethod
    def build(
        cls,
        emissions: Tensor,
        lengths: Sequence[int],
        start: Tensor,
        transitions: Tensor,
        end: Tensor,
        *,
        legal: Optional[Tuple[Tensor, Tensor, Tensor]] = None,
        allowed: Optional[Tensor] = None,
    ) -> "Potentials":
        """Build the CRF of concatenated sequences.

        emissions: (sum of lengths, K), sequence after sequence.
        lengths: rows of each sequence, all 1 or more.
        legal: booleans of the shapes of start, transitions and end (see TagSet.legal): the rest becomes -inf.
        allowed: (sum of lengths, K) booleans, or None.
        Raises ValueError where shapes do not fit.
        """
        n_tags = start.shape[0]
        if emissions.shape != (sum(lengths), n_tags) or transitions.shape != (n_tags, n_tags) or end.shape != (n_tags,):
            raise ValueError(
                f"CRF shapes do not fit: emissions {tuple(emissions.shape)}, lengths that sum to {sum(lengths)}, "
                f"start {tuple(start.shape)}, transitions {tuple(transitions.shape)}, end {tuple(end.shape)}."
            )
        packing = Packing.from_lengths(lengths, device=emissions.device)
        if legal is not None:
            start, transitions, end = (
                values.masked_fill(~mask, NEVER) for values, mask in zip((start, transitions, end), legal, strict=True)
            )
        return cls(
            emissions=packing.pack(emissions),
            start=start,
            transitions=transitions,
            end=end,
            packing=packing,
            allowed=None if allowed is None else packing.pack(allowed),
        )

    @property
    def n_tags(self) -> int:
        """K, the number of tags."""
        return self.start.shape[0]

    @property
    def masked_emissions(self) -> Tensor:
        """(N, K) emissions with -inf where a tag is not allowed."""
        return self.emissions if self.allowed is None else self.emissions.masked_fill(~self.allowed, NEVER)

    def restrict(self, allowed: Tensor) -> "Potentials":
        """Make the same CRF with fewer allowed tags; `allowed` (N, K) booleans in packed order."""
        return replace(self, allowed=allowed if self.allowed is None else self.allowed & allowed)

    def to(self, dtype: torch.dtype) -> "Potentials":
        """Make the same CRF in another precision."""
        return replace(
            self,
            emissions=self.emissions.to(dtype),
            start=self.start.to(dtype),
            transitions=self.transitions.to(dtype),
            end=self.end.to(dtype),
        )

    @property
    def is_long(self) -> bool:
        """Whether any sequence has more than LONG rows."""
        return len(self.packing.batch_sizes) > LONG

    def exact_if_long(self) -> "Potentials":
        """Make the same CRF in double precision where a sequence is long."""
        return self.to(torch.float64) if self.is_long else self

    def repeat(self, sequences: Tensor) -> Tuple["Potentials", Tensor]:
        """Make a batch of some of the packed sequences, in this order and as often as they are named.

        sequences: (M,) packed sequence numbers, not decreasing.
        Returns the new CRF, whose packed sequence m is sequences[m], and (rows,) the packed row of this
        batch that each of its packed rows copies.
        """
        lengths = self.packing.lengths[sequences]
        packing = Packing.from_lengths(lengths.tolist(), device=self.packing.device)
        steps = torch.repeat_interleave(
            torch.arange(len(packing.batch_sizes), device=packing.device),
            torch.tensor(packing.batch_sizes, device=packing.device),
        )
        rows = self.packing.row(sequences[packing.sequences], steps)
        allowed = None if self.allowed is None else self.allowed[rows]
        return replace(self, emissions=self.emissions[rows], packing=packing, allowed=allowed), rows
