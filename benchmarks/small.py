"""Train recipes on a few sentences of a corpus, and write how well and how fast each learns.

The recipes are those of small_recipes.json. "default" is the config as it is shipped; the others are shorter.

Example:
    python benchmarks/small.py --corpus conll2003-en --vectors en_core_web_md --seeds 0 1 2
"""

import argparse
import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Sequence

from experiments.corpora import CorpusFiles, open_corpus, read_docs
from experiments.errors import BenchmarkError
from experiments.options import make_parser, positive, program
from experiments.record import shown
from experiments.results import ResultFile, Run
from experiments.scores import SCORES
from experiments.training import Variant, base_overrides, fall, measure_variants, read_config, train_and_score
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

RECIPES = Path(__file__).resolve().with_name("small_recipes.json")
SAMPLE_SEED = 0


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    names = "train-corpus train-file dev-file lang config vectors seeds only name"
    parser = make_parser(__doc__, *names.split(), required=["corpus"])
    number: Dict[str, Any] = {"type": positive(int), "metavar": "N"}
    parser.add_argument("--sentences", **number, default=146, help="to train on, each with an entity (default: 146)")
    parser.add_argument("--dev-sentences", **number, default=1000, help="to evaluate on (default: 1000)")
    return parser.parse_args(arguments)


def sample(docs: Sequence[Doc], number: int) -> List[Doc]:
    """Take so many Docs at random, the same ones each time, in the order of the corpus."""
    if len(docs) < number:
        raise BenchmarkError(f"The corpus has only {len(docs)} sentences of this kind, not {number}: take fewer.")
    chosen = random.Random(SAMPLE_SEED).sample(range(len(docs)), number)
    return [docs[index] for index in sorted(chosen)]


def take_samples(corpus: CorpusFiles, sentences: int, dev_sentences: int) -> CorpusFiles:
    """Write train sentences that have an entity, and dev sentences of any kind, to the folder of the corpus."""
    docs = {split: read_docs(file, Vocab()) for split, file in corpus.files.items()}
    taken = {
        "train": sample([doc for doc in docs["train"] if doc.ents], sentences),
        "dev": sample(docs["dev"], dev_sentences),
    }
    files = {split: corpus.folder / f"{split}-sample.spacy" for split in taken}
    for split, some in taken.items():
        DocBin(["ENT_IOB", "ENT_TYPE", "SENT_START"], docs=some).to_disk(files[split])
    return replace(corpus, files=files)


def make_variant(args: argparse.Namespace, recipe: Dict[str, Any]) -> Variant:
    """Make the config of a recipe: settings that differ, and `fall`, for a learning rate that falls to 0."""
    settings = dict(recipe)
    falling = settings.pop("fall", None)
    config = read_config(args.config, {**base_overrides(args), **settings})
    if falling:
        fall(config, falling["steps"], falling["rate"], falling["evaluations"])
    return Variant(config)


def measure(variant: Variant, corpus: CorpusFiles, seed: int, folder: Path) -> Run:
    """Train and score a recipe, and keep what dev F1 was at each evaluation."""
    run = train_and_score(variant, corpus, seed, folder, splits=["dev"])
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf8").splitlines()]
    return {
        **{key: run[key] for key in ("best_step", "training_seconds")},
        "dev": {score: run["dev"][score] for score in SCORES},
        "steps": log[-1]["step"],
        "curve": {str(line["step"]): round(line["score"], 4) for line in log},
    }


def run(args: argparse.Namespace) -> Path:
    """Measure the recipes that are not measured yet."""
    recipes = json.loads(RECIPES.read_text(encoding="utf8"))
    with open_corpus(args) as whole:
        corpus = take_samples(whole, args.sentences, args.dev_sentences)
        key = {
            **{"config": args.config.name, "overrides": shown(base_overrides(args)), "corpus": corpus.counts()},
            **{"sample_seed": SAMPLE_SEED, "fingerprint": corpus.fingerprint()},
        }
        result = ResultFile(args, "small", args.name or f"small-{corpus.name}-{args.sentences}", key)
        make = partial(make_variant, args)
        return measure_variants(result, corpus, recipes, lambda name: make(recipes[name]), ["dev"], measure)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
