"""Pre-training on raw text with masked pieces: what is its own, beside the loop of every training."""

import copy
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Tuple

import numpy as np
import torch
from safetensors.torch import load
from thinc.util import get_torch_default_device
from torch import Tensor
from torch.nn import functional as F

from ..encoders.transformer_module import describe, in_16_bits, most_pieces
from ..encoders.word_pieces import PieceReader
from ..files import Files, digest
from ..model_folders import CONFIG
from ..torch_state import in_usual_torch
from ..trainee import LoopSettings, Trainee
from ..training_loop import TrainingLoop
from .blocks import Blocks
from .masked_model import MaskedModel, MaskedPieces
from .masking import Masking
from .model_files import WEIGHTS, model_files, tokenizer_files
from .texts import RawText

Batch = Tuple[np.ndarray, int]
"""The blocks of a batch, and the seed of its masks."""
DEV_SEED = 0
"""Of the masks of dev, the same for all trainings."""
HIGHEST = 700.0
"""The highest loss whose exponential is a number."""


@dataclass(frozen=True)
class PretrainingSettings(LoopSettings):
    """How a transformer is pre-trained; see `LoopSettings` for the rest.

    The learning rate rises in `warmup` updates and falls to 0 with `max_updates`.

    block: most pieces of a block of text, with those that mark its ends.
    masked, whole_words: see `Masking`.
    batch_pieces: of a batch. dev_pieces: of dev, at most, in blocks that are spread evenly over it.
    dropout: apply the rates of dropout that the model has; without, updates are faster.
    weight_decay: of AdamW; biases and norms have none.
    mixed_precision: multiply matrices in 16 bits (bfloat16) where the device does so fast.
    """

    of_what: ClassVar[str] = "pre-training"

    learn_rate: float = 1e-4
    max_updates: int = 10000
    block: int = 128
    masked: float = 0.15
    whole_words: bool = True
    batch_pieces: int = 4096
    dev_pieces: int = 50000
    dropout: bool = True
    weight_decay: float = 0.01
    mixed_precision: bool = True

    def __post_init__(self) -> None:
        """Check the numbers. Raises ValueError for one that training cannot work with."""
        super().__post_init__()
        self._at_least(8, "block")
        self._at_least(1, "batch_pieces", "dev_pieces")
        self._at_least(0, "weight_decay")
        if not 0.0 < self.masked < 1.0:
            raise ValueError(f"masked of {self.of_what} must be a share between 0 and 1, not {self.masked}.")


