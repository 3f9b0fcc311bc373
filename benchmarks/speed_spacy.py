"""Train or run a spaCy pipeline and time it, in a process of its own, as speed.py and others do."""

import random
from contextlib import contextmanager, nullcontext
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple
from unittest.mock import patch

import spacy
from experiments.stopwatch import Stopwatch
from experiments.workers import WARM_UP_TEXTS, latency, texts_of_length
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Corpus, Example
from spacy.training.initialize import init_nlp
from spacy.util import load_config, registry

SPLITS = ("train", "test")
WARM_UP_UPDATES = 20
# Enough to find entities, which cost time, about as often as a finished model does.
LEAST_UPDATES = 300


REST = "rest"
"""The part of an update that is none of the others."""


def train(job: Dict[str, Any]) -> Dict[str, float]:
    """Update for `seconds`; where a `model` is named that is not there yet, go on until it is fit to be timed itself.

    What comes after `seconds` is not measured. `updates` says how many make a model fit, where the usual number would
    take too long. `read_first` has the whole pipeline read all sentences before, for what is kept of them. `parts` adds
    where the time of an update goes, see `watch_transformer`.
    """
    nlp = init_nlp(load_config(job["config"], overrides=job.get("overrides", {})))
    settings = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    examples = list(Corpus(job["train"])(nlp))
    annotating = settings["annotating_components"]
    first = nlp.pipe_names if job.get("read_first") else annotating
    if first:
        # What is computed once is not what is timed.
        with nlp.select_pipes(enable=first):
            list(nlp.pipe([example.predicted.copy() for example in examples]))

    def update(batch: List[Example]) -> None:
        nlp.update(batch, drop=settings["dropout"], sgd=settings["optimizer"], annotates=annotating)
        # As `spacy train` does: a learning rate with a warm-up begins at 0.
        settings["optimizer"].step_schedules()

    to_be_saved = leaves_model(job)
    with watch_transformer(nlp) if job.get("parts") else nullcontext() as watch:
        measured = time_updates(update, batches_of(examples, settings["batcher"]), job, watch)
    if to_be_saved:
        nlp.to_disk(job["model"])
    return measured


def leaves_model(job: Dict[str, Any]) -> bool:
    """Tell whether a training is to leave a model, since there is none yet."""
    return "model" in job and not Path(job["model"]).exists()


def batches_of(
    examples: List[Example], batcher: Callable[[Iterable[Example]], Iterable[List[Example]]]
) -> Iterator[List[Example]]:
    """Shuffle examples, always in the same way, and cut them into batches without an end."""
    random.Random(0).shuffle(examples)
    # Sentences once more where the batcher would run out of them.
    return iter(batcher(example for _ in cycle([0]) for example in examples))


def time_updates(
    update: Callable[[List[Example]], None],
    batches: Iterator[List[Example]],
    job: Dict[str, Any],
    watch: Optional[Stopwatch] = None,
) -> Dict[str, float]:
    """Update for the `seconds` of a job, after some updates that warm up, and then as often as `train` says.

    watch: of the parts of an update. Adds the mean milliseconds of the whole, `update_ms`, and of each, `PART_ms`.
    """
    seconds, least = job["seconds"], job.get("updates", LEAST_UPDATES) if leaves_model(job) else 0
    words, start, measured, updates = 0, 0.0, 0.0, 0
    times: Dict[str, float] = {}
    while updates <= max(least, WARM_UP_UPDATES) or measured < seconds:
        if updates == WARM_UP_UPDATES:
            if watch is not None:
                watch.seconds.clear()
            start = perf_counter()
        batch = next(batches)
        with nullcontext() if watch is None else watch.part(REST):
            update(batch)
        updates += 1
        if updates > WARM_UP_UPDATES and measured < seconds:
            words += sum(len(example.reference) for example in batch)
            measured = perf_counter() - start
            if watch is not None:
                times = {**watch.seconds, "update": sum(watch.seconds.values())}
                times = {f"{part}_ms": 1000 * t / (updates - WARM_UP_UPDATES) for part, t in times.items()}
    return {"words_per_second": words / measured, **times}


@contextmanager
def watch_transformer(nlp: Language) -> Iterator[Stopwatch]:
    """Time the parts of an update of a `bcrf_ner` whose encoder is a Transformer.v1 that learns.

    They are `pieces` (text cut into pieces and windows), `forward` and `backward` of the transformer, `head and CRF`
    with all else that the component does, and `optimizer`.
    """
    from spacy_crfner.encoders import transformer

    watch, component = Stopwatch(), nlp.get_pipe("bcrf_ner")
    (shim,) = component.model.get_ref("tok2vec").shims
    begin_update = shim.begin_update

    def forward(inputs: Any) -> Tuple[Any, Callable]:
        with watch.part("forward"):
            output, backprop = begin_update(inputs)
        return output, watch.part("backward")(backprop)

    with (
        patch.object(transformer, "_inputs", watch.part("pieces")(transformer._inputs)),
        patch.object(shim, "begin_update", forward),
        patch.object(component, "update", watch.part("head and CRF")(component.update)),
        patch.object(component, "finish_update", watch.part("optimizer")(component.finish_update)),
    ):
        yield watch


def predict(job: Dict[str, Any]) -> Dict[str, float]:
    nlp = spacy.load(job["model"], config=job.get("load", {}))
    references = [example.reference for example in Corpus(job["test"])(nlp)]
    # Other text than that which is timed: ours keeps what it computed for words.
    list(nlp.pipe([example.predicted for example in islice(Corpus(job["train"])(nlp), 200)]))
    docs = [Doc(nlp.vocab, words=[token.text for token in doc]) for doc in references]
    start = perf_counter()
    list(nlp.pipe(docs))
    seconds = perf_counter() - start
    found, gold = spans(docs), spans(references)
    f = 2 * len(found & gold) / max(1, len(found) + len(gold))
    return {"words_per_second": sum(map(len, docs)) / seconds, "entities": len(found), "f": 100 * f}


def one_by_one(job: Dict[str, Any]) -> Dict[str, float]:
    """Read one text after the other, as a server does, each of which is new."""
    nlp = spacy.load(job["model"], config=job.get("load", {}))
    train, test = ([" ".join(t.text for t in e.reference) for e in Corpus(job[split])(nlp)] for split in SPLITS)
    list(nlp.pipe(train[:200]))
    for text in train[:WARM_UP_TEXTS]:
        nlp(text)
    return latency(nlp, texts_of_length(test, *job["words"]))


def spans(docs: List[Doc]) -> Set[Tuple[int, int, int, str]]:
    """The entities with the number of their Doc."""
    return {(number, ent.start, ent.end, ent.label_) for number, doc in enumerate(docs) for ent in doc.ents}
