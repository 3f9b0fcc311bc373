"""A convolution over the characters of words, and embeddings of how they are written."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .word_shape import N_CAPITALIZATIONS, N_TYPES


@dataclass(frozen=True, eq=False)
class Spelling:
    """The C characters of W words, as a row of S places: word after word, each between paddings of its own.

    chars: (S,) table row of the character at each place, the last row where there is padding.
    types: (S,) likewise its type.
    windows: (C,) the place with which the window around each character begins.
    words: (C,) the word that each character stands in.
    capitalizations: (W,) those of the words.
    """

    chars: Tensor
    types: Tensor
    windows: Tensor
    words: Tensor
    capitalizations: Tensor


class CharCNN(nn.Module):
    """A convolution over the characters of a word, and the maximum of each filter (Chiu & Nichols 2016).

    https://arxiv.org/abs/1511.08308. No other function stands between the two.

    rows: of the character table, beside that of the padding. embed_width, type_width: features of a character and of
        its type; 0 leaves types out. width: filters. window: characters that a filter reads.
    capitalization_width: features of the capitalization of a word; 0 leaves it out.
    """

    def __init__(
        self, *, rows: int, embed_width: int, type_width: int, width: int, window: int, capitalization_width: int
    ):
        super().__init__()
        self.chars = _table(rows + 1, embed_width)
        self.types = _table(N_TYPES + 1, type_width) if type_width else None
        self.convolution = nn.Conv1d(embed_width + type_width, width, window)
        self.capitalizations = _table(N_CAPITALIZATIONS, capitalization_width) if capitalization_width else None

    def read(self, spelling: Spelling, dropout: float) -> Tensor:
        """Read W words: (W, width + capitalization_width).

        dropout: of the features of characters.
        """
        embedded = self.chars(spelling.chars)  # (S, embed_width)
        if self.types is not None:
            embedded = torch.cat([embedded, self.types(spelling.types)], dim=1)
        embedded = nn.functional.dropout(embedded, dropout, training=dropout > 0)
        # Over the places of all words at once. A window around a character never leaves its word and the paddings of
        # that; those around paddings do, and are not looked at.
        filtered = self.convolution(embedded.T[None])[0].T.index_select(0, spelling.windows)  # (C, width)
        width = filtered.shape[1]
        words = filtered.new_zeros((len(spelling.capitalizations), width)).scatter_reduce(
            0, spelling.words[:, None].expand(-1, width), filtered, "amax", include_self=False
        )
        if self.capitalizations is None:
            return words
        return torch.cat([words, self.capitalizations(spelling.capitalizations)], dim=1)

    def forward(self, spelling: Spelling, words: Tensor, dropout: float) -> Tensor:
        """Make the features of N tokens: (N, width + capitalization_width).

        words: (N,) the word that each token is. The other arguments: see `read`.
        """
        return self.read(spelling, dropout)[words]


def _table(rows: int, width: int) -> nn.Embedding:
    """Make a lookup table, with the first values that the paper gives those of characters."""
    table = nn.Embedding(rows, width)
    nn.init.uniform_(table.weight, -0.5, 0.5)
    return table
