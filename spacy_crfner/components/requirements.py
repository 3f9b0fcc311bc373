"""What must be installed beside this package where a pipeline is used, so that `spacy package` asks for it."""

from typing import Any, Set

from spacy.language import Language

DISTRIBUTION = "spacy-crfner"


def extras_of(nlp: Language) -> Set[str]:
    """Find the extras of this package that the components of a pipeline need.

    A component lists those that its model does not tell in `extras`; a layer has that of its shim in `extra`.
    """
    extras: Set[str] = set()
    for _, pipe in nlp.pipeline:
        extras.update(getattr(pipe, "extras", ()))
        model: Any = getattr(pipe, "model", None)
        # Some components of spaCy have a model that is none: `True`.
        for node in model.walk() if hasattr(model, "walk") else ():
            extras.update(shim.extra for shim in node.shims if getattr(shim, "extra", None))
    return extras


def note_requirements(nlp: Language) -> None:
    """Add what a pipeline needs to the requirements in its meta."""
    needed = [f"{DISTRIBUTION}[{extra}]" for extra in sorted(extras_of(nlp))]
    noted = nlp.meta.get("requirements", [])
    missing = [requirement for requirement in needed if requirement not in noted]
    if missing:
        nlp.meta["requirements"] = [*noted, *missing]
