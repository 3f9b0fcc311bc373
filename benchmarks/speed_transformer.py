"""Words per second of fine-tuned and of frozen transformers, in training and at prediction, in turns within one run.

Fine-tuned: configs/transformer.cfg, with products of 32 and of 16 bits, against the loop over transformers' own model
that one would write by hand (speed_plain_transformer.py), on the same batches, and at prediction against flair, where a
Python has it. Frozen: configs/frozen_bilstm.cfg, whose vectors of all sentences are in memory by then, against
configs/bcrf_ner.cfg, both with the same word vectors.

What predicts has been trained for 60 updates or more, flair's tagger too: untrained ones find entities everywhere,
which takes time. The learning rate of ours reaches its height in 10 updates here. The result has the entities that each
finds. Where time goes in an update is measured along with it, by timers around its parts.

bfloat16 is measured where the processor has instructions for it: without them, ours would multiply in 32 bits, and the
plain loop take many times as long.

Example:
    python benchmarks/speed_transformer.py --corpus conll2003-en --train-corpus conll2003-en-20 \
        --vectors en_core_web_md --transformer bert-base-cased/ --threads 1
"""

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any, Dict

import torch
from experiments.corpora import CorpusFiles, open_corpus
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import ROOT, write_result
from experiments.workers import call, medians, time_in_turns
from speed import FLAIR, flair_python, write_sentences

from spacy_crfner.encoders.transformer_module import has_fast_bfloat16

PRECISIONS = {"float32": False, "bfloat16": True}
"""What ours is called -> whether it multiplies in 16 bits."""
PLAIN = "plain loop"
KEPT, DEFAULT = "frozen, kept", "bcrf_ner"

UPDATES = 60
"""Enough to find some entities, which cost time, and to be no longer sure of entities that are none."""
TOK2VEC = "components.bcrf_ner.model.tok2vec"

Jobs = Dict[str, Dict[str, Any]]
"""Name of a system -> what its worker is asked to do, see `time_in_turns`."""

OPTIONS = ("corpus", "train-corpus", "train-file", "test-file", "limit-test", "threads", "seconds")
parser = make_parser(__doc__, *OPTIONS, required=["vectors"], defaults={"rounds": 3, "name": "speed-transformer"})
parser.add_argument("--transformer", metavar="FOLDER", required=True, help="a model and its fast tokenizer")
parser.add_argument("--flair-python", metavar="PATH", help="a Python that has flair (default: this, if it has it)")
parse_args = parser.parse_args


def fine_tuned_jobs(args: argparse.Namespace, corpus: CorpusFiles, shared: Dict[str, Any]) -> Jobs:
    """Make the jobs of what is fine-tuned: ours and the plain loop in turns."""
    config = str(ROOT / "configs" / "transformer.cfg")
    overrides = {
        "paths.train": shared["train"],
        "paths.dev": shared["test"],
        "paths.transformer": args.transformer,
        "training.optimizer.learn_rate.warmup_steps": 10,
    }
    jobs: Jobs = {}
    for name, bfloat16 in PRECISIONS.items():
        if bfloat16 and not has_fast_bfloat16(torch.device("cpu")):
            continue
        common = {**shared, "config": config, "updates": UPDATES}
        ours = {"overrides": {**overrides, f"{TOK2VEC}.mixed_precision": bfloat16}, "parts": True}
        plain = {"worker": "speed_plain_transformer", "transformer": args.transformer, "bfloat16": bfloat16}
        jobs[name] = {**common, **ours, "model": str(corpus.folder / name)}
        jobs[f"{PLAIN}, {name}"] = {**common, **plain, "model": str(corpus.folder / f"plain-{name}")}
    return jobs


