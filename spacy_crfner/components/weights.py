"""How much the sentences of each Doc count in training."""

from typing import Optional, Sequence

import numpy as np
from spacy.training import Example

from ..user_data_keys import WEIGHT
from .settings import is_number

HEAVIEST = 1e6
"""The largest weight."""


def doc_weights(examples: Sequence[Example]) -> Optional[np.ndarray]:
    """Read the weight, (Docs,) float64, that the predicted Doc of each example has, or else its reference.

    Returns None where no example has one; the others have 1. Raises ValueError for one that is no number from 0 to
    HEAVIEST.
    """
    weights = []
    for example in examples:
        marks = (doc.user_data for doc in (example.predicted, example.reference) if WEIGHT in doc.user_data)
        weights.append(next((own[WEIGHT] for own in marks), None))
    if all(weight is None for weight in weights):
        return None
    for example, weight in zip(examples, weights, strict=True):
        if weight is not None and not is_number(weight, 0.0, HEAVIEST):
            raise ValueError(
                f"doc.user_data[{WEIGHT!r}] of {example.text[:40]!r} must be a number from 0 to {HEAVIEST:,.0f}, not "
                f"{weight!r}."
            )
    return np.array([1.0 if weight is None else weight for weight in weights], dtype=np.float64)
