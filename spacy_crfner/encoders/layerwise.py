"""Which layers of a transformer learn in an update, and how fast."""

from typing import Any, Dict, NamedTuple, Tuple

from thinc.api import Optimizer


class Unfreezing(NamedTuple):
    """When the layers of a transformer begin to learn: gradual unfreezing (Howard & Ruder 2018).

    after: updates in which none of them does. every: updates until one more does, from the top; 0 for all at once.
    """

    after: int = 0
    every: int = 0

    @property
    def is_gradual(self) -> bool:
        """Whether there are updates in which some layers do not learn."""
        return self.after > 0 or self.every > 0

    def lowest(self, updates: int, top: int) -> int:
        """Say from which depth on the layers learn, see `depths`; top + 1 where none does.

        updates: that are done. top: the depth of the highest layer.
        """
        if updates < self.after:
            return top + 1
        return max(top - (updates - self.after) // self.every, 0) if self.every else 0


class ScaledOptimizer:
    """An optimizer whose rate is scaled by the name of a parameter, and whose weight decay spares some.

    Raises ValueError for a function that collects gradients, unless all scales are 1.
    """

    def __init__(self, optimizer: Any, scales: Dict[str, float]):
        if not isinstance(optimizer, Optimizer) and set(scales.values()) != {1.0}:
            raise ValueError(
                "A Transformer.v1 with a rate of its own cannot be trained by nlp.rehearse(), which knows one rate: "
                "call rehearse() of its component, with the optimizer as sgd."
            )
        self.optimizer, self.scales = optimizer, scales

    def __call__(self, key: Tuple[int, str], weights: Any, gradient: Any) -> Any:
        """Change weights by a gradient; the name in the key says how fast. See Optimizer."""
        scale = self.scales[key[1]]
        options = {} if scale == 1.0 else {"lr_scale": scale}
        # Biases and norms are what has one dimension.
        if weights.ndim > 1 or not isinstance(self.optimizer, Optimizer):
            return self.optimizer(key, weights, gradient, **options)
        decay, self.optimizer.L2 = self.optimizer.L2, 0.0
        try:
            return self.optimizer(key, weights, gradient, **options)
        finally:
            self.optimizer.L2 = decay
