"""Settings of a training that follow the size of the data, and how long it will take."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

from spacy.language import BaseDefaults
from spacy.tokens import DocBin
from spacy.training.corpus import walk_corpus
from spacy.util import is_package
from spacy.vocab import create_vocab
from thinc.api import Config

from .model_folders import has_tokenizer, model_config
from .sentences import find_sentence_lengths
from .text_files import CorpusError

BATCH = 500
"""Words of a batch, in every shipped config."""

FEW_WORDS = 10_000
"""Below this the training is short: evaluated more often, and ended earlier."""

SHORT = {"eval_frequency": 100, "patience": 400, "max_steps": 1000}
"""Updates of a short training. Else it is like the long one, and nearly as good (benchmarks/small.py)."""

FALLING_FROM = 0.002
"""Where the learning rate begins to fall, in a training whose number of updates is fixed."""

EVALUATIONS = 10
"""Of a training whose number of updates is fixed."""

FINE_TUNING_PASSES, FEWEST_UPDATES = 10, 400
"""Passes over the train split in which a transformer is fine-tuned, and the fewest updates."""

BASE_WIDTH, BASE_RATE, SMALL_RATE = 768, 0.05, 0.2
"""Models below this width are small: they want more of the optimizer's learning rate than those of the base size."""

WIDTH_KEYS, LAYERS_KEYS = ("hidden_size", "dim", "d_model"), ("num_hidden_layers", "n_layers", "num_layers")
"""What width and layers are called in the config.json of a model."""

FROZEN_LAYERS = 4
"""Of which the configs with a frozen transformer take the mean."""

TRAINED, READ, START = 2900, 20_000, 15
"""Words a second in training and evaluation, and seconds until training begins, on two cores of a usual machine."""


@dataclass(frozen=True)
class CorpusSize:
    """What a `.spacy` file holds. several_sentences: Docs that hold several."""

    docs: int
    words: int
    entities: int
    several_sentences: int = 0

    def __str__(self) -> str:
        return f"{self.docs:,} docs, {self.words:,} words, {self.entities:,} entities"


@dataclass(frozen=True)
class Schedule:
    """When a training evaluates and ends.

    max_steps, eval_frequency, patience: in updates; patience 0 is none.
    falling: the learning rate falls from here to 0 with the last update; None: it stays as in the config.
    per_pass: updates of a pass over the train split.
    minutes: how long it takes about on two cores, from and to.
    """

    max_steps: int
    eval_frequency: int
    patience: int
    falling: Optional[float]
    per_pass: float
    minutes: Tuple[float, float]

    def passes(self, updates: int) -> str:
        """Write how many passes over the train split so many updates are."""
        return f"{updates / self.per_pass:,.1f}"

    def __str__(self) -> str:
        low, high = (max(1, round(value)) for value in self.minutes)
        time = f"about {low} to {high} minutes"
        if low == high:
            exact = max(0.5, round(2 * self.minutes[0]) / 2)
            time = f"about {exact:g} minute{'s' * (exact > 1)}"
        passes = f"({self.passes(self.eval_frequency)} passes over the data)"
        if self.falling is None:
            patience = f"{self.patience:,} updates ({self.passes(self.patience)} passes)"
            end = f"it ends {patience} after the last improvement on dev, and after {self.max_steps:,} at the latest"
            return f"evaluated every {self.eval_frequency:,} updates {passes}; {end}; {time} on two cores"
        steps = f"{self.max_steps:,} updates ({self.passes(self.max_steps)} passes)"
        return f"{steps}, evaluated every {self.eval_frequency:,} {passes}; {time} on two cores"


