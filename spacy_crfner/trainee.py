"""What is of its own in a training outside spaCy: its settings, batches, loss and evaluation."""

import math
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Dict, Iterable, Sequence

import torch
from torch import Tensor, nn

from .files import Files


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


class Trainee(ABC):
    """What a training command says of its own; all else is that of `training_loop.TrainingLoop`.

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

    def check_files(self, files: Files) -> None:  # noqa: B027
        """Check that what `files` has given can be used, before a training goes on. Raises ValueError where not."""

    def make_optimizer(self, learn_rate: float) -> torch.optim.Optimizer:
        """Make the optimizer: Adam over all weights that have gradients. Groups may have rates of their own."""
        return torch.optim.Adam([weight for weight in self.module.parameters() if weight.requires_grad], lr=learn_rate)

    def schedule(self, update: int, settings: LoopSettings) -> float:
        """Compute the share of its learning rate that an update has.

        It rises in `warmup` updates, and then falls with their square root.

        update: counted from 1.
        """
        return min(update / settings.warmup, math.sqrt(settings.warmup / update))
