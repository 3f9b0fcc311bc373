"""Train or run flair's SequenceTagger and time it, in a process of its own, as speed.py does.

Runs in an environment of flair's own, without spaCy and without this package.
"""

import json
import random
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, List

import flair
import numpy as np
import torch
from experiments.workers import WARM_UP_TEXTS, latency, texts_of_length
from flair.data import Corpus, Dictionary, Sentence
from flair.datasets import FlairDatapointDataset
from flair.embeddings import CharacterEmbeddings, StackedEmbeddings, WordEmbeddings
from flair.models import SequenceTagger
from flair.trainers import ModelTrainer
from flair.training_utils import store_embeddings

BATCH = 32
LEARN_RATE, CLIP = 0.1, 5.0  # those of flair's ModelTrainer.train

flair.device = torch.device("cpu")


def read(path: str) -> List[Sentence]:
    sentences = []
    for words, entities in json.loads(Path(path).read_text(encoding="utf8")):
        sentences.append(Sentence(words, use_tokenizer=False))
        for start, end, label in entities:
            sentences[-1][start:end].add_label("ner", label)
    return sentences


def make_tagger(sentences: List[Sentence], vectors_path: str) -> SequenceTagger:
    data = np.load(vectors_path)
    rows, vectors = {word: row for row, word in enumerate(data["words"].tolist())}, data["vectors"]
    embeddings = WordEmbeddings(None, vocab=rows, embedding_length=vectors.shape[1], name="words")
    embeddings.embedding.weight.data[: len(vectors)] = torch.from_numpy(vectors)
    characters = Dictionary()
    labels = Dictionary(add_unk=False)
    # As in the dictionaries that flair makes of a corpus: the tagger makes BIOES tags of the labels.
    labels.span_labels = True
    for sentence in sentences:
        for character in "".join(token.text for token in sentence):
            characters.add_item(character)
        for label in sentence.get_labels("ner"):
            labels.add_item(label.value)
    return SequenceTagger(
        hidden_size=128,
        embeddings=StackedEmbeddings([embeddings, CharacterEmbeddings(path_to_char_dict=characters)]),
        tag_dictionary=labels,
        tag_type="ner",
        use_crf=True,
    )


def train(job: Dict[str, Any]) -> Dict[str, float]:
    """Passes over the same sentences: the first, in which the word vectors are looked up and kept, is not measured."""
    sentences = read(job["train"])
    random.Random(0).shuffle(sentences)
    tagger = make_tagger(sentences, job["vectors"])
    optimizer = torch.optim.SGD(tagger.parameters(), lr=LEARN_RATE)
    batches = [sentences[first : first + BATCH] for first in range(0, len(sentences), BATCH)]
    tagger.train()
    words, seconds, updates = 0, 0.0, 0
    while seconds <= job["seconds"]:
        start = perf_counter()
        batch = batches[updates % len(batches)]
        optimizer.zero_grad()
        loss, _ = tagger.forward_loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tagger.parameters(), CLIP)
        optimizer.step()
        store_embeddings(batch, "cpu")
        updates += 1
        if updates > len(batches):
            seconds += perf_counter() - start
            words += sum(map(len, batch))
    tagger.save(job["model"])
    return {"words_per_second": words / seconds}


def one_by_one(job: Dict[str, Any]) -> Dict[str, float]:
    """Read one sentence after the other, cut into words before, each of which is new."""
    tagger = SequenceTagger.load(job["model"])
    train, test = ([[token.text for token in s] for s in read(job[split])] for split in ("train", "test"))

    def predict_one(words: List[str]) -> None:
        tagger.predict(Sentence(words, use_tokenizer=False))

    for words in train[:WARM_UP_TEXTS]:
        predict_one(words)
    return latency(predict_one, [text.split() for text in texts_of_length(map(" ".join, test), *job["words"])])


def train_to_the_end(job: Dict[str, Any]) -> Dict[str, Any]:
    """Train with flair's own trainer, whose best model on dev then finds entities: (start, end, label), by split."""
    flair.set_seed(job["seed"])
    splits = {split: read(job[split]) for split in ("train", "dev", "test") if split in job}
    found = {
        split: [Sentence([token.text for token in sentence], use_tokenizer=False) for sentence in sentences]
        for split, sentences in splits.items()
        if split != "train"
    }
    corpus = Corpus(*(FlairDatapointDataset(splits[split]) for split in ("train", "dev")), sample_missing_splits=False)
    tagger = make_tagger(splits["train"], job["vectors"])
    start = perf_counter()
    trainer = ModelTrainer(tagger, corpus)
    trainer.train(job["folder"], learning_rate=LEARN_RATE, mini_batch_size=BATCH, max_epochs=job["epochs"])
    seconds = perf_counter() - start
    losses = (Path(job["folder"]) / "loss.tsv").read_text(encoding="utf8").splitlines()
    names, *epochs = [line.split("\t") for line in losses]
    column = names.index("DEV_F1")
    best = max(range(len(epochs)), key=lambda epoch: float(epochs[epoch][column]))
    tagger = SequenceTagger.load(Path(job["folder"]) / "best-model.pt")
    entities = {}
    for split, sentences in found.items():
        tagger.predict(sentences, mini_batch_size=BATCH)
        spans = [[label.data_point for label in sentence.get_labels("ner")] for sentence in sentences]
        entities[split] = [
            [(span.tokens[0].idx - 1, span.tokens[-1].idx, span.get_label("ner").value) for span in some]
            for some in spans
        ]
    return {"entities": entities, "training_seconds": round(seconds, 1), "best_epoch": best + 1}


def predict(job: Dict[str, Any]) -> Dict[str, float]:
    tagger = SequenceTagger.load(job["model"])
    sentences = [Sentence([token.text for token in s], use_tokenizer=False) for s in read(job["test"])]
    tagger.predict(sentences[:200], mini_batch_size=BATCH)
    for sentence in sentences[:200]:
        sentence.clear_embeddings()
        sentence.remove_labels("ner")
    start = perf_counter()
    tagger.predict(sentences, mini_batch_size=BATCH)
    seconds = perf_counter() - start
    entities = sum(len(sentence.get_labels("ner")) for sentence in sentences)
    return {"words_per_second": sum(map(len, sentences)) / seconds, "entities": entities}
