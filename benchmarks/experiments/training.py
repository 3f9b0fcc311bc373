"""Variants of a config that are trained with several seeds, each in a process of its own, and scored."""

import argparse
import json
import shutil
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Sequence

import spacy
from spacy import util
from spacy.cli.train import train
from spacy.language import DEFAULT_CONFIG, Language
from spacy.training import Corpus
from thinc.api import Config, ConfigValidationError

from experiments.corpora import CorpusFiles, join_sentences, read_docs
from experiments.errors import BenchmarkError
from experiments.fingerprints import code_fingerprint, model_fingerprint
from experiments.options import check_only
from experiments.record import ROOT
from experiments.results import ResultFile, Run
from experiments.scores import evaluate
from experiments.workers import call
from spacy_crfner.files import fingerprint, replacing


@dataclass
class Variant:
    """A config that is trained, without the paths of a corpus.

    code: the file that registers functions of the config that are not installed.
    """

    config: Config
    code: Optional[Path] = None

    def fingerprint(self) -> str:
        """Digest the config, the contents of the models that its [paths] name, and the code."""
        config = Config(self.config)
        paths = config.pop("paths", {})
        text = config.to_str(interpolate=False)
        # Neither the corpus, which has a fingerprint of its own, nor what is only kept to save time.
        models = {key: path for key, path in paths.items() if path and key not in ("train", "dev", "cache")}
        contents = {key: model_fingerprint(path) for key, path in models.items()}
        return fingerprint(text, contents, code_fingerprint(text, *filter(None, [self.code])))[:16]


def shipped_config(name: str) -> Config:
    return Config().from_disk(ROOT / "configs" / f"{name}.cfg", interpolate=False)


TOTAL_STEPS = "training.optimizer.learn_rate.total_steps"


def read_config(path: Path, overrides: Mapping[str, Any]) -> Config:
    """Read a config with settings that differ. Raises BenchmarkError where they cannot be put together.

    A learning rate that falls does so until another `training.max_steps`, unless it has a number of its own.
    """
    if not path.is_file():
        raise BenchmarkError(f"{path}: there is no such config: check --config.")
    try:
        rate = util.load_config(path).get("training", {}).get("optimizer", {}).get("learn_rate")
        replaced = any(TOTAL_STEPS.startswith(setting) for setting in overrides)
        if isinstance(rate, dict) and "total_steps" in rate and "training.max_steps" in overrides and not replaced:
            overrides = {**overrides, TOTAL_STEPS: overrides["training.max_steps"]}
        util.load_config(path, overrides={**overrides, "paths.train": None, "paths.dev": None}, interpolate=True)
        return util.load_config(path, overrides=dict(overrides))
    except ConfigValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors or ()]
        reason = "; ".join(faults) or error.desc or str(error)
        raise BenchmarkError(f"{path}: the config cannot be used: {' '.join(reason.split())}") from None


def base_overrides(args: argparse.Namespace) -> Dict[str, Any]:
    """Settings that --lang and --vectors make. Raises BenchmarkError where there are no such vectors."""
    lang, vectors = args.lang, args.vectors
    if vectors is not None and Path(vectors).is_file():
        raise BenchmarkError(f"{vectors} is a file: make it a pipeline first, with `python -m spacy init vectors`.")
    if vectors is not None and not Path(vectors).exists() and not util.is_package(vectors):
        raise BenchmarkError(f"{vectors}: there is no such folder or package with vectors: check --vectors.")
    settings = {"nlp.lang": lang, "paths.vectors": vectors}
    return {setting: value for setting, value in settings.items() if value is not None}


