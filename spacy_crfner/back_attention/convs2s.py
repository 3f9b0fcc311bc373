"""The convolutional sequence-to-sequence network of Gehring et al. 2017, in the small form of the paper's translator.

Sequences are rows of piece ids, padded at their end with `PAD`.
"""

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

from .pieces import PAD

HALF = math.sqrt(0.5)
"""Sums of two terms are scaled by this, so that their variance stays what it was."""


@dataclass(frozen=True)
class Memory:
    """What the decoder reads of the source.

    keys, values: (batch, source, width). padding: (batch, source) true beside the text.
    """

    keys: Tensor
    values: Tensor
    padding: Tensor

    def rows(self, indices: Tensor) -> "Memory":
        """Take the memory of these sequences, in this order."""
        return Memory(self.keys[indices], self.values[indices], self.padding[indices])


class Embedding(nn.Module):
    """Pieces and learned positions, added."""

    def __init__(self, vocab: int, width: int, positions: int):
        super().__init__()
        self.pieces = nn.Embedding(vocab, width, padding_idx=PAD)
        self.positions = nn.Embedding(positions, width)
        for table in (self.pieces, self.positions):
            nn.init.normal_(table.weight, std=0.1)
        with torch.no_grad():
            self.pieces.weight[PAD] = 0.0

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        """Embed pieces: (batch, length, width).

        ids: (batch, length). first: the position of the first column. Those past the last share the last one.
        """
        positions = torch.arange(first, first + ids.shape[1], device=ids.device)
        return self.pieces(ids) + self.positions(positions.clamp(max=self.positions.num_embeddings - 1))


class Encoder(nn.Module):
    """Gated convolutions over the source. gradient_scale: what of the gradient by its output reaches the layers."""

    def __init__(self, embed: Embedding, width: int, kernel: int, layers: int, *, kept: float, gradient_scale: float):
        super().__init__()
        size = embed.pieces.embedding_dim
        self.embed = embed
        self.gradient_scale = gradient_scale
        self.enter = _linear(size, width, kept)
        self.convolutions = nn.ModuleList(_convolution(width, kernel, kept) for _ in range(layers))
        self.leave = _linear(width, size)

    def forward(self, ids: Tensor, dropout: float) -> Memory:
        """Encode the source. ids: (batch, source)."""
        embedded = F.dropout(self.embed(ids), dropout, self.training)
        padding = ids == PAD
        outside = padding.unsqueeze(-1)
        states = self.enter(embedded)
        for layer in self.convolutions:
            inputs = F.dropout(states.masked_fill(outside, 0.0), dropout, self.training)
            convolved = layer(F.pad(inputs.transpose(1, 2), _around(layer))).transpose(1, 2)
            states = (F.glu(convolved, dim=-1) + states) * HALF
        keys = self.leave(states.masked_fill(outside, 0.0))
        if torch.is_grad_enabled():
            keys = _scale_gradient(keys, self.gradient_scale)
        return Memory(keys, (keys + embedded) * HALF, padding)


class DecoderLayer(nn.Module):
    """A gated convolution over the past, and attention to the source."""

    def __init__(self, width: int, size: int, kernel: int, kept: float):
        super().__init__()
        self.convolution = _convolution(width, kernel, kept)
        self.query = _linear(width, size)
        self.out = _linear(size, width)

    @property
    def past(self) -> int:
        """The number of columns before the present one the convolution reads."""
        return self.convolution.kernel_size[0] - 1

    def forward(self, states: Tensor, past: Tensor, embedded: Tensor, memory: Memory) -> Tuple[Tensor, Tensor]:
        """Compute the new states, and the attention, (batch, length, source).

        states: (batch, length, width), after `past` (batch, kernel - 1, width). embedded: (batch, length, size).
        """
        inputs = torch.cat([past, states], dim=1).transpose(1, 2)
        hidden = F.glu(self.convolution(inputs).transpose(1, 2), dim=-1)
        query = (self.query(hidden) + embedded) * HALF
        scores = query @ memory.keys.transpose(1, 2)
        attention = scores.masked_fill(memory.padding.unsqueeze(1), -math.inf).softmax(dim=-1)
        # A mean over n positions has 1/n of their variance.
        lengths = (~memory.padding).sum(dim=1, keepdim=True).unsqueeze(-1)
        context = self.out(attention @ memory.values * lengths.to(query.dtype).sqrt())
        return (context + hidden) * HALF, attention


