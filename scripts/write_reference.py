"""Write the tables of docs/components.md that follow from the code: `python scripts/write_reference.py`.

Arguments and defaults of components come from their factories, their meaning from the declared settings and docstrings;
those of losses, decoders, layers and others from the registered functions.
"""

import configparser
import inspect
import json
import re
import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import spacy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from tables import with_table  # noqa: E402

PAGE = ROOT / "docs" / "components.md"
SCRIPT = "scripts/write_reference.py"

FUNCTIONS = {
    "losses": ("spacy_crfner.crf.losses", "Loss"),
    "decoders": ("spacy_crfner.tagging.decoders", "Decoder"),
    "selections": ("spacy_crfner.routing.sentence_selection", "Selection"),
    "losses of a router": ("spacy_crfner.routing.losses", "Loss"),
    "translators": ("spacy_crfner.back_attention.translators", "Translator"),
    "augmenters": ("spacy_crfner.corpora.augment", "Augmenter"),
    "scorers": ("spacy_scorers", "Scorer"),
    "layers": ("spacy_architectures", "Architecture"),
    "optimizers": ("thinc_optimizers", "Optimizer"),
    "schedules": ("thinc_schedules", "Schedule"),
}
"""Mark on the page -> the module of the functions, or their group, and the head of the first column."""


def table(header: List[str], rows: List[List[str]]) -> str:
    """Write a table in Markdown."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, ["---"] * len(header), *rows))


def entry_points() -> Iterator[Tuple[str, str, str]]:
    """Read group, name and target of every entry point in setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    for group, lines in parser["options.entry_points"].items():
        for line in lines.strip().splitlines():
            name, _, target = (part.strip() for part in line.partition("="))
            yield group, name, target


FACTORIES = [name for group, name, _ in entry_points() if group == "spacy_factories"]


def load(target: str) -> Callable:
    """Import the function of an entry point."""
    module, _, function = target.partition(":")
    return attrgetter(function)(import_module(module))


def summary(function: Callable) -> str:
    """Take the first paragraph of a docstring, without its full stop."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()).removesuffix(".")


def meanings(function: Callable) -> Dict[str, str]:
    """Take the arguments that a docstring explains, each with its text."""
    found: Dict[str, str] = {}
    last = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        start = re.match(r"(\w+(?:, \w+)*): (.*)", line)
        if start:
            last = start[1]
            found[last] = start[2]
        elif line.startswith("    ") and last:
            found[last] += f" {line.strip()}"
        else:
            last = ""
    return {name: text.removesuffix(".") for names, text in found.items() for name in names.split(", ")}


def value(default: Any) -> str:
    """Write a default as a config does."""
    return json.dumps(list(default) if isinstance(default, tuple) else default)


def short(default: Any) -> str:
    """Write a default; of a section of a config, the registered function and its arguments that are not null."""
    if not isinstance(default, dict) or not any(key.startswith("@") for key in default):
        return f"`{value(default)}`"
    name = next(text for key, text in default.items() if key.startswith("@"))
    if "tok2vec" in default:
        return f"`{name}`, see [the default models](#the-default-models)"
    arguments = (f"{key} = {value(own)}" for key, own in default.items() if not key.startswith("@") and own is not None)
    return ", ".join([f"`{name}`", *arguments])


def factory_table(name: str) -> str:
    """Make a row for each argument of a component."""
    meta = spacy.blank("en").get_factory_meta(name)
    make = next(load(target) for group, entry, target in entry_points() if (group, entry) == ("spacy_factories", name))
    explained = meanings(make)
    rows = [[f"`{key}`", short(default), explained[key]] for key, default in meta.default_config.items()]
    return table(["Argument", "Default", "Meaning"], rows)


def function_table(where: str, kind: str) -> str:
    """Make a row for each registered function of a module or a group."""
    rows: List[List[str]] = []
    for group, name, target in entry_points():
        if where in (group, target.partition(":")[0]):
            function = load(target)
            parameters = inspect.signature(function).parameters.values()
            arguments = [
                f"`{own.name}`" if own.default is own.empty else f"`{own.name} = {value(own.default)}`"
                for own in parameters
            ]
            rows.append([f"`{name}`", ", ".join(arguments), summary(function).replace("|", "\\|")])
    return table([kind, "Arguments", "What it does"], rows)


def page() -> str:
    """Make the text of the page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    for name in FACTORIES:
        text = with_table(text, f"arguments of {name}", factory_table(name), SCRIPT)
    for mark, columns in FUNCTIONS.items():
        text = with_table(text, mark, function_table(*columns), SCRIPT)
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
