"""The settings of `back_attention`."""

from typing import Dict

from ..components.settings import Setting, number, one_of
from .alignment import NORMALISATIONS
from .english import REPRESENTATIONS

BACK_ATTENTION_SETTINGS: Dict[str, Setting] = {
    "representation": Setting(
        str,
        "states",
        'what is carried back: the vectors that the English CRF scores; `"marginals"`, the probabilities of its tags; '
        '`"tags"`, 1 for the tag that it chooses and 0 for all others',
        one_of(*REPRESENTATIONS),
        fixed=True,
    ),
    "normalisation": Setting(
        str,
        "raw",
        '`"raw"`: the attention as it is; `"row_normalised"`: each word\'s sums to 1, and the sum it had, its '
        "coverage, is one more feature",
        one_of(*NORMALISATIONS),
        fixed=True,
    ),
    "per_sentence": Setting(
        bool,
        True,
        "translate each sentence by itself where `doc.sents` is set; `false` the whole Doc",
        fixed=True,
    ),
    "memory_mb": Setting(
        float, 500.0, "memory for features that were computed before, in 10^6 bytes", number(0.0, float("inf"))
    ),
}