class Decoder(nn.Module):
    """Layers of convolution and attention over what has been written so far."""

    def __init__(self, embed: Embedding, width: int, kernel: int, layers: int, *, kept: float):
        super().__init__()
        size = embed.pieces.embedding_dim
        self.embed = embed
        self.width = width
        self.enter = _linear(size, width, kept)
        self.layers = nn.ModuleList(DecoderLayer(width, size, kernel, kept) for _ in range(layers))
        self.leave = _linear(width, size)

    def start(self, batch: int) -> List[Tensor]:
        """Make the empty past of every layer, for as many sequences."""
        pasts = [cast(DecoderLayer, layer).past for layer in self.layers]
        return [self.embed.pieces.weight.new_zeros(batch, past, self.width) for past in pasts]

    def forward(
        self, ids: Tensor, memory: Memory, pasts: List[Tensor], first: int, dropout: float
    ) -> Tuple[Tensor, Tensor, List[Tensor]]:
        """Read pieces that follow others.

        ids: (batch, length), which follow `pasts`; the first of them at position `first`.
        Returns what the pieces are scored by, (batch, length, size), the mean attention of all layers,
        (batch, length, source), and the past of what follows.
        """
        embedded = F.dropout(self.embed(ids, first), dropout, self.training)
        states = self.enter(embedded)
        attentions, following = [], []
        for layer, past in zip(self.layers, pasts, strict=True):
            inputs = F.dropout(states, dropout, self.training)
            # Only the last columns of it are kept.
            following.append(torch.cat([past, inputs], dim=1)[:, inputs.shape[1] :])
            hidden, attention = layer(inputs, past, embedded, memory)
            states = (hidden + states) * HALF
            attentions.append(attention)
        features = F.dropout(self.leave(states), dropout, self.training)
        return features, torch.stack(attentions).mean(dim=0), following


class ConvS2S(nn.Module):
    """Encoder and decoder over one vocabulary of pieces; the decoder's table also scores the pieces.

    vocab: pieces. size: of embeddings. width: of the convolutions. positions: most pieces of a text.
    dropout: that it will be trained with, for which its weights are initialized.
    """

    def __init__(
        self,
        vocab: int,
        size: int = 256,
        width: int = 256,
        kernel: int = 3,
        encoder_layers: int = 4,
        decoder_layers: int = 3,
        positions: int = 256,
        normalised: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.settings: Dict[str, Any] = {
            "vocab": vocab,
            "size": size,
            "width": width,
            "kernel": kernel,
            "encoder_layers": encoder_layers,
            "decoder_layers": decoder_layers,
            "positions": positions,
        }
        kept = 1.0 - dropout
        # All layers of the decoder send a gradient into the encoder, by keys and values.
        scale = 1.0 / (2 * decoder_layers)
        source, target = Embedding(vocab, size, positions), Embedding(vocab, size, positions)
        self.encoder = Encoder(source, width, kernel, encoder_layers, kept=kept, gradient_scale=scale)
        self.decoder = Decoder(target, width, kernel, decoder_layers, kept=kept)
        self.bias = nn.Parameter(torch.zeros(vocab))
        if normalised:
            for layer in self._weighted():
                weight_norm(layer, dim=0)

    def forward(self, source: Tensor, target: Tensor, dropout: float = 0.0) -> Tuple[Tensor, Tensor]:
        """Score the next piece after each: (batch, target, vocab), and the attention, (batch, target, source).

        source: (batch, source). target: (batch, target), each without its last piece.
        """
        memory = self.encode(source, dropout)
        pasts = self.decoder.start(len(target))
        features, attention, _ = self.decoder(target, memory, pasts, 0, dropout)
        return self.score(features), attention

    def encode(self, source: Tensor, dropout: float = 0.0) -> Memory:
        """Encode the source, (batch, source)."""
        return self.encoder(source, dropout)

    def score(self, features: Tensor) -> Tensor:
        """Score all pieces: features (..., size) to (..., vocab)."""
        return F.linear(features, self.decoder.embed.pieces.weight, self.bias)

    def without_norms(self) -> "ConvS2S":
        """Copy the network to one that computes the same, faster: its weights are the normalised ones."""
        plain = ConvS2S(**self.settings, normalised=True)
        plain.load_state_dict(self.state_dict())
        for layer in plain._weighted():
            remove_parametrizations(layer, "weight")
        return plain.eval()

    def _weighted(self) -> List[nn.Module]:
        return [module for module in self.modules() if isinstance(module, (nn.Linear, nn.Conv1d))]


def _scale_gradient(states: Tensor, scale: float) -> Tensor:
    return states * scale + states.detach() * (1.0 - scale)


def _linear(inputs: int, outputs: int, kept: float = 1.0) -> nn.Linear:
    """Make a linear layer. kept: what dropout keeps of its inputs."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=math.sqrt(kept / inputs))
    nn.init.zeros_(layer.bias)
    return layer


def _convolution(width: int, kernel: int, kept: float) -> nn.Conv1d:
    layer = nn.Conv1d(width, 2 * width, kernel)
    # A gated linear unit lets about a quarter of the variance through.
    nn.init.normal_(layer.weight, std=math.sqrt(4.0 * kept / (width * kernel)))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _around(layer: Any) -> Tuple[int, int]:
    """Compute the columns to add before and after, so that the length stays."""
    size = layer.kernel_size[0]
    return (size - 1) // 2, size // 2
