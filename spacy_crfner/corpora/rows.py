"""The rows of a column file -> token and tag."""

import re
from typing import Callable, List, Optional, Sequence, Tuple

from ..text_files import Notes


class Rows:
    """The rows of one file; the first one decides on separator and width."""

    def __init__(self, token_column: int, tag_column: int, *, trim_ends: bool, notes: Notes) -> None:
        """trim_ends: leave out separators at the end of rows. notes: takes rows that have such."""
        self.token_column = token_column
        self.tag_column = tag_column
        self.trim_ends = trim_ends
        self.notes = notes
        self.split: Optional[Callable[[str], List[str]]] = None
        self.width = 0

    def parse(self, line: str, number: int) -> Tuple[str, str]:
        """Take token and tag out of a row. number: of its line. Raises ValueError that says what is wrong."""
        if "\r" in line:
            raise ValueError("there is a CR inside the row, but other lines end in LF: save the file with one of them.")
        if self.split is None:
            self.split = _split_tabs if "\t" in (line.rstrip(" \t") if self.trim_ends else line) else _split_spaces
        cells = self.split(line)
        trimmed = self.trim_ends and self._trim(cells)
        self.width = self.width or len(cells)
        # Counted from the end, a row that lost a cell would pass off another column as the tag.
        if min(self.token_column, self.tag_column) < 0 and len(cells) != self.width:
            separator = "a TAB" if self.split is _split_tabs else "spaces"
            raise ValueError(
                f"the row has {_columns(len(cells))}, but the file's first row has {self.width}, separated by "
                f"{separator}: add the missing column, count columns from the left (--token-column, --tag-column), or "
                "name the prefix of comments (--comment-prefix)."
            )
        if len(cells) == 1:
            separators = "TABs or spaces" if self.width == 1 else "TABs" if self.split is _split_tabs else "spaces"
            where = "" if self.width == 1 else ", as in the file's first row"
            raise ValueError(
                "the row has 1 column, but token and tag need one each: separate columns by "
                f"{separators}{where}, and not by commas or other characters."
            )
        token, tag = self._cell(cells, self.token_column, "token"), self._cell(cells, self.tag_column, "tag")
        if self.token_column % len(cells) == self.tag_column % len(cells):
            raise ValueError(
                f"the row has {_columns(len(cells))}, and token and tag are both expected in column "
                f"{self.token_column % len(cells)} (counted from 0): add the missing column or name others "
                "(--token-column, --tag-column)."
            )
        if not token.strip(" "):
            raise ValueError("the token is empty: write the token, or nothing at all to end a sentence.")
        if self.trim_ends and tag != (tag := tag.rstrip(" \t")):
            trimmed = True
        if trimmed:
            self.notes.add("rows with a separator at the end, which was left out", number)
        return token, tag

    def _trim(self, cells: List[str]) -> bool:
        """Take empty cells off the end, but for those that the first row has; say whether there were any."""
        before = len(cells)
        while len(cells) > max(2, self.width) and not cells[-1].strip(" "):
            cells.pop()
        return len(cells) < before

    @staticmethod
    def _cell(cells: Sequence[str], column: int, role: str) -> str:
        if not -len(cells) <= column < len(cells):
            raise ValueError(
                f"the row has {_columns(len(cells))}, so there is no column {column} (counted from 0) for "
                f"the {role}: add the missing column or name another (--{role}-column)."
            )
        return cells[column]


def _split_tabs(line: str) -> List[str]:
    return line.split("\t")


def _split_spaces(line: str) -> List[str]:
    # Not str.split(): a token can hold, or be, a no-break space.
    return re.split(" +", line.strip(" "))


def _columns(number: int) -> str:
    return f"{number} column" + "s" * (number != 1)
