"""spacy_crfner.Nadam.v1, with torch.optim.NAdam as the oracle."""

import copy
import pickle

import numpy as np
import pytest
import spacy
import torch
from samples import SMALL_MODEL, TRAIN
from spacy.training import Example
from thinc.api import Adam

from spacy_crfner import optimizers
from spacy_crfner.optimizers import make_nadam_v1
from spacy_crfner.wrapping import TorchShim

KEYS = ((1, "W"), (2, "b"))


def problem(seed=0):
    """Weights, and the noisy gradients of 50 updates, which depend on the weights."""
    random = np.random.default_rng(seed)
    weights = [random.normal(size=shape).astype("float32") for shape in ((7, 5), (5,))]
    scales = [random.uniform(0.01, 3.0, size=values.shape).astype("float32") for values in weights]
    noise = [[random.normal(size=values.shape).astype("float32") for values in weights] for _ in range(50)]

    def gradients(update, current):
        return [s * w + n for s, w, n in zip(scales, current, noise[update], strict=True)]

    return weights, gradients


def run(optimizer, weights, gradients, updates=range(50), **options):
    weights = [values.copy() for values in weights]
    for update in updates:
        for number, gradient in enumerate(gradients(update, weights)):
            weights[number], _ = optimizer(KEYS[number], weights[number], gradient, **options)
    return weights


def run_torch(weights, gradients, **options):
    parameters = [torch.nn.Parameter(torch.from_numpy(values.copy())) for values in weights]
    optimizer = torch.optim.NAdam(parameters, **options)
    for update in range(50):
        current = [parameter.detach().numpy().copy() for parameter in parameters]
        for parameter, gradient in zip(parameters, gradients(update, current), strict=True):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


@pytest.mark.parametrize("at_once", [3, optimizers.AT_ONCE])
@pytest.mark.parametrize(
    "beta1, beta2, eps, decay", [(0.9, 0.999, 1e-8, 0.0), (0.6, 0.9, 1e-3, 0.0), (0.9, 0.99, 1e-8, 0.1)]
)
def test_its_steps_are_those_of_torch(monkeypatch, at_once, beta1, beta2, eps, decay):
    monkeypatch.setattr(optimizers, "AT_ONCE", at_once)
    weights, gradients = problem()
    own = make_nadam_v1(0.02, beta1=beta1, beta2=beta2, eps=eps, L2=decay, L2_is_weight_decay=False, grad_clip=0.0)
    expected = run_torch(weights, gradients, lr=0.02, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    for mine, theirs in zip(run(own, weights, gradients), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    # Torch's momentum, and not that of Adam.
    for mine, theirs in zip(run(Adam(0.02, grad_clip=0.0), weights, gradients), expected, strict=True):
        assert np.abs(mine - theirs).max() > 1e-3


def test_weights_of_torch_learn_in_the_same_way():
    torch.manual_seed(0)
    shim = TorchShim(torch.nn.Linear)
    shim.create(in_features=4, out_features=3)
    theirs = copy.deepcopy(shim._model)
    optimizer, own = torch.optim.NAdam(theirs.parameters(), lr=0.05), make_nadam_v1(0.05, grad_clip=0.0)
    for inputs in torch.randn(50, 6, 4):
        for module in (shim._model, theirs):
            module(inputs).pow(2).sum().backward()
        shim.finish_update(own)
        optimizer.step()
        optimizer.zero_grad()
    for mine, other in zip(shim._model.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.detach(), other.detach(), atol=1e-5)


def test_rates_clipping_and_weight_decay_are_those_of_every_optimizer():
    weights, gradients = problem()
    for mine, other in zip(
        run(make_nadam_v1(0.02), weights, gradients, lr_scale=0.5),
        run(make_nadam_v1(0.01), weights, gradients),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, atol=1e-7)
    # A gradient that is longer than the limit acts as one of that length.
    ones = [values / np.linalg.norm(values) for values in weights]
    clipped = run(make_nadam_v1(0.02, grad_clip=0.5), weights, lambda update, current: [9 * values for values in ones])
    short = run(make_nadam_v1(0.02, grad_clip=0.0), weights, lambda update, current: [values / 2 for values in ones])
    np.testing.assert_allclose(clipped[0], short[0], atol=1e-5)
    # Without a gradient, decoupled weight decay alone pulls: by rate times L2.
    still = run(make_nadam_v1(0.1, L2=0.5), weights, lambda update, current: [0 * w for w in weights], range(1))
    np.testing.assert_allclose(still[0], weights[0] * 0.95, rtol=1e-6)


def test_averages_are_those_of_thinc():
    weights, gradients = problem()
    own = make_nadam_v1(0.02)
    expected, current = np.zeros_like(weights[0]), weights
    for update in range(50):
        current = run(own, current, gradients, [update])
        decay = (2.0 + update) / (11.0 + update)
        expected -= (1 - decay) * (expected - current[0])
    np.testing.assert_allclose(own.averages[KEYS[0]], expected, atol=1e-5)
    assert make_nadam_v1(use_averages=False).averages is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_a_copy_goes_on_where_the_optimizer_stood(copied):
    weights, gradients = problem()
    optimizer = make_nadam_v1(0.02)
    half = run(optimizer, weights, gradients, range(25))
    other = copied(optimizer)
    first, second = (run(own, half, gradients, range(25, 50)) for own in (optimizer, other))
    for mine, theirs in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_tagger_learns_with_it_from_a_config():
    optimizer = {"@optimizers": "spacy_crfner.Nadam.v1", "learn_rate": 0.005}
    nlp = spacy.blank("en", config={"training": {"optimizer": optimizer}})
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    sgd = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=sgd, drop=0.1)
    with nlp.use_params(sgd.averages):
        assert nlp.evaluate(examples)["ents_f"] > 0.95


@pytest.mark.parametrize("config", [{"beta1": 0.0}, {"beta2": 1.0}, {"beta1": 0.0, "beta2": 0.0}])
def test_momentum_that_cannot_be(config):
    with pytest.raises(ValueError, match=r"Nadam\.v1 needs a beta1 and a beta2 between 0 and 1"):
        make_nadam_v1(**config)
