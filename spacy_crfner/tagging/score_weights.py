"""A check of the scores by which `spacy train` chooses the best pipeline."""

import warnings
from typing import Optional, Sequence

from spacy.language import Language


def check_score_weights(nlp: Language, component: str, keys: Sequence[Optional[str]]) -> None:
    """Warn where a tagger writes span groups alone, and no score of them has a weight.

    A score that no component returns counts as 0, and spaCy would choose between models at random.

    keys: the span groups of its tasks; None for doc.ents.
    """
    if None in keys or any(_writes_ents(nlp, name) for name in nlp.pipe_names):
        return
    weights = nlp.config["training"].get("score_weights", {})
    if weights.get("ents_f") and not any(weights.get(f"spans_{key}_f") for key in keys):
        warnings.warn(
            f"{component!r} writes doc.spans[{keys[0]!r}], but [training.score_weights] has no weight for "
            f"spans_{keys[0]}_f: set it to 1.0 and ents_f to null, or the best model is not found.",
            UserWarning,
            stacklevel=3,
        )


def _writes_ents(nlp: Language, name: str) -> bool:
    settings = getattr(nlp.get_pipe(name), "cfg", {})
    return "doc.ents" in nlp.get_pipe_meta(name).assigns and settings.get("spans_key") is None
