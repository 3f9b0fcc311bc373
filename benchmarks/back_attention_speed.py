r"""How much slower a tagger trains with back attention, once the features of all sentences are computed.

Example:
    python benchmarks/back_attention_speed.py --corpus conll2002-es --lang es --vectors vectors/es \
        --translator training/es-en --english training/conll2003/model-best --cache training/cache
"""

import argparse
from pathlib import Path

from back_attention import WITHOUT, make_config, make_tagger_parser
from experiments.corpora import open_corpus
from experiments.options import program
from experiments.record import write_result
from experiments.workers import speeds, time_in_turns

CARRIED = "back attention"


parse_args = make_tagger_parser(__doc__, "threads", "rounds", "seconds").parse_args


def run(args: argparse.Namespace) -> Path:
    with open_corpus(args) as corpus:
        jobs = {}
        for name in (WITHOUT, CARRIED):
            config = make_config(name, args)
            config["paths"].update({split: str(path) for split, path in corpus.files.items()})
            config.to_disk(corpus.folder / f"{name}.cfg")
            paths = {"config": corpus.folder / f"{name}.cfg", "model": corpus.folder / name, **corpus.files}
            jobs[name] = {"seconds": args.seconds, **{key: str(path) for key, path in paths.items()}}
        training = speeds(time_in_turns("train", jobs, args, corpus.folder))
    ratios = {name: found.pop("ratio") for name, found in training.items()}
    name = args.name or f"back-attention-speed-{args.corpus}"
    options = ("corpus", "lang", "limit_train", "threads", "rounds", "seconds")
    return write_result(args, "back_attention_speed", name, options, training=training, ratio=ratios[CARRIED])


main = program(parse_args, run)

if __name__ == "__main__":
    main()
