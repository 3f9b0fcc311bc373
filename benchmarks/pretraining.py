"""Pre-train a transformer with `crfner pretrain-transformer`, and note its perplexity before and after.

All options but these are those of the command. A training that has ended is not done again, but read from its folder.
How well the transformer tags is measured by accuracy.py, whose --paths.transformer is the folder.

Example:
    python benchmarks/pretraining.py --folder training/news-bert --text news.txt.gz --model bert-base-cased
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Sequence

from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import write_result
from safetensors import safe_open
from transformers import AutoConfig

from spacy_crfner.training_loop import LOG
from spacy_crfner.transfer.model_files import WEIGHTS

KEPT = ("update", "epoch", "minutes", "train_loss", "dev_loss", "dev_perplexity", "best")
"""Of each evaluation."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = make_parser(__doc__, "name")
    parser.add_argument("--folder", required=True, type=Path, help="where the transformer is written")
    args, args.others = parser.parse_known_args(arguments)
    return args


def count_weights(path: Path) -> int:
    """Count the numbers in a file of weights."""
    with safe_open(path, framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.offset_keys())


def run(args: argparse.Namespace) -> Path:
    command = [sys.executable, "-m", "spacy", "crfner", "pretrain-transformer", str(args.folder), *args.others]
    if subprocess.run(command).returncode:
        raise BenchmarkError("The training has failed, see above: nothing is measured.")
    lines = [json.loads(line) for line in (args.folder / LOG).read_text(encoding="utf8").splitlines()]
    best = [line for line in lines if line["best"]][-1]
    # Its attributes have the same names for all kinds of models.
    config = AutoConfig.from_pretrained(args.folder)
    fields = {
        "model": {
            "weights": count_weights(args.folder / WEIGHTS),
            "pieces": config.vocab_size,
            "layers": config.num_hidden_layers,
            "width": config.hidden_size,
        },
        "before": best["start_perplexity"],
        "after": best["dev_perplexity"],
        "updates": best["update"],
        "minutes": lines[-1]["minutes"],
        "training": [{name: line[name] for name in KEPT} for line in lines],
    }
    return write_result(args, "pretraining", args.name or f"pretraining-{args.folder.name}", **fields)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
