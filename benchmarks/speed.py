"""Words per second, in training and at prediction, and peak memory, all measured in turns within one run.

Of `bcrf_ner`, spaCy's `ner` in both of its quickstart configurations and, where it is installed, flair.

Examples:
    python benchmarks/speed.py --corpus conll2003-en --train-corpus conll2003-en-20 --vectors en_core_web_md
    python benchmarks/speed.py --train assets/news/train.conll --test assets/news/test.conll --vectors en_core_web_md
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy as np
from experiments.corpora import iob_tags, open_corpus, read_docs
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import ROOT, write_result
from experiments.workers import call, in_turns, medians
from spacy.cli.init_config import init_config
from spacy.util import load_model
from spacy.vocab import Vocab

OURS, INT8 = "bcrf_ner", "bcrf_ner, 8-bit weights"
ACCURACY, EFFICIENCY = "spacy ner, accuracy", "spacy ner, efficiency"
FLAIR, SAME_NETWORK = "flair", "bcrf_ner, flair's network"

FLAIR_NETWORK = {
    "components.bcrf_ner.model.tok2vec.width": 256,
    "components.bcrf_ner.model.tok2vec.tok2vec.layout": "word+char",
    "components.bcrf_ner.model.tok2vec.tok2vec.char_width": 50,
    "components.bcrf_ner.model.tok2vec.tok2vec.char_embed_width": 25,
    "components.bcrf_ner.model.tok2vec.tok2vec.hash_attrs": [],
    "components.bcrf_ner.model.tok2vec.tok2vec.hash_rows": [],
    "components.bcrf_ner.loss.P": 0.5,
    "components.bcrf_ner.r_drop": 0.0,
    "training.batcher": {"@batchers": "spacy.batch_by_sequence.v1", "size": 32, "get_length": None},
}
"""What flair's WordEmbeddings and CharacterEmbeddings with hidden_size=128 are in our config, and a plain CRF."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    names = ["corpus", "train-corpus", "train-file", "test-file", "threads", "seconds"]
    parser = make_parser(__doc__, *names, required=["vectors"], defaults={"rounds": 3, "name": "speed"})
    parser.add_argument("--flair-python", metavar="PATH", help="a Python that has flair (default: this, if it has it)")
    return parser.parse_args(arguments)


def make_jobs(args: argparse.Namespace, files: Dict[str, Path], folder: Path) -> Dict[str, Dict[str, Any]]:
    """Make one job for each system: the interpreter that runs it, and what it needs."""
    overrides = {"paths.train": str(files["train"]), "paths.dev": str(files["test"]), "paths.vectors": args.vectors}
    ours = {"config": str(ROOT / "configs" / "bcrf_ner.cfg")}
    jobs: Dict[str, Dict[str, Any]] = {OURS: {**ours, "overrides": overrides}}
    for name, optimize in ((ACCURACY, "accuracy"), (EFFICIENCY, "efficiency")):
        path = folder / f"{optimize}.cfg"
        init_config(lang="en", pipeline=["ner"], optimize=optimize, gpu=False).to_disk(path)
        # The efficiency configuration has no static vectors.
        own = {key: value for key, value in overrides.items() if optimize == "accuracy" or key != "paths.vectors"}
        jobs[name] = {"config": str(path), "overrides": own}
    python = flair_python(args.flair_python)
    if python is not None:
        jobs[FLAIR] = {"python": python, **flair_files(files, args.vectors, folder)}
        jobs[SAME_NETWORK] = {**ours, "overrides": {**overrides, **FLAIR_NETWORK}}
    jobs[INT8] = {"load": {"components.bcrf_ner.model.tok2vec.int8": True}}
    for number, job in enumerate(jobs.values()):
        job.setdefault("python", sys.executable)
        job.setdefault("train", str(files["train"]))
        job.setdefault("test", str(files["test"]))
        job.update(model=str(folder / f"model-{number}"), seconds=args.seconds)
    jobs[INT8]["model"] = jobs[OURS]["model"]
    return jobs


