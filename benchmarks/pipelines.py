r"""Words per second of saved pipelines on the same text, measured in turns, beside the first of them.

Example:
    python benchmarks/pipelines.py --corpus gmb --name speed-gmb \
        --models single=training/single/model-best routed=training/routed/model-best
"""

import argparse
from pathlib import Path
from typing import Dict, Sequence

from experiments.corpora import open_corpus
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import write_result
from experiments.workers import medians, speeds, time_in_turns

OPTIONS = ("corpus", "train-file", "test-file", "limit-test", "threads", "rounds")
parser = make_parser(__doc__, *OPTIONS, defaults={"name": "pipelines"})
parser.add_argument("--models", required=True, nargs="+", metavar="NAME=PATH", help="saved pipelines")
parse_args = parser.parse_args


def parse_models(named: Sequence[str]) -> Dict[str, str]:
    """Read name -> folder from NAME=PATH."""
    models = {}
    for model in named:
        name, equals, path = model.partition("=")
        if not name or not equals or name in models:
            raise BenchmarkError(f"--models {model}: give every pipeline a name of its own, as in single=PATH.")
        if not (Path(path) / "config.cfg").is_file():
            raise BenchmarkError(f"{path}: there is no pipeline in this folder: check --models.")
        models[name] = path
    return models


def run(args: argparse.Namespace) -> Path:
    models = parse_models(args.models)
    with open_corpus(args, needed=("train", "test")) as corpus:
        files = {split: str(path) for split, path in corpus.files.items()}
        jobs = {name: {"model": model, **files} for name, model in models.items()}
        measured = time_in_turns("predict", jobs, args, corpus.folder)
    pipelines = speeds(measured)
    for name, rounds in measured.items():
        pipelines[name].update(f=medians(rounds)["f"], peak_memory_mb=medians(rounds, 0)["peak_memory_mb"])
    options = ("limit_test", "threads", "rounds")
    return write_result(args, "pipelines", args.name, options, corpus=corpus.short(), pipelines=pipelines)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
