"""Linear-chain CRF mathematics on torch tensors: no spaCy, no Thinc."""

from ..packing import Packing
from .distillation import distillation
from .forward_backward import Posteriors, forward_backward
from .gradients import MISSING, LossGradient
from .incorrect_spans import incorrect_spans
from .losses import (
    CRFLoss,
    bernoulli,
    bernoulli_costs,
    focal,
    nll,
    softmax,
    viterbi_gated,
)
from .potentials import Potentials
from .spans import max_f_spans, span_log_posteriors
from .torchcrf import from_torchcrf, to_torchcrf
from .viterbi import n_best, viterbi

__all__ = [
    "MISSING",
    "CRFLoss",
    "LossGradient",
    "Packing",
    "Posteriors",
    "Potentials",
    "bernoulli",
    "bernoulli_costs",
    "distillation",
    "focal",
    "forward_backward",
    "from_torchcrf",
    "incorrect_spans",
    "max_f_spans",
    "n_best",
    "nll",
    "softmax",
    "span_log_posteriors",
    "to_torchcrf",
    "viterbi",
    "viterbi_gated",
]
