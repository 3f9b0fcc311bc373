"""Words per second, in training and at prediction, and peak memory: `bcrf_ner`, spaCy's `ner` in both of its
quickstart configurations and, where it is installed, flair. All are measured in turns within one run.

Examples:
    python benchmarks/speed.py --corpus conll2003-en --train-corpus conll2003-en-20 --vectors en_core_web_md
    python benchmarks/speed.py --train assets/news/train.conll --test assets/news/test.conll --vectors en_core_web_md
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from documents import convert_corpus, find_sources, iob_tags, read_docs
from record import RESULTS, ROOT, BenchmarkError, check_positive, clear_errors, write_json, write_result
from spacy.cli.init_config import init_config
from spacy.util import load_model
from spacy.vocab import Vocab

HERE = Path(__file__).resolve().parent

FIELDS = ("corpus", "threads", "rounds", "seconds", "systems", "ratios")
"""The fields of a result beside those of every benchmark."""

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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--corpus", metavar="NAME", help="folder of the corpora, see accuracy.py")
    parser.add_argument("--train-corpus", metavar="NAME", help="take the train file from this folder instead")
    for split in ("train", "test"):
        parser.add_argument(f"--{split}", type=Path, metavar="PATH", help=f"the {split} file")
    parser.add_argument("--vectors", required=True, metavar="PATH|NAME", help="a pipeline with word vectors")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of every system (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measurements of each (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="how long each training is measured (default: 20)"
    )
    parser.add_argument(
        "--flair-python", metavar="PATH", help="a Python that has flair (default: this one, if it does; else without)"
    )
    parser.add_argument("--name", default="speed", help="stem of the result file (default: speed)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args = parser.parse_args(arguments)
    check_positive(parser, args, "threads", "rounds", "seconds")
    return args


def make_jobs(args: argparse.Namespace, files: Dict[str, Path], folder: Path) -> Dict[str, Dict[str, Any]]:
    """One job for each system: the script and interpreter that run it, and what they need."""
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
    """The interpreter that has flair; None if none is named and this one has not."""
    python = wanted or sys.executable
    try:
        found = subprocess.run([python, "-c", "import flair"], capture_output=True).returncode == 0
    except OSError as error:
        raise BenchmarkError(f"{python}: this Python cannot be run ({error.strerror}): check --flair-python.") from None
    if wanted and not found:
        raise BenchmarkError(f"{wanted}: this Python has no flair: install it there, or leave --flair-python out.")
    return python if found else None


def flair_files(files: Dict[str, Path], vectors: str, folder: Path) -> Dict[str, str]:
    """The corpus and the vectors of its words in files that need neither spaCy nor this package to be read."""
    vocab = load_model(vectors).vocab
    words: Dict[str, None] = {}
    written = {}
    for split in ("train", "test"):
        docs = read_docs(files[split], Vocab())
        sentences = [([token.text for token in doc], iob_tags(doc)) for doc in docs]
        words.update(dict.fromkeys(word for tokens, _ in sentences for word in tokens))
        written[split] = str(folder / f"{split}.json")
        write_json(Path(written[split]), sentences)
    known = [word for word in words if vocab.has_vector(word)]
    matrix = np.stack([vocab.get_vector(word) for word in known])
    np.savez(folder / "vectors.npz", words=np.array(known), vectors=matrix)
    return {**written, "vectors": str(folder / "vectors.npz")}


def run_job(job: Dict[str, Any], task: str, threads: int, folder: Path) -> Dict[str, float]:
    """Run one task (train or predict) of a system in a process of its own, and return what it measured."""
    worker = HERE / ("speed_flair.py" if "vectors" in job else "speed_spacy.py")
    path, result = folder / "job.json", folder / "result.json"
    write_json(path, {**job, "task": task, "threads": threads, "result": str(result)})
    # Every library takes its number of threads from here, also those that are never asked.
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run([job["python"], str(worker), str(path)], env={**os.environ, **limits})
    if done.returncode:
        raise BenchmarkError(f"The worker {worker.name} failed in {task}, for the reason above.")
    return json.loads(result.read_text(encoding="utf8"))


def measure(jobs: Dict[str, Dict[str, Any]], rounds: int, threads: int, folder: Path) -> Dict[str, Dict[str, Any]]:
    """Medians over the rounds, in which the systems take turns."""
    found: Dict[str, Dict[str, List[Dict[str, float]]]] = {name: {"train": [], "predict": []} for name in jobs}
    for task in ("train", "predict"):
        for number in range(rounds):
            for name, job in jobs.items():
                if task == "train" and "load" in job:
                    continue
                found[name][task].append(run_job(job, task, threads, folder))
                speed = found[name][task][-1]["words_per_second"]
                print(f"{task}, round {number + 1} of {rounds}: {name} {speed:,.0f} words per second", flush=True)
    return {
        name: {
            f"{task}_{key}": round(median(measured[key] for measured in tasks[task]), 2)
            for task in tasks
            for key in (tasks[task] or [{}])[0]
        }
        for name, tasks in found.items()
    }


def make_ratios(systems: Dict[str, Dict[str, Any]]) -> Dict[str, float]:
    """How many times as many words per second ours does."""
    ratios = {}
    for name in (ACCURACY, EFFICIENCY):
        for task in ("train", "predict"):
            key = f"{task}_words_per_second"
            ratios[f"{task} / {name}"] = round(systems[OURS][key] / systems[name][key], 2)
    if INT8 in systems:
        key = "predict_words_per_second"
        ratios[f"predict, 8-bit weights / {OURS}"] = round(systems[INT8][key] / systems[OURS][key], 2)
    if FLAIR in systems:
        for task in ("train", "predict"):
            key = f"{task}_words_per_second"
            ratios[f"{task} / {FLAIR}, same network"] = round(systems[SAME_NETWORK][key] / systems[FLAIR][key], 2)
    return ratios


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    sources = find_sources(args.corpus, args.train_corpus, {"train": args.train, "test": args.test}, ("train", "test"))
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        folder = Path(temporary)
        needed = {split: sources[split] for split in ("train", "test")}
        files = convert_corpus(needed, folder, "en")
        jobs = make_jobs(args, files, folder)
        systems = measure(jobs, args.rounds, args.threads, folder)
    ratios = make_ratios(systems)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio}")
    return write_result(
        args.to,
        benchmark="speed",
        name=args.name,
        arguments=command,
        corpus={split: source.parent.name + "/" + source.name for split, source in needed.items()},
        threads=args.threads,
        rounds=args.rounds,
        seconds=args.seconds,
        systems=systems,
        ratios=ratios,
    )


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    with clear_errors():
        print(run(parse_args(command[1:]), command))


if __name__ == "__main__":
    main(sys.argv)
