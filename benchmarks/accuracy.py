"""Train a config with several seeds on a corpus and write how well it finds entities, with mean and spread.

Examples:
    python benchmarks/accuracy.py --corpus conll2003-en --train-corpus conll2003-en-20 --seeds 0 1 2 --join 10
    python benchmarks/accuracy.py --train assets/news/train.conll --dev assets/news/dev.conll --no-test
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Iterable, Optional, Sequence

from click import NoSuchOption
from documents import SPLITS, convert_corpus, count, find_sources, read_docs
from record import (
    DATA_VARIABLE,
    RESULTS,
    ROOT,
    BenchmarkError,
    clear_errors,
    shown,
    shown_path,
    write_json,
    write_result,
)
from spacy.cli._util import parse_config_overrides
from spacy.util import is_package, load_config
from spacy.vocab import Vocab
from summary import format_table, summarize
from thinc.api import ConfigValidationError

import spacy_crfner

ONE_SEED = Path(__file__).resolve().with_name("one_seed.py")
OWN_SETTINGS = {
    "paths.train": "--train",
    "paths.dev": "--dev",
    "system.seed": "--seeds",
    "training.seed": "--seeds",
}
"""Settings of the config that this script makes itself, and the option to say so."""

FIELDS = ("config", "overrides", "corpus", "seeds", "per_seed", "summary")
"""The fields of a result beside those of every benchmark."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="Any further --section.setting VALUE is passed on to the config, as with `spacy train`.",
    )
    data = parser.add_argument_group("corpus (.conll, .conll.gz, .jsonl or .spacy files)")
    data.add_argument("--corpus", metavar="NAME", help=f"the files ${DATA_VARIABLE}/NAME/{{train,dev,test}}.conll.gz")
    data.add_argument("--train-corpus", metavar="NAME", help="take the train file from this folder instead")
    for split in SPLITS:
        data.add_argument(f"--{split}", type=Path, metavar="PATH", help=f"the {split} file")
    data.add_argument("--no-test", action="store_true", help="evaluate on dev only, as for tuning")
    data.add_argument("--limit-train", metavar="N|P%", help="train on the first N sentences, or P per cent")
    data.add_argument("--lang", metavar="CODE", help="language of the pipeline (default: the config's)")
    training = parser.add_argument_group("training")
    training.add_argument("--config", type=Path, default=ROOT / "configs" / "bcrf_ner.cfg", metavar="PATH")
    training.add_argument("--vectors", metavar="PATH|NAME", help="a pipeline with word vectors")
    training.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    training.add_argument("--gpu-id", type=int, default=-1, metavar="N", help="default: -1, the CPU")
    training.add_argument("--keep", type=Path, metavar="FOLDER", help="keep models as FOLDER/<result name>/seed-<n>")
    result = parser.add_argument_group("result")
    result.add_argument(
        "--join", type=int, default=0, metavar="N", help="evaluate on Docs of N joined test sentences too"
    )
    result.add_argument("--name", help="stem of the result file (default: from corpus and config)")
    result.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args, others = parser.parse_known_args(arguments)
    try:
        args.overrides = parse_config_overrides(others, env_var=None)
    except NoSuchOption as error:
        raise BenchmarkError(f"Unknown option {error.option_name}: see --help; settings have a dot.") from None
    return args


def make_overrides(args: argparse.Namespace) -> Dict[str, Any]:
    """The settings that differ from the config, without the paths of the corpus."""
    for setting, option in OWN_SETTINGS.items():
        if setting in args.overrides:
            raise BenchmarkError(f"{setting} is set by this script: use {option} instead of --{setting}.")
    overrides = dict(args.overrides)
    if args.lang is not None:
        overrides["nlp.lang"] = args.lang
    if args.vectors is not None:
        if Path(args.vectors).is_file():
            raise BenchmarkError(
                f"{args.vectors} is a file: make it a pipeline first, with `python -m spacy init vectors`."
            )
        if not Path(args.vectors).exists() and not is_package(args.vectors):
            raise BenchmarkError(f"{args.vectors}: there is no such folder or package with vectors: check --vectors.")
        overrides["paths.vectors"] = args.vectors
    return overrides


def check_config(path: Path, overrides: Dict[str, Any]) -> Dict[str, Any]:
    """The config with its overrides. Raises BenchmarkError where they cannot be put together."""
    if not path.is_file():
        raise BenchmarkError(f"{path}: there is no such config: check --config.")
    try:
        return load_config(path, overrides={**overrides, "paths.train": None, "paths.dev": None})
    except ConfigValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors or ()]
        reason = "; ".join(faults) or error.desc or str(error)
        raise BenchmarkError(f"{path}: the config cannot be used: {' '.join(reason.split())}") from None


def default_name(args: argparse.Namespace, train: Path) -> str:
    """Such as `conll2003-en-20-bcrf_ner`, from the folder of the train file (or its own name) and the config."""
    stem = train.name.split(".")[0]
    corpus = train.absolute().parent.name if stem == "train" else stem
    limit = f"-{args.limit_train.replace('%', 'pct')}" if args.limit_train else ""
    return f"{corpus}{limit}-{args.config.stem}"


