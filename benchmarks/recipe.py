"""Train variants of a config on one corpus and write how well each finds entities on its dev split.

The variants are the settings of recipe_variants.json, each changed by itself.

Example:
    python benchmarks/recipe.py --corpus conll2003-en --train-corpus conll2003-en-20 --vectors en_core_web_md
"""

import argparse
import json
from pathlib import Path
from typing import Any, Dict

from experiments.corpora import open_corpus
from experiments.options import make_parser, program
from experiments.record import shown
from experiments.results import ResultFile, Rows
from experiments.scores import SCORES
from experiments.training import Variant, base_overrides, measure_variants, read_config

VARIANTS = Path(__file__).resolve().with_name("recipe_variants.json")
OPTIONS = ("train-corpus", "limit-train", "lang", "config", "vectors", "seed", "only", "name")
parse_args = make_parser(__doc__, *OPTIONS, required=["corpus"], defaults={"steps": 1200}).parse_args


def run(args: argparse.Namespace) -> Path:
    """Measure the variants that are not measured yet."""
    args.seeds = [args.seed]
    variants = json.loads(VARIANTS.read_text(encoding="utf8"))
    steps = {"max_steps": args.steps, "patience": args.steps, "eval_frequency": max(1, args.steps // 4)}
    overrides = {**{f"training.{key}": value for key, value in steps.items()}, **base_overrides(args)}
    language = read_config(args.config, overrides).interpolate()["nlp"]["lang"]

    def read(result: Dict[str, Any]) -> Rows:
        return {
            name: {"fingerprint": found.get("fingerprint"), "runs": {str(args.seed): found}}
            for name, found in result["variants"].items()
        }

    def write(rows: Rows) -> Dict[str, Any]:
        measured = {}
        for name, row in rows.items():
            (run,) = row["runs"].values()
            dev = {score: run["dev"][score] for score in SCORES}
            measured[name] = {"fingerprint": row["fingerprint"], "settings": variants.get(name, run.get("settings"))}
            measured[name].update(dev=dev, best_step=run["best_step"])
        return {"config": args.config.name, "variants": measured}

    with open_corpus(args, language=language) as corpus:
        key = {"corpus": corpus.name, "seed": args.seed, "overrides": shown(overrides)}
        key["fingerprint"] = corpus.fingerprint()
        result = ResultFile(args, "recipe", args.name or f"recipe-{corpus.name}", key, read, write)

        def make(name: str) -> Variant:
            return Variant(read_config(args.config, {**overrides, **variants[name]}))

        return measure_variants(result, corpus, variants, make, ["dev"])


main = program(parse_args, run)

if __name__ == "__main__":
    main()
