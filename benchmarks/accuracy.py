"""Train a config with several seeds on a corpus and write how well it finds entities, with mean and spread.

Examples:
    python benchmarks/accuracy.py --corpus conll2003-en --train-corpus conll2003-en-20 --seeds 0 1 2 --join 10
    python benchmarks/accuracy.py --train assets/news/train.conll --dev assets/news/dev.conll --no-test
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, Dict, Sequence

from click import NoSuchOption
from experiments.corpora import open_corpus
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import shown, shown_path
from experiments.results import ResultFile, Rows
from experiments.scores import format_table, summarize
from experiments.training import Variant, base_overrides, measure_variants, read_config, train_and_score
from spacy.cli._util import parse_config_overrides

OWN_SETTINGS = {"paths.train": "--train", "paths.dev": "--dev", "system.seed": "--seeds", "training.seed": "--seeds"}
"""Settings of the config that this script makes itself, and the option to say so."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    names = "corpus train-corpus train-file dev-file test-file no-test limit-train lang config vectors gpu-id keep name"
    parser = make_parser(__doc__, *names.split(), defaults={"seeds": [0, 1, 2]})
    parser.epilog = "Any further --section.setting VALUE is passed on to the config, as with `spacy train`."
    parser.add_argument("--join", type=int, default=0, metavar="N", help="evaluate on Docs of N test sentences too")
    args, others = parser.parse_known_args(arguments)
    try:
        args.overrides = parse_config_overrides(others, env_var=None)
    except NoSuchOption as error:
        raise BenchmarkError(f"Unknown option {error.option_name}: see --help; settings have a dot.") from None
    for setting in args.overrides.keys() & OWN_SETTINGS.keys():
        raise BenchmarkError(f"{setting} is set by this script: use {OWN_SETTINGS[setting]} instead of --{setting}.")
    return args


def read_seeds(result: Dict[str, Any], variant: str) -> Rows:
    runs = {str(run.pop("seed")): run for run in result["per_seed"]}
    return {variant: {"fingerprint": result["settings_fingerprint"], "runs": runs}}


def write_seeds(rows: Rows) -> Dict[str, Any]:
    (row,) = rows.values()
    per_seed = [{"seed": int(seed), **run} for seed, run in row["runs"].items()]
    fields = {"seeds": [run["seed"] for run in per_seed], "per_seed": per_seed, "summary": summarize(per_seed)}
    return {"settings_fingerprint": row["fingerprint"], **fields}


def run(args: argparse.Namespace) -> Path:
    """Measure the seeds that are not measured yet."""
    overrides = {**args.overrides, **base_overrides(args)}
    config = read_config(args.config, overrides)
    language = config.interpolate().get("nlp", {}).get("lang")
    with open_corpus(args, optional=("test",), language=language) as corpus:
        splits = [split for split in corpus.files if split == "dev" or (split == "test" and not args.no_test)]
        if args.join and (args.join < 2 or "test" not in splits):
            raise BenchmarkError("--join needs a number of sentences above 1, and a test split to join them in.")
        key = {
            "config": shown_path(args.config),
            "overrides": shown(overrides),
            "corpus": corpus.counts(),
            "fingerprint": corpus.fingerprint(),
        }
        variant = args.config.stem
        name = args.name or f"{corpus.name}-{variant}"
        result = ResultFile(args, "accuracy", name, key, partial(read_seeds, variant=variant), write_seeds)
        needed = [*splits, *([f"test_joined_{args.join}"] if args.join else [])]
        measure = partial(train_and_score, splits=splits, join=args.join, gpu_id=args.gpu_id)
        measure_variants(result, corpus, [variant], lambda _: Variant(config), needed, measure)
    print(format_table(write_seeds(result.rows())["summary"]))
    return result.path


main = program(parse_args, run)

if __name__ == "__main__":
    main()
