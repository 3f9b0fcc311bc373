"""Expand sentence patterns: rules read from text files, with alternatives and numbers.

A rule file has sections, each opened by `= name`, with one pattern a line. In a pattern `<name>`
expands a rule, `(a|b|)` picks one of the alternatives, `{KIND}` stays for the names, and all else
is text. A line may begin with a weight, as in `3* pattern`; lines that begin with # are comments.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

Rules = dict[str, list[tuple[str, int]]]

_RULE = re.compile(r"<([a-z0-9_]+)>")
_GROUP = re.compile(r"\(([^()]*)\)")
_WEIGHT = re.compile(r"(\d+)\* ")


def read_rules(*paths: Path) -> Rules:
    """The rules of the files; a section that comes again adds to the earlier one."""
    rules: Rules = {}
    for path in paths:
        name = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("= "):
                name = line[2:].strip()
                rules.setdefault(name, [])
                continue
            found = _WEIGHT.match(line)
            weight = int(found.group(1)) if found else 1
            rules[name].append((line[found.end() :] if found else line, weight))
    return rules


_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _score(rng: random.Random) -> str:
    high = rng.choice([1, 1, 2, 2, 3, 3, 4, 5])
    return f"{high}-{rng.randrange(high)}"


def _sets(rng: random.Random) -> str:
    sets = [f"6-{rng.randrange(5)}" if rng.random() < 0.7 else "7-5" for _ in range(2)]
    if rng.random() < 0.3:
        sets.insert(1, f"{rng.randrange(5)}-6")
    return " ".join(sets)


NUMBERS: dict[str, Callable[[random.Random], str]] = {
    "digit": lambda r: str(r.randint(1, 9)),
    "small": lambda r: r.choice(_WORDS),
    "teen": lambda r: str(r.randint(10, 31)),
    "tens": lambda r: str(r.randint(11, 98)),
    "hundreds": lambda r: str(r.choice([110, 120, 140, 150, 180, 200, 240, 300, 350, 450, 600])),
    "thousands": lambda r: f"{r.randint(1, 90)},{r.choice([0, 50, 200, 400, 500, 800]):03d}",
    "decimal": lambda r: f"{r.randint(0, 19)}.{r.randint(1, 9)}",
    "year": lambda r: str(r.randint(1931, 2022)),
    "score": _score,
    "sets": _sets,
    "time": lambda r: f"{r.randint(0, 3)}:{r.randint(10, 59)}.{r.randint(0, 9)}",
    "lp": lambda r: "(",
    "rp": lambda r: ")",
}


def expand(rules: Rules, pattern: str, rng: random.Random) -> list[str]:
    """One random expansion of `pattern`, as whitespace-separated pieces."""

    def pick_group(found: re.Match[str]) -> str:
        return rng.choice(str(found.group(1)).split("|"))

    def pick_rule(found: re.Match[str]) -> str:
        name: str = found.group(1)
        if name in NUMBERS:
            return NUMBERS[name](rng).replace("(", "\x01").replace(")", "\x02")
        options = rules[name]
        return rng.choices([o for o, _ in options], [w for _, w in options])[0]

    while _GROUP.search(pattern) or _RULE.search(pattern):
        pattern = _GROUP.sub(pick_group, pattern)
        pattern = _RULE.sub(pick_rule, pattern, count=1)
    return pattern.replace("\x01", "(").replace("\x02", ")").split()
