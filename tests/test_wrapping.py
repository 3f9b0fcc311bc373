"""Torch modules as Thinc layers: saving, averages, rehearsal, copies, threads."""

import copy
import json
import pickle
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import safetensors.torch
import spacy
import torch
from spacy.tokens import Doc
from spacy.util import fix_random_seed
from thinc.api import Adam, Linear, Model
from thinc.optimizers import Optimizer
from torch import nn

from spacy_crfner.encoders.bilstm import build_bilstm_v1
from spacy_crfner.encoders.word_char_embed import build_word_char_embed_v1
from spacy_crfner.saved_weights import load_module
from spacy_crfner.wrapping import TorchShim, built_shim, concatenate_rows, layer_width, shim_of, split_rows, to_torch

VOCAB = spacy.blank("en").vocab
DOCS = [
    Doc(VOCAB, words=["Anna", "Kell", "met", "Bob", "in", "Paris", "."]),
    Doc(VOCAB, words=["It", "rained", "."]),
    Doc(VOCAB),
    Doc(VOCAB, words=["Oslo"]),
]


def build(layout="char6*2") -> Model:
    """Layers with torch weights only, not initialized."""
    words = build_word_char_embed_v1(layout, char_embed_width=4, char_rows=1100, hash_attrs=(), hash_rows=())
    return build_bilstm_v1(words, width=8, depth=2)


@pytest.fixture
def model() -> Model:
    model = build()
    model.initialize(X=DOCS)
    return model


def shims_of(model):
    return [shim for node in model.walk() for shim in node.shims]


def weights_of(model):
    """(shim id, name) -> the values of every torch parameter, copied."""
    return {
        (shim.id, name): parameter.detach().numpy().copy()
        for shim in shims_of(model)
        for name, parameter in shim._model.named_parameters()
    }


def backpropagate(model, docs=DOCS):
    outputs, backprop = model.begin_update(docs)
    backprop([np.cos(np.arange(rows.size, dtype="f")).reshape(rows.shape) for rows in outputs])


def assert_same(outputs, expected):
    for rows, expected_rows in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(rows, expected_rows, atol=1e-6)


def differs(outputs, expected):
    return any((np.abs(a - b) > 1e-6).any() for a, b in zip(outputs, expected, strict=True))


def test_saved_weights_are_safetensors_with_the_settings_in_the_header(model):
    shim = shim_of(model)
    data = shim.to_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    assert json.loads(header.pop("__metadata__")["settings"]) == {"input_width": 12, "width": 8, "depth": 2}
    # Nothing but the header and the values.
    assert len(data) == 8 + size + max(entry["data_offsets"][1] for entry in header.values())
    state = safetensors.torch.load(data)
    expected = shim._model.state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_no_pickle_is_written_or_read(model, monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise AssertionError("pickled")

    for module, names in (
        (pickle, ("dumps", "loads", "dump", "load", "Pickler", "Unpickler")),
        (torch, ("save", "load")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, fail)
    model.to_disk(tmp_path / "model")
    assert_same(build().from_disk(tmp_path / "model").predict(DOCS), model.predict(DOCS))


def test_a_model_that_was_never_initialized_is_rebuilt_from_bytes(model):
    data = model.to_bytes()
    loaded = build().from_bytes(data)
    assert_same(loaded.predict(DOCS), model.predict(DOCS))
    assert loaded.to_bytes() == data
    backpropagate(loaded)
    loaded.finish_update(Adam(0.1))
    assert differs(loaded.predict(DOCS), model.predict(DOCS))


def test_weights_are_loaded_over_others_of_another_size(model):
    other = build("char10")
    other.initialize(X=DOCS)
    other.layers[0].shims[0].from_bytes(model.layers[0].shims[0].to_bytes())
    other.shims[0].from_bytes(model.shims[0].to_bytes())
    assert weights_of(other).keys() != weights_of(model).keys()
    for values, expected in zip(weights_of(other).values(), weights_of(model).values(), strict=True):
        np.testing.assert_array_equal(values, expected)


def test_weights_are_saved_after_updates(model):
    backpropagate(model)
    model.finish_update(Adam(0.1))
    assert_same(build().from_bytes(model.to_bytes()).predict(DOCS), model.predict(DOCS))


def test_a_model_without_weights_is_saved_and_says_so(model):
    bare = build()
    assert shim_of(bare).to_bytes() == b""
    loaded = build().from_bytes(bare.to_bytes())
    assert not shim_of(loaded).is_built
    with pytest.raises(ValueError, match=r"'bilstm' has no weights yet: call nlp.initialize\(\) or load a model first"):
        built_shim(loaded)
    assert shim_of(model).is_built and built_shim(model) is model.shims[0]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 1.0])
