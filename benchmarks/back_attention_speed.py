"""How much slower a tagger trains with back attention, once the features of all sentences are computed.

Example:
    python benchmarks/back_attention_speed.py --corpus conll2002-es --lang es --vectors vectors/es \\
        --translator training/es-en --english training/conll2003/model-best --cache training/cache
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Sequence

from back_attention import WITHOUT, add_sources, make_config
from documents import convert_corpus, find_sources
from record import RESULTS, check_positive, clear_errors, write_result
from speed import run_job

CARRIED = "back attention"

FIELDS = ("corpus", "lang", "limit_train", "threads", "rounds", "seconds", "training", "ratio")
"""The fields of a result beside those of every benchmark."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_sources(parser)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="measurements of each (default: 5)")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each measurement (default: 20)")
    parser.add_argument("--name", help="stem of the result file (default: back-attention-speed-<corpus>)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args = parser.parse_args(arguments)
    check_positive(parser, args, "threads", "rounds", "seconds")
    return args


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    sources = find_sources(args.corpus, None, {}, ("train", "dev"))
    found: Dict[str, List[float]] = {WITHOUT: [], CARRIED: []}
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        folder = Path(temporary)
        files = convert_corpus(sources, folder, args.lang, args.limit_train)
        jobs: Dict[str, Dict[str, Any]] = {}
        for number, name in enumerate(found):
            config = folder / f"{number}.cfg"
            make_config(name, args).to_disk(config)
            jobs[name] = {
                "python": sys.executable,
                "config": str(config),
                "overrides": {f"paths.{split}": str(files[split]) for split in ("train", "dev")},
                "train": str(files["train"]),
                "model": str(folder / f"model-{number}"),
                "seconds": args.seconds,
            }
        for number in range(args.rounds):
            for name, job in jobs.items():
                found[name].append(run_job(job, "train", args.threads, folder)["words_per_second"])
                print(
                    f"Round {number + 1} of {args.rounds}: {name} {found[name][-1]:,.0f} words per second", flush=True
                )
    training = {
        name: {"words_per_second": round(median(speeds)), "slowest": round(min(speeds)), "fastest": round(max(speeds))}
        for name, speeds in found.items()
    }
    return write_result(
        args.to,
        benchmark="back_attention_speed",
        name=args.name or f"back-attention-speed-{args.corpus}",
        arguments=command,
        corpus=args.corpus,
        lang=args.lang,
        limit_train=args.limit_train,
        threads=args.threads,
        rounds=args.rounds,
        seconds=args.seconds,
        training=training,
        ratio=round(median(found[CARRIED]) / median(found[WITHOUT]), 3),
    )


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    with clear_errors():
        print(run(parse_args(command[1:]), command))


if __name__ == "__main__":
    main(sys.argv)
