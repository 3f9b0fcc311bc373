"""Make flair's SequenceTagger over a transformer and time its predictions, as speed_transformer.py does.

Runs in an environment of flair's own, without spaCy and without this package.
"""

import random
from typing import Any, Dict, List

import flair
import torch
import transformers
from flair.data import Dictionary, Sentence
from flair.embeddings import TransformerWordEmbeddings
from flair.models import SequenceTagger
from flair.training_utils import store_embeddings
from speed_flair import BATCH, CLIP, predict, read

__all__ = ["make", "predict"]

LEARN_RATE = 5e-5  # that of flair's ModelTrainer.fine_tune


def make_tagger(sentences: List[Sentence], transformer: str) -> SequenceTagger:
    """Make a tagger with the layers that flair's documentation gives to a transformer, and a CRF."""
    labels = Dictionary(add_unk=False)
    # As in the dictionaries that flair makes of a corpus: the tagger makes BIOES tags of the labels.
    labels.span_labels = True
    for sentence in sentences:
        for label in sentence.get_labels("ner"):
            labels.add_item(label.value)
    embeddings = TransformerWordEmbeddings(
        model=transformer, fine_tune=True, layers="-1", subtoken_pooling="mean", use_context=False
    )
    return SequenceTagger(
        embeddings=embeddings,
        tag_dictionary=labels,
        tag_type="ner",
        use_rnn=False,
        use_crf=True,
        reproject_embeddings=False,
    )


def make(job: Dict[str, Any]) -> Dict[str, Any]:
    """Save a tagger that has made `updates`: with random weights it finds entities everywhere, which takes time."""
    flair.set_seed(0)
    sentences = read(job["train"])
    random.Random(0).shuffle(sentences)
    tagger = make_tagger(sentences, job["transformer"])
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=LEARN_RATE)
    tagger.train()
    for update in range(job["updates"]):
        first = update * BATCH % len(sentences)
        batch = sentences[first : first + BATCH]
        loss, _ = tagger.forward_loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tagger.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        # Kept, they would be taken for those of the next pass.
        store_embeddings(batch, "none")
    tagger.save(job["model"])
    return {"libraries": {"flair": flair.__version__, "transformers": transformers.__version__}}
