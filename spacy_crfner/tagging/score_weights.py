"""The scores by which `spacy train` chooses the best pipeline."""

import logging
from typing import Optional, Sequence

from spacy.language import Language

LOGGER = logging.getLogger("spacy")


def choose_score_weights(nlp: Language, component: str, keys: Sequence[Optional[str]]) -> None:
    """Give the F1 of span groups the weight of that of entities where a tagger writes span groups alone.

    A score that no component returns counts as 0, and spaCy would choose between models at random. Weights that the
    config gives to scores of the groups stay.

    keys: the span groups of its tasks; None for doc.ents.
    """
    if None in keys or any(_writes_ents(nlp, name) for name in nlp.pipe_names):
        return
    weights = nlp.config["training"].get("score_weights", {})
    names = [f"spans_{key}_f" for key in keys]
    if not weights.get("ents_f") or any(weights.get(name) for name in names):
        return
    shown = {f"spans_{key}_{name}": 0.0 for key in keys for name in "pr"}
    unused = dict.fromkeys(("ents_f", "ents_p", "ents_r", "ents_per_type"))
    weights.update({**dict.fromkeys(names, weights["ents_f"] / len(names)), **shown, **unused})
    LOGGER.info("%r writes span groups: the best model is chosen by %s, not by ents_f", component, ", ".join(names))


def _writes_ents(nlp: Language, name: str) -> bool:
    settings = getattr(nlp.get_pipe(name), "cfg", {})
    return "doc.ents" in nlp.get_pipe_meta(name).assigns and settings.get("spans_key") is None
