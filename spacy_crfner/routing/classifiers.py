"""Torch modules that read a sentence and give one score: whether it holds a weak label.

All take the rows of a ragged batch in packed order and return (B,) logits and (B,) penalties of the packed sequences.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn

from ..encoders.recurrent import BiLSTM, PaddedGroups
from ..packing import Packing


class SequenceGroups:
    """The sequences of a batch as padded grids, for what sees a whole sequence at once."""

    def __init__(self, packing: Packing):
        self._groups = PaddedGroups.build(packing)
        ends = torch.tensor([sequences for _, sequences in self._groups.shapes]).cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        self._lengths = [packing.lengths[start:end] for start, end in zip(starts, ends, strict=True)]

    def grids(self, packed: Tensor) -> List[Tensor]:
        """Arrange packed rows (N, width) as (steps, sequences, width) grids, their sequences in packed order."""
        return self._groups.scatter(packed, self._groups.forward)

    def masked_grids(self, packed: Tensor) -> List[Tensor]:
        """Arrange packed rows as `grids` does, with -inf where a sequence has ended."""
        masked = []
        for grid, lengths in zip(self.grids(packed), self._lengths, strict=True):
            ended = torch.arange(len(grid), device=grid.device)[:, None] >= lengths
            masked.append(grid.masked_fill(ended[:, :, None], float("-inf")))
        return masked

    def attention(self, scores: Tensor) -> List[Tensor]:
        """Turn scores (N, hops) into (sequences, hops, steps) weights that sum to 1 over the steps of a sequence."""
        return [grid.softmax(0).permute(1, 2, 0) for grid in self.masked_grids(scores)]


class Rows(nn.Module):
    """In the place of a BiLSTM, for rows that know their context already: the rows as they are."""

    def forward(self, rows: Tensor, packing: Packing, dropout: float) -> Tensor:
        """Give the rows back."""
        return rows


def _context(input_width: int, width: int) -> Tuple[nn.Module, int]:
    """Make what gives each word its context: a BiLSTM, or nothing for a width of 0.

    Returns also the features of its states.
    """
    if not width:
        return Rows(), input_width
    return BiLSTM(input_width=input_width, width=width, depth=1), width


class RCNN(nn.Module):
    """RCNN (Lai et al. 2015, https://doi.org/10.1609/aaai.v29i1.9513).

    Each word with its left and right context, through a tanh layer, then the maximum of every feature over the
    sentence.

    input_width: features of a row; width: those of the BiLSTM, or 0 for rows that know their context already;
    hidden_width: those of the tanh layer.
    """

    def __init__(self, *, input_width: int, width: int, hidden_width: int):
        super().__init__()
        self.context, _ = _context(input_width, width)
        self.hidden = nn.Linear(input_width + width, hidden_width)
        self.output = nn.Linear(hidden_width, 1)

    def forward(self, rows: Tensor, packing: Packing, dropout: float) -> Tuple[Tensor, Tensor]:
        """Score the sentences: (B,) logits and (B,) penalties."""
        states = self.context(rows, packing, dropout)
        words = rows if states is rows else torch.cat([rows, states], dim=1)
        features = self.hidden(words).tanh()
        pooled = torch.cat([grid.amax(0) for grid in SequenceGroups(packing).masked_grids(features)])
        logits = self.output(_dropout(pooled, dropout)).squeeze(1)
        return logits, torch.zeros_like(logits)


class LSTMAttention(nn.Module):
    """A BiLSTM whose states are summed by their attention (Zhou et al. 2016, https://aclanthology.org/P16-2034).

    input_width: features of a row; width: those of the BiLSTM, or 0 for rows that know their context already.
    """

    def __init__(self, *, input_width: int, width: int):
        super().__init__()
        self.context, width = _context(input_width, width)
        self.attention = nn.Linear(width, 1, bias=False)
        self.output = nn.Linear(width, 1)

    def forward(self, rows: Tensor, packing: Packing, dropout: float) -> Tuple[Tensor, Tensor]:
        """Score the sentences: (B,) logits and (B,) penalties."""
        states = self.context(rows, packing, dropout)
        groups = SequenceGroups(packing)
        weights = groups.attention(self.attention(states.tanh()))
        pooled = _weighted_sums(weights, groups.grids(states)).squeeze(1)
        logits = self.output(_dropout(pooled.tanh(), dropout)).squeeze(1)
        return logits, torch.zeros_like(logits)


class StructuredSelfAttention(nn.Module):
    """Several attentions over a BiLSTM (Lin et al. 2017, https://arxiv.org/abs/1703.03130).

    The penalty of a sentence is the squared Frobenius norm of A A^T - 1, where A are its (hops, steps) weights: it is 0
    where every hop looks at a word of its own.

    input_width: features of a row; width: those of the BiLSTM, or 0 for rows that know their context already;
        attention_width, hidden_width: those of the layers before the attention and before the output; hops: number of
        attentions.
    """

    def __init__(self, *, input_width: int, width: int, attention_width: int, hops: int, hidden_width: int):
        super().__init__()
        self.context, width = _context(input_width, width)
        self.attention = nn.Sequential(
            nn.Linear(width, attention_width, bias=False), nn.Tanh(), nn.Linear(attention_width, hops, bias=False)
        )
        self.hidden = nn.Linear(hops * width, hidden_width)
        self.output = nn.Linear(hidden_width, 1)

    def forward(self, rows: Tensor, packing: Packing, dropout: float) -> Tuple[Tensor, Tensor]:
        """Score the sentences: (B,) logits and (B,) penalties."""
        states = self.context(rows, packing, dropout)
        groups = SequenceGroups(packing)
        weights = groups.attention(self.attention(states))
        pooled = _weighted_sums(weights, groups.grids(states)).flatten(1)
        hidden = self.hidden(_dropout(pooled, dropout)).relu()
        logits = self.output(_dropout(hidden, dropout)).squeeze(1)
        identity = torch.eye(weights[0].shape[1], device=rows.device)
        penalties = torch.cat([(a @ a.transpose(1, 2) - identity).square().sum((1, 2)) for a in weights])
        return logits, penalties


def _weighted_sums(weights: List[Tensor], grids: List[Tensor]) -> Tensor:
    """Sum (steps, sequences, width) grids by (sequences, hops, steps) weights, to (all sequences, hops, width)."""
    return torch.cat([w @ grid.transpose(0, 1) for w, grid in zip(weights, grids, strict=True)])


def _dropout(values: Tensor, rate: float) -> Tensor:
    return nn.functional.dropout(values, rate) if rate else values
