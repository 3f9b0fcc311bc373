"""Tags as the files of a corpus write them -> tags in BIOES, which have one form."""

import re
from dataclasses import dataclass, field
from typing import Collection, Dict, List, Optional, Sequence

from ..quoting import quote
from ..tags import check_labels

SAME = {"M": "I", "L": "E", "U": "S", "W": "S"}
"""Letters of BMES, BILUO and BMEWO -> what BIOES calls them."""

LETTERS = "BIESLUMW"
SCHEMES = (("BMEWO", {"W"}), ("BMES", {"M"}), ("BILUO", {"L", "U"}), ("BIOES", {"E", "S"}))
"""Schemes by the letters that they have and those behind them have not."""

CLOSING = set(LETTERS) - set("BI")
"""Letters that IOB does not have."""

BEFORE = re.compile(f"([{LETTERS}])-(.+)", re.DOTALL)
BEHIND = re.compile(f"(.+)-([{LETTERS}])", re.DOTALL)
BETWEEN = re.compile("[|,;/+]")
"""What stands between the tags of entities in entities."""


@dataclass
class TagForms:
    """The tags of one file, each of which is read once.

    tags: as written -> ``O``, or a letter of BIOES, a hyphen and a label; empty where the token was not annotated.
    faults: as written -> what is wrong with it, and what to do.
    letters: in the order of LETTERS, those that the file has.
    behind: whether its letters stand behind the labels, as in ``PER-B``.
    """

    tags: Dict[str, str] = field(default_factory=dict)
    faults: Dict[str, str] = field(default_factory=dict)
    letters: str = ""
    behind: bool = False

    @property
    def closes(self) -> bool:
        """Whether the file has letters that IOB does not have."""
        return not CLOSING.isdisjoint(self.letters)

    def remarks(self) -> List[str]:
        """Say how the tags were read, where that is not IOB."""
        remarks = []
        if self.closes:
            remarks.append(f"the tags were read as {next(name for name, own in SCHEMES if own & set(self.letters))}")
        if self.behind:
            remarks.append("the letters of the tags stand behind the labels, as in PER-B")
        return remarks


def read_forms(
    written: Collection[str], missing: Collection[str], *, bare_labels: bool = False, label: Optional[str] = None
) -> TagForms:
    """Read the distinct tags of a file.

    Their letters are those of IOB, BIOES, BILUO, BMES or BMEWO, and stand before the labels, or all of them behind.

    missing: tags which say that the token was not annotated.
    bare_labels: tags are labels without letters; neighbours with the same one are one entity.
    label: tags are letters without labels, and this is the label of them all.
    """
    forms = TagForms()
    tags = [tag for tag in written if tag != "O" and tag not in missing]
    before = {tag for tag in tags if BEFORE.fullmatch(tag)}
    behind = {tag for tag in tags if BEHIND.fullmatch(tag)}
    forms.behind = bool(behind - before) and not before - behind and not bare_labels and label is None
    lettered = set(tags) <= set(LETTERS) or any({tag, f"I{tag[1:]}"} <= before for tag in before if tag[0] == "B")
    letters = set()
    for tag in written:
        if tag in missing or tag == "O":
            forms.tags[tag] = "" if tag in missing else "O"
            continue
        try:
            if bare_labels and lettered:
                raise ValueError(f"the tags have letters, as {quote(tag)} has: leave --bare-labels out.")
            letter, name = _parts(tag, forms.behind, bare_labels, label)
            check_labels([name])
        except ValueError as error:
            forms.faults[tag] = str(error)
        else:
            letters.add(letter)
            forms.tags[tag] = f"{SAME.get(letter, letter)}-{name}"
    if letters and not letters - set("ELM"):
        for tag in [tag for tag, read in forms.tags.items() if "-" in read]:
            forms.faults[tag] = (
                f"{quote(tag)} would go on with an entity, but in the whole file none begins. If the tags are labels "
                "without letters, say so (--bare-labels)."
            )
    forms.letters = "".join(letter for letter in LETTERS if letter in letters)
    return forms


def _parts(tag: str, behind: bool, bare_labels: bool, label: Optional[str]) -> Sequence[str]:
    """Take letter and label out of a tag. Raises ValueError where it has none."""
    if bare_labels:
        return ["I", tag]
    if label is not None:
        if len(tag) != 1 or tag not in LETTERS:
            raise ValueError(
                f"the tag {quote(tag)} is none of the letters {', '.join(LETTERS)}: leave --label out, which is for "
                "tags without labels."
            )
        return [tag, label]
    parts = BETWEEN.split(tag)
    if len(parts) > 1 and all(part == "O" or BEFORE.fullmatch(part) or BEHIND.fullmatch(part) for part in parts):
        raise ValueError(f"{quote(tag)} holds {len(parts)} tags, but entities cannot overlap: keep one of them.")
    match = (BEHIND if behind else BEFORE).fullmatch(tag)
    if match:
        return match.groups()[::-1] if behind else match.groups()
    if not tag:
        raise ValueError("the tag is empty: write one, or say that it marks tokens not annotated (--missing-tag '').")
    if len(tag) == 1 and tag in LETTERS:
        hint = "If the tags are letters without labels, name the label (--label)."
    elif BEHIND.fullmatch(tag):
        hint = "Its letter stands behind the label, but in other tags of the file before it: correct one of them."
    else:
        hint = (
            "If it marks tokens that were not annotated, name it (--missing-tag); if the tags are labels without "
            "letters, say so (--bare-labels)."
        )
    raise ValueError(
        f"{quote(tag)} is not a tag: expected 'O' or a tag such as 'B-PER', with one of the letters "
        f"{', '.join(LETTERS)}. {hint}"
    )
