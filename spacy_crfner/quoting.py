"""What messages and reports show of the input: no longer than one can read, and without control characters."""

import re
from reprlib import Repr
from typing import Any

LONGEST = 60
"""Characters of a text that a message quotes."""

# Also what turns the direction of the text around it; but not what joins letters, which some scripts need.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

SHORT = Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 3, LONGEST, LONGEST


def quote(value: Any) -> str:
    """Write a value as a literal, cut where it is long: a text after its first 60 characters."""
    return repr(shorten(value)) if isinstance(value, str) else SHORT.repr(value)


def shorten(text: str) -> str:
    """Cut a text after its first 60 characters, with dots in the place of the rest."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def printable(text: str) -> str:
    r"""Escape what would steer a terminal, such as ``\x1b``; line ends stay."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)