def measure_corpus(path: Union[str, Path]) -> CorpusSize:
    """Count the Docs, words and entities of a `.spacy` file, or of a folder of them.

    Raises CorpusError where there is none, it cannot be read, or it holds no words.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path}: there is no such file: make it with `python -m spacy crfner convert`.")
    if path.is_file() and path.suffix != ".spacy":
        raise CorpusError(f"{path} is no .spacy file: make one of it with `python -m spacy crfner convert`.")
    docs = words = entities = several = 0
    # The sentencizer asks it for punctuation, which Vocab() does not know.
    vocab = create_vocab(None, BaseDefaults)
    for file in walk_corpus(path, ".spacy"):
        try:
            for doc in DocBin().from_disk(file).get_docs(vocab):
                docs, words, entities = docs + 1, words + len(doc), entities + len(doc.ents)
                several += len(find_sentence_lengths(doc)) > 1
        except Exception:  # DocBin passes on whatever zlib and msgpack raise.
            raise CorpusError(f"{file}: spaCy cannot read this .spacy file: convert it anew.") from None
    if not words:
        raise CorpusError(f"{path}: it holds no words, so there is nothing to learn or to evaluate on.")
    return CorpusSize(docs, words, entities, several)


def make_schedule(train: CorpusSize, dev: Optional[CorpusSize] = None, minutes: Optional[float] = None) -> Schedule:
    """Find out how to train on so much data.

    Training ends when dev does not improve. Fewer than FEW_WORDS words make it short; on a large corpus, evaluations
    and patience are counted in passes over it. `minutes` make a training with a fixed number of updates and a learning
    rate that falls to 0.

    dev: whose evaluation takes time too. minutes: how long it may take on two cores.
    Raises ValueError where so few minutes are not enough.
    """
    per_pass = train.words / BATCH
    update = min(train.words, BATCH) / TRAINED
    evaluation = (dev.words if dev else 0) / READ + 0.5
    if minutes is not None:
        steps = int((60 * minutes - START - EVALUATIONS * evaluation) / update)
        steps -= steps % EVALUATIONS
        if steps < 2 * EVALUATIONS:
            raise ValueError(f"{minutes:g} minutes are too few to train in: give more with --minutes.")
        seconds = START + steps * update + EVALUATIONS * evaluation
        return Schedule(steps, steps // EVALUATIONS, 0, FALLING_FROM, per_pass, (seconds / 60, seconds / 60))
    if train.words < FEW_WORDS:
        frequency, patience, longest = SHORT["eval_frequency"], SHORT["patience"], SHORT["max_steps"]
        typical = (patience + 2 * frequency, longest)
    else:
        frequency = max(200, _round(per_pass / 2))
        patience = max(1600, _round(4 * per_pass))
        longest = max(20_000, _round(20 * per_pass))
        typical = (patience + 2 * frequency, patience + max(1600, int(10 * per_pass)))
    low, high = (START + steps * update + steps / frequency * evaluation for steps in typical)
    return Schedule(longest, frequency, patience, None, per_pass, (low / 60, high / 60))


def with_fine_tuning(config: str, train: CorpusSize) -> Tuple[str, str]:
    """Write into the text of a config for fine-tuning how many updates its falling learning rate is to last.

    Returns the text, and what there is to say about it.
    """
    per_pass = train.words / BATCH
    frequency = max(100, _round(FINE_TUNING_PASSES * per_pass / 6))
    # The last evaluation is at the end.
    steps = frequency * max(FEWEST_UPDATES // frequency, round(FINE_TUNING_PASSES * per_pass / frequency))
    reason = f"{steps:,} updates ({steps / per_pass:,.1f} passes over the data), evaluated every {frequency:,}"
    for key, value in {"patience": 0, "max_steps": steps, "eval_frequency": frequency}.items():
        config = set_value(config, "training", key, value)
    config = set_value(config, "training.optimizer.learn_rate", "total_steps", steps)
    comment = _comment(f"For {train}: {reason}. The learning rate falls to 0 with the last.")
    return re.sub(r"(\n# [^\n]*)?\npatience = ", f"\n{comment}\npatience = ", config, count=1), reason


def _round(updates: float) -> int:
    return round(updates / 100) * 100


def with_schedule(config: str, schedule: Schedule, train: CorpusSize) -> str:
    """Write a schedule into the text of a config with a constant learning rate, with the reason beside it.

    Raises ValueError where the config has a learning rate of another kind.
    """
    if not can_follow(config):
        raise ValueError(
            "This config has its own falling learning rate: do without --minutes, and set max_steps and total_steps."
        )
    config = re.sub(r"^# It ends so many updates after.*\n", "", config, flags=re.MULTILINE)
    for key in ("patience", "max_steps", "eval_frequency"):
        config = set_value(config, "training", key, getattr(schedule, key))
    reason = f"For {train}: {schedule}."
    config = config.replace("\npatience = ", f"\n{_comment(reason)}\npatience = ", 1)
    if schedule.falling is not None:
        section = f"""