def test_truncated_weights_are_refused(model, share):
    shim = shim_of(model)
    data = shim.to_bytes()
    expected = model.predict(DOCS)
    cut = data[: max(1, min(int(len(data) * share), len(data) - 1))]
    with pytest.raises(ValueError, match=r"weights of the torch layer 'BiLSTM' cannot be read .* damaged") as error:
        shim.from_bytes(cut)
    assert error.value.__cause__ is None and error.value.__suppress_context__
    # What was loaded before stays whole.
    assert_same(model.predict(DOCS), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"x" * 100,
        lambda data: b"\x80\x04" + data,
        lambda data: data + b"\x00" * 8,
        lambda data: data.replace(b"forwards.0", b"forwardz.0"),
        lambda data: data.replace(rb"\"depth\"", rb"\"dapth\""),
        lambda data: data.replace(rb"\"width\":", rb"\"width\"x"),
        lambda data: data.replace(rb"\"depth\": 2", rb"\"depth\": 3"),
        lambda data: safetensors.torch.save(safetensors.torch.load(data)),
        lambda data: safetensors.torch.save(safetensors.torch.load(data), metadata={"settings": "null"}),
    ],
)
def test_damaged_weights_are_refused(model, change):
    data = shim_of(model).to_bytes()
    damaged = change(data)
    assert damaged != data
    with pytest.raises(ValueError, match="is damaged or belongs to another model"):
        TorchShim(shim_of(model).build).from_bytes(damaged)


def test_weights_of_another_layer_are_refused(model):
    with pytest.raises(ValueError, match=r"'BiLSTM' cannot be read .* belongs to another model"):
        shim_of(model).from_bytes(shim_of(model.layers[0]).to_bytes())


def test_plain_optimizer_steps_change_the_weights(model):
    before, predicted = weights_of(model), model.predict(DOCS)
    backpropagate(model)
    gradients = {
        (shim.id, name): parameter.grad.numpy().copy()
        for shim in shims_of(model)
        for name, parameter in shim._model.named_parameters()
    }
    model.finish_update(lambda key, weights, gradient: (weights - 0.5 * gradient, gradient))
    after = weights_of(model)
    assert set(gradients) == set(before) == set(after)
    for key, gradient in gradients.items():
        assert gradient.any()
        np.testing.assert_allclose(after[key], before[key] - 0.5 * gradient, atol=1e-6)
    assert differs(model.predict(DOCS), predicted)

    # The gradients are used up, and the parameters can learn again.
    model.finish_update(lambda key, weights, gradient: (weights + 1.0, gradient))
    assert weights_of(model).keys() == after.keys()
    assert all((weights == after[key]).all() for key, weights in weights_of(model).items())
    backpropagate(model)
    model.finish_update(lambda key, weights, gradient: (weights - 0.5 * gradient, gradient))
    assert all((weights != after[key]).any() for key, weights in weights_of(model).items())


@torch.no_grad()
def test_the_version_tells_of_weights_that_were_changed_by_hand(model):
    for shim in shims_of(model):
        parameter = next(shim._model.parameters())
        version = shim.current_version()
        assert shim.current_version() == version
        parameter.mul_(2.0)
        changed = shim.current_version()
        parameter.data = parameter.data.clone()
        assert len({version, changed, shim.current_version()}) == 3


def test_the_version_tells_of_parameters_in_the_place_of_others(model):
    # Twice: the second one may stand in the memory that the first one had.
    for shim in shims_of(model):
        for _ in range(3):
            version = shim.current_version()
            for module in shim._model.modules():
                for _ in range(2):
                    for name, parameter in list(module.named_parameters(recurse=False)):
                        setattr(module, name, torch.nn.Parameter(parameter.detach() * 1.0))
            assert shim.current_version() != version


def test_weights_that_another_thread_read_while_they_changed_are_not_used_later(model):
    optimizer = Adam(0.1)
    backpropagate(model)

    def predict_meanwhile(key, weights, gradient):
        weights, gradient = optimizer(key, weights, gradient)
        model.predict(DOCS[:1])
        return weights, gradient

    model.finish_update(predict_meanwhile)
    assert_same(model.predict(DOCS[:1]), copy.deepcopy(model).predict(DOCS[:1]))


def test_weights_that_were_changed_by_hand_are_used_for_one_doc_and_for_many(model):
    alone = model.predict(DOCS[:1])
    assert_same(model.predict(DOCS)[:1], alone)
    for shim in shims_of(model):
        with torch.no_grad():
            for parameter in shim._model.parameters():
                parameter.add_(0.1)
        changed = model.predict(DOCS[:1])
        assert differs(changed, alone)
        assert_same(model.predict(DOCS)[:1], changed)
        alone = changed


