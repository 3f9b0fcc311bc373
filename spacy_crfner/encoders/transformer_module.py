"""A transformer of the Hugging Face library, from windows of pieces to one vector a token."""

import json
from typing import Any, Dict, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from ..extras import require

POOLINGS = ("mean", "first", "last")


class TransformerModule(nn.Module):
    """An encoder such as BERT, RoBERTa or XLM-R, and the tokenizer that belongs to it.

    config: of the encoder, as JSON. tokenizer_bytes: size of the tokenizer, which is kept beside the weights.
    layers: the mean of so many layers, from the last one on. pooling: of the pieces of a token, one of POOLINGS.
    """

    def __init__(self, *, config: str, tokenizer_bytes: int, layers: int, pooling: str):
        super().__init__()
        transformers = require("transformers", "transformers", "spacy_crfner.Transformer.v1")
        values = json.loads(config)
        described = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
        self.encoder = make_encoder(transformers.AutoModel.from_config, described).eval()
        self.layers, self.pooling = layers, pooling
        self.register_buffer("tokenizer", torch.zeros(tokenizer_bytes, dtype=torch.uint8))

    def forward(
        self,
        batches: Sequence[Tuple[Tensor, Tensor]],
        rows: Tensor,
        pairs: Tuple[Tensor, Tensor],
        n_tokens: int,
        dropout: float,
    ) -> Tensor:
        """Read windows. Returns (n_tokens, width); zeros for a token that has no piece.

        batches: (windows, longest) pieces and (windows,) lengths of each. rows: see `Windows`. pairs: (M,) a piece, in
        the order of `rows`, and (M,) a token that it stands in. dropout: of the vectors; above 0, the encoder applies
        its own rates too.
        """
        # Set for as long as this call draws random numbers; a prediction in another thread never sees it.
        self.encoder.train(dropout > 0)
        try:
            states = torch.cat([self._states(*batch).flatten(0, 1) for batch in batches])
        finally:
            self.encoder.eval()
        vectors = self._pool(states[rows], *pairs, n_tokens)
        return nn.functional.dropout(vectors, dropout, training=dropout > 0)

    def _states(self, ids: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        output = self.encoder(
            input_ids=ids, attention_mask=mask.long(), output_hidden_states=self.layers > 1, return_dict=True
        )
        if self.layers == 1:
            return output.last_hidden_state
        return torch.stack(output.hidden_states[-self.layers :]).mean(dim=0)

    def _pool(self, states: Tensor, piece: Tensor, token: Tensor, n_tokens: int) -> Tensor:
        """Make one vector of those of the pieces of each token: (n_tokens, width)."""
        if self.pooling != "mean":
            # Pairs are in order of the pieces, so that a token's first or last one is that of a piece too.
            order = torch.argsort(token, stable=True)
            piece, token = piece[order], token[order]
            borders, end = token[1:] != token[:-1], torch.ones_like(token[:1], dtype=torch.bool)
            chosen = torch.cat([end, borders] if self.pooling == "first" else [borders, end])
            piece, token = piece[chosen], token[chosen]
        vectors = states.new_zeros((n_tokens, states.shape[1])).index_add(0, token, states[piece])
        if self.pooling != "mean":
            return vectors
        counts = torch.bincount(token, minlength=n_tokens).clamp(min=1)
        return vectors / counts[:, None]


def make_encoder(make: Any, *args: Any, **kwargs: Any) -> Any:
    """Make an encoder of the Hugging Face library, without the layer that pools a text where it may be left out."""
    try:
        return make(*args, add_pooling_layer=False, **kwargs)
    except TypeError:
        return make(*args, **kwargs)


def describe(config: Any) -> str:
    """Write the config of an encoder as JSON."""
    values: Dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    # How weights were saved, and where: not what they are.
    for name in ("torch_dtype", "dtype", "_name_or_path", "transformers_version", "architectures"):
        values.pop(name, None)
    return json.dumps(values, sort_keys=True)


def depths(names: Sequence[str]) -> List[int]:
    """Count how many layers a parameter stands above the embeddings, which are 0, by its name."""
    numbers = [[int(part) for part in name.split(".") if part.isdigit()] for name in names]
    top = max((own[0] + 1 for own in numbers if own), default=0)
    return [own[0] + 1 if own else 0 if "embed" in name else top for own, name in zip(numbers, names, strict=True)]
