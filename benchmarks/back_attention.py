r"""Taggers of another language with and without back attention, and with controls in its place.

With --steps, each is trained for so many updates, with a learning rate that falls to 0, else as the configs say. With
--transformer, a multilingual transformer is fine-tuned in the place of the encoder, as in configs/transformer.cfg; the
variants "at the input" and "alone as embeddings", whose features the encoder reads, cannot be measured then.

Example:
    python benchmarks/back_attention.py --corpus conll2002-es --lang es --limit-train 10% --vectors vectors/es \
        --translator training/es-en --english training/conll2003/model-best
"""

import argparse
from pathlib import Path
from typing import Any, Dict, Optional

import controls
import spacy
from experiments.corpora import CorpusFiles, open_corpus
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.results import ResultFile, Run
from experiments.training import (
    Variant,
    evaluate_splits,
    fall,
    measure_variants,
    shipped_config,
    train_and_score,
)
from spacy.util import set_dot_to_object
from thinc.api import Config

from spacy_crfner.back_attention.component import BackAttention
from spacy_crfner.back_attention.english import EnglishNER

RATE, EVALUATIONS = 0.002, 8
"""The highest learning rate, and how often dev is evaluated, where --steps is given."""
FEWER_EVALUATIONS = 4
"""With a transformer, which takes its time to read dev."""

SHORT = 12
"""Words of a part of a sentence, as short as what translators learn from everyday sentences; 30 in most variants."""

WITHOUT = "without"
WORDS = "spacy_crfner.WordCharEmbed.v1"
TOK2VEC = "components.bcrf_ner.model.tok2vec"
TRANSLATOR = "initialize.components.back_attention.translator"


def make_settings(states: int = 1, tags: int = 1) -> Dict[str, Dict[str, Any]]:
    """Name -> settings that differ from configs/back_attention.cfg, for a network that reads the features.

    states, tags: widths of English states and tags.
    """
    config = shipped_config("back_attention")
    made = config["initialize"]["components"]["back_attention"]
    first, second = (config["components"]["bcrf_ner"]["model"]["tok2vec"][key] for key in ("first", "second"))
    features = {**second, "dropout": 0.0, "width": states}
    concatenate = {"@architectures": "spacy_crfner.Concatenate.v1"}
    alone = {**first, "tok2vec": features}
    at_the_input = {**first, "tok2vec": {**concatenate, "first": first["tok2vec"], "second": features}}
    carried = {**concatenate, "first": first, "second": {**second, "width": states}}
    untranslated = {"@misc": "spacy_crfner.Untranslated.v1"}
    shuffled = {"@misc": "controls.Shuffled.v1", "translator": made["translator"]}
    random = {"factory": "random_features", "width": states}
    random_only = {"components.back_attention": random, "initialize.components": {}}

    def wide(width: int, **settings: Any) -> Dict[str, Any]:
        own = {f"components.back_attention.{setting}": value for setting, value in settings.items()}
        return {f"{TOK2VEC}.second.width": width, **own}

    return {
        "back attention": wide(states),
        "short parts": {**wide(states), f"{TRANSLATOR}.longest": SHORT},
        "row-normalised": wide(states + 1, normalisation="row_normalised"),
        "marginals": wide(tags, representation="marginals"),
        "projected entities": wide(tags, representation="tags"),
        "at the input": {TOK2VEC: at_the_input},
        "alone as embeddings": {TOK2VEC: alone},
        "untranslated": {**wide(states), TRANSLATOR: untranslated},
        # What the English NER knows of the translation, and of the words as they are.
        "both": {
            "components.as_they_are": config["components"]["back_attention"],
            "nlp.pipeline": ["as_they_are", "back_attention", "bcrf_ner"],
            "training.annotating_components": ["as_they_are", "back_attention"],
            "initialize.components.as_they_are": {**made, "translator": untranslated},
            TOK2VEC: {**concatenate, "first": carried, "second": {**features, "component": "as_they_are"}},
        },
        "shuffled alignment": {**wide(states), TRANSLATOR: shuffled},
        "random features": {**random_only, **wide(states)},
        "random features alone": {**random_only, TOK2VEC: alone},
    }


VARIANTS = (WITHOUT, *make_settings())
CONTROLLED = ("shuffled alignment", "random features", "random features alone")
"""The variants that need the functions of controls.py."""


