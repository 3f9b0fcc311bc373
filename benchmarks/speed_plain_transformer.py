"""Fine-tune or run a transformer as one would write it by hand, and time it, in a process of its own.

It is what speed_transformer.py compares ours with: transformers' AutoModelForTokenClassification, a fast tokenizer,
torch's AdamW, cross entropy on the first piece of each word, and the most probable tag of each word by itself. Words
and batches are read with spaCy, so that they are those of ours; tags are those of ours too.
"""

from time import perf_counter
from typing import Any, Dict, List, Sequence, Tuple

import spacy
import torch
import transformers
from experiments.stopwatch import Stopwatch
from spacy.language import DEFAULT_CONFIG
from spacy.training import Corpus, Example
from spacy.util import load_config, registry
from speed_spacy import batches_of, leaves_model, time_updates
from torch import Tensor
from torch.nn.functional import cross_entropy

from spacy_crfner.tags import TagSet, iob_to_spans

LEARN_RATE = 5e-5
AT_ONCE = 64
"""Sentences of a batch at prediction."""
NO_WORD = -100
"""The tag of a piece that is not the first of a word, as cross_entropy has it."""

transformers.logging.set_verbosity_error()


class PlainTagger:
    """A transformer with one linear layer, and its tokenizer.

    folder: of both. bfloat16: whether it multiplies matrices in 16 bits, by autocast. tags: of a model that has none
        yet; those of a saved one stand in its config.
    """

    def __init__(self, folder: str, bfloat16: bool, tags: Sequence[str] = ()):
        names = {"id2label": dict(enumerate(tags)), "label2id": {tag: n for n, tag in enumerate(tags)}} if tags else {}
        make = transformers.AutoModelForTokenClassification.from_pretrained
        self.model = make(folder, torch_dtype=torch.float32, **names)
        # Some byte pair encodings refuse words without a space before them.
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True, add_prefix_space=True)
        # Some count positions from behind that of the padding on.
        most = getattr(self.model.config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        self.longest = min(self.tokenizer.model_max_length, most - 2)
        self.bfloat16 = bfloat16

    def read(self, sentences: List[List[str]]) -> Tuple[Any, List[List[Tuple[int, int]]]]:
        """Cut words into pieces, padded. Returns what the model takes, and (piece, word) of the first pieces."""
        pieces = self.tokenizer(
            sentences,
            is_split_into_words=True,
            padding=True,
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        )
        firsts = []
        for number in range(len(sentences)):
            words = pieces.word_ids(number)
            pairs = enumerate(zip([None, *words], words, strict=False))
            firsts.append([(piece, word) for piece, (before, word) in pairs if word not in (None, before)])
        return pieces, firsts

    def score(self, pieces: Any) -> Tensor:
        """Score the tags of each piece: (sentences, longest, tags)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return self.model(**pieces).logits.float()

    def tag(self, sentences: List[List[str]]) -> List[List[str]]:
        """Find the tag of each word; sentences of like length are read together."""
        names = self.model.config.id2label
        found = [["O"] * len(sentence) for sentence in sentences]
        order = sorted(range(len(sentences)), key=lambda number: len(sentences[number]))
        for start in range(0, len(order), AT_ONCE):
            batch = order[start : start + AT_ONCE]
            pieces, firsts = self.read([sentences[number] for number in batch])
            with torch.inference_mode():
                best = self.score(pieces).argmax(dim=-1).tolist()
            for number, tags, pairs in zip(batch, best, firsts, strict=True):
                for piece, word in pairs:
                    found[number][word] = names[tags[piece]]
        return found


def train(job: Dict[str, Any]) -> Dict[str, float]:
    """Update for `seconds` with the batches of ours, see `speed_spacy.train`."""
    torch.manual_seed(0)
    examples = read(job["train"])
    tag_set = TagSet(tuple(sorted({ent.label_ for example in examples for ent in example.reference.ents})))
    tagger = PlainTagger(job["transformer"], job["bfloat16"], tag_set.names)
    tagger.model.train()
    optimizer = torch.optim.AdamW(tagger.model.parameters(), lr=LEARN_RATE)
    watch = Stopwatch()

    def update(batch: List[Example]) -> None:
        with watch.part("pieces"):
            pieces, firsts = tagger.read([words_of(example) for example in batch])
            gold = torch.full(pieces["input_ids"].shape, NO_WORD)
            for row, example, pairs in zip(gold, batch, firsts, strict=True):
                spans = [(ent.start, ent.end, ent.label_) for ent in example.reference.ents]
                tags = tag_set.spans_to_tags(spans, len(example.reference))
                for piece, word in pairs:
                    row[piece] = tags[word]
        with watch.part("forward"):
            loss = cross_entropy(tagger.score(pieces).flatten(0, 1), gold.flatten(), ignore_index=NO_WORD)
        with watch.part("backward"):
            loss.backward()
        with watch.part("optimizer"):
            optimizer.step()
            optimizer.zero_grad()

    training = DEFAULT_CONFIG.merge(load_config(job["config"]))["training"]
    batcher = registry.resolve({"batcher": training["batcher"]})["batcher"]
    to_be_saved = leaves_model(job)
    measured = time_updates(update, batches_of(examples, batcher), job, watch)
    if to_be_saved:
        tagger.model.save_pretrained(job["model"])
        tagger.tokenizer.save_pretrained(job["model"])
    return measured


def predict(job: Dict[str, Any]) -> Dict[str, float]:
    """Tag the test split. Entities are read off the tags when the time is over."""
    tagger = PlainTagger(job["model"], job["bfloat16"])
    tagger.model.eval()
    tagger.tag([words_of(example) for example in read(job["train"])[:200]])
    references = [example.reference for example in read(job["test"])]
    sentences = [[token.text for token in doc] for doc in references]
    start = perf_counter()
    tags = tagger.tag(sentences)
    seconds = perf_counter() - start
    found = {(number, *span) for number, own in enumerate(tags) for span in iob_to_spans(own)}
    gold = {(number, ent.start, ent.end, ent.label_) for number, doc in enumerate(references) for ent in doc.ents}
    f = 2 * len(found & gold) / max(1, len(found) + len(gold))
    return {"words_per_second": sum(map(len, sentences)) / seconds, "entities": len(found), "f": 100 * f}


def read(path: str) -> List[Example]:
    return list(Corpus(path)(spacy.blank("en")))


def words_of(example: Example) -> List[str]:
    return [token.text for token in example.reference]
