"""The layout grammar: in which order and how often word and character features of a token are concatenated.

    layout = term ("+" term)*
    term   = atom ("*" count)?
    atom   = "word" width? | "char" width? | "(" layout ")"

`word100+char*2` is a word vector projected to 100 features, then two independent character encoders.
"""

import re
from dataclasses import dataclass
from typing import List, Optional

MAX_FEATURES = 32
MAX_DEPTH = 32
"""Brackets inside brackets."""
MAX_DIGITS = 12


@dataclass(frozen=True)
class Feature:
    """One part of a token's vector. kind: `word` or `char`. width: its numbers, or None for the default."""

    kind: str
    width: Optional[int]


def parse_layout(layout: str) -> List[Feature]:
    """Parse a layout into its features, in order, with repetitions written out.

    Raises ValueError that names the character at which a layout breaks the grammar.
    """
    parser = _Parser(layout)
    features = parser.layout()
    if parser.token is not None:
        parser.fail("'+', '*' or the end")
    if len(features) > MAX_FEATURES:
        raise ValueError(
            f"The layout {parser.shown!r} has {len(features)} features: at most {MAX_FEATURES} are allowed."
        )
    return features


class _Parser:
    def __init__(self, text: str):
        self.text = text
        self.depth = 0
        self.tokens = list(re.finditer(r"[A-Za-z]+|\d+|\S", text))

    @property
    def shown(self) -> str:
        """The layout as messages quote it."""
        return self.text if len(self.text) <= 200 else f"{self.text[:200]}…"

    @property
    def token(self) -> Optional[str]:
        return self.tokens[0].group() if self.tokens else None

    def take(self) -> str:
        return self.tokens.pop(0).group()

    def fail(self, expected: str) -> None:
        fault = (
            f"but found {(self.token or '')[:40]!r} at character {self.tokens[0].start() + 1}"
            if self.tokens
            else "but it ends"
        )
        raise ValueError(f"The layout {self.shown!r} needs {expected}, {fault}: for example 'word100+char*2'.")

    def layout(self) -> List[Feature]:
        features = self.term()
        while self.token == "+":
            self.take()
            features += self.term()
        return features

    def term(self) -> List[Feature]:
        features = self.atom()
        if self.token == "*":
            self.take()
            count = self.number("a count of 1 or more after '*'")
            if count * len(features) > MAX_FEATURES:
                raise ValueError(
                    f"The layout {self.shown!r} has too many features: at most {MAX_FEATURES} are allowed."
                )
            features = features * count
        return features

    def atom(self) -> List[Feature]:
        if self.token == "(":
            self.take()
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise ValueError(f"The layout {self.shown!r} has more than {MAX_DEPTH} brackets inside each other.")
            features = self.layout()
            self.depth -= 1
            if self.token != ")":
                self.fail("')'")
            self.take()
            return features
        if self.token not in ("word", "char"):
            self.fail("'word', 'char' or '('")
        kind = self.take()
        has_width = self.token is not None and self.token.isdecimal()
        return [Feature(kind, self.number("a width of 1 or more") if has_width else None)]

    def number(self, expected: str) -> int:
        if self.token is None or not self.token.isdecimal() or not self.token.strip("0"):
            self.fail(expected)
        text = self.take()
        # Python refuses to read numbers of thousands of digits.
        return int(text) if len(text) < MAX_DIGITS else 10**MAX_DIGITS