# The learning rate rises in the first twentieth of the updates, and falls to 0 with the last.
[training.optimizer.learn_rate]
@schedules = "warmup_linear.v1"
warmup_steps = {schedule.max_steps // 20}
# As many as max_steps.
total_steps = {schedule.max_steps}
initial_rate = {schedule.falling}
"""
        config = re.sub(CONSTANT_RATE, section, config, count=1, flags=re.MULTILINE)
    return config


CONSTANT_RATE = r"^learn_rate = [\d.]+\n"


def can_follow(config: str) -> bool:
    """Tell whether the text of a config has a constant learning rate, as those for taggers alone have."""
    return re.search(CONSTANT_RATE, config, re.MULTILINE) is not None


def set_value(config: str, section: str, key: str, value: Any) -> str:
    """Write another value into a line of the text of a config, whose comments stay. Raises ValueError without it."""
    head, found, rest = config.partition(f"\n[{section}]\n")
    body, following, tail = rest.partition("\n[")
    changed, number = re.subn(rf"^{key} = .*$", lambda _: f"{key} = {json.dumps(value)}", body, flags=re.MULTILINE)
    if not found or not number:
        raise ValueError(f"The config has no {section}.{key}.")
    return f"{head}{found}{changed}{following}{tail}"


def _comment(text: str) -> str:
    lines: List[str] = ["#"]
    for word in text.split():
        if len(lines[-1]) + len(word) >= 118:
            lines.append("#")
        lines[-1] += f" {word}"
    return "\n".join(lines)


def tailored(
    config: str,
    *,
    paths: Dict[str, Optional[str]],
    lang: Optional[str] = None,
    minutes: Optional[float] = None,
) -> Tuple[str, List[str]]:
    """Write into the text of a config what is known of the data.

    paths: values of `[paths]`, such as train, dev, vectors and transformer; None leaves one as it is. lang: of the
        text. minutes: how long training may take on two cores; else the size of the train split decides.
        Frozen transformers are trained as the default recipe is.

    Returns the text, and what there is to say about the training.
    Raises ValueError (CorpusError) where a corpus cannot be read, or the config cannot be trained in `minutes`.
    """
    known = Config().from_str(config, interpolate=False)["paths"]
    for key, path in paths.items():
        if path is not None and key not in known:
            raise ValueError(f"This config has no use for {path!r}: leave --{key} out.")
        if path is not None:
            config = set_value(config, "paths", key, path)
    if lang is not None:
        config = set_value(config, "nlp", "lang", lang)
    vectors = paths.get("vectors")
    advice = _missing_vectors(vectors) if vectors is not None else []
    transformer = paths.get("transformer")
    if transformer is not None:
        config, said = with_transformer(config, transformer)
        advice += said
    if paths.get("train") is None:
        if minutes is not None:
            raise ValueError("--minutes needs --train: how long an update takes depends on the data.")
        return config, advice
    train, dev = (measure_corpus(path) if (path := paths.get(split)) else None for split in ("train", "dev"))
    assert train is not None
    if not train.entities:
        raise CorpusError(f"{paths['train']}: it holds no entity, so there is nothing to learn.")
    transforms = "transformer" in known
    if vectors is None and not transforms and train.words < FEW_WORDS:
        advice.append(
            "No word vectors: they help much with so few words. Name a pipeline that has some with --vectors"
            f"{', such as en_core_web_md' if lang in (None, 'en') else ''}."
        )
    if train.several_sentences and "sentencizer" not in Config().from_str(config, interpolate=False)["nlp"]["pipeline"]:
        advice.append(
            f"Docs that hold several sentences: {train.several_sentences:,}. Add --sentencizer, so that each sentence "
            "is read by itself."
        )
    if transforms and minutes is not None:
        raise ValueError(
            "How long a transformer takes is not known, so --minutes cannot be: set max_steps in [training] and, where "
            "the learning rate falls, total_steps in [training.optimizer.learn_rate]."
        )
    if transforms and not can_follow(config):
        config, reason = with_fine_tuning(config, train)
        return config, [f"{paths['train']}: {train}", f"Training: {reason}.", *advice]
    if not can_follow(config) and minutes is None:
        return config, [f"{paths['train']}: {train}. This config keeps its own training settings.", *advice]
    schedule = make_schedule(train, dev, minutes)
    first = ", after the transformer has read the data once, which takes time of its own" if transforms else ""
    remarks = [f"{paths['train']}: {train}", f"Training: {schedule}{first}.", *advice]
    return with_schedule(config, schedule, train), remarks


def _missing_vectors(name: str) -> List[str]:
    if Path(name).exists() or is_package(name):
        return []
    if not name.isidentifier():
        return [f"{name}: there is no such folder yet: check the path, or make it before training."]
    return [f"{name}: there is no such pipeline yet. If it is one of spaCy's: python -m spacy download {name}"]


def with_transformer(config: str, name: str) -> Tuple[str, List[str]]:
    """Write into the text of a config what follows from the size of a transformer.

    name: its folder, or its name on the Hugging Face hub, of which nothing is known here.

    Returns the text, and what there is to say.
    """
    values = model_config(Path(name))
    if values is None:
        return config, [_where(name)]
    width, layers = (next(filter(None, map(values.get, keys)), None) for keys in (WIDTH_KEYS, LAYERS_KEYS))
    if not isinstance(width, int):
        return config, [f"{name}: its config.json names no width, so it may be no encoder of text."]
    said = []
    if not has_tokenizer(Path(name)):
        said.append(f"{name}: a model without a tokenizer: put its tokenizer.json into this folder before training.")
    if "\n[listener]\n" in config:
        config = set_value(config, "listener", "width", width)
    if isinstance(layers, int) and layers < FROZEN_LAYERS:
        config = config.replace(f"\nlayers = {FROZEN_LAYERS}\n", f"\nlayers = {layers}\n")
    if width >= BASE_WIDTH or f"\nrate = {BASE_RATE}\n" not in config:
        return config, said
    config = config.replace(f"\nrate = {BASE_RATE}\n", f"\nrate = {SMALL_RATE}\n")
    said.append(f"{name}: its width is {width}, so it is fine-tuned as small models are, with rate = {SMALL_RATE}.")
    return config, said


def _where(name: str) -> str:
    # On the hub: a name, or that of an owner in front of it.
    if name.count("/") > 1 or name[:1] in (".", "/", "~") or Path(name).exists():
        return f"{name}: there is no model in this folder yet: check the path, or put one there before training."
    return f"{name}: there is no such folder, so training will look for this name on the Hugging Face hub."