class PretrainingTrainee(Trainee):
    """A transformer that learns to find masked pieces of raw text, where torch's default device of Thinc is.

    start: perplexity of dev with the weights that training begins with.
    Other arguments: see `TransformerPretraining`.
    """

    @in_usual_torch
    def __init__(self, masked_model: MaskedModel, text: RawText, settings: PretrainingSettings):
        model, tokenizer = masked_model.model, masked_model.tokenizer
        most = most_pieces(model.base_model)
        if most is not None and settings.block > most:
            raise ValueError(f"The model reads {most} pieces at once, so a block cannot have {settings.block}.")
        self.settings = settings
        self.tokenizer_files = tokenizer_files(tokenizer)
        self.product = (*self.tokenizer_files, CONFIG, WEIGHTS)
        # A copy: padding and truncation of the tokenizer that is saved stay what they are.
        self.reader = PieceReader.of_transformer(copy.deepcopy(tokenizer))
        ordinary = np.zeros(model.get_input_embeddings().num_embeddings, dtype=bool)
        ordinary[list(tokenizer.get_vocab().values())] = True
        ordinary[tokenizer.all_special_ids] = False
        self.masking = Masking(settings.masked, settings.whole_words, tokenizer.mask_token_id, ordinary)
        separator = tokenizer.sep_token_id
        self.train = Blocks.of_texts(text.to_learn_from(), self.reader, separator, settings.block)
        self.dev = Blocks.of_texts(text.to_evaluate_on(), self.reader, separator, settings.block)
        self._learned, self._evaluated = self._useful(self.train), self._sample(self._useful(self.dev))
        if not len(self._learned) or not len(self._evaluated):
            raise ValueError(
                f"The text is too short: {self.train.n_texts:,} texts to learn from have {len(self.train.ids):,} "
                f"pieces, and {self.dev.n_texts:,} to evaluate on have {len(self.dev.ids):,}; give more."
            )
        self.module: MaskedPieces = MaskedPieces(model).to(get_torch_default_device())
        self._contents = self._digests()
        self.module.eval()
        self.start = 0.0
        with torch.no_grad():
            self.start = self.evaluate()["dev_perplexity"]

    def _useful(self, blocks: Blocks) -> np.ndarray:
        """List the blocks that have something to mask."""
        return np.flatnonzero(blocks.counts(self.masking.ordinary[blocks.ids]))

    def _sample(self, blocks: np.ndarray) -> np.ndarray:
        most = max(1, self.settings.dev_pieces // self.settings.block)
        return blocks if len(blocks) <= most else blocks[np.linspace(0, len(blocks) - 1, most).astype(np.int64)]

    def _digests(self) -> List[Any]:
        weights = {name: digest(_bytes(value)) for name, value in self.module.state_dict().items()}
        texts = [digest(blocks.ids.tobytes() + blocks.starts.tobytes()) for blocks in (self.train, self.dev)]
        pieces = self.reader.tokenizer.to_str()
        return [texts, pieces, weights, describe(self.module.model.config), self.settings.max_updates]

    def contents(self) -> List[Any]:
        """List digests of text and first weights, the tokenizer, and when the learning rate is 0."""
        return self._contents

    def make_optimizer(self, learn_rate: float) -> torch.optim.Optimizer:
        """Make AdamW, as RoBERTa was trained with (Liu et al. 2019); biases and norms have one dimension."""
        weights = [weight for weight in self.module.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": self.settings.weight_decay},
            {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=learn_rate, betas=(0.9, 0.98), eps=1e-6)

    def schedule(self, update: int, settings: LoopSettings) -> float:
        """Compute the share of the learning rate: it rises in `warmup` updates and falls to 0 behind the last."""
        left = (settings.max_updates + 1 - update) / max(1, settings.max_updates + 1 - settings.warmup)
        return min(update / settings.warmup, max(0.0, left))

    def batches(self, epoch: int, random_state: random.Random) -> Iterator[Batch]:
        """Shuffle the blocks; masks are drawn where a batch is read."""
        order = self._learned.copy()
        np.random.default_rng(random_state.getrandbits(64)).shuffle(order)
        for blocks in self._portions(order):
            yield blocks, random_state.getrandbits(64)

    def _portions(self, blocks: np.ndarray) -> List[np.ndarray]:
        size = max(1, self.settings.batch_pieces // self.settings.block)
        return [blocks[at : at + size] for at in range(0, len(blocks), size)]

    def loss(self, batch: Batch) -> Tensor:
        """Compute the mean cross entropy of the masked pieces, in nats."""
        # Dropout is all that an encoder of text does otherwise in training than later.
        self.module.train(self.settings.dropout)
        blocks, seed = batch
        return self._cross_entropy(self.train, blocks, np.random.default_rng(seed)).mean()

    def _cross_entropy(self, blocks: Blocks, chosen: np.ndarray, random_state: np.random.Generator) -> Tensor:
        """Mask some blocks, and compute the cross entropy of each masked piece, in nats: (M,)."""
        pieces, starts, lengths = blocks.pick(chosen)
        read, places = self.masking.draw(pieces, starts, random_state)
        before, after = self.reader.before, self.reader.after
        rows = np.repeat(np.arange(len(lengths)), lengths)
        columns = np.arange(len(pieces)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + len(before)
        lengths = lengths + len(before) + len(after)
        ids = np.full((len(lengths), lengths.max()), self.reader.padding, dtype=np.int64)
        ids[:, : len(before)] = before
        for at, piece in enumerate(after):
            ids[np.arange(len(ids)), lengths - len(after) + at] = piece
        ids[rows, columns] = read
        flat = rows[places] * ids.shape[1] + columns[places]

        device = next(self.module.parameters()).device
        arrays = (ids, lengths, flat, pieces[places].astype(np.int64))
        inputs, sizes, asked, targets = (torch.from_numpy(array).to(device) for array in arrays)
        with in_16_bits(device, self.settings.mixed_precision):
            scores = self.module(inputs, sizes, asked)
        return F.cross_entropy(scores.float(), targets, reduction="none")

    def evaluate(self) -> Dict[str, Any]:
        """Score on dev, with masks that are always the same: the loss of a masked piece, and its exponential."""
        random_state = np.random.default_rng(DEV_SEED)
        losses = [self._cross_entropy(self.dev, blocks, random_state) for blocks in self._portions(self._evaluated)]
        loss = torch.cat(losses).double().mean().item()
        perplexity = round(math.exp(min(loss, HIGHEST)), 3)
        return {"dev_loss": loss, "dev_perplexity": perplexity, "start_perplexity": self.start or perplexity}

    def files(self) -> Files:
        """Save model, head and tokenizer as the transformers library reads them."""
        return {**self.tokenizer_files, **model_files(self.module.model)}

    def check_files(self, files: Files) -> None:
        """Check that the files can be read. Raises ValueError, or what the library raises, where they cannot."""
        json.loads(files[CONFIG])
        wanted = self.module.model.state_dict()
        for name, value in load(files[WEIGHTS]).items():
            if name not in wanted or value.shape != wanted[name].shape:
                raise ValueError(f"{WEIGHTS} holds {name} of another model")


def _bytes(weights: Tensor) -> bytes:
    return weights.detach().cpu().contiguous().numpy().tobytes()


class TransformerPretraining(TrainingLoop):
    """Pre-train a transformer on raw text into a folder; see `TrainingLoop`.

    masked_model: what it begins with. text: to learn from and to evaluate on.
    start: perplexity of dev with what it begins with. n_pieces: to learn from, and of dev.
    Raises ValueError where the text is too short, or blocks are too long for the model; CorpusError where a file
    cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        masked_model: MaskedModel,
        text: RawText,
        settings: PretrainingSettings,
        report: Callable[[Dict[str, Any]], None] = lambda line: None,
        tell: Callable[[str], None] = lambda line: None,
        overwrite: bool = False,
    ):
        trainee = PretrainingTrainee(masked_model, text, settings)
        super().__init__(folder, trainee, settings, report, tell, overwrite)
        self.start: float = trainee.start
        self.n_pieces: Tuple[int, int] = (len(trainee.train.ids), len(trainee.dev.ids))