def frozen_jobs(args: argparse.Namespace, shared: Dict[str, Any]) -> Jobs:
    """Make the jobs of a frozen transformer and of the default recipe, which leave no models."""
    overrides = {"paths.train": shared["train"], "paths.dev": shared["test"], "paths.vectors": args.vectors}
    default = {**shared, "config": str(ROOT / "configs" / "bcrf_ner.cfg"), "overrides": overrides}
    kept = {"config": str(ROOT / "configs" / "frozen_bilstm.cfg"), "read_first": True}
    return {
        KEPT: {**default, **kept, "overrides": {**overrides, "paths.transformer": args.transformer}},
        DEFAULT: default,
    }


def make_flair(args: argparse.Namespace, python: str, corpus: CorpusFiles) -> Dict[str, Any]:
    """Make the job of flair's tagger, and the tagger. The job has the `libraries` that it was made with."""
    job = {"worker": "speed_flair_transformer", "python": python, "transformer": args.transformer, "updates": UPDATES}
    job.update(write_sentences(corpus.files, corpus.folder), model=str(corpus.folder / "flair.pt"))
    made = call(f"{job['worker']}.make", job, corpus.folder, python=python, threads=args.threads)
    return {**job, "libraries": made["libraries"]}


def make_ratios(systems: Dict[str, Dict[str, Any]]) -> Dict[str, float]:
    """Count how many times as many words per second ours does."""
    pairs = [
        (f"{task}, {name} / {PLAIN}", task, name, f"{PLAIN}, {name}")
        for task in ("train", "predict")
        for name in PRECISIONS
    ]
    pairs.append((f"predict / {FLAIR}", "predict", "float32", FLAIR))
    pairs.append((f"{KEPT} / {DEFAULT}", "train", KEPT, DEFAULT))
    return {
        name: round(systems[ours][f"{task}_words_per_second"] / systems[theirs][f"{task}_words_per_second"], 3)
        for name, task, ours, theirs in pairs
        if theirs in systems
    }


def take_profiles(systems: Dict[str, Dict[str, Any]]) -> Dict[str, Dict[str, Any]]:
    """Take the times of updates out of what was measured: milliseconds, and those of each part with their share."""
    profiles = {}
    for name, measured in systems.items():
        times = {key: measured.pop(key) for key in [*measured] if key.endswith("_ms")}
        named = {key.removeprefix("train_").removesuffix("_ms"): ms for key, ms in times.items()}
        if named:
            whole = named.pop("update")
            parts = {part: {"ms": ms, "share": round(ms / whole, 4)} for part, ms in named.items()}
            profiles[name] = {"update_ms": whole, **parts}
    return profiles


def run(args: argparse.Namespace) -> Path:
    if not (Path(args.transformer) / "config.json").is_file():
        raise BenchmarkError(f"{args.transformer}: there is no model in this folder: check --transformer.")
    python = flair_python(args.flair_python)
    libraries = {"transformers": version("transformers")}
    with open_corpus(args, needed=("train", "test")) as corpus:
        shared = {"seconds": args.seconds, **{split: str(file) for split, file in corpus.files.items()}}
        fine_tuned, frozen = fine_tuned_jobs(args, corpus, shared), frozen_jobs(args, shared)
        systems: Dict[str, Dict[str, Any]] = {}

        def measure(task: str, jobs: Jobs) -> None:
            for name, rounds in time_in_turns(task, jobs, args, corpus.folder, shown=f"{task}, round").items():
                systems.setdefault(name, {}).update({f"{task}_{key}": n for key, n in medians(rounds).items()})

        measure("train", fine_tuned)
        measure("train", frozen)
        if python is not None:
            fine_tuned[FLAIR] = make_flair(args, python, corpus)
            libraries.update({f"{name}, {FLAIR}": n for name, n in fine_tuned[FLAIR].pop("libraries").items()})
        measure("predict", fine_tuned)
    profiles, ratios = take_profiles(systems), make_ratios(systems)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio}")
    fields = {
        "corpus": corpus.short(),
        "transformer": Path(args.transformer).absolute().name,
        "libraries": libraries,
        "systems": systems,
        "profiles": profiles,
        "ratios": ratios,
    }
    options = ("limit_test", "threads", "rounds", "seconds")
    return write_result(args, "speed_transformer", args.name, options, **fields)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
