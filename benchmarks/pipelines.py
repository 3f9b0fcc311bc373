"""Words per second of saved pipelines on the same text, measured in turns, beside the first of them.

Example:
    python benchmarks/pipelines.py --corpus gmb --name speed-gmb \\
        --models single=training/single/model-best routed=training/routed/model-best
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Sequence

from documents import convert_corpus, find_sources
from record import RESULTS, BenchmarkError, check_positive, clear_errors, write_result
from speed import run_job

FIELDS = ("corpus", "limit_test", "threads", "rounds", "pipelines")
"""The fields of a result beside those of every benchmark."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--corpus", metavar="NAME", help="folder of the corpora, see accuracy.py")
    for split in ("train", "test"):
        parser.add_argument(f"--{split}", type=Path, metavar="PATH", help=f"the {split} file")
    parser.add_argument("--limit-test", metavar="N|P%", help="measure on the first N sentences, or P per cent")
    parser.add_argument("--models", required=True, nargs="+", metavar="NAME=PATH", help="saved pipelines")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measurements of each (default: 5)")
    parser.add_argument("--name", default="pipelines", help="stem of the result file (default: pipelines)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args = parser.parse_args(arguments)
    check_positive(parser, args, "threads", "rounds")
    return args


def parse_models(named: Sequence[str]) -> Dict[str, Path]:
    """Name -> folder, from NAME=PATH."""
    models = {}
    for one in named:
        name, found, path = one.partition("=")
        if not name or not found or name in models:
            raise BenchmarkError(f"--models {one}: give every pipeline a name of its own, as in single=PATH.")
        if not (Path(path) / "config.cfg").is_file():
            raise BenchmarkError(f"{path}: there is no pipeline in this folder: check --models.")
        models[name] = Path(path)
    return models


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    models = parse_models(args.models)
    sources = find_sources(args.corpus, None, {"train": args.train, "test": args.test}, ("train", "test"))
    needed = {split: sources[split] for split in ("train", "test")}
    found: Dict[str, List[Dict[str, Any]]] = {name: [] for name in models}
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        folder = Path(temporary)
        converted = convert_corpus(needed, folder, "en", limit_test=args.limit_test)
        files = {split: str(path) for split, path in converted.items()}
        for number in range(args.rounds):
            for name, model in models.items():
                job = {"python": sys.executable, "model": str(model), **files}
                found[name].append(run_job(job, "predict", args.threads, folder))
                speed = found[name][-1]["words_per_second"]
                print(f"Round {number + 1} of {args.rounds}: {name} {speed:,.0f} words per second", flush=True)
    base = median(one["words_per_second"] for one in found[next(iter(models))])
    pipelines = {}
    for name, rounds in found.items():
        speeds = sorted(one["words_per_second"] for one in rounds)
        pipelines[name] = {
            "words_per_second": round(median(speeds)),
            "slowest": round(speeds[0]),
            "fastest": round(speeds[-1]),
            "ratio": round(median(speeds) / base, 3),
            "f": round(median(one["f"] for one in rounds), 2),
            "peak_memory_mb": round(median(one["peak_memory_mb"] for one in rounds)),
        }
    return write_result(
        args.to,
        benchmark="pipelines",
        name=args.name,
        arguments=command,
        corpus={split: source.parent.name + "/" + source.name for split, source in needed.items()},
        limit_test=args.limit_test,
        threads=args.threads,
        rounds=args.rounds,
        pipelines=pipelines,
    )


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    with clear_errors():
        print(run(parse_args(command[1:]), command))


if __name__ == "__main__":
    main(sys.argv)
