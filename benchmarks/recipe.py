"""Train variants of a config on one corpus and write how well each finds entities on its dev split.

The variants are the settings of recipe_variants.json, each changed by itself. Interrupted runs go on where they
stopped, and variants that are added later are measured beside those that are there.

Example:
    python benchmarks/recipe.py --corpus conll2003-en --train-corpus conll2003-en-20 --vectors en_core_web_md
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Sequence

from accuracy import check_config, default_name, fingerprint, run_seed
from documents import convert_corpus, find_sources
from record import RESULTS, ROOT, BenchmarkError, clear_errors, shown, write_result
from thinc.api import Config

VARIANTS = Path(__file__).resolve().with_name("recipe_variants.json")

FIELDS = ("config", "overrides", "corpus", "seed", "fingerprint", "variants")
"""The fields of a result beside those of every benchmark."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--corpus", required=True, metavar="NAME", help="folder of the corpora, see accuracy.py")
    parser.add_argument("--train-corpus", metavar="NAME", help="take the train file from this folder instead")
    parser.add_argument("--limit-train", metavar="N|P%", help="train on the first N sentences, or P per cent")
    parser.add_argument("--lang", metavar="CODE", help="language of the pipeline (default: the config's)")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "bcrf_ner.cfg", metavar="PATH")
    parser.add_argument("--vectors", metavar="PATH|NAME", help="a pipeline with word vectors")
    parser.add_argument("--steps", type=int, default=1200, metavar="N", help="updates of each training (default: 1200)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="measure these alone (default: all)")
    parser.add_argument("--name", help="stem of the result file (default: recipe-<corpus>)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    return parser.parse_args(arguments)


def read_variants(only: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """Name -> settings that differ from the config. Raises BenchmarkError for a name that is not there."""
    variants = json.loads(VARIANTS.read_text(encoding="utf8"))
    unknown = sorted(set(only) - set(variants))
    if unknown:
        raise BenchmarkError(f"{VARIANTS.name} has no {', '.join(unknown)}: choose from {', '.join(variants)}.")
    return {name: settings for name, settings in variants.items() if not only or name in only}


def measured_before(target: Path, key: Dict[str, Any]) -> Dict[str, Any]:
    """The variants in a result file; none where there is no such file.

    Raises BenchmarkError where it was made with other settings, since what is measured now could not stand beside it.
    """
    if not target.exists():
        return {}
    result = json.loads(target.read_text(encoding="utf8"))
    other = [name for name, value in key.items() if result.get(name) != value]
    if other:
        raise BenchmarkError(
            f"{target}: this result is of another {' and '.join(other)} (the fingerprint is of corpus and code): "
            "choose another --name, or delete the file."
        )
    return result["variants"]


def fall(config: Config, steps: int, rate: float, evaluations: int) -> None:
    """Let a config make so many updates, with a learning rate that rises to `rate` in a twentieth of them and falls to
    0 with the last.

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


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    """Measure all variants that are not measured yet. Returns the path of the result."""
    sources = find_sources(args.corpus, args.train_corpus, {})
    sources = {split: sources[split] for split in ("train", "dev")}
    overrides: Dict[str, Any] = {
        "training.max_steps": args.steps,
        "training.patience": args.steps,
        "training.eval_frequency": max(1, args.steps // 4),
    }
    for setting, value in (("nlp.lang", args.lang), ("paths.vectors", args.vectors)):
        if value is not None:
            overrides[setting] = value
    config = check_config(args.config, overrides)
    language = config["nlp"]["lang"]
    corpus = default_name(args, sources["train"]).removesuffix(f"-{args.config.stem}")
    name = args.name or f"recipe-{corpus}"
    target = args.to / f"{name}.json"
    args.join, args.gpu_id = 0, -1
    key = {
        "corpus": corpus,
        "seed": args.seed,
        "overrides": shown(overrides),
        # Of config, corpus and code: what was measured with others cannot be compared.
        "fingerprint": fingerprint(args, config, sources),
    }
    variants = measured_before(target, key)
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        files = convert_corpus(sources, Path(temporary), language, args.limit_train)
        for variant, settings in read_variants(args.only or ()).items():
            if variants.get(variant, {}).get("settings") == settings:
                continue
            folder = Path(temporary) / variant
            found = run_seed(
                folder,
                config=args.config,
                files=files,
                seed=args.seed,
                splits=["dev"],
                overrides={**overrides, **settings},
            )
            dev = {score: found["dev"][score] for score in ("p", "r", "f")}
            variants[variant] = {"settings": settings, "dev": dev, "best_step": found["best_step"]}
            print(f"{variant}: {100 * dev['f']:.2f}", flush=True)
            write_result(
                args.to,
                benchmark="recipe",
                name=name,
                arguments=command,
                config=args.config.name,
                variants=variants,
                **key,
            )
    return target


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    with clear_errors():
        print(run(parse_args(command[1:]), command))


if __name__ == "__main__":
    main(sys.argv)
