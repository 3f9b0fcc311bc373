"""Multi-head self-attention over the rows of a ragged batch."""

from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from ..packing import Packing
from .recurrent import PaddedGroups

SCORES_AT_ONCE = 1 << 24
"""Scores of words for each other, of all heads, that are there at the same time."""


class SelfAttention(nn.Module):
    """Scaled dot-product attention of several heads, with a residual connection and layer normalization.

    y = LayerNorm(x + W_o [head_1; ...; head_H]), head_h = softmax(Q_h K_h^T / sqrt(width / H)) V_h, where Q, K and V
    are projections of the rows x of a sequence (Vaswani et al. 2017, section 3.2, https://arxiv.org/abs/1706.03762).

    width: features of a row, in and out. heads: H, which divides the width.
    """

    def __init__(self, *, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.combine = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor, packing: Packing, dropout: float) -> Tensor:
        """Read the rows of a batch, (N, width) in packed order. Returns (N, width) in packed order.

        dropout: of what attention gives, before it is added to the rows.
        """
        groups = PaddedGroups.build(packing)
        grids = groups.scatter(self.project(rows), groups.forward)
        lengths = packing.lengths.split([grid.shape[1] for grid in grids])
        read = torch.cat([self._attend(grid, own).flatten(0, 1) for grid, own in zip(grids, lengths, strict=True)])
        attended = self.combine(groups.gather(read, groups.forward))
        return self.norm(rows + nn.functional.dropout(attended, dropout, training=dropout > 0))

    def _attend(self, grid: Tensor, lengths: Tensor) -> Tensor:
        """Let sequences of like length read themselves: (steps, sequences, width).

        grid: (steps, sequences, 3 width) queries, keys and values, anything where padded. lengths: (sequences,).
        """
        steps, n_sequences, _ = grid.shape
        # (sequences, heads, steps, width / heads) each
        query, key, value = grid.view(steps, n_sequences, 3, self.heads, -1).permute(2, 1, 3, 0, 4)
        is_word: Optional[Tensor] = None
        if int(lengths.min()) < steps:
            is_word = (torch.arange(steps, device=grid.device) < lengths[:, None])[:, None, None]
        portions = query.split(max(1, SCORES_AT_ONCE // (n_sequences * self.heads * steps)), dim=2)
        if len(portions) > 1 and torch.is_grad_enabled():
            # The backward pass computes the scores of each portion again.
            parts = [
                checkpoint(_attention, part, key, value, is_word, use_reentrant=False, preserve_rng_state=False)
                for part in portions
            ]
        else:
            parts = [_attention(part, key, value, is_word) for part in portions]
        return torch.cat(parts, dim=2).permute(2, 0, 1, 3).flatten(2)


def _attention(query: Tensor, key: Tensor, value: Tensor, is_word: Optional[Tensor]) -> Tensor:
    return scaled_dot_product_attention(query, key, value, attn_mask=is_word)
