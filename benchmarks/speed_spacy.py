"""Train or run a spaCy pipeline and time it, in a process of its own, as speed.py and others do."""

import random
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, List, Set, Tuple

import spacy
from experiments.workers import WARM_UP_TEXTS, latency, texts_of_length
from spacy.schemas import ConfigSchemaTraining
from spacy.tokens import Doc
from spacy.training import Corpus
from spacy.training.initialize import init_nlp
from spacy.util import load_config, registry

SPLITS = ("train", "test")
WARM_UP_UPDATES = 20
# Enough to find entities, which cost time, about as often as a finished model does.
LEAST_UPDATES = 300


def train(job: Dict[str, Any]) -> Dict[str, float]:
    """Update for `seconds`; where there is no model yet, go on, unmeasured, until it is fit to be timed itself."""
    nlp = init_nlp(load_config(job["config"], overrides=job.get("overrides", {})))
    settings = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    examples = list(Corpus(job["train"])(nlp))
    annotating = settings["annotating_components"]
    if annotating:
        # What is computed once is not what is timed.
        with nlp.select_pipes(enable=annotating):
            list(nlp.pipe([example.predicted.copy() for example in examples]))
    random.Random(0).shuffle(examples)
    # Sentences once more where the batcher would run out of them.
    batches = settings["batcher"](example for _ in cycle([0]) for example in examples)
    words, start, seconds, updates = 0, 0.0, 0.0, 0
    least = WARM_UP_UPDATES if Path(job["model"]).exists() else LEAST_UPDATES
    while updates <= least or seconds < job["seconds"]:
        if updates == WARM_UP_UPDATES:
            start = perf_counter()
        batch = next(batches)
        nlp.update(batch, drop=settings["dropout"], sgd=settings["optimizer"], annotates=annotating)
        updates += 1
        if updates > WARM_UP_UPDATES and seconds < job["seconds"]:
            words += sum(len(example.reference) for example in batch)
            seconds = perf_counter() - start
    if least == LEAST_UPDATES:
        nlp.to_disk(job["model"])
    return {"words_per_second": words / seconds}


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
