"""Training of a translator: what is its own, beside the loop of every training."""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Sequence, Tuple

import torch
from thinc.util import get_torch_default_device
from torch import Tensor
from torch.nn import functional as F

from ..extras import require
from ..files import Files
from ..torch_state import in_usual_torch
from ..trainee import LoopSettings, Trainee
from ..training_loop import TrainingLoop
from .batches import Batching, make_batches, piece_count
from .conv_translator import TRANSLATOR_FILES, ConvTranslator
from .convs2s import ConvS2S
from .parallel_text import Pair
from .pieces import PAD, Pieces


@dataclass(frozen=True)
class TrainingSettings(LoopSettings):
    """How a translator is trained; see `LoopSettings` for the rest.

    vocab: pieces, of both languages together. The network is the small form of Gehring et al. 2017.
    bleu_sentences: of dev, that are translated at each evaluation.
    known_from: how often training must show a word of the source for the translator to know it.
    """

    of_what: ClassVar[str] = "a translator's training"

    vocab: int = 5000
    size: int = 256
    width: int = 256
    kernel: int = 3
    encoder_layers: int = 4
    decoder_layers: int = 3
    dropout: float = 0.2
    label_smoothing: float = 0.1
    bleu_sentences: int = 200
    known_from: int = 5
    batching: Batching = field(default_factory=Batching)

    def __post_init__(self) -> None:
        """Check the numbers. Raises ValueError for one that training cannot work with."""
        super().__post_init__()
        self._at_least(1, "vocab", "size", "width", "kernel", "encoder_layers", "decoder_layers", "known_from")
        for name, value in (("size", self.batching.size), ("longest", self.batching.longest)):
            if value < 2:
                raise ValueError(f"{name} of the batches of {self.of_what} must be 2 or more, not {value}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout of {self.of_what} must be from 0 to below 1, not {self.dropout}.")


class TranslatorTrainee(Trainee):
    """A translator that is learned from pairs of words, where torch's default device of Thinc is.

    Arguments: see `TranslatorTraining`.
    """

    product = TRANSLATOR_FILES

    @in_usual_torch
    def __init__(self, train: Sequence[Pair], dev: Sequence[Pair], language: str, settings: TrainingSettings):
        # Now, not at the first evaluation.
        require("sacrebleu", "translation", "Training a translator")
        self.train = train
        self.dev = dev
        self.language = language
        self.settings = settings
        self.pieces = Pieces.train((words for pair in train for words in pair), settings.vocab)
        longest = settings.batching.longest
        self.too_long = sum(piece_count(pair, self.pieces) > longest for pair in train)
        if self.too_long == len(train):
            raise ValueError(
                f"No pair of sentences is short enough to learn from: all have more than {longest} pieces. Raise "
                "`longest`, or cut the sentences."
            )
        counts = Counter(word for source, _ in train for word in source)
        self.known = {word for word, count in counts.items() if count >= settings.known_from}
        torch.manual_seed(settings.seed)
        self.module: ConvS2S = ConvS2S(
            len(self.pieces),
            settings.size,
            settings.width,
            settings.kernel,
            settings.encoder_layers,
            settings.decoder_layers,
            positions=longest + 2,
            dropout=settings.dropout,
        ).to(get_torch_default_device())

    def contents(self) -> List[Any]:
        """List language and text."""
        return [self.language, self.train, self.dev]

    def make_optimizer(self, learn_rate: float) -> torch.optim.Optimizer:
        """Make Adam, whose second moments forget faster than usual."""
        return torch.optim.Adam(self.module.parameters(), lr=learn_rate, betas=(0.9, 0.98))

    def batches(self, epoch: int, random_state: random.Random) -> Iterator[Tuple[Tensor, Tensor]]:
        """Make the batches of an epoch; see `make_batches`."""
        return make_batches(self.train, self.pieces, self.settings.batching, random_state)

    def loss(self, batch: Tuple[Tensor, Tensor]) -> Tensor:
        """Compute the smoothed cross entropy, a mean over pieces, with dropout."""
        return self.cross_entropy(*batch, self.settings.dropout, self.settings.label_smoothing)

    def cross_entropy(self, source: Tensor, target: Tensor, dropout: float, smoothing: float) -> Tensor:
        """Compute the mean cross entropy a piece, in nats.

        source: (batch, source) with END. target: (batch, target) with both ends. smoothing: share of the probability
        that all pieces have together in what is to be learned.
        """
        device = self.module.bias.device
        source, target = source.to(device), target.to(device)
        scores, _ = self.module(source, target[:, :-1], dropout)
        return F.cross_entropy(
            scores.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=smoothing
        )

    def evaluate(self) -> Dict[str, Any]:
        """Score on dev: loss, without smoothing, and BLEU."""
        sentences = self.dev[: self.settings.bleu_sentences]
        return {"dev_loss": self.dev_loss(), "dev_bleu": round(bleu(self._translator(), sentences), 2)}

    @torch.no_grad()
    def dev_loss(self) -> float:
        """Compute the mean cross entropy a piece of dev, in nats, however its pairs become batches."""
        batching = Batching(self.settings.batching.size, 10_000, names=1.0, join=0.0)
        total, count = 0.0, 0
        for source, target in make_batches(self.dev, self.pieces, batching, random.Random(0)):
            pieces = int((target[:, 1:] != PAD).sum())
            total += self.cross_entropy(source, target, 0.0, 0.0).item() * pieces
            count += pieces
        return total / count

    def files(self) -> Files:
        """Save the translator, without weight normalisation."""
        return self._translator().files()

    def check_files(self, files: Files) -> None:
        """Check that the files are a translator. Raises ValueError where they are not."""
        ConvTranslator.from_files(files)

    def _translator(self) -> ConvTranslator:
        return ConvTranslator(self.module.without_norms(), self.pieces, self.known, self.language, {})


class TranslatorTraining(TrainingLoop):
    """Train a translator into a folder; see `TrainingLoop`.

    train, dev: pairs of words. language: code of the source language.
    Raises ValueError where all pairs are too long, ImportError without sacrebleu.
    """

    def __init__(
        self,
        folder: Path,
        train: Sequence[Pair],
        dev: Sequence[Pair],
        language: str,
        settings: TrainingSettings,
        report: Callable[[Dict[str, Any]], None],
        tell: Callable[[str], None] = lambda line: None,
        overwrite: bool = False,
    ):
        trainee = TranslatorTrainee(train, dev, language, settings)
        super().__init__(folder, trainee, settings, report, tell, overwrite)
        self.too_long = trainee.too_long


def bleu(translator: ConvTranslator, pairs: Sequence[Pair]) -> float:
    """Compute BLEU, from 0 to 100 (sacrebleu), of words as spaCy splits them."""
    sacrebleu = require("sacrebleu", "translation", "Scoring a translator")
    translated = [" ".join(translation.words) for translation in translator.translate([source for source, _ in pairs])]
    references = [" ".join(target) for _, target in pairs]
    return sacrebleu.corpus_bleu(translated, [references], tokenize="none", force=True).score
