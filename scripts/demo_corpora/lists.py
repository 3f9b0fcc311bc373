"""Word lists written as text: by spaces, by bars or by lines."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def items(text: str) -> list[str]:
    """The items between bars; line ends do not count."""
    return text.replace("\n", "").split("|")


def lines(text: str) -> list[str]:
    """The lines of a text, without the empty first and last ones."""
    return text.strip().splitlines()


def rows(text: str) -> list[tuple[str, ...]]:
    """The lines, each cut at its bars."""
    return [tuple(line.strip().split("|")) for line in lines(text)]
