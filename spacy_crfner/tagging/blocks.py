"""Losses and decoders share a registry, so that a config may put one where the other belongs."""

import inspect
from typing import Callable


def check_block(block: Callable, arguments: int, kind: str, name: str) -> None:
    """Raises ValueError where a block of the component `name` does not take the number of arguments that its kind does.

    kind: `loss` or `decoder`.
    """
    try:
        inspect.signature(block).bind(*[None] * arguments)
    except (TypeError, ValueError):
        raise ValueError(
            f"The {kind} of {name!r} is not a {kind} block: choose one such as "
            f"{'spacy_crfner.bernoulli.v1' if kind == 'loss' else 'spacy_crfner.viterbi_decoder.v1'}."
        ) from None
