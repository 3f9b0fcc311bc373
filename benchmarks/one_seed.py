"""Train a pipeline with one seed and evaluate it: `python benchmarks/one_seed.py JOB.json`, as accuracy.py does.

Every seed has a process of its own, so that none inherits memory, caches or random state from another.
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, Iterable, List

import spacy
from documents import join_sentences, read_docs
from record import BenchmarkError, clear_errors, write_json
from spacy import util
from spacy.cli.train import train
from spacy.language import DEFAULT_CONFIG, Language
from spacy.training import Corpus, Example
from summary import SCORES
from thinc.api import Config


def run_job(job: Dict[str, Any]) -> Dict[str, Any]:
    """Train, evaluate the best model of the training, and return its scores.

    job: `config` path, `overrides`, `seed`, `gpu_id` (-1: CPU), `folder` for the model and the training log, `splits`
        (name -> .spacy file to evaluate), `join` (sentences in a joined Doc of the test split; 0: no such Docs), and
        `code`, where the config names functions that are not installed: the path of the file that registers them.
    """
    if "code" in job:
        util.import_file("code", job["code"])
    folder = Path(job["folder"])
    log = folder / "log.jsonl"
    config = util.load_config(job["config"], overrides=job["overrides"], interpolate=False)
    logger = config.get("training", {}).get("logger", DEFAULT_CONFIG["training"]["logger"])
    _prepare(config, job["seed"], log)
    config.to_disk(folder / "config.cfg")

    start = perf_counter()
    train(folder / "config.cfg", folder, use_gpu=job["gpu_id"])
    seconds = perf_counter() - start

    best = folder / "model-best"
    _restore_logger(best / "config.cfg", logger)
    return {
        "seed": job["seed"],
        "best_step": best_step(log.read_text(encoding="utf8").splitlines()),
        "training_seconds": round(seconds, 1),
        **_evaluate_splits(spacy.load(best), job["splits"], job["join"]),
    }


def _prepare(config: Config, seed: int, log: Path) -> None:
    """Set the seed, and the logger of spaCy that writes the score of every evaluation into a file."""
    config.setdefault("system", {})["seed"] = seed
    training = config.setdefault("training", {})
    if not str(training.get("seed", "$")).startswith("$"):
        training["seed"] = seed
    training["logger"] = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(log)}


def _restore_logger(path: Path, logger: Any) -> None:
    config = util.load_config(path, interpolate=False)
    config["training"]["logger"] = logger
    config.to_disk(path)


def best_step(log: Iterable[str]) -> int:
    """The step of the best model, from the lines of the log."""
    steps = [json.loads(line) for line in log]
    # Of equal scores spaCy keeps the model of the last.
    return max((step["score"], step["step"]) for step in steps)[1]


def _evaluate_splits(nlp: Language, splits: Dict[str, str], join: int) -> Dict[str, Any]:
    scores = {name: evaluate(nlp, list(Corpus(path)(nlp)), name) for name, path in splits.items()}
    if join:
        name = f"test_joined_{join}"
        docs = read_docs(Path(splits["test"]), nlp.vocab)
        scores[name] = evaluate(nlp, list(join_sentences(docs, join, nlp.vocab)), name)
    return scores


def evaluate(nlp: Language, examples: List[Example], split: str) -> Dict[str, Any]:
    """Precision, recall and F1 of the entities, from 0 to 1, in all and by label, and the words per second.

    split: name for the message of the BenchmarkError that is raised where the pipeline has no entity scores.
    """
    found = nlp.evaluate(examples)
    if any(found.get(f"ents_{key}") is None for key in SCORES):
        raise BenchmarkError(
            f"The pipeline ({', '.join(nlp.pipe_names)}) has no entity scores (ents_p, ents_r, ents_f) on {split}: it "
            "needs a component that writes doc.ents and a scorer for it, and the split needs entity annotation."
        )
    return {
        **_rounded({key: found[f"ents_{key}"] for key in SCORES}),
        "per_type": {label: _rounded(scores) for label, scores in sorted(found["ents_per_type"].items())},
        "words_per_second": round(found["speed"]),
    }


def _rounded(scores: Dict[str, float]) -> Dict[str, float]:
    return {key: round(scores[key], 6) for key in SCORES}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf8"))
    try:
        with clear_errors():
            write_json(Path(job["result"]), run_job(job))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
