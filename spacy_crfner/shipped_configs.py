"""The configs that the package ships: their names, what they are for, and how to train with them."""

import re
import shlex
from pathlib import Path
from typing import Dict, Sequence, Union

from .files import replacing

FOLDER = Path(__file__).parent / "configs"


def describe_configs() -> Dict[str, str]:
    """Name each shipped config and what it is for, which is its first line."""
    return {path.stem: _read(path).partition("\n")[0].lstrip("# ") for path in sorted(FOLDER.glob("*.cfg"))}


def read_config(name: str, *, sentencizer: bool = False) -> str:
    """Read the text of a shipped config.

    name: such as "bcrf_ner".
    sentencizer: put spaCy's sentencizer in front, in training too, for Docs that hold several sentences.
    Raises ValueError, which names those that exist, for any other name.
    """
    known = describe_configs()
    if name not in known:
        raise ValueError(f"There is no config {name!r}: choose one of {', '.join(known)}.")
    text = _read(FOLDER / f"{name}.cfg")
    return _with_sentencizer(text) if sentencizer else text


def _with_sentencizer(text: str) -> str:
    """Put a sentencizer in front of the pipeline of a config, and keep its comments."""
    changes = [
        ("pipeline = [", 'pipeline = ["sentencizer",'),
        ("[components]\n", '[components]\n\n[components.sentencizer]\nfactory = "sentencizer"\n'),
        ("[training.score_weights]\n", "[training.score_weights]\nsents_f = null\n"),
    ]
    if "\nannotating_components = [" in text:
        changes.append(("annotating_components = [", 'annotating_components = ["sentencizer",'))
    else:
        changes.append(("[training]\n", '[training]\nannotating_components = ["sentencizer"]\n'))
    for old, new in changes:
        text = text.replace(f"\n{old}", f"\n{new}", 1)
    return text


def write_text(text: str, target: Union[str, Path], *, overwrite: bool = False) -> None:
    """Write the text of a config to a file.

    Raises FileExistsError where there is such a file and `overwrite` is False, OSError where it cannot be written.
    """
    target = Path(target)
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target}: there is such a file: choose another --output, or overwrite it with --force.")
    with replacing(target) as (unfinished,):
        unfinished.write_text(text, encoding="utf8")


def training_command(name: str, path: Union[str, Path], known: Sequence[str] = ()) -> str:
    """Find the command that trains with a shipped config in the comment at its top, ready for a shell.

    Options that can be left out, which stand in brackets there, are.

    path: of the copy of the config, for which the command is. known: settings that stand in that copy, such as
        `paths.train`; their options are left out too.
    """
    lines = re.findall(r"^#   +(.+)$", read_config(name), re.MULTILINE)
    command = re.sub(r"\[.*?\] *", "", " ".join(line.removesuffix("\\").strip() for line in lines))
    for setting in known:
        command = re.sub(rf"--{re.escape(setting)} \S+ *", "", command)
    return command.replace(f"{name}.cfg", shlex.quote(str(path)))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf8")
