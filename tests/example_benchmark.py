"""Dev F1 with and without R-Drop: a complete benchmark, to show how little each has to say.

Example:
    python tests/example_benchmark.py --train assets/news/train.conll --dev assets/news/dev.conll --seeds 0 1
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from experiments.corpora import open_corpus  # noqa: E402
from experiments.options import make_parser, program  # noqa: E402
from experiments.results import ResultFile  # noqa: E402
from experiments.training import Variant, measure_variants, read_config  # noqa: E402
from test_benchmarks import SMALL  # noqa: E402

VARIANTS = {"default": {}, "no R-Drop": {"components.bcrf_ner.r_drop": 0.0}}


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    names = ["corpus", "train-file", "dev-file", "limit-train", "seeds", "only", "keep", "name"]
    return make_parser(__doc__, *names, defaults={"steps": 4}).parse_args(arguments)


def run(args: argparse.Namespace) -> Path:
    small = {setting: json.loads(value) for setting, value in SMALL.items()}
    steps = {"training.max_steps": args.steps, "training.eval_frequency": args.steps}

    def make(name: str) -> Variant:
        return Variant(read_config(ROOT / "configs" / "bcrf_ner.cfg", {**small, **steps, **VARIANTS[name]}))

    with open_corpus(args) as corpus:
        key = {"corpus": corpus.name, "steps": args.steps, "fingerprint": corpus.fingerprint()}
        result = ResultFile(args, "r_drop", args.name or f"r-drop-{corpus.name}", key)
        return measure_variants(result, corpus, VARIANTS, make, ["dev"])


main = program(parse_args, run)

if __name__ == "__main__":
    main()
