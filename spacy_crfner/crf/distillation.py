"""Learning from what another CRF believes."""

from typing import Optional

import torch
from torch import Tensor

from .forward_backward import forward_backward
from .gradients import LossGradient, expectations, weigh
from .potentials import Potentials


def distillation(student: Potentials, teacher: Potentials, weights: Optional[Tensor] = None) -> LossGradient:
    """Compute the Kullback-Leibler divergence of the student's distribution over tag sequences from the teacher's.

    Both have the same rows. The gradient is the student's expected counts minus the teacher's.

    weights: (B,) of the packed sequences, 0 or more; None for 1 each.
    """
    goal, guess = forward_backward(teacher), forward_backward(student)
    possible = goal.possible & guess.possible
    factor = weigh(possible.to(guess.log_partition.dtype), weights)

    def finite(values: Tensor) -> Tensor:
        return values.masked_fill(~torch.isfinite(values), 0.0)

    packing = student.packing
    gap = finite(teacher.emissions - student.emissions) * goal.marginals
    expected = torch.zeros_like(guess.log_partition).index_add_(0, packing.sequences, gap.sum(1))
    expected += goal.marginals[: packing.n_sequences] @ finite(teacher.start - student.start)
    expected += goal.marginals[packing.last] @ finite(teacher.end - student.end)
    loss = (guess.log_partition - goal.log_partition + expected).masked_fill(~possible, 0.0) * factor
    # Only the weighted total of the transitions is known in closed form: it is shared out by weight.
    moves = (goal.expected_transitions(factor) * finite(teacher.transitions - student.transitions)).sum()
    loss = loss + moves * factor / factor.sum().clamp(min=torch.finfo(factor.dtype).tiny)
    gradient = expectations(guess, factor) - expectations(goal, factor)
    return gradient.as_loss(loss, possible, student.emissions.dtype)