def test_a_model_that_was_loaded_in_inference_mode_predicts_the_same(model):
    copied = build()
    with torch.inference_mode():
        copied.from_bytes(model.to_bytes())
        assert_same(copied.predict(DOCS), model.predict(DOCS))
    assert_same(copied.predict(DOCS[:1]), model.predict(DOCS[:1]))


def test_gradients_of_several_batches_add_up(model):
    seen = []
    for batches in ([DOCS[:1]], [DOCS[1:]], [DOCS[:1], DOCS[1:]]):
        gradients = {}
        for docs in batches:
            backpropagate(model, docs)
        model.finish_update(lambda key, w, g, gradients=gradients: (w, gradients.setdefault(key, g.copy())))
        seen.append(gradients)
    for key, both in seen[2].items():
        np.testing.assert_allclose(both, seen[0][key] + seen[1][key], atol=1e-5)


def test_rehearsal_sees_the_gradients_later(model):
    # nlp.rehearse collects the gradients first and applies them after all components are done.
    collected = {}

    def collect(key, weights, gradient):
        collected[key] = (weights, gradient)
        return weights, gradient

    before = weights_of(model)
    backpropagate(model)
    model.finish_update(collect)
    backpropagate(model)
    expected = {key: gradient.copy() for key, (_, gradient) in collected.items()}
    assert set(collected) == set(before)
    for key, (_, gradient) in collected.items():
        assert gradient.any()
        np.testing.assert_array_equal(gradient, expected[key])
    for key, weights in weights_of(model).items():
        np.testing.assert_array_equal(weights, before[key])


def test_averages_take_the_place_of_the_weights(model):
    optimizer = Optimizer(0.05, use_averages=True)
    for _ in range(5):
        backpropagate(model)
        model.finish_update(optimizer)
    before, predicted = weights_of(model), model.predict(DOCS)
    assert set(optimizer.averages) == set(before)
    with model.use_params(optimizer.averages):
        within = weights_of(model)
        averaged = model.predict(DOCS)
        saved = model.to_bytes()
    for key, weights in within.items():
        np.testing.assert_allclose(weights, optimizer.averages[key])
        assert (weights != before[key]).any()
    assert differs(averaged, predicted)
    assert_same(build().from_bytes(saved).predict(DOCS), averaged)

    for key, weights in weights_of(model).items():
        np.testing.assert_array_equal(weights, before[key])
    assert_same(model.predict(DOCS), predicted)


def test_weights_come_back_after_an_error(model):
    optimizer = Optimizer(0.05, use_averages=True)
    for _ in range(3):
        backpropagate(model)
        model.finish_update(optimizer)
    before, predicted = weights_of(model), model.predict(DOCS)
    with pytest.raises(KeyError, match="inside"), model.use_params(optimizer.averages):
        raise KeyError("inside")
    for key, weights in weights_of(model).items():
        np.testing.assert_array_equal(weights, before[key])
    assert_same(model.predict(DOCS), predicted)


def test_averages_of_another_model_are_left_alone(model):
    other = model.copy()
    averages = {key: np.zeros_like(weights) for key, weights in weights_of(other).items()}
    predicted = model.predict(DOCS)
    with model.use_params(averages):
        assert_same(model.predict(DOCS), predicted)
    with build().use_params(averages):
        pass


def test_a_copy_has_an_identity_and_weights_of_its_own(model):
    copied = model.copy()
    ids = [shim.id for layers in (model, copied) for shim in shims_of(layers)]
    assert len(set(ids)) == len(ids) == 4
    predicted = model.predict(DOCS)
    assert_same(copied.predict(DOCS), predicted)

    before = weights_of(model)
    keys = []
    backpropagate(copied)
    copied.finish_update(lambda key, weights, gradient: (keys.append(key), (weights - gradient, gradient))[1])
    assert set(keys) == set(weights_of(copied)) and not set(keys) & set(before)
    assert differs(copied.predict(DOCS), predicted)
    assert_same(model.predict(DOCS), predicted)
    # No gradient of the copy is left in the model.
    backpropagate(model)
    model.finish_update(lambda key, weights, gradient: (weights - gradient, gradient))
    assert_same(model.predict(DOCS), copied.predict(DOCS))


def test_the_copy_of_a_copy_and_of_an_empty_model():
    first = build()
    second = first.copy()
    assert len({shim_of(model).id for model in (first, second, second.copy())}) == 3


