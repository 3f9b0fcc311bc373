"""Optimizers beside those of Thinc."""

import math
from typing import Any, Dict, Tuple

from thinc.api import Optimizer
from thinc.optimizers import FloatOrSeq

MOMENTUM_DECAY = 0.004
"""How fast the momentum approaches beta1: that of Dozat, and the default of torch."""
AT_ONCE = 1 << 15
"""Weights that are changed at once, so that what is computed on the way stays in the cache of a processor."""


class Nadam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016): each step looks ahead by the momentum of the next one.

    The momentum of update t is mu_t = beta1 (1 - 0.96^(0.004 t) / 2), as in torch.optim.NAdam. Arguments are those of
    thinc.api.Adam. Clipping, L2, averages, schedules and `lr_scale` are Thinc's.
    """

    # As Thinc does: assigning to a misspelled attribute is an error.
    __slots__ = ["momentum_products"]

    def __init__(self, learn_rate: FloatOrSeq, **options: Any):
        super().__init__(learn_rate, **options)
        if not 0 < self.b1 < 1 or not 0 < self.b2 < 1:
            raise ValueError(f"Nadam.v1 needs a beta1 and a beta2 between 0 and 1, not {self.b1}, {self.b2}.")
        self.momentum_products: Dict[Tuple[int, str], float] = {}

    def _adam(
        self, ops: Any, weights: Any, gradient: Any, lr_scale: float, key: Tuple[int, str], nr_upd: int
    ) -> Tuple[Any, Any]:
        """Change weights, an array of any shape, by a gradient of the same shape. See Optimizer."""
        flat, slope = ops.reshape1f(weights, weights.size), ops.reshape1f(gradient, gradient.size)
        if key not in self.mom1:
            self.mom1[key], self.mom2[key] = ops.alloc1f(weights.size), ops.alloc1f(weights.size)
        now, ahead = (self.b1 * (1.0 - 0.5 * 0.96 ** (t * MOMENTUM_DECAY)) for t in (nr_upd, nr_upd + 1))
        product = self.momentum_products.get(key, 1.0) * now
        self.momentum_products[key] = product
        rate = lr_scale * self.learn_rate
        of_slope, of_mean = rate * (1.0 - now) / (1.0 - product), rate * ahead / (1.0 - product * ahead)
        fix = 1.0 / math.sqrt(1.0 - self.b2**nr_upd)
        at_once = AT_ONCE if ops.device_type == "cpu" else max(flat.size, 1)
        for start in range(0, flat.size, at_once):
            part = slice(start, start + at_once)
            own, mean, square = slope[part], self.mom1[key][part], self.mom2[key][part]
            mean += (1.0 - self.b1) * (own - mean)
            square += (1.0 - self.b2) * (own * own - square)
            step = of_slope * own + of_mean * mean
            step /= ops.xp.sqrt(square) * fix + self.eps
            flat[part] -= step
        return ops.reshape_f(flat, weights.shape), gradient


def make_nadam_v1(
    learn_rate: FloatOrSeq = 0.001,
    *,
    L2: FloatOrSeq = 0.0,
    beta1: FloatOrSeq = 0.9,
    beta2: FloatOrSeq = 0.999,
    eps: FloatOrSeq = 1e-08,
    grad_clip: FloatOrSeq = 1.0,
    L2_is_weight_decay: bool = True,
    use_averages: bool = True,
) -> Optimizer:
    """Take the steps of Adam with Nesterov's momentum (Dozat 2016); the arguments are those of `Adam.v1`.

    Raises ValueError for a beta1 or beta2 that is not between 0 and 1.
    """
    return Nadam(
        learn_rate,
        L2=L2,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        grad_clip=grad_clip,
        L2_is_weight_decay=L2_is_weight_decay,
        use_averages=use_averages,
    )
