"""Training sentences, and pipelines made of them, that tests share."""

import atexit
import configparser
import shutil
import tempfile
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed

ROOT = Path(__file__).resolve().parents[1]


def entry_points() -> Iterator[Tuple[str, str, str]]:
    """Read group, name and target of every entry point in setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    for group, lines in parser["options.entry_points"].items():
        for line in lines.strip().splitlines():
            name, _, target = (part.strip() for part in line.partition("="))
            yield group, name, target


def declared(group: Optional[str] = None, module: Optional[str] = None) -> Dict[str, Any]:
    """Name -> function of the entry points in setup.cfg: of a group, or whose function stands in a module."""
    functions = {}
    for section, name, target in entry_points():
        file, _, attribute = target.partition(":")
        if group in (None, section) and module in (None, file):
            functions[name] = attrgetter(attribute)(import_module(file))
    return functions


# (text, [(start, end, label)]): twenty short sentences that a working tagger learns by heart.
TRAIN: List[Tuple[str, List[Tuple[int, int, str]]]] = [
    ("Anna Kell met Bob in Paris .", [(0, 9, "PER"), (14, 17, "PER"), (21, 26, "LOC")]),
    ("Harlow bought shares in Apple Pie Ltd .", [(0, 6, "ORG"), (24, 37, "ORG")]),
    ("Harlow is a quiet town near London .", [(0, 6, "LOC"), (28, 34, "LOC")]),
    ("Nothing of note happened today .", []),
    ("The Bank of Tessaly cut rates .", [(4, 19, "ORG")]),
    ("Mary Brandell , coach of Redmere , resigned .", [(0, 13, "PER"), (25, 32, "ORG")]),
    ("He flew from New York to Rome .", [(13, 21, "LOC"), (25, 29, "LOC")]),
    ("Brandell said the sale was off .", [(0, 8, "PER")]),
    ("Shares in Brandell fell by a tenth .", [(10, 18, "ORG")]),
    ("It rained for three days .", []),
    ("Paris beat Lyon 2-1 on Sunday .", [(0, 5, "ORG"), (11, 15, "ORG")]),
    ("In Lyon , Peter Aske spoke to Anna Kell .", [(3, 7, "LOC"), (10, 20, "PER"), (30, 39, "PER")]),
    ("The minister left early .", []),
    ("United Steel hired Rose Okafor .", [(0, 12, "ORG"), (19, 30, "PER")]),
    ("Okafor lives in Cape Town .", [(0, 6, "PER"), (16, 25, "LOC")]),
    ("Prices rose again .", []),
    ("Tom , Ann and Lee won .", [(0, 3, "PER"), (6, 9, "PER"), (14, 17, "PER")]),
    ("Rome and Oslo signed the treaty .", [(0, 4, "LOC"), (9, 13, "LOC")]),
    ("Oslo City drew with Redmere .", [(0, 9, "ORG"), (20, 27, "ORG")]),
    ("A spokeswoman for Aske declined to comment .", [(18, 22, "PER")]),
]


COLUMNS = "Ada\tB-PER\nsaw\tO\n\nNew\tB-LOC\nYork\tI-LOC\n\nand\tO\nBonn\tB-LOC\n"
"""Three sentences of a column file."""

SMALL_MODEL = {
    "model": {
        "tok2vec": {
            "width": 64,
            "tok2vec": {
                "char_width": 20,
                "char_embed_width": 16,
                "char_rows": 1100,
                "hash_rows": [500] * 4,
                "hash_width": 48,
                "hash_noise": 0.02,
            },
        }
    }
}
"""Settings of bcrf_ner that train in a moment."""


def trained(nlp: Language, examples: List[Example], updates: int = 60) -> Language:
    """Initialize and train; the pipeline."""
    optimizer = nlp.initialize(lambda: examples)
    annotates = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "back_attention"]
    for _ in range(updates):
        nlp.update(examples, sgd=optimizer, drop=0.1, annotates=annotates)
    return nlp


def copy_of(nlp: Language, *after: str, name: str = "bcrf_ner", **settings: Any) -> Language:
    """A copy of a pipeline with one small tagger, as loading makes it.

    after: factories of components behind it. name: of the copy. settings: in the place of those it was trained with.
    """
    copy = spacy.blank("en")
    tagger: Any = copy.add_pipe("bcrf_ner", name=name, config=SMALL_MODEL)
    tagger.from_bytes(nlp.get_pipe("bcrf_ner").to_bytes())
    tagger.cfg.update(settings)
    for factory in after:
        copy.add_pipe(factory)
    return copy


@lru_cache(maxsize=1)
def english_ner() -> str:
    """The folder of an English pipeline whose bcrf_ner has learned the training sentences."""
    folder = tempfile.mkdtemp(prefix="spacy-crfner-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    fix_random_seed(0)
    trained(nlp, examples).to_disk(folder)
    return folder