def test_prediction_leaves_no_graph_and_no_mode_behind(model):
    module = shim_of(model)._model
    seen = []
    module.register_forward_hook(lambda _, args, output: seen.append((output.requires_grad, module.training)))
    for mode in (True, False):
        module.train(mode)
        model.predict(DOCS)
        assert seen.pop() == (False, mode)
        assert module.training is mode
        backpropagate(model)
        assert seen.pop() == (True, mode)
        assert module.training is mode
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_prediction_leaves_no_gradient(model):
    model.predict(DOCS)
    assert all(parameter.grad is None for shim in shims_of(model) for parameter in shim._model.parameters())


def test_threads_predict_what_one_thread_predicts(model):
    batches = [[Doc(VOCAB, words=[f"word{i}", "in", "Oslo"][: 1 + i % 3]), *DOCS] for i in range(24)]
    expected = [model.predict(batch) for batch in batches]
    done = threading.Event()
    rounds = []

    def keep_predicting():
        while not done.is_set():
            assert_same(model.predict(DOCS), expected[0][1:])
            rounds.append(1)

    with ThreadPoolExecutor(5) as pool:
        background = pool.submit(keep_predicting)
        try:
            results = list(pool.map(model.predict, batches * 2))
        finally:
            done.set()
        background.result()
    assert rounds
    for outputs, expected_outputs in zip(results, expected * 2, strict=True):
        assert_same(outputs, expected_outputs)


def test_training_is_not_disturbed_by_a_thread_that_predicts(model):
    backpropagate(model)
    expected = {}
    model.finish_update(lambda key, w, g: (w, expected.setdefault(key, g.copy())))
    done = threading.Event()

    def keep_predicting():
        while not done.is_set():
            model.predict(DOCS)

    with ThreadPoolExecutor(1) as pool:
        background = pool.submit(keep_predicting)
        try:
            for _ in range(10):
                backpropagate(model)
                seen = {}
                model.finish_update(lambda key, w, g, seen=seen: (w, seen.setdefault(key, g.copy())))
                assert seen.keys() == expected.keys()
                for key, gradient in seen.items():
                    np.testing.assert_allclose(gradient, expected[key], atol=1e-5)
        finally:
            done.set()
        background.result()


def test_the_same_seed_gives_the_same_weights():
    saved = []
    for seed in (1, 1, 2):
        fix_random_seed(seed)
        model = build()
        model.initialize(X=DOCS)
        saved.append(model.to_bytes())
    assert saved[0] == saved[1] != saved[2]


def test_initializing_again_starts_anew(model):
    before = model.to_bytes()
    backpropagate(model)
    model.finish_update(Adam(0.1))
    fix_random_seed(0)
    model.initialize(X=DOCS)
    assert model.to_bytes() == before


def test_models_can_be_pickled(model):
    loaded = pickle.loads(pickle.dumps(model))
    assert_same(loaded.predict(DOCS), model.predict(DOCS))
    backpropagate(loaded)
    loaded.finish_update(Adam(0.1))
    assert differs(loaded.predict(DOCS), model.predict(DOCS))
    assert not shim_of(pickle.loads(pickle.dumps(build()))).is_built


@pytest.mark.parametrize("lengths", [[3], [2, 0, 1], [0, 0], [0, 4, 0]])
def test_rows_are_split_as_they_were_concatenated(lengths):
    model = Linear(nO=2, nI=2)
    arrays = [np.random.default_rng(n).normal(size=(n, 2)).astype("f") for n in lengths]
    rows = concatenate_rows(model, arrays)
    assert rows.shape == (sum(lengths), 2)
    for array, expected in zip(split_rows(model, rows, lengths), arrays, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_the_width_of_a_layer_is_declared_or_tried_out():
    assert layer_width(Linear(nO=7), None) == 7
    unknown = Model("unknown", lambda model, docs, is_train: ([np.zeros((len(doc), 5)) for doc in docs], None))
    assert layer_width(unknown, DOCS) == 5
    with pytest.raises(
        ValueError, match="output width of the layer 'unknown' is not known: initialize it with examples"
    ):
        layer_width(unknown, None)


def test_arrays_that_cannot_be_written_become_tensors_of_their_own():
    array = np.ones(3, dtype="f")
    array.flags.writeable = False
    tensor = to_torch(array, requires_grad=True)
    assert tensor.requires_grad and tensor.tolist() == [1.0] * 3
    with torch.no_grad():
        tensor += 1
    assert array.tolist() == [1.0] * 3


def test_while_a_saved_module_is_built_its_random_weights_are_zeros():
    """What memory held before may never satisfy a module that draws until all numbers are within limits."""
    drawn = []

    def build():
        layer = nn.Linear(2, 2)
        drawn.append(nn.init.normal_(layer.weight).detach().clone())
        return layer

    saved = nn.Linear(2, 2).state_dict()
    assert torch.equal(load_module(build, {}, saved).weight, saved["weight"])
    assert not drawn[0].any()
