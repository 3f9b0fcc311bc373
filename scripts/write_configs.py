"""Write the configs that are variants of another one, and copy configs/ into the package, which ships them.

A file of scripts/config_variants/ holds what differs, and `# Variant of: NAME` as its first line. A section of it whose
first setting begins with @ stands in the place of that of the base and of all sections below; of any other, each
setting stands in the place of the one of that name, and `name = unset` leaves out that of the base. The comment at the
top is that of the variant.
"""

import argparse
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List

ROOT = Path(__file__).resolve().parents[1]
BASE, UNSET = "# Variant of: ", " = unset"


@dataclass
class Section:
    """A section of a config: its name, the comments in front of it, and its lines without those at the end."""

    name: str
    comments: List[str]
    lines: List[str]

    @property
    def is_function(self) -> bool:
        return any(line.startswith("@") for line in self.lines)

    def settings(self) -> Dict[str, List[str]]:
        """Take it apart: each setting, with the comments in front of it."""
        found: Dict[str, List[str]] = {}
        waiting: List[str] = []
        for line in self.lines:
            waiting.append(line)
            if not line.startswith("#"):
                found[line.partition(" = ")[0]] = waiting
                waiting = []
        return found

    def __str__(self) -> str:
        return "\n".join([*self.comments, f"[{self.name}]", *self.lines])


def parse(text: str) -> List[Section]:
    """Take a config apart. The first section has no name: its comments are those at the top of the file."""
    blocks = [block.splitlines() for block in re.split(r"\n\n+", text.strip())]
    sections = [Section("", blocks[0], [])]
    for block in blocks[1:]:
        at = next(number for number, line in enumerate(block) if line.startswith("["))
        sections.append(Section(block[at].strip("[]"), block[:at], block[at + 1 :]))
    return sections


def write(sections: List[Section]) -> str:
    return "\n\n".join(str(section) if section.name else "\n".join(section.comments) for section in sections) + "\n"


def combine(base: str, variant: str) -> str:
    """Write the config that a variant of another one is."""
    sections, changes = parse(base), parse(variant)
    sections[0] = changes[0]
    for change in changes[1:]:
        names = [section.name for section in sections]
        if change.name in names and not change.is_function:
            own = sections[names.index(change.name)]
            own.comments = change.comments or own.comments
            settings = {**own.settings(), **change.settings()}
            own.lines = [line for lines in settings.values() if not lines[-1].endswith(UNSET) for line in lines]
            continue
        if change.name in names:
            at = names.index(change.name)
            below = f"{change.name}."
            sections = [section for section in sections if not section.name.startswith(below)]
            sections[at] = change
            continue
        # Behind what it belongs to and everything below that.
        parent = change.name.rpartition(".")[0].removesuffix(".*")
        family = [number for number, name in enumerate(names) if parent and f"{name}.".startswith(f"{parent}.")]
        sections.insert(family[-1] + 1 if family else len(sections), change)
    return write(sections)


def variants() -> Dict[str, str]:
    """Write every variant: the name of its file -> its text."""
    found = {}
    for path in sorted((ROOT / "scripts" / "config_variants").glob("*.cfg")):
        first, _, rest = path.read_text(encoding="utf8").partition("\n")
        base = ROOT / "configs" / f"{first.removeprefix(BASE)}.cfg"
        found[path.name] = combine(base.read_text(encoding="utf8"), rest)
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, text in variants().items():
        (ROOT / "configs" / name).write_text(text, encoding="utf8")
    target = ROOT / "spacy_crfner" / "configs"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "configs", target)


if __name__ == "__main__":
    main()
