r"""Taggers of another language with and without back attention, and with controls in its place.

With --steps, each is trained for so many updates, with a learning rate that falls to 0, else as the configs say.

Example:
    python benchmarks/back_attention.py --corpus conll2002-es --lang es --limit-train 10% --vectors vectors/es \
        --translator training/es-en --english training/conll2003/model-best
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

import controls
import spacy
from experiments.corpora import CorpusFiles, open_corpus
from experiments.options import make_parser, program
from experiments.record import ROOT
from experiments.results import ResultFile, Run
from experiments.training import Variant, evaluate_splits, fall, measure_variants, train_and_score
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


WITHOUT = "without"

VARIANTS: Dict[str, Optional[Callable[[Config, int, int], None]]] = {
    WITHOUT: None,
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
"""Name -> what it changes in configs/back_attention.cfg, given the widths of English states and tags; None: another
config, without any."""


CONTROLLED = ("shuffled alignment", "random features", "random features alone")
"""The variants that need the functions of controls.py."""


def make_tagger_parser(doc: Optional[str], *names: str) -> argparse.ArgumentParser:
    """Make a parser with the options that say what taggers are trained on and with, and others."""
    parser = make_parser(doc, "limit-train", "vectors", "steps", "name", *names, required=["corpus", "lang"])
    parser.add_argument("--translator", required=True, metavar="PATH", help="folder of a translator")
    parser.add_argument("--english", required=True, metavar="PATH|NAME", help="an English pipeline with a bcrf_ner")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where features are kept from run to run")
    return parser


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    return make_tagger_parser(__doc__, "only", "seeds", "no-test", "keep").parse_args(arguments)


def make_config(variant: str, args: argparse.Namespace) -> Config:
    """Make the config of a variant, without the paths of the corpus."""
    change = VARIANTS[variant]
    config = Config().from_disk(CARRIED if change else PLAIN, interpolate=False)
    config["nlp"]["lang"] = args.lang
    config["paths"]["vectors"] = args.vectors
    if args.steps is not None:
        fall(config, args.steps, RATE, EVALUATIONS)
    if change:
        cache = None if args.cache is None else str(args.cache)
        config["paths"].update(translator=args.translator, english=args.english, cache=cache)
        english = EnglishNER(spacy.load(args.english), "states")
        change(config, english.width, len(english.tagger.tag_set))
    return config


def make_variant(name: str, args: argparse.Namespace) -> Variant:
    code = CONTROLS if name in CONTROLLED else None
    # What training a translator leaves beside it is none of the translator.
    return Variant(make_config(name, args), code, ignored=(CHECKPOINT, LOG))


def measure(
    variant: Variant, corpus: CorpusFiles, seed: int, folder: Path, *, splits: Sequence[str], cache: Optional[Path]
) -> Run:
    """Train and score. cache: with the features of the sentences, so that nothing is translated twice."""
    trained = train_and_score(variant, corpus, seed, folder)
    nlp = spacy.load(folder / "model-best")
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, BackAttention):
            pipe.keep_features(cache)
    scores = evaluate_splits(nlp, {split: corpus.files[split] for split in splits})
    for found in scores.values():
        # It depends on what the cache holds.
        del found["words_per_second"]
    return {**scores, "training_seconds": trained["training_seconds"]}


def run(args: argparse.Namespace) -> Path:
    """Measure what is not measured yet."""
    with open_corpus(args, needed=("train", "dev", "test")) as corpus:
        key = {name: getattr(args, name) for name in ("corpus", "lang", "limit_train", "steps")}
        key["fingerprint"] = corpus.fingerprint()
        result = ResultFile(args, "back_attention", args.name or f"back-attention-{corpus.name}", key)
        splits = ["dev"] if args.no_test else ["dev", "test"]
        train = partial(measure, splits=splits, cache=args.cache)
        return measure_variants(result, corpus, VARIANTS, lambda name: make_variant(name, args), splits, train)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
