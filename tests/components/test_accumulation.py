"""`accumulate_gradient`: a batch that is read in parts teaches what it teaches at once."""

import copy

import numpy as np
import pytest
import spacy
from samples import SMALL_MODEL, TRAIN
from spacy.training import Example
from spacy.training.loop import train_while_improving
from spacy.util import fix_random_seed
from thinc.api import SGD

from spacy_crfner.components import accumulation
from spacy_crfner.components.accumulation import Accumulation
from spacy_crfner.user_data_keys import WEIGHT

# What is drawn at random depends on how a batch is cut.
SMALL = copy.deepcopy(SMALL_MODEL)
SMALL["model"]["tok2vec"]["tok2vec"]["hash_noise"] = 0.0
ROUTER_MODEL = {"width": 8, "hidden_width": 8, "tok2vec": {"hash_noise": 0.0, "hash_width": 16}}
ROUTER = {"model": ROUTER_MODEL, "weak_labels": ["ORG"]}
SIZES = (7, 16, 1, 13)
"""Examples of each batch: some cannot be cut into equal parts."""


def weights(nlp):
    found = {}
    for name, pipe in nlp.pipeline:
        for number, node in enumerate(pipe.model.walk()):
            own = {key: node.get_param(key) for key in node.param_names if node.has_param(key)}
            for shim in node.shims:
                own.update({key: value.detach().numpy() for key, value in shim._model.named_parameters()})
            found.update({(name, number, key): value.copy() for key, value in own.items()})
    return found


def train(factory, config, accumulate, updates=8, mark=lambda examples: None):
    """Train as `spacy train` does, without clipping and evaluation, and with so little dropout that nothing is dropped.

    Returns the weights before and after.
    """
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, config=config)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    mark(examples)
    nlp.initialize(lambda: examples)
    before = weights(nlp)
    loop = train_while_improving(
        nlp,
        SGD(0.02, grad_clip=0.0, use_averages=False),
        ((0, examples[: SIZES[step % 4]]) for step in range(updates)),
        lambda: (0.0, {}),
        dropout=1e-9,
        eval_frequency=1000,
        accumulate_gradient=accumulate,
        patience=0,
        max_steps=0,
        exclude=[],
        annotating_components=[],
        before_update=None,
    )
    for _ in loop:
        pass
    return before, weights(nlp)


def uneven_weights(examples):
    for number, example in enumerate(examples):
        example.predicted.user_data[WEIGHT] = (0.0, 1.0, 2.5)[number % 3]


@pytest.mark.parametrize("accumulate", [2, 5])
@pytest.mark.parametrize(
    "factory, config, mark",
    [
        ("bcrf_ner", {**SMALL, "r_drop": 0.0}, lambda examples: None),
        ("bcrf_ner", {**SMALL, "r_drop": 0.0}, uneven_weights),
        ("bcrf_ner", {**SMALL, "r_drop": 0.5}, uneven_weights),
        ("weak_class_router", ROUTER, lambda examples: None),
        ("weak_class_router", ROUTER, uneven_weights),
    ],
)
def test_parts_of_a_batch_teach_what_the_batch_teaches(factory, config, mark, accumulate):
    before, whole = train(factory, config, 1, mark=mark)
    _, parts = train(factory, config, accumulate, mark=mark)
    way = max(np.abs(whole[key] - before[key]).max() for key in whole)
    assert way > 1e-3
    for key, values in whole.items():
        np.testing.assert_allclose(parts[key], values, atol=1e-3 * way, err_msg=str(key))


def test_what_a_shared_encoder_learns_adds_up_as_in_spacy():
    """It does not know how large the parts were, and components of spaCy that listen to it add up theirs."""
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy.HashEmbedCNN.v2", "width": 16, "depth": 1, "embed_size": 100}
    layers = {**encoder, "window_size": 1, "maxout_pieces": 2, "subword_features": True, "pretrained_vectors": None}
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    nlp.add_pipe("tok2vec", config={"model": layers})
    nlp.add_pipe("bcrf_ner", config={"model": {"tok2vec": listener}, "r_drop": 0.0})
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    found = []
    for parts in ([examples[:2]], [examples[2:8]], [examples[:2], examples[2:8]]):
        for part in parts:
            nlp.update(part, sgd=False, drop=0.0)
        gradients = {}

        def collect(key, weights, gradient, gradients=gradients):
            gradients[key] = gradient.copy()
            gradient[...] = 0.0
            return weights, gradient

        for _, pipe in nlp.pipeline:
            pipe.model.finish_update(collect)
        found.append(gradients)
    first, second, both = found
    assert both.keys() == first.keys() == second.keys()
    for key, gradient in both.items():
        np.testing.assert_allclose(gradient, first[key] + second[key], atol=1e-5, err_msg=str(key))


def test_a_batch_that_is_read_at_once_is_left_as_it_is(monkeypatch):
    def scale_gradients(model, factor):
        raise AssertionError("nothing is to be scaled")

    monkeypatch.setattr(accumulation, "scale_gradients", scale_gradients)
    train("bcrf_ner", {**SMALL, "r_drop": 0.5}, 1, updates=3)
    train("weak_class_router", ROUTER, 1, updates=3)


def shares(accumulation, *sizes):
    """Add sub-batches. Returns what the gradient of each is multiplied with."""
    found = []
    for size in sizes:
        found.append(accumulation.share_of(size))
        accumulation.add(size)
    return found


def test_sizes_of_parts():
    waits = Accumulation()
    assert shares(waits, 0.0, 4.0, 2.0, 0.0, 2.0) == [1.0, 1.0, 0.5, 1.0, 0.5]
    model = spacy.blank("en").add_pipe("bcrf_ner", config=SMALL).model
    waits.finish(model)
    assert shares(waits, 3.0, 1.5) == [1.0, 0.5]


def test_a_training_that_was_left_in_the_middle_of_a_batch():
    """Its parts do not count in the training that begins after it."""
    nlp = spacy.blank("en")
    tagger = nlp.add_pipe("bcrf_ner", config=SMALL)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=False)
    nlp.initialize(lambda: examples)
    assert shares(tagger._accumulation, 3.0) == [1.0]
