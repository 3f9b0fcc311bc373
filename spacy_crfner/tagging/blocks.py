"""Losses and decoders share a registry, so that a config may put one where the other belongs."""

import inspect
from typing import Callable


def check_block(block: Callable, arguments: int, kind: str, name: str, example: str) -> None:
    """Raises ValueError where a block of the component `name` does not take the number of arguments that its kind does.

    kind: `loss` or `decoder`. example: the name of a block that fits.
    """
    try:
        inspect.signature(block).bind(*[None] * arguments)
    except (TypeError, ValueError):
        raise ValueError(
            f"The {kind} of {name!r} is not a {kind} block of this component: choose one such as {example}."
        ) from None
