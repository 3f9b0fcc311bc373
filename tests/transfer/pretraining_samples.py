"""A toy text, and settings with which a tiny transformer learns it."""

import random
from dataclasses import replace

from tiny_transformers import transformer_folder

from spacy_crfner.transfer.from_scratch import Sizes, new_masked_model
from spacy_crfner.transfer.masked_model import read_masked_model
from spacy_crfner.transfer.pretraining import PretrainingSettings, TransformerPretraining
from spacy_crfner.transfer.texts import RawText

SETTINGS = PretrainingSettings(
    block=32, batch_pieces=256, max_updates=12, eval_every=4, learn_rate=3e-3, warmup=4, checkpoint_minutes=1e6
)
LONG = replace(SETTINGS, max_updates=10**4, eval_every=3, patience=10**4, checkpoint_minutes=0.0)


def toy_lines(count=600, seed=0):
    """Sentences that can be guessed: where a name moves follows from the name."""
    rng = random.Random(seed)
    homes = {"Anna": "Paris", "Bob": "Oslo", "Harlow": "Zürich"}
    return [
        f"{name} met Kell in {homes[name]}, number {rng.randrange(999)}." for name in rng.choices([*homes], k=count)
    ]


def write_toy(folder):
    """Write the text. Returns its path."""
    path = folder / "toy.txt"
    path.write_text("\n".join(toy_lines()), encoding="utf8")
    return path


def pretraining(folder, text, kind="bert", settings=SETTINGS, **options):
    """Make a training of a tiny model."""
    model = read_masked_model(transformer_folder(kind), settings.seed)
    return TransformerPretraining(folder, model, RawText([text], held_out=0.1), settings, **options)


def new_training(folder, text, settings=SETTINGS):
    """Make a training of a model that begins with nothing."""
    raw = RawText([text], held_out=0.1)
    model = new_masked_model(raw.to_learn_from(), Sizes(1, 16, 2, 300), settings.block, settings.seed)
    return TransformerPretraining(folder, model, raw, settings)
