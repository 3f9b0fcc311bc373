"""Training of a translator, which may be killed at any time and goes on where it stood."""

import hashlib
import json
import math
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from thinc.util import get_torch_default_device
from torch import Tensor
from torch.nn import functional as F

from ..extras import require
from .batches import Batching, make_batches, piece_count
from .conv_translator import TRANSLATOR_FILES, ConvTranslator
from .convs2s import ConvS2S
from .parallel_text import Pair
from .pieces import PAD, Pieces
from .saving import write_files

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
TELL_SECONDS = 60.0


@dataclass(frozen=True)
class TrainingSettings:
    """How a translator is trained.

    vocab: pieces, of both languages together. The network is the small form of Gehring et al. 2017.
    learn_rate: of Adam after `warmup` updates; from there it falls with the square root of the updates.
    eval_every: updates between two evaluations. patience: evaluations without a lower loss on dev before it ends.
    bleu_sentences: of dev, that are translated at each evaluation.
    known_from: how often training must show a word of the source for the translator to know it.
    """

    vocab: int = 5000
    size: int = 256
    width: int = 256
    kernel: int = 3
    encoder_layers: int = 4
    decoder_layers: int = 3
    dropout: float = 0.2
    label_smoothing: float = 0.1
    learn_rate: float = 1e-3
    warmup: int = 500
    clip: float = 1.0
    max_updates: int = 20000
    eval_every: int = 500
    patience: int = 5
    bleu_sentences: int = 200
    known_from: int = 5
    checkpoint_minutes: float = 3.0
    seed: int = 0
    batching: Batching = field(default_factory=Batching)

    def __post_init__(self) -> None:
        """Raises ValueError for a number that training cannot work with."""
        counts = ("vocab", "size", "width", "kernel", "encoder_layers", "decoder_layers", "warmup", "max_updates")
        for name in (*counts, "eval_every", "patience", "known_from"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a translator's training must be 1 or more, not {getattr(self, name)}.")
        for name, value in (("size", self.batching.size), ("longest", self.batching.longest)):
            if value < 2:
                raise ValueError(f"{name} of the batches of a translator's training must be 2 or more, not {value}.")
        if not 0.0 <= self.dropout < 1.0 or self.learn_rate <= 0.0:
            raise ValueError(
                f"A translator cannot be trained with dropout {self.dropout} and learning rate {self.learn_rate}: "
                "give a dropout from 0 to below 1, and a rate above 0."
            )


@dataclass
class Progress:
    """Where a training stands. losses, updates: the sum of the losses since the last evaluation, and how many."""

    epoch: int = 0
    batch: int = 0
    update: int = 0
    best: float = math.inf
    best_update: int = 0
    since_best: int = 0
    seconds: float = 0.0
    losses: float = 0.0
    updates: int = 0


class TranslatorTraining:
    """Trains a translator into a folder, from which it goes on when it is started again with the same settings.

    train, dev: pairs of words. language: code of the source language.
    report: gets every evaluation. tell: gets a line a minute in between.
    overwrite: start anew in the place of a training with other settings or other text.
    The network is trained where torch's default device of Thinc is.
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
        # Now, not at the first evaluation.
        require("sacrebleu", "translation", "Training a translator")
        self.folder = folder
        self.train = train
        self.dev = dev
        self.language = language
        self.settings = settings
        self.report = report
        self.tell = tell
        self.overwrite = overwrite
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
        self.model = ConvS2S(
            len(self.pieces),
            settings.size,
            settings.width,
            settings.kernel,
            settings.encoder_layers,
            settings.decoder_layers,
            positions=longest + 2,
            dropout=settings.dropout,
        ).to(get_torch_default_device())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learn_rate, betas=(0.9, 0.98))
        self.progress = Progress()
        self.made_of = self._fingerprint()

    def run(self) -> Progress:
        """Train to the end. Returns where it ended: the translator of the best evaluation is in the folder.

        Raises ValueError where the folder holds the training of other settings or other text.
        """
        self._resume()
        start, saved = perf_counter() - self.progress.seconds, perf_counter()
        told = saved
        while not self._is_over():
            batches = make_batches(self.train, self.pieces, self.settings.batching, self._random(self.progress.epoch))
            for place, (source, target) in enumerate(batches):
                if place < self.progress.batch:
                    continue
                loss = self._update(source, target)
                progress = self.progress
                progress.losses, progress.updates = progress.losses + loss, progress.updates + 1
                progress.batch = place + 1
                progress.seconds = perf_counter() - start
                found = self._evaluate()
                if found:
                    self._note(found)
                if found or perf_counter() - saved > 60 * self.settings.checkpoint_minutes:
                    self._save_checkpoint()
                    saved = perf_counter()
                if perf_counter() - told > TELL_SECONDS:
                    self.tell(f"{progress.update} of at most {self.settings.max_updates} updates, loss {loss:.3f}")
                    told = perf_counter()
                if self._is_over():
                    return self.progress
            self.progress.epoch, self.progress.batch = self.progress.epoch + 1, 0
        return self.progress

    @property
    def resumes(self) -> bool:
        """Whether the folder holds a training to go on with."""
        return (self.folder / CHECKPOINT).exists()

    def _is_over(self) -> bool:
        return self.progress.update >= self.settings.max_updates or self.progress.since_best >= self.settings.patience

    def _update(self, source: Tensor, target: Tensor) -> float:
        settings = self.settings
        self.progress.update += 1
        # A training that was resumed draws what one without a break would have drawn.
        torch.manual_seed(settings.seed + self.progress.update)
        step = self.progress.update
        rate = settings.learn_rate * min(step / settings.warmup, math.sqrt(settings.warmup / step))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        loss = self._loss(source, target, settings.dropout, settings.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        value = loss.item()
        if not math.isfinite(value):
            raise ValueError(f"The loss of update {step} is {value}: lower the learning rate.")
        return value

    def _loss(self, source: Tensor, target: Tensor, dropout: float, smoothing: float) -> Tensor:
        device = self.model.bias.device
        source, target = source.to(device), target.to(device)
        scores, _ = self.model(source, target[:, :-1], dropout)
        return F.cross_entropy(
            scores.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=smoothing
        )

    def _evaluate(self) -> Optional[Dict[str, Any]]:
        """Score on dev where that is due, and keep the translator if it is the best so far."""
        progress = self.progress
        due = progress.update % self.settings.eval_every == 0
        if not due and progress.update < self.settings.max_updates:
            return None
        translator = self._translator()
        loss = self._dev_loss()
        better = loss < progress.best
        # At the end of one run, which may not be that of the next, the count goes on as if it had not been.
        progress.since_best = 0 if better else progress.since_best + due
        if better:
            progress.best, progress.best_update = loss, progress.update
            write_files(self.folder, translator.files())
        found = {
            "update": progress.update,
            "epoch": progress.epoch,
            "minutes": round(progress.seconds / 60, 2),
            "train_loss": round(progress.losses / progress.updates, 4),
            "dev_loss": round(loss, 4),
            "dev_bleu": round(bleu(translator, self.dev[: self.settings.bleu_sentences]), 2),
            "best": better,
        }
        if due:
            progress.losses, progress.updates = 0.0, 0
        return found

    def _note(self, found: Dict[str, Any]) -> None:
        """Into the log, in which an evaluation stands once, though it be made again after a kill, and to whoever
        listens."""
        path = self.folder / LOG
        lines = path.read_text(encoding="utf8").splitlines() if path.exists() else []
        if all(json.loads(line)["update"] != found["update"] for line in lines):
            with path.open("a", encoding="utf8") as log:
                log.write(json.dumps(found) + "\n")
        self.report(found)

    @torch.no_grad()
    def _dev_loss(self) -> float:
        """Mean cross entropy a piece, in nats."""
        self.model.eval()
        batching = Batching(self.settings.batching.size, 10_000, names=1.0, join=0.0)
        total, count = 0.0, 0
        for source, target in make_batches(self.dev, self.pieces, batching, random.Random(0)):
            pieces = int((target[:, 1:] != PAD).sum())
            total += self._loss(source, target, 0.0, 0.0).item() * pieces
            count += pieces
        return total / count

    def _translator(self) -> ConvTranslator:
        return ConvTranslator(self.model.without_norms(), self.pieces, self.known, self.language, {})

    def _random(self, epoch: int) -> random.Random:
        return random.Random(f"{self.settings.seed} {epoch}")

    def _fingerprint(self) -> str:
        settings = asdict(self.settings)
        for name in ("max_updates", "checkpoint_minutes", "patience"):
            del settings[name]
        digest = hashlib.sha256(json.dumps([settings, self.language]).encode("utf8"))
        for pairs in (self.train, self.dev):
            digest.update(json.dumps(pairs, ensure_ascii=False).encode("utf8"))
        return digest.hexdigest()

    def _save_checkpoint(self) -> None:
        tensors = {f"model.{name}": weight for name, weight in self.model.state_dict().items()}
        names = [name for name, _ in self.model.named_parameters()]
        for place, moments in self.optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{key}.{names[place]}": value for key, value in moments.items()})
        about = {"made_of": self.made_of, "progress": json.dumps(asdict(self.progress))}
        content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=about)
        write_files(self.folder, {CHECKPOINT: content})

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if self.overwrite and self.resumes and self._read_checkpoint(path)[0]["made_of"] != self.made_of:
            path.unlink()
        if not self.resumes:
            # Nobody should take the translator of another training for that of this one.
            for name in (LOG, *TRANSLATOR_FILES):
                (self.folder / name).unlink(missing_ok=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            return
        about, tensors = self._read_checkpoint(path)
        if about["made_of"] != self.made_of:
            raise ValueError(
                f"{self.folder}: this folder holds a training with other settings or other text: choose "
                "another folder, or overwrite it (--overwrite)."
            )
        self.model.load_state_dict(
            {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        )
        state: Dict[int, Dict[str, Tensor]] = {}
        for place, (name, _) in enumerate(self.model.named_parameters()):
            keys = ("step", "exp_avg", "exp_avg_sq")
            moments = {key: tensors[f"optimizer.{key}.{name}"] for key in keys if f"optimizer.{key}.{name}" in tensors}
            if moments:
                state[place] = moments
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.progress = Progress(**json.loads(about["progress"]))

    def _read_checkpoint(self, path: Path) -> Tuple[Dict[str, str], Dict[str, Tensor]]:
        try:
            with safe_open(path, framework="pt") as file:
                return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path}: the checkpoint is damaged ({error}): delete it to start anew.") from None


def bleu(translator: ConvTranslator, pairs: Sequence[Pair]) -> float:
    """BLEU from 0 to 100 (sacrebleu), of words as spaCy splits them."""
    sacrebleu = require("sacrebleu", "translation", "Scoring a translator")
    translated = [" ".join(one.words) for one in translator.translate([source for source, _ in pairs])]
    references = [" ".join(target) for _, target in pairs]
    return sacrebleu.corpus_bleu(translated, [references], tokenize="none", force=True).score
