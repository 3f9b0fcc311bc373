"""Words per second, in training and at prediction, peak memory, and the time of one text of 20 to 40 words.

All are measured in turns within one run.

Of `bcrf_ner`, spaCy's `ner` in both of its quickstart configurations and, where it is installed, flair.

Examples:
    python benchmarks/speed.py --corpus conll2003-en --train-corpus conll2003-en-20 --vectors en_core_web_md
    python benchmarks/speed.py --train assets/news/train.conll --test assets/news/test.conll --vectors en_core_web_md
    python benchmarks/speed.py --one-text --rounds 12 --corpus conll2003-en --vectors en_core_web_md --name one-text
"""

import argparse
import json
import subprocess
import sys
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, Dict, Optional

import numpy as np
from experiments.corpora import CorpusFiles, open_corpus, read_docs
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import ROOT, write_result
from experiments.workers import call, medians, time_in_turns
from spacy.cli.init_config import init_config
from spacy.util import load_model
from spacy.vocab import Vocab

OURS, INT8 = "bcrf_ner", "bcrf_ner, 8-bit weights"
ACCURACY, EFFICIENCY = "spacy ner, accuracy", "spacy ner, efficiency"
WORDS = (20, 40)
"""The fewest and the most words of a text that is read by itself."""
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

OPTIONS = ("corpus", "train-corpus", "train-file", "test-file", "threads", "seconds")
parser = make_parser(__doc__, *OPTIONS, required=["vectors"], defaults={"rounds": 3, "name": "speed"})
parser.add_argument("--flair-python", metavar="PATH", help="a Python that has flair (default: this, if it has it)")
parser.add_argument("--one-text", action="store_true", help="time single texts alone, of ours and spaCy's efficiency")
parse_args = parser.parse_args


def make_jobs(args: argparse.Namespace, files: Dict[str, Path], folder: Path) -> Dict[str, Dict[str, Any]]:
    """Make one job for each system, see `time_in_turns`."""
    overrides = {"paths.train": str(files["train"]), "paths.dev": str(files["test"]), "paths.vectors": args.vectors}
    ours = {"config": str(ROOT / "configs" / "bcrf_ner.cfg")}
    jobs: Dict[str, Dict[str, Any]] = {OURS: {**ours, "overrides": overrides}}
    for name in (ACCURACY, EFFICIENCY):
        path = folder / f"{name}.cfg"
        init_config(lang="en", pipeline=["ner"], optimize=name.split()[-1], gpu=False).to_disk(path)
        jobs[name] = {"config": str(path), "overrides": dict(overrides)}
    # It has no static vectors.
    del jobs[EFFICIENCY]["overrides"]["paths.vectors"]
    python = flair_python(args.flair_python)
    if python is not None:
        jobs[FLAIR] = {"python": python, "worker": "speed_flair", **flair_files(files, args.vectors, folder)}
        jobs[SAME_NETWORK] = {**ours, "overrides": {**overrides, **FLAIR_NETWORK}}
    jobs[INT8] = {"load": {"components.bcrf_ner.model.tok2vec.int8": True}}
    shared = {"seconds": args.seconds, "words": WORDS, **{split: str(file) for split, file in files.items()}}
    jobs = {name: {**shared, "model": str(folder / f"model-{n}"), **job} for n, (name, job) in enumerate(jobs.items())}
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
    words = dict.fromkeys(token.text for file in files.values() for doc in read_docs(file, Vocab()) for token in doc)
    known = [word for word in words if vocab.has_vector(word)]
    matrix = np.stack([vocab.get_vector(word) for word in known])
    np.savez(folder / "vectors.npz", words=np.array(known), vectors=matrix)
    return {**write_sentences(files, folder), "vectors": str(folder / "vectors.npz")}


def write_sentences(files: Dict[str, Path], folder: Path) -> Dict[str, str]:
    """Write the words and entities of a corpus as JSON. Returns the path of each split."""
    for split, file in files.items():
        docs = read_docs(file, Vocab())
        sentences = [([token.text for token in doc], [(e.start, e.end, e.label_) for e in doc.ents]) for doc in docs]
        (folder / split).write_text(json.dumps(sentences), encoding="utf8")
    return {split: str(folder / split) for split in files}


def make_ratios(systems: Dict[str, Dict[str, Any]]) -> Dict[str, float]:
    """Count how many times as many words per second ours does."""
    pairs = [(task, f" / {name}", OURS, name) for name in (ACCURACY, EFFICIENCY) for task in ("train", "predict")]
    pairs.append(("predict", f", 8-bit weights / {OURS}", INT8, OURS))
    pairs += [(task, f" / {FLAIR}, same network", SAME_NETWORK, FLAIR) for task in ("train", "predict")]
    ratios = {}
    for task, name, ours, theirs in pairs:
        if ours in systems and theirs in systems:
            speeds = (systems[system][f"{task}_words_per_second"] for system in (ours, theirs))
            ratios[f"{task}{name}"] = round(truediv(*speeds), 2)
    times = {name: system["one_by_one_ms"] for name, system in systems.items() if "one_by_one_ms" in system}
    for name in (ACCURACY, EFFICIENCY, FLAIR):
        if OURS in times and name in times:
            ratios[f"one text, time of {name} / ours"] = round(times[name] / times[OURS], 2)
    return ratios


def run(args: argparse.Namespace) -> Path:
    with open_corpus(args, needed=("train", "test")) as corpus:
        jobs = make_jobs(args, corpus.files, corpus.folder)
        if args.one_text:
            return time_texts(args, {name: jobs[name] for name in (OURS, EFFICIENCY)}, corpus)
        systems: Dict[str, Dict[str, Any]] = {name: {} for name in jobs}
        for task in ("train", "predict", "one_by_one"):
            # What is loaded with other settings is trained already.
            timed = {name: job for name, job in jobs.items() if task != "train" or "load" not in job}
            for name, rounds in time_in_turns(task, timed, args, corpus.folder, shown=f"{task}, round").items():
                systems[name].update({f"{task}_{key}": value for key, value in medians(rounds).items()})
    ratios = make_ratios(systems)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio}")
    options = ("threads", "rounds", "seconds")
    return write_result(args, "speed", args.name, options, corpus=corpus.short(), systems=systems, ratios=ratios)


def time_texts(args: argparse.Namespace, jobs: Dict[str, Dict[str, Any]], corpus: CorpusFiles) -> Path:
    """Time single texts in more turns: other programs on the machine change their time from process to process."""
    for job in jobs.values():
        call("speed_spacy.train", {**job, "seconds": 0.1}, corpus.folder, threads=args.threads)
    found = time_in_turns("one_by_one", jobs, args, corpus.folder, shown="one_by_one, round")
    ours, theirs = ([measured["ms"] for measured in found[name]] for name in (OURS, EFFICIENCY))
    ratios = sorted(mine / other for mine, other in zip(ours, theirs, strict=True))
    times = {name: [round(measured["ms"], 3) for measured in rounds] for name, rounds in found.items()}
    ratio = {"median": round(median(ratios), 3), "least": round(ratios[0], 3), "most": round(ratios[-1], 3)}
    print(f"time of {OURS} / {EFFICIENCY}: {ratio}")
    options = ("threads", "rounds")
    return write_result(args, "one text", args.name, options, corpus=corpus.short(), ms=times, ratio=ratio)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
