"""Whatever a program has set in torch for all of its own code: weights, training and predictions stay the same."""

import contextlib
from functools import cache

import numpy as np
import pytest
import spacy
import torch
from samples import ROOT, SMALL_MODEL, TRAIN
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_crfner.back_attention.conv_translator import ConvTranslator
from spacy_crfner.back_attention.convs2s import ConvS2S
from spacy_crfner.back_attention.pieces import Pieces
from spacy_crfner.torch_state import is_usual, usual_torch

GOLDEN = ROOT / "tests" / "golden" / "0.1.0"
TEXTS = [text for text, _ in TRAIN[:6]]


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


STATES = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "device": lambda: torch.device("meta"),
    "deterministic": deterministic,
}


@pytest.fixture(params=STATES)
def state(request):
    """A function that makes a context in which torch is set otherwise."""
    return STATES[request.param]


def found(nlp):
    """All that is written into Docs, with exact numbers."""
    numbers = []
    for doc in nlp.pipe(TEXTS):
        for key, group in sorted(doc.spans.items()):
            numbers.append((key, [(span.start, span.end, span.label_) for span in group]))
            numbers += [
                np.asarray(group.attrs[name], dtype=float).tolist()
                for name in ("scores", "features", "marginals")
                if name in group.attrs
            ]
    return numbers


@cache
def saved(name):
    """A saved pipeline, and what it finds as things usually are."""
    nlp = spacy.load(GOLDEN / name)
    return nlp, found(nlp)


@pytest.mark.parametrize("name", ["max_f", "routed", "back_attention"])
def test_predictions_stay_equal(state, name):
    nlp, expected = saved(name)
    assert any(expected)
    with state():
        assert found(nlp) == expected
        loaded = spacy.load(GOLDEN / name)
        assert found(loaded) == expected
    assert found(loaded) == expected


ROUTER = {
    "model": {
        "@architectures": "spacy_crfner.StructuredSelfAttention.v1",
        "width": 8,
        "attention_width": 6,
        "hops": 2,
        "hidden_width": 6,
        "tok2vec": {
            "@architectures": "spacy.HashEmbedCNN.v2",
            "width": 12,
            "depth": 1,
            "embed_size": 60,
            "window_size": 1,
            "maxout_pieces": 2,
            "subword_features": True,
            "pretrained_vectors": None,
        },
    },
    "weak_labels": ["ORG"],
}


def learned():
    """The weights of a pipeline after some updates, in pieces."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("weak_class_router", config=ROUTER)
    loss = {"@misc": "spacy_crfner.viterbi_gated.v1"}
    nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, "loss": loss, "annotate": ["confidence", "marginals", "n_best"]})
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(2):
        nlp.update(examples, sgd=optimizer, drop=0.2)
    with nlp.use_params(optimizer.averages):
        return nlp.to_bytes(), found(nlp)


@cache
def usually_learned():
    return learned()


def test_training_stays_equal(state):
    expected = usually_learned()
    with state():
        assert learned() == expected


def test_a_translator_stays_equal(state):
    pieces = Pieces.train([["uno", "dos", "tres"]], 260)
    torch.manual_seed(0)
    model = ConvS2S(len(pieces), size=8, width=8, encoder_layers=1, decoder_layers=1).without_norms()
    translator = ConvTranslator(model, pieces, ["uno"], "es", {"beams": 2})
    nlp = spacy.blank("es")
    pipe = nlp.add_pipe("back_attention")
    pipe.translator = translator
    pipe.english = spacy_english()
    expected = pipe.translate([["uno", "dos"], ["tres"]])
    files = translator.files()
    with state():
        pipe.translator = ConvTranslator.from_files(files)
        again = pipe.translate([["uno", "dos"], ["tres"]])
    for first, second in zip(expected, again, strict=True):
        assert first.words == second.words
        np.testing.assert_array_equal(first.attention, second.attention)


def spacy_english():
    return spacy.load(GOLDEN / "back_attention").get_pipe("back_attention").english


def test_the_state_of_the_program_is_what_it_was(state):
    with state():
        before = (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.empty(1).device,
            torch.is_autocast_enabled(),
        )
        with usual_torch():
            assert is_usual() or torch.empty(1).dtype == torch.float32
            assert torch.tensor([0.5]).dtype == torch.full((1,), 0.5).dtype == torch.float32
            assert torch.tensor([1]).dtype == torch.arange(2).dtype == torch.int64
            assert torch.empty(1).device.type == "cpu" and torch.is_grad_enabled()
        assert before == (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.empty(1).device,
            torch.is_autocast_enabled(),
        )
    assert is_usual()
