"""How much the sentences of each Doc count in training."""

from typing import Optional, Sequence

import numpy as np
from spacy.tokens import Doc

from ..user_data_keys import WEIGHT
from .settings import is_number


def doc_weights(docs: Sequence[Doc]) -> Optional[np.ndarray]:
    """Read the weight, (Docs,) float64, that readers have given to each Doc; None where none has one.

    Raises ValueError for a weight that is not a number from 0.
    """
    if not any(WEIGHT in doc.user_data for doc in docs):
        return None
    weights = [doc.user_data.get(WEIGHT, 1.0) for doc in docs]
    for doc, weight in zip(docs, weights, strict=True):
        if not is_number(weight, 0.0):
            raise ValueError(
                f"doc.user_data[{WEIGHT!r}] of {doc.text[:40]!r} must be a finite number from 0, not {weight!r}."
            )
    return np.array(weights, dtype=np.float64)
