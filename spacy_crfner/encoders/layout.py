"""The layout grammar: in which order and how often word and character features of a token are concatenated.

    layout = term ("+" term)*
    term   = atom ("*" count)?
    atom   = "word" width? | "char" width? | "(" layout ")"

`word100+char*2` is a word vector projected to 100 features, then two independent character encoders.
"""

import re
from dataclasses import dataclass
from typing import List, Optional

MAX_BLOCKS = 32


@dataclass(frozen=True)
class Block:
    """One piece of a token's vector. kind: `word` or `char`. width: features, or None for the default."""

    kind: str
    width: Optional[int]


def parse_layout(layout: str) -> List[Block]:
    """The blocks of a layout in order, repetitions written out.

    Raises ValueError that names the place where a layout breaks the grammar.
    """
    parser = _Parser(layout)
    blocks = parser.layout()
    if parser.token is not None:
        parser.fail("'+', '*' or the end")
    if len(blocks) > MAX_BLOCKS:
        raise ValueError(f"The layout {layout!r} has {len(blocks)} blocks: at most {MAX_BLOCKS} are allowed.")
    return blocks


class _Parser:
    def __init__(self, text: str):
        self.text = text
        self.tokens = list(re.finditer(r"[A-Za-z]+|\d+|\S", text))

    @property
    def token(self) -> Optional[str]:
        return self.tokens[0].group() if self.tokens else None

    def take(self) -> str:
        return self.tokens.pop(0).group()

    def fail(self, expected: str) -> None:
        place = f"but found {self.token!r} at character {self.tokens[0].start() + 1}" if self.tokens else "but it ends"
        raise ValueError(f"The layout {self.text!r} needs {expected}, {place}: for example 'word100+char*2'.")

    def layout(self) -> List[Block]:
        blocks = self.term()
        while self.token == "+":
            self.take()
            blocks += self.term()
        return blocks

    def term(self) -> List[Block]:
        blocks = self.atom()
        if self.token == "*":
            self.take()
            count = self.number("a count of 1 or more after '*'")
            if count * len(blocks) > MAX_BLOCKS:
                raise ValueError(f"The layout {self.text!r} has too many blocks: at most {MAX_BLOCKS} are allowed.")
            blocks = blocks * count
        return blocks

    def atom(self) -> List[Block]:
        if self.token == "(":
            self.take()
            blocks = self.layout()
            if self.token != ")":
                self.fail("')'")
            self.take()
            return blocks
        if self.token not in ("word", "char"):
            self.fail("'word', 'char' or '('")
        kind = self.take()
        has_width = self.token is not None and self.token.isdecimal()
        return [Block(kind, self.number("a width of 1 or more") if has_width else None)]

    def number(self, expected: str) -> int:
        if self.token is None or not self.token.isdecimal() or int(self.token) < 1:
            self.fail(expected)
        return int(self.take())