def make_tagger_parser(doc: Optional[str], *names: str) -> argparse.ArgumentParser:
    """Make a parser with the options that say what taggers are trained on and with, and others."""
    parser = make_parser(doc, "limit-train", "vectors", "steps", "name", *names, required=["corpus", "lang"])
    parser.add_argument("--translator", required=True, metavar="PATH", help="folder of a translator")
    parser.add_argument("--english", required=True, metavar="PATH|NAME", help="an English pipeline with a bcrf_ner")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where features are kept from run to run")
    parser.add_argument("--transformer", metavar="DIR|NAME", help="fine-tune this in the place of the encoder")
    parser.add_argument("--rate", type=float, default=0.05, metavar="X", help="of the transformer (default: 0.05)")
    return parser


parse_args = make_tagger_parser(__doc__, "only", "seeds", "no-test", "keep").parse_args


def fine_tune(variant: str, config: Config, transformer: str, rate: float) -> None:
    """Put a transformer in the place of the encoder of a config, and train as the config for one does.

    Raises BenchmarkError where the encoder reads the features of back attention.
    """
    shipped, tagger = shipped_config("transformer"), config["components"]["bcrf_ner"]
    block = {**shipped["components"]["bcrf_ner"]["model"]["tok2vec"], "rate": rate}
    if not _replace_encoder(tagger["model"], block):
        raise BenchmarkError(f"{variant!r} has no encoder whose place a transformer could take: leave it out (--only).")
    tagger["r_drop"] = shipped["components"]["bcrf_ner"]["r_drop"]
    config["paths"]["transformer"] = transformer
    kept = ("dropout", "optimizer", "patience", "max_steps", "eval_frequency")
    config["training"].update({key: shipped["training"][key] for key in kept})


def _replace_encoder(section: Dict[str, Any], block: Dict[str, Any]) -> bool:
    """Put a block in the place of what reads words and characters. Returns whether there is such a thing below."""
    for key, below in section.items():
        if isinstance(below, dict) and below.get("tok2vec", {}).get("@architectures") == WORDS:
            section[key] = block
            return True
        if isinstance(below, dict) and _replace_encoder(below, block):
            return True
    return False


def make_config(variant: str, args: argparse.Namespace) -> Config:
    """Make the config of a variant, without the paths of the corpus."""
    config = shipped_config("bcrf_ner" if variant == WITHOUT else "back_attention")
    config["nlp"]["lang"] = args.lang
    config["paths"]["vectors"] = args.vectors
    if variant != WITHOUT:
        cache = args.cache and str(args.cache)
        config["paths"].update(translator=args.translator, english=args.english, cache=cache)
        english = EnglishNER(spacy.load(args.english), "states")
        for setting, value in make_settings(english.width, len(english.tagger.tag_set))[variant].items():
            set_dot_to_object(config, setting, value)
    if args.transformer is not None:
        fine_tune(variant, config, args.transformer, args.rate)
    if args.steps is not None and args.transformer is not None:
        # Its rate falls in any case.
        config["training"].update(max_steps=args.steps, eval_frequency=max(1, args.steps // FEWER_EVALUATIONS))
        config["training"]["optimizer"]["learn_rate"]["total_steps"] = args.steps
    elif args.steps is not None:
        fall(config, args.steps, RATE, EVALUATIONS)
    return config


def run(args: argparse.Namespace) -> Path:
    """Measure what is not measured yet."""
    splits = ["dev"] if args.no_test else ["dev", "test"]

    def make(name: str) -> Variant:
        return Variant(make_config(name, args), Path(controls.__file__) if name in CONTROLLED else None)

    def measure(variant: Variant, corpus: CorpusFiles, seed: int, folder: Path) -> Run:
        trained = train_and_score(variant, corpus, seed, folder)
        nlp = spacy.load(folder / "model-best")
        for _, pipe in nlp.pipeline:
            if isinstance(pipe, BackAttention):
                # So that nothing is translated twice.
                pipe.keep_features(args.cache)
        run: Run = evaluate_splits(nlp, {split: corpus.files[split] for split in splits})
        for scores in run.values():
            # It depends on what the cache holds.
            del scores["words_per_second"]
        return {**run, "training_seconds": trained["training_seconds"]}

    with open_corpus(args, needed=("train", "dev", "test")) as corpus:
        key = {name: getattr(args, name) for name in ("corpus", "lang", "limit_train", "steps")}
        key["transformer"] = args.transformer and Path(args.transformer).name
        key["fingerprint"] = corpus.fingerprint()
        result = ResultFile(args, "back_attention", args.name or f"back-attention-{corpus.name}", key)
        return measure_variants(result, corpus, VARIANTS, make, splits, measure)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
