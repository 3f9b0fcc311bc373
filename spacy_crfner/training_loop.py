"""The loop of every training outside spaCy: it may be killed at any time and goes on where it stood."""

import copy
import json
import math
import os
import random
import shutil
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, Optional, Union

import torch

from .checkpoints import pack_checkpoint, read_checkpoint, write_checkpoint
from .files import alone_in, fingerprint, write_file, write_files
from .torch_state import in_usual_torch
from .trainee import LoopSettings, Trainee

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"
REPLACED = "replaced"
"""The folder inside that holds what another training had written, until this one has something in its place."""
DIVERGED = 5.0
"""A training has diverged where its loss is so many times as high as with its first weights."""
TELL_SECONDS = 60.0
"""Between two lines that say how far a training is."""
UNCOUNTED = ("max_updates", "patience", "checkpoint_minutes")
"""Settings that a training may go on with when they have changed: they say when it ends, not what it learns."""


@dataclass
class Progress:
    """Where a training stands.

    epoch, batch, update: counted from 0; the batches of this epoch that are done, and the updates of all.
    best, best_update: the lowest loss on dev, and when it was. since_best: evaluations since then.
    losses, updates: the sum of the losses since the last evaluation, and how many.
    first_loss: that of the first update.
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
    first_loss: float = math.inf


class TrainingLoop:
    """Train into a folder, from which the training goes on when it is started again with the same settings.

    Killed at any time and started again, it ends with the weights, to the last bit, of one without a break.
    The folder is the training's from its first update on: what was there before is moved into a folder `replaced`
    inside then, where `overwrite` allows it, and a checkpoint written. It is removed when the first evaluation has put
    something in its place. The product of one training never lies beside the checkpoint of another.

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
        self._has_warned = False
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

    @in_usual_torch
    def run(self) -> Progress:
        """Train to the end. Returns where it ended: the product of the best evaluation is in the folder.

        Raises ValueError where the folder holds another training, a damaged one or a part of one, another process
        trains in it, a loss is not finite, or there are no batches.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with alone_in(self.folder):
                return self._train()
        except BlockingIOError:
            raise ValueError(
                f"{self.folder}: another process trains in this folder: wait for its end, or choose another folder."
            ) from None

    def _train(self) -> Progress:
        self._resume()
        progress, start, saved = self.progress, perf_counter() - self.progress.seconds, perf_counter()
        told = saved
        # Stopped before its first evaluation, and now with fewer updates than it has made.
        if self._is_over() and not progress.best_update and self._evaluate_if_due():
            self._save_checkpoint()
        while not self._is_over():
            count = 0
            random_state = random.Random(f"{self.settings.seed} {progress.epoch}")
            for count, batch in enumerate(self.trainee.batches(progress.epoch, random_state), start=1):
                if count <= progress.batch:
                    continue
                loss = self._update(batch)
                if progress.update == 1:
                    progress.first_loss = loss
                self._claim()
                progress.losses, progress.updates = progress.losses + loss, progress.updates + 1
                progress.batch = count
                progress.seconds = perf_counter() - start
                evaluated = self._evaluate_if_due()
                if evaluated or perf_counter() - saved > 60 * self.settings.checkpoint_minutes:
                    self._save_checkpoint()
                    saved = perf_counter()
                if perf_counter() - told > TELL_SECONDS:
                    self._tell(loss)
                    told = perf_counter()
                if self._is_over():
                    return progress
            if not count:
                raise ValueError("There is nothing to learn from: the data give no batch.")
            progress.epoch, progress.batch = progress.epoch + 1, 0
        return progress

    def _tell(self, loss: float) -> None:
        done, most = self.progress.update, self.settings.max_updates
        minutes = math.ceil((most - done) * self.progress.seconds / done / 60)
        self.tell(f"{done} of at most {most} updates, loss {loss:.3f}, at most {minutes} min left")

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
            shutil.rmtree(self.folder / REPLACED, ignore_errors=True)
        self._warn_of_divergence()
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

    def _warn_of_divergence(self) -> None:
        progress = self.progress
        loss = progress.losses / max(progress.updates, 1)
        if self._has_warned or loss <= DIVERGED * progress.first_loss:
            return
        self._has_warned = True
        warnings.warn(
            f"The loss of {self.settings.of_what} has grown from {progress.first_loss:.3g} to {loss:.3g} in "
            f"{progress.update} updates, so it has diverged: lower the learning rate.",
            UserWarning,
            stacklevel=4,
        )

    def _log(self, evaluation: Dict[str, Any]) -> None:
        """Note an evaluation once, though it is made again after a kill. Torn lines are left out."""
        path = self.folder / LOG
        text = path.read_text(encoding="utf8", errors="replace") if path.exists() else ""
        lines = {line: _update_of(line) for line in text.splitlines() if _update_of(line) is not None}
        if evaluation["update"] not in lines.values():
            write_file(path, "".join(f"{line}\n" for line in [*lines, json.dumps(evaluation)]))

    def _save_checkpoint(self) -> None:
        path, progress = self.folder / CHECKPOINT, asdict(self.progress)
        write_checkpoint(path, self.fingerprint, progress, self.trainee.module, self.optimizer)

    def _resume(self) -> None:
        """Go on with the training of the folder, or get ready to start one."""
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
            check_folder(self.folder, self.trainee.product)
            return False
        checkpoint = read_checkpoint(self.folder / CHECKPOINT)
        if checkpoint.fingerprint != self.fingerprint:
            what = "with other settings or other text" if checkpoint.fingerprint else "of an earlier version"
            raise _refusal(self.folder, f"this folder holds a training {what}")
        progress = Progress(**checkpoint.restore(self.trainee.module, self.optimizer))
        if progress.best_update:
            self._check_product(progress)
        self.progress = progress
        return True

    def _check_product(self, progress: Progress) -> None:
        missing = [name for name in self.trainee.product if not (self.folder / name).exists()]
        if missing:
            raise _refusal(
                self.folder,
                f"the training in this folder has reached update {progress.update}, but what it wrote is gone "
                f"({', '.join(missing)})",
            )
        try:
            self.trainee.check_files({name: (self.folder / name).read_bytes() for name in self.trainee.product})
        except Exception as error:
            raise _refusal(self.folder, f"what the training in this folder wrote is damaged ({error})") from None
        shutil.rmtree(self.folder / REPLACED, ignore_errors=True)

    def _claim(self) -> None:
        """Make the folder that of this training, if it has just begun."""
        if self._first_checkpoint is None:
            return
        # The checkpoint goes first: nobody is to take the product of another training for that of this one.
        names = [name for name in (CHECKPOINT, LOG, *self.trainee.product) if (self.folder / name).exists()]
        aside = self.folder / REPLACED
        if aside.exists() and not set(names) & set(self.trainee.product):
            # Of a training that had nothing to put in the place of what is aside.
            for name in names:
                (self.folder / name).unlink()
        elif names:
            aside.mkdir(exist_ok=True)
            for name in names:
                os.replace(self.folder / name, aside / name)
        write_file(self.folder / CHECKPOINT, self._first_checkpoint)
        self._first_checkpoint = None


def check_folder(folder: Path, product: Iterable[str], overwrite: bool = False) -> None:
    """Look whether a training may begin in a folder, or go on there, before it reads its data.

    product: names of the files that it writes. overwrite: it may put others in their place.
    Raises ValueError where there is a file of the folder's name, or such files and no checkpoint to go on from.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: this is a file: choose a folder, or another name.")
    left = [name for name in (LOG, *product) if (folder / name).exists()]
    if left and not overwrite and not (folder / CHECKPOINT).exists():
        raise _refusal(folder, f"this folder holds {', '.join(left)}, but no {CHECKPOINT} to go on from")


def _refusal(folder: Path, why: str) -> ValueError:
    return ValueError(f"{folder}: {why}: choose another folder, or overwrite it (--overwrite).")


def _update_of(line: str) -> Optional[int]:
    """Read which update a line of the log is about; None where it is torn."""
    try:
        return int(json.loads(line)["update"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
