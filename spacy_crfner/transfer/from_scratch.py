"""A small transformer with random weights, and a tokenizer that has learned its pieces from the text."""

from dataclasses import dataclass
from typing import Any, Iterable

import torch

from ..extras import require
from ..torch_state import in_usual_torch
from .masked_model import USER, MaskedModel, attention

BEGIN, PADDING, END, UNKNOWN, MASK = SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""As RoBERTa has them, in its order."""
BYTES = 256
POSITIONS = 512
"""Most pieces of a text, where a block is not longer."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a new transformer.

    layers, width, heads: of the encoder; its inner layers are four times as wide. vocab: most pieces, special ones and
    the 256 bytes among them.
    Raises ValueError for sizes that cannot be.
    """

    layers: int = 4
    width: int = 256
    heads: int = 4
    vocab: int = 8000

    def __post_init__(self) -> None:
        """Check the numbers."""
        if min(self.layers, self.width, self.heads) < 1 or self.width % self.heads:
            raise ValueError(
                "A new transformer needs one or more layers and heads, and a width that its heads divide, not "
                f"{self.layers} layers, {self.heads} heads and the width {self.width}."
            )
        if self.vocab < BYTES + len(SPECIAL):
            raise ValueError(
                f"The vocabulary of a new transformer has {BYTES + len(SPECIAL)} pieces or more, not {self.vocab}."
            )


def train_tokenizer(texts: Iterable[str], vocab: int) -> Any:
    """Learn byte pairs (Sennrich et al. 2016) down to bytes, as RoBERTa has them; no character is ever unknown.

    Returns a fast tokenizer of the transformers library.
    """
    tokenizers = require("tokenizers", "transformers", USER)
    transformers = require("transformers", "transformers", USER)
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer, made.decoder = byte_level(add_prefix_space=False), tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=byte_level.alphabet(), show_progress=False
    )
    # With a space in front, as all other words have one.
    made.train_from_iterator((f" {text}" for text in texts), trainer)
    ends = [(piece, made.token_to_id(piece)) for piece in (END, BEGIN)]
    made.post_processor = tokenizers.processors.RobertaProcessing(*ends, add_prefix_space=False)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=BEGIN,
        cls_token=BEGIN,
        eos_token=END,
        sep_token=END,
        pad_token=PADDING,
        unk_token=UNKNOWN,
        mask_token=MASK,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
    )


@in_usual_torch
def new_masked_model(texts: Iterable[str], sizes: Sizes, block: int, seed: int = 0) -> MaskedModel:
    """Make a RoBERTa (Liu et al. 2019, https://arxiv.org/abs/1907.11692) with random weights.

    texts: what its tokenizer learns from. block: most pieces that it is to read at once. seed: of the weights.
    """
    transformers = require("transformers", "transformers", USER)
    tokenizer = train_tokenizer(texts, sizes.vocab)
    tokenizer.model_max_length = positions = max(block, POSITIONS)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=4 * sizes.width,
        # Positions are counted from behind that of the padding on.
        max_position_embeddings=positions + tokenizer.pad_token_id + 1,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    model = transformers.AutoModelForMaskedLM.from_config(config, attn_implementation=attention())
    return MaskedModel(model, tokenizer)
