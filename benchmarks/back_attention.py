"""Taggers of another language with and without back attention, and with controls in its place.

Every training is kept in the result as soon as it is done: an interrupted run goes on, and variants or seeds that are
added later are measured beside those that are there, also by several runs at a time, of different ones.

Example:
    python benchmarks/back_attention.py --corpus conll2002-es --lang es --limit-train 10% --vectors vectors/es \\
        --translator training/es-en --english training/conll2003/model-best
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, Optional, Sequence

import controls
import spacy
from accuracy import default_name, fingerprint, keep_model, run_seed
from documents import SPLITS, convert_corpus, find_sources
from one_seed import evaluate
from recipe import fall, measured_before
from record import RESULTS, ROOT, BenchmarkError, check_positive, clear_errors, covering, write_result
from spacy.training import Corpus
from thinc.api import Config

from spacy_crfner.back_attention.component import BackAttention
from spacy_crfner.back_attention.english import EnglishNER
from spacy_crfner.training_loop import CHECKPOINT, LOG

CONTROLS = Path(controls.__file__)
PLAIN, CARRIED = ROOT / "configs" / "bcrf_ner.cfg", ROOT / "configs" / "back_attention.cfg"
FEATURES = {"@architectures": "spacy_crfner.BackAttentionFeatures.v1", "component": "back_attention", "dropout": 0.0}

RATE, EVALUATIONS = 0.002, 8
"""The highest learning rate, and how often dev is evaluated, where --steps is given."""

SHORT = 12
"""Words of a part of a sentence that is translated by itself, in one variant; 30 in the others."""

FIELDS = ("corpus", "lang", "limit_train", "steps", "fingerprint", "variants")
"""The fields of a result beside those of every benchmark."""


def carry(config: Config, width: int, **settings: Any) -> None:
    """Other settings of the component, whose features are so wide."""
    config["components"]["back_attention"].update(settings)
    config["components"]["bcrf_ner"]["model"]["tok2vec"]["second"]["width"] = width


def at_the_input(config: Config, states: int, tags: int) -> None:
    model = config["components"]["bcrf_ner"]["model"]
    own = model["tok2vec"]["first"]
    both = {"@architectures": "spacy_crfner.Concatenate.v1", "first": own["tok2vec"]}
    model["tok2vec"] = {**own, "tok2vec": {**both, "second": {**FEATURES, "width": states}}}


def alone(config: Config, states: int, tags: int) -> None:
    model = config["components"]["bcrf_ner"]["model"]
    model["tok2vec"] = {**model["tok2vec"]["first"], "tok2vec": {**FEATURES, "width": states}}


def short_parts(config: Config, states: int, tags: int) -> None:
    """Sentences are cut into parts as short as what translators learn from everyday sentences."""
    carry(config, states)
    config["initialize"]["components"]["back_attention"]["translator"]["longest"] = SHORT


def untranslated(config: Config, states: int, tags: int) -> None:
    carry(config, states)
    config["initialize"]["components"]["back_attention"]["translator"] = {"@misc": "spacy_crfner.Untranslated.v1"}


def both(config: Config, states: int, tags: int) -> None:
    """What the English NER knows of the translation, and of the words as they are."""
    carry(config, states)
    name = "as_they_are"
    config["components"][name] = dict(config["components"]["back_attention"])
    config["nlp"]["pipeline"] = [name, *config["nlp"]["pipeline"]]
    config["training"]["annotating_components"] = [name, *config["training"]["annotating_components"]]
    initialize = config["initialize"]["components"]
    initialize[name] = {**initialize["back_attention"], "translator": {"@misc": "spacy_crfner.Untranslated.v1"}}
    model = config["components"]["bcrf_ner"]["model"]
    more = {**FEATURES, "component": name, "width": states}
    concatenate = "spacy_crfner.Concatenate.v1"
    model["tok2vec"] = {"@architectures": concatenate, "first": model["tok2vec"], "second": more}


def shuffled(config: Config, states: int, tags: int) -> None:
    carry(config, states)
    initialize = config["initialize"]["components"]["back_attention"]
    initialize["translator"] = {"@misc": "controls.Shuffled.v1", "translator": initialize["translator"]}


def random_features(config: Config, states: int, tags: int) -> None:
    config["components"]["back_attention"] = {"factory": "random_features", "width": states}
    del config["initialize"]["components"]["back_attention"]
    carry(config, states)


def random_alone(config: Config, states: int, tags: int) -> None:
    random_features(config, states, tags)
    alone(config, states, tags)


VARIANTS: Dict[str, Callable[[Config, int, int], None]] = {
    "back attention": lambda config, states, tags: carry(config, states),
    "short parts": short_parts,
    "row-normalised": lambda config, states, tags: carry(config, states + 1, normalisation="row_normalised"),
    "marginals": lambda config, states, tags: carry(config, tags, representation="marginals"),
    "projected entities": lambda config, states, tags: carry(config, tags, representation="tags"),
    "at the input": at_the_input,
    "alone as embeddings": alone,
    "untranslated": untranslated,
    "both": both,
    "shuffled alignment": shuffled,
    "random features": random_features,
    "random features alone": random_alone,
}
"""Name -> what it changes in configs/back_attention.cfg, given the widths of English states and tags."""

WITHOUT = "without"


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The options that say what taggers are trained on and with."""
    parser.add_argument("--corpus", required=True, metavar="NAME", help="folder of the corpora, see accuracy.py")
    parser.add_argument("--lang", required=True, metavar="CODE", help="language of the corpus")
    parser.add_argument("--limit-train", metavar="N|P%", help="train on the first N sentences, or P per cent")
    parser.add_argument("--vectors", metavar="PATH|NAME", help="a pipeline with word vectors")
    parser.add_argument("--translator", required=True, metavar="PATH", help="folder of a translator")
    parser.add_argument("--english", required=True, metavar="PATH|NAME", help="an English pipeline with a bcrf_ner")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where features are kept from run to run")
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="train for N updates, with a learning rate that falls to 0 (default: as the configs say)",
    )


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_sources(parser)
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="measure these alone (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="default: 0")
    parser.add_argument("--no-test", action="store_true", help="evaluate on dev only, as for tuning")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep models as FOLDER/<result name>/<variant>-<seed>"
    )
    parser.add_argument("--name", help="stem of the result file (default: back-attention-<corpus>)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args = parser.parse_args(arguments)
    if args.steps is not None:
        check_positive(parser, args, "steps")
    names = [WITHOUT, *VARIANTS]
    unknown = sorted(set(args.only or ()) - set(names))
    if unknown:
        raise BenchmarkError(f"There is no variant {', '.join(unknown)}: choose from {', '.join(names)}.")
    args.only = args.only or names
    return args


def make_config(variant: str, args: argparse.Namespace) -> Config:
    """The config of a variant, without the paths of the corpus."""
    config = Config().from_disk(PLAIN if variant == WITHOUT else CARRIED, interpolate=False)
    config["nlp"]["lang"] = args.lang
    config["paths"]["vectors"] = args.vectors
    if args.steps is not None:
        fall(config, args.steps, RATE, EVALUATIONS)
    if variant != WITHOUT:
        cache = None if args.cache is None else str(args.cache)
        config["paths"].update(translator=args.translator, english=args.english, cache=cache)
        english = EnglishNER(spacy.load(args.english), "states")
        VARIANTS[variant](config, english.width, len(english.tagger.tag_set))
    return config


def digest(path: Path) -> str:
    """Of a file, or of all files of a folder, but for what training a translator leaves there; of the name of what is
    neither."""
    found = hashlib.sha256(str(path.name).encode("utf8") if not path.exists() else b"")
    for file in sorted(one for one in (path, *path.rglob("*")) if one.is_file() and one.name not in (CHECKPOINT, LOG)):
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def made_of(variant: str, args: argparse.Namespace) -> str:
    """A digest of what a variant is trained with, beside corpus and code: its config, and the contents behind it."""
    config = make_config(variant, args)
    config["paths"] = {}
    parts = [config.to_str()]
    if any(name in parts[0] for name in ("controls.", "random_features")):
        parts.append(digest(CONTROLS))
    used = (args.vectors,) if variant == WITHOUT else (args.translator, args.english, args.vectors)
    parts += [digest(Path(path)) for path in used if path]
    return hashlib.sha256(json.dumps(parts).encode("utf8")).hexdigest()[:16]


def check_made_of(done: Dict[str, Any], variant: str, args: argparse.Namespace, target: Path) -> str:
    """What a variant is made of now. Raises BenchmarkError where what is measured was made of something else."""
    parts = made_of(variant, args)
    if done.get("made_of", parts) != parts:
        raise BenchmarkError(
            f"{target}: {variant!r} was measured with another translator, English pipeline, vectors or config: "
            "choose another --name, or delete the file."
        )
    return parts


def evaluate_splits(
    model: Path, files: Dict[str, Path], splits: Sequence[str], cache: Optional[Path]
) -> Dict[str, Dict[str, Any]]:
    """Scores by split. cache: with the features of these sentences, so that nothing is translated twice."""
    nlp = spacy.load(model)
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, BackAttention):
            pipe.keep_features(cache)
    found = {split: evaluate(nlp, list(Corpus(files[split])(nlp)), split) for split in splits}
    for scores in found.values():
        # It depends on what the cache holds.
        del scores["words_per_second"]
    return found


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    """Measure what is not measured yet. Returns the path of the result."""
    sources = find_sources(args.corpus, None, {}, SPLITS)
    splits = SPLITS[1:2] if args.no_test else SPLITS[1:]
    args.config, args.join, args.gpu_id = CARRIED, 0, -1
    stem = default_name(args, sources["train"]).removesuffix(f"-{CARRIED.stem}")
    name = args.name or f"back-attention-{stem}"
    target = args.to / f"{name}.json"
    key = {
        "corpus": args.corpus,
        "lang": args.lang,
        "limit_train": args.limit_train,
        "steps": args.steps,
        # Of corpus and code: what was measured with others cannot be compared.
        "fingerprint": fingerprint(args, Config(), sources),
    }
    variants = measured_before(target, key)
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        files = convert_corpus(sources, Path(temporary), args.lang, args.limit_train)
        for variant in args.only:
            check_made_of(variants.get(variant, {}), variant, args, target)
        for seed in args.seeds:
            for variant in args.only:
                done = measured_before(target, key).get(variant, {})
                parts = check_made_of(done, variant, args, target)
                if all(str(seed) in done.get(split, {}) for split in splits):
                    continue
                folder = Path(temporary) / f"{variant}-{seed}"
                folder.mkdir(parents=True)
                config = folder / "variant.cfg"
                make_config(variant, args).to_disk(config)
                found = run_seed(folder, config=config, files=files, seed=seed, splits=(), code=CONTROLS)
                found.update(evaluate_splits(folder / "model-best", files, splits, args.cache))
                if args.keep:
                    keep_model(folder / "model-best", args.keep / name / folder.name)
                # Again, since another run may have added to it in the meantime, or somebody changed a model.
                variants = measured_before(target, key)
                done = variants.setdefault(variant, {"made_of": parts})
                check_made_of(done, variant, args, target)
                for split in splits:
                    done.setdefault(split, {})[str(seed)] = found[split]
                done.setdefault("training_seconds", {})[str(seed)] = found["training_seconds"]
                print(f"{variant}, seed {seed}: dev {100 * found['dev']['f']:.2f}", flush=True)
                known = {name: variants[name] for name in (WITHOUT, *VARIANTS) if name in variants}
                ordered = {**known, **variants}
                measured = [int(one) for found in ordered.values() for one in found.get("dev", {})]
                write_result(
                    args.to,
                    benchmark="back_attention",
                    name=name,
                    arguments=covering(command, seeds=measured, only=ordered, but=["--keep"]),
                    variants=ordered,
                    **key,
                )
                # Each holds a translator and an English pipeline.
                shutil.rmtree(folder)
    return target


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    with clear_errors():
        print(run(parse_args(command[1:]), command))


if __name__ == "__main__":
    main(sys.argv)
