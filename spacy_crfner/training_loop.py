"""The loop of every training outside spaCy: it may be killed at any time and goes on where it stood."""

import copy
import json
import math
import random
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Callable, ClassVar, Dict, Iterable, Optional, Sequence, Union

import torch
from torch import Tensor, nn

from .checkpoints import pack_checkpoint, read_checkpoint, write_checkpoint
from .files import Files, fingerprint, write_file, write_files

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
TELL_SECONDS = 60.0
"""Between two lines that say how far a training is."""
UNCOUNTED = ("max_updates", "patience", "checkpoint_minutes")
"""Settings that a training may go on with when they have changed: they say when it ends, not what it learns."""


@dataclass(frozen=True)
class LoopSettings:
    """How long a network is trained, and how fast.

    learn_rate: the highest, after `warmup` updates; see `Trainee.schedule`.
    clip: the largest norm that the gradients of all weights may have together; 0 clips nothing.
    eval_every: updates between two evaluations. patience: evaluations without a lower loss on dev before it ends.
    checkpoint_minutes: the longest time that is lost when it is killed.
    A dataclass of further settings can be made from it: all of them are checked against what the folder holds.
    """

    of_what: ClassVar[str] = "a training"
    """As messages call it."""

    learn_rate: float = 1e-3
    warmup: int = 500
    clip: float = 1.0
    max_updates: int = 20000
    eval_every: int = 500
    patience: int = 5
    checkpoint_minutes: float = 3.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers. Raises ValueError for one that training cannot work with."""
        self._at_least(1, "warmup", "max_updates", "eval_every", "patience")
        self._at_least(0, "clip", "checkpoint_minutes")
        if not 0.0 < self.learn_rate < math.inf:
            raise ValueError(f"learn_rate of {self.of_what} must be a number above 0, not {self.learn_rate}.")

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} of {self.of_what} must be {least} or more, not {getattr(self, name)}.")


@dataclass
class Progress:
    """Where a training stands.

    epoch, batch, update: counted from 0; the batches of this epoch that are done, and the updates of all.
    best, best_update: the lowest loss on dev, and when it was. since_best: evaluations since then.
    losses, updates: the sum of the losses since the last evaluation, and how many.
    """

    epoch: int = 0
    batch: int = 0
    update: int = 0
    best: float = math.inf
    best_update: int = 0
    since_best: int = 0
    seconds: float = 0.0
    losses: float = 0.0
    updates: int = 0


class Trainee(ABC):
    """What a training command says of its own; all else is the loop's.

    module: all that is learned, on its device, with first weights that depend on the seed alone.
    product: the names of the files that `files` gives, which the training of something else must not leave behind.
    """

    module: nn.Module
    product: Sequence[str]

    @abstractmethod
    def contents(self) -> Sequence[Any]:
        """List what the result depends on beside the settings, such as the text; see `files.fingerprint`."""

    @abstractmethod
    def batches(self, epoch: int, random_state: random.Random) -> Iterable[Any]:
        """Make the batches of an epoch. Whatever is random about them must come from `random_state`.

        A training that goes on within an epoch passes over the batches that were done.
        """

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Compute the loss of a batch, a scalar with a gradient. It may draw from torch, as dropout does."""

    @abstractmethod
    def evaluate(self) -> Dict[str, Any]:
        """Score on dev: "dev_loss", which is to become as low as it can, and whatever else belongs in the log.

        The module is in evaluation mode, and there are no gradients.
        """

    @abstractmethod
    def files(self) -> Files:
        """Save what has been learned so far; it is written after the best evaluations."""

    def make_optimizer(self, learn_rate: float) -> torch.optim.Optimizer:
        """Make the optimizer: Adam over all weights that have gradients. Groups may have rates of their own."""
        return torch.optim.Adam([weight for weight in self.module.parameters() if weight.requires_grad], lr=learn_rate)

    def schedule(self, update: int, settings: LoopSettings) -> float:
        """Compute the share of its learning rate that an update has.

        It rises in `warmup` updates, and then falls with their square root.

        update: counted from 1.
        """
        return min(update / settings.warmup, math.sqrt(settings.warmup / update))