def fingerprint(args: argparse.Namespace, config: Any, sources: Dict[str, Path]) -> str:
    """A digest of all that the result of a seed depends on: settings, corpus, code."""
    digest = hashlib.sha256()
    package = sorted(Path(spacy_crfner.__file__).parent.rglob("*.py"))
    for path in (*sources.values(), *package, ONE_SEED, ONE_SEED.with_name("documents.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    settings = [sorted(sources), config.to_str(), args.limit_train, args.join, args.gpu_id]
    digest.update(json.dumps(settings).encode("utf8"))
    return digest.hexdigest()


class FinishedSeeds:
    """The results of the seeds that are done, kept in a file so that an interrupted run can go on.

    path: the file; it is used only if its fingerprint is the same.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self.results: Dict[int, Dict[str, Any]] = {}
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf8"))
                if kept["fingerprint"] == fingerprint:
                    self.results = {result["seed"]: result for result in kept["per_seed"]}
                else:
                    print(f"{path.name} is of other settings, another corpus or other code: starting anew.")
            except (ValueError, KeyError, TypeError):
                raise BenchmarkError(f"{path}: the file is damaged: delete it to start anew.") from None

    def add(self, result: Dict[str, Any]) -> None:
        self.results[result["seed"]] = result
        write_json(self.path, {"fingerprint": self.fingerprint, "per_seed": list(self.results.values())})

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def run_seed(
    folder: Path,
    *,
    config: Path,
    files: Dict[str, Path],
    seed: int,
    splits: Iterable[str],
    overrides: Optional[Dict[str, Any]] = None,
    gpu_id: int = -1,
    join: int = 0,
    code: Optional[Path] = None,
) -> Dict[str, Any]:
    """Train and evaluate one seed in a new process, see one_seed.run_job.

    folder: for the model and the training log. files: the corpus, a .spacy file for each split. splits: those to
        evaluate. overrides: of the config, beside the paths of the corpus.
    """
    job = {
        "config": str(config),
        "overrides": {**(overrides or {}), **{f"paths.{split}": str(files[split]) for split in ("train", "dev")}},
        "seed": seed,
        "gpu_id": gpu_id,
        "splits": {split: str(files[split]) for split in splits},
        "join": join,
        "folder": str(folder),
        "result": str(folder / "result.json"),
        **({} if code is None else {"code": str(code)}),
    }
    write_json(folder / "job.json", job)
    done = subprocess.run([sys.executable, str(ONE_SEED), str(folder / "job.json")])
    if done.returncode:
        raise BenchmarkError(f"Seed {seed} failed, for the reason above (exit code {done.returncode}).")
    return json.loads((folder / "result.json").read_text(encoding="utf8"))


def keep_model(model: Path, target: Path) -> None:
    """Copy a trained model, in place of one that is there already."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(model, unfinished)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(unfinished, target)
    except OSError as error:
        raise BenchmarkError(f"{target}: the model cannot be kept there ({error.strerror or error}).") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    """Measure all seeds and write the result. Returns its path."""
    splits = SPLITS[:2] if args.no_test else SPLITS
    sources = find_sources(args.corpus, args.train_corpus, {split: getattr(args, split) for split in SPLITS})
    sources = {split: file for split, file in sources.items() if split in splits}
    if args.join and (args.join < 2 or "test" not in sources):
        raise BenchmarkError("--join needs a number of sentences above 1, and a test split to join them in.")
    overrides = make_overrides(args)
    config = check_config(args.config, overrides)
    name = args.name or default_name(args, sources["train"])
    if name != Path(name).name:
        raise BenchmarkError(f"The name {name!r} cannot be that of a file: choose one without slashes.")
    finished = FinishedSeeds(args.to / f"{name}.partial", fingerprint(args, config, sources))
    seeds = list(dict.fromkeys(args.seeds))
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        language = config.get("nlp", {}).get("lang") or "en"
        files = convert_corpus(sources, Path(temporary), language, args.limit_train)
        corpus = {
            split: {"source": shown_path(sources[split]), **count(read_docs(file, Vocab()))}
            for split, file in files.items()
        }
        for seed in seeds:
            kept = args.keep and args.keep / name / f"seed-{seed}"
            if seed in finished.results and (kept is None or kept.exists()):
                print(f"Seed {seed} is finished already.", flush=True)
                continue
            print(f"Seed {seed}", flush=True)
            folder = Path(temporary) / f"seed-{seed}"
            result = run_seed(
                folder,
                config=args.config,
                files=files,
                seed=seed,
                splits=[split for split in files if split != "train"],
                overrides=overrides,
                gpu_id=args.gpu_id,
                join=args.join,
            )
            if kept:
                keep_model(folder / "model-best", kept)
            finished.add(result)
            shutil.rmtree(folder, ignore_errors=True)
    per_seed = [finished.results[seed] for seed in seeds]
    summary = summarize(per_seed)
    target = write_result(
        args.to,
        benchmark="accuracy",
        name=name,
        arguments=command,
        gpu_id=args.gpu_id,
        config=shown_path(args.config),
        overrides=shown(overrides),
        corpus=corpus,
        seeds=seeds,
        per_seed=per_seed,
        summary=summary,
    )
    finished.remove()
    print(format_table(summary))
    return target


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    try:
        with clear_errors():
            print(run(parse_args(command[1:]), command))
    except KeyboardInterrupt:
        print("Interrupted: start the same command again to go on after the last finished seed.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    # However it is stopped, it takes the training with it and leaves no temporary files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main(sys.argv)