def fall(config: Config, steps: int, rate: float, evaluations: int) -> None:
    """Let a config make so many updates with a learning rate that falls.

    rate: the highest, to which it rises in a twentieth of the updates; it is 0 with the last.
    evaluations: how many; the last one is at the end where `steps` is a multiple of their number.
    """
    training = config["training"]
    training.update(max_steps=steps, max_epochs=0, patience=0, eval_frequency=max(1, steps // evaluations))
    training["optimizer"]["learn_rate"] = {
        "@schedules": "warmup_linear.v1",
        "initial_rate": rate,
        "warmup_steps": steps // 20,
        "total_steps": steps,
    }


Measure = Callable[[Any, CorpusFiles, int, Path], Run]
"""Measures a variant on a corpus with a seed; the folder is empty, and `model-best` in it what is kept with --keep."""


def measure_variants(
    result: ResultFile,
    corpus: CorpusFiles,
    names: Iterable[str],
    make: Callable[[str], Any],
    needed: Sequence[str],
    measure: Optional[Measure] = None,
) -> Path:
    """Measure each variant with each seed, unless it is measured already; keep each run at once.

    result: whose `args` have `seeds`, and perhaps `only` (the variants), `keep` and `gpu_id`.
    names: of all variants, in their order. make: name -> the variant, a Variant or what else has a `fingerprint()`.
    needed: what a run holds when it is complete, such as splits.
    measure: by default trains in a process of its own and scores the splits that are needed.

    Returns the path of the result. Raises BenchmarkError where a variant is unknown, a training fails, or what is
    measured cannot stand beside what is to be measured.
    """
    options, order = vars(result.args), list(names)
    measure = measure or partial(train_and_score, splits=needed, gpu_id=options.get("gpu_id", -1))
    only, keep = check_only(options.get("only"), order), options.get("keep")
    for name in only:
        result.check(name, make(name).fingerprint())
    for seed, name in product(dict.fromkeys(options["seeds"]), only):
        kept = keep and keep / result.name / f"{name}-{seed}"
        if result.has(name, seed, needed) and (kept is None or kept.exists()):
            print(f"{name}, seed {seed}: is measured already.", flush=True)
            continue
        print(f"{name}, seed {seed}", flush=True)
        variant = make(name)
        before = variant.fingerprint()
        # Removed when it is done: some models are large.
        with TemporaryDirectory(dir=corpus.folder) as folder:
            run = measure(variant, corpus, seed, Path(folder))
            if kept is not None:
                keep_model(Path(folder) / "model-best", kept)
        # Somebody may have changed a model or the code in the meantime.
        if make(name).fingerprint() != before:
            raise BenchmarkError(f"{name!r}: config, code or a model has changed meanwhile: measure it again.")
        result.add(name, before, seed, run, order)
        scores = [f"{key} {100 * run[key]['f']:.2f}" for key in needed if "f" in run[key]]
        if scores:
            print(f"{name}, seed {seed}: {', '.join(scores)}", flush=True)
    return result.path


def keep_model(model: Path, target: Path) -> None:
    """Copy a trained model, in place of one that is there already. Raises BenchmarkError where it cannot be written."""
    try:
        with replacing(target) as (unfinished,):
            shutil.copytree(model, unfinished)
    except OSError as error:
        raise BenchmarkError(f"{target}: the model cannot be kept there ({error.strerror or error}).") from None


def train_and_score(
    variant: Variant,
    corpus: CorpusFiles,
    seed: int,
    folder: Path,
    *,
    splits: Iterable[str] = (),
    join: int = 0,
    gpu_id: int = -1,
) -> Run:
    """Train a variant in a new process into a folder, and score its best model.

    splits: those to evaluate. join: sentences in a joined Doc of the test split; 0: no such Docs.
    """
    config = variant.config.copy()
    config.setdefault("paths", {}).update({split: str(corpus.files[split]) for split in ("train", "dev")})
    config.setdefault("system", {})["seed"] = seed
    training = config.setdefault("training", {})
    if not str(training.get("seed", "$")).startswith("$"):
        training["seed"] = seed
    logger = training.get("logger", DEFAULT_CONFIG["training"]["logger"])
    # One that writes the score of every evaluation into a file.
    training["logger"] = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(folder / "log.jsonl")}
    config.to_disk(folder / "config.cfg")
    job = {
        "code": variant.code and str(variant.code),
        "logger": logger,
        "gpu_id": gpu_id,
        "folder": str(folder),
        "splits": {split: str(corpus.files[split]) for split in splits},
        "join": join,
    }
    run = call("experiments.training.run_job", job, folder)
    del run["peak_memory_mb"]
    return {"best_step": best_step((folder / "log.jsonl").read_text(encoding="utf8").splitlines()), **run}


def run_job(job: Dict[str, Any]) -> Run:
    """Do what `train_and_score` asks for, in this process."""
    if job["code"]:
        util.import_file("code", job["code"])
    folder = Path(job["folder"])
    start = perf_counter()
    train(folder / "config.cfg", folder, use_gpu=job["gpu_id"])
    seconds = perf_counter() - start
    best = folder / "model-best"
    config = util.load_config(best / "config.cfg", interpolate=False)
    config["training"]["logger"] = job["logger"]
    config.to_disk(best / "config.cfg")
    return {"training_seconds": round(seconds, 1), **evaluate_splits(spacy.load(best), job["splits"], job["join"])}


def best_step(log: Iterable[str]) -> int:
    """Find the step of the best model in the lines of the log."""
    steps = [json.loads(line) for line in log]
    # Of equal scores spaCy keeps the model of the last.
    return max((step["score"], step["step"]) for step in steps)[1]


def evaluate_splits(nlp: Language, files: Mapping[str, Any], join: int = 0) -> Dict[str, Any]:
    """Score a pipeline on each file, by split; with `join` on joined Docs of the test split too."""
    scores = {split: evaluate(nlp, Corpus(path)(nlp), split) for split, path in files.items()}
    if join:
        name = f"test_joined_{join}"
        docs = read_docs(Path(files["test"]), nlp.vocab)
        scores[name] = evaluate(nlp, join_sentences(docs, join, nlp.vocab), name)
    return scores
