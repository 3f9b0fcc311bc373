"""Word vectors and character BiLSTMs, concatenated by a layout, computed once for every distinct word."""

from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

from ..packing import Packing
from .few_words import FewWords
from .packed_lstm import with_packed_lstms
from .recurrent import PaddedGroups, run_lstm


class CharBiLSTM(nn.Module):
    """The last states of two LSTMs that read a word's characters from left to right and from right to left.

    Lample et al. 2016, https://arxiv.org/abs/1603.01360.
    rows: size of the character table. embed_width: features a character. width: features a word, half of
    them for each direction.
    """

    def __init__(self, *, rows: int, embed_width: int, width: int):
        super().__init__()
        self.width = width
        self.embed = nn.Embedding(rows, embed_width)
        nn.init.uniform_(self.embed.weight, -((3.0 / embed_width) ** 0.5), (3.0 / embed_width) ** 0.5)
        self.left_to_right = nn.LSTM(embed_width, width // 2)
        self.right_to_left = nn.LSTM(embed_width, width // 2)

    def forward(self, chars: Tensor, packing: Packing, dropout: float, groups: Optional[PaddedGroups] = None) -> Tensor:
        """Read the characters of W words. Returns (W, width), words in the order of the batch.

        chars: (C,) table rows of the characters, in packed order. groups: those of the packing, if they are made.
        """
        groups = groups or PaddedGroups.build(packing)
        embedded = nn.functional.dropout(self.embed(chars), dropout, training=dropout > 0)
        states = []
        for lstm, rows in ((self.left_to_right, groups.forward), (self.right_to_left, groups.backward)):
            grids = run_lstm(lstm, groups.scatter(embedded, rows))
            # Both directions end, in their own grid, at the index of the last row of the forward grid.
            states.append(grids.index_select(0, groups.forward[packing.last]))
        return packing.unpack_sequences(torch.cat(states, dim=1))


class WordChar(nn.Module):
    """The word and character features of a layout.

    blocks: (kind, width) of each feature in order: `word` is the word vector, or if it has a width a projection of it
        to so many numbers, `char` is a character BiLSTM of its own with `width` features.
    vector_width: features of the word vectors, 0 if there are none.
    char_rows, char_embed_width: size of each character table.
    few: reads few words at once, see `for_prediction`.
    """

    few: Optional[FewWords] = None

    def __init__(
        self, *, blocks: List[Tuple[str, Optional[int]]], vector_width: int, char_rows: int, char_embed_width: int
    ):
        super().__init__()
        # Saved weights and settings of pipelines name the features so.
        self.blocks = nn.ModuleList()
        for kind, width in blocks:
            if width is None:
                self.blocks.append(nn.Identity())
            elif kind == "word":
                self.blocks.append(nn.Linear(vector_width, width))
            else:
                self.blocks.append(CharBiLSTM(rows=char_rows, embed_width=char_embed_width, width=width))

    @property
    def readers(self) -> List[CharBiLSTM]:
        """The character BiLSTMs."""
        return [layer for layer in self.blocks if isinstance(layer, CharBiLSTM)]

    def for_prediction(self) -> "WordChar":
        """Make a module that predicts in the place of this one, faster; weights that change later are not followed."""
        copied = with_packed_lstms(self)
        copied.few = FewWords.of(self.readers)
        return copied

    def read(self, chars: Tensor, packing: Packing, dropout: float) -> Tensor:
        """Read the characters of W words: (W, sum of the widths of `char`); chars, packing: see CharBiLSTM."""
        if not self.readers:
            return torch.empty((packing.n_sequences, 0), device=chars.device)
        groups = PaddedGroups.build(packing)
        return torch.cat([layer(chars, packing, dropout, groups) for layer in self.readers], dim=1)

    def assemble(self, vectors: Tensor, read: Tensor) -> Tensor:
        """Concatenate the features of W words in the order of the layout: (W, sum of widths).

        vectors: (W, vector_width). read: see `read`.
        """
        parts, start = [], 0
        for layer in self.blocks:
            if isinstance(layer, CharBiLSTM):
                parts.append(read[:, start : start + layer.width])
                start += layer.width
            else:
                parts.append(layer(vectors))
        return torch.cat(parts, dim=1) if parts else vectors[:, :0]

    def forward(self, vectors: Tensor, chars: Tensor, packing: Packing, words: Tensor, dropout: float) -> Tensor:
        """Make the features of N tokens: (N, sum of widths).

        words: (N,) the word of each token. The other arguments: see `read` and `assemble`.
        """
        return self.assemble(vectors, self.read(chars, packing, dropout))[words]