def flair_python(wanted: Optional[str]) -> Optional[str]:
    """Find the interpreter that has flair; None if none is named and this one has not."""
    python = wanted or sys.executable
    try:
        found = subprocess.run([python, "-c", "import flair"], capture_output=True).returncode == 0
    except OSError as error:
        raise BenchmarkError(f"{python}: this Python cannot be run ({error.strerror}): check --flair-python.") from None
    if wanted and not found:
        raise BenchmarkError(f"{wanted}: this Python has no flair: install it there, or leave --flair-python out.")
    return python if found else None


def flair_files(files: Dict[str, Path], vectors: str, folder: Path) -> Dict[str, str]:
    """Write the corpus and the vectors of its words into files that need neither spaCy nor this package to be read."""
    vocab = load_model(vectors).vocab
    words: Dict[str, None] = {}
    written = {}
    for split in ("train", "test"):
        docs = read_docs(files[split], Vocab())
        sentences = [([token.text for token in doc], iob_tags(doc)) for doc in docs]
        words.update(dict.fromkeys(word for tokens, _ in sentences for word in tokens))
        written[split] = str(folder / f"{split}.json")
        Path(written[split]).write_text(json.dumps(sentences), encoding="utf8")
    known = [word for word in words if vocab.has_vector(word)]
    matrix = np.stack([vocab.get_vector(word) for word in known])
    np.savez(folder / "vectors.npz", words=np.array(known), vectors=matrix)
    return {**written, "vectors": str(folder / "vectors.npz")}


def run_job(job: Dict[str, Any], task: str, threads: int, folder: Path) -> Dict[str, float]:
    """Run one task (train or predict) of a system in a process of its own, and return what it measured."""
    worker = "speed_flair" if "vectors" in job else "speed_spacy"
    return call(f"{worker}.{task}", job, folder, python=job["python"], threads=threads)


def measure(jobs: Dict[str, Dict[str, Any]], rounds: int, threads: int, folder: Path) -> Dict[str, Dict[str, Any]]:
    """Take medians over the rounds, in which the systems take turns."""
    systems: Dict[str, Dict[str, Any]] = {name: {} for name in jobs}
    for task in ("train", "predict"):
        # What is loaded with other settings is trained already.
        timed = {name: job for name, job in jobs.items() if task == "predict" or "load" not in job}
        turns = {name: partial(run_job, job, task, threads, folder) for name, job in timed.items()}
        for name, found in in_turns(turns, rounds, shown=f"{task}, round").items():
            systems[name].update({f"{task}_{key}": value for key, value in medians(found).items()})
    return systems


def make_ratios(systems: Dict[str, Dict[str, Any]]) -> Dict[str, float]:
    """Count how many times as many words per second ours does."""
    pairs = [(task, name, OURS, name) for name in (ACCURACY, EFFICIENCY) for task in ("train", "predict")]
    pairs.append(("predict", f"8-bit weights / {OURS}", INT8, OURS))
    pairs += [(task, f"{FLAIR}, same network", SAME_NETWORK, FLAIR) for task in ("train", "predict")]
    ratios = {}
    for task, name, ours, theirs in pairs:
        if ours in systems and theirs in systems:
            key = f"{task}_words_per_second"
            label = f"{task}, {name}" if ours == INT8 else f"{task} / {name}"
            ratios[label] = round(systems[ours][key] / systems[theirs][key], 2)
    return ratios


def run(args: argparse.Namespace) -> Path:
    with open_corpus(args, needed=("train", "test")) as corpus:
        systems = measure(make_jobs(args, corpus.files, corpus.folder), args.rounds, args.threads, corpus.folder)
    ratios = make_ratios(systems)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio}")
    options = ("threads", "rounds", "seconds")
    return write_result(args, "speed", args.name, options, corpus=corpus.short(), systems=systems, ratios=ratios)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