class TrainingLoop:
    """Train into a folder, from which the training goes on when it is started again with the same settings.

    Killed at any time and started again, it ends with the weights, to the last bit, of one without a break.
    The folder is the training's from its first update on: what was there before is removed then, where `overwrite`
    allows it, and a checkpoint written. The product of one training never lies beside the checkpoint of another.

    report: gets every evaluation: "update", "epoch", "minutes", "train_loss", what `Trainee.evaluate` has given, and
        "best", whether it is the best so far.
    tell: gets a line a minute in between.
    overwrite: start anew over a training with other settings or data, a damaged one, or files that one has left.
    """

    def __init__(
        self,
        folder: Union[str, Path],
        trainee: Trainee,
        settings: LoopSettings,
        report: Callable[[Dict[str, Any]], None] = lambda line: None,
        tell: Callable[[str], None] = lambda line: None,
        overwrite: bool = False,
    ):
        self.folder = Path(folder)
        self.trainee = trainee
        self.settings = settings
        self.report = report
        self.tell = tell
        self.overwrite = overwrite
        self._make_optimizer()
        self.progress = Progress()
        self._first_checkpoint: Optional[bytes] = None
        counted = {name: value for name, value in asdict(settings).items() if name not in UNCOUNTED}
        self.fingerprint = fingerprint(counted, *trainee.contents())

    def _make_optimizer(self) -> None:
        self.optimizer = self.trainee.make_optimizer(self.settings.learn_rate)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def resumes(self) -> bool:
        """Whether the folder holds a training to go on with."""
        return (self.folder / CHECKPOINT).exists()

    def run(self) -> Progress:
        """Train to the end. Returns where it ended: the product of the best evaluation is in the folder.

        Raises ValueError where the folder holds another training, a damaged one or a part of one, a loss is not finite,
        or there are no batches.
        """
        self._resume()
        progress, start, saved = self.progress, perf_counter() - self.progress.seconds, perf_counter()
        told = saved
        while not self._is_over():
            count = 0
            random_state = random.Random(f"{self.settings.seed} {progress.epoch}")
            for count, batch in enumerate(self.trainee.batches(progress.epoch, random_state), start=1):
                if count <= progress.batch:
                    continue
                loss = self._update(batch)
                self._claim()
                progress.losses, progress.updates = progress.losses + loss, progress.updates + 1
                progress.batch = count
                progress.seconds = perf_counter() - start
                evaluated = self._evaluate_if_due()
                if evaluated or perf_counter() - saved > 60 * self.settings.checkpoint_minutes:
                    self._save_checkpoint()
                    saved = perf_counter()
                if perf_counter() - told > TELL_SECONDS:
                    self.tell(f"{progress.update} of at most {self.settings.max_updates} updates, loss {loss:.3f}")
                    told = perf_counter()
                if self._is_over():
                    return progress
            if not count:
                raise ValueError("There is nothing to learn from: the data give no batch.")
            progress.epoch, progress.batch = progress.epoch + 1, 0
        return progress

    def _is_over(self) -> bool:
        return self.progress.update >= self.settings.max_updates or self.progress.since_best >= self.settings.patience

    def _update(self, batch: Any) -> float:
        self.progress.update += 1
        update = self.progress.update
        # A training that was resumed draws what one without a break would have drawn.
        torch.manual_seed(self.settings.seed + update)
        share = self.trainee.schedule(update, self.settings)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self.trainee.module.train()
        loss = self.trainee.loss(batch)
        value = loss.item()
        self._check_finite("The loss", value)
        self.optimizer.zero_grad()
        loss.backward()
        if self.settings.clip:
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            torch.nn.utils.clip_grad_norm_(weights, self.settings.clip)
        self.optimizer.step()
        return value

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(f"{what} of update {self.progress.update} is {value}: lower the learning rate.")

    def _evaluate_if_due(self) -> bool:
        """Score on dev where that is due, and keep the product if it is the best so far. Returns whether it was due."""
        progress = self.progress
        due = progress.update % self.settings.eval_every == 0
        if not due and progress.update < self.settings.max_updates:
            return False
        self.trainee.module.eval()
        with torch.no_grad():
            scores = self.trainee.evaluate()
        loss = scores["dev_loss"]
        self._check_finite("The loss on dev", loss)
        better = loss < progress.best
        # At the end of one run, which may not be that of the next, the count goes on as if it had not been.
        progress.since_best = 0 if better else progress.since_best + due
        if better:
            progress.best, progress.best_update = loss, progress.update
            write_files(self.folder, self.trainee.files())
        evaluation = {
            "update": progress.update,
            "epoch": progress.epoch,
            "minutes": round(progress.seconds / 60, 2),
            "train_loss": round(progress.losses / progress.updates, 4),
            **scores,
            "dev_loss": round(loss, 4),
            "best": better,
        }
        if due:
            progress.losses, progress.updates = 0.0, 0
        self._log(evaluation)
        self.report(evaluation)
        return True

    def _log(self, evaluation: Dict[str, Any]) -> None:
        """Note an evaluation once, though it is made again after a kill."""
        path = self.folder / LOG
        lines = path.read_text(encoding="utf8").splitlines() if path.exists() else []
        if all(json.loads(line)["update"] != evaluation["update"] for line in lines):
            write_file(path, "".join(f"{line}\n" for line in [*lines, json.dumps(evaluation)]))

    def _save_checkpoint(self) -> None:
        path, progress = self.folder / CHECKPOINT, asdict(self.progress)
        write_checkpoint(path, self.fingerprint, progress, self.trainee.module, self.optimizer)

    def _resume(self) -> None:
        """Go on with the training of the folder, or get ready to start one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = copy.deepcopy(self.trainee.module.state_dict())
        try:
            if self._restore():
                return
        except ValueError:
            if not self.overwrite:
                raise
            # A part may have been restored.
            self.trainee.module.load_state_dict(weights)
            self._make_optimizer()
            self.progress = Progress()
        # Written after the first update, when the loss is known to be a number: what fails at once changes nothing.
        self._first_checkpoint = pack_checkpoint(
            self.fingerprint, asdict(self.progress), self.trainee.module, self.optimizer
        )

    def _restore(self) -> bool:
        """Go on where the folder's training stood; False where there is none. Raises ValueError where it cannot."""
        if not self.resumes:
            left = [name for name in (LOG, *self.trainee.product) if (self.folder / name).exists()]
            if left:
                raise self._refusal(f"this folder holds {', '.join(left)}, but no {CHECKPOINT} to go on from")
            return False
        checkpoint = read_checkpoint(self.folder / CHECKPOINT)
        if checkpoint.fingerprint != self.fingerprint:
            what = "with other settings or other text" if checkpoint.fingerprint else "of an earlier version"
            raise self._refusal(f"this folder holds a training {what}")
        progress = Progress(**checkpoint.restore(self.trainee.module, self.optimizer))
        missing = [name for name in self.trainee.product if not (self.folder / name).exists()]
        if progress.best_update and missing:
            raise self._refusal(
                f"the training in this folder has reached update {progress.update}, but what it wrote is gone "
                f"({', '.join(missing)})"
            )
        self.progress = progress
        return True

    def _refusal(self, why: str) -> ValueError:
        return ValueError(f"{self.folder}: {why}: choose another folder, or overwrite it (--overwrite).")

    def _claim(self) -> None:
        """Make the folder that of this training, if it has just begun."""
        if self._first_checkpoint is None:
            return
        # The checkpoint goes first: nobody is to take the product of another training for that of this one.
        for name in (CHECKPOINT, LOG, *self.trainee.product):
            (self.folder / name).unlink(missing_ok=True)
        write_file(self.folder / CHECKPOINT, self._first_checkpoint)
        self._first_checkpoint = None
