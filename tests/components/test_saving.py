"""Components that are saved and loaded: whole, together, or not at all; and never with numbers that are not finite."""

import copy
import json
import random
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spacy
import srsly
import torch
from samples import ROOT, SMALL_MODEL, TRAIN
from spacy.training import Example
from thinc.api import Adam

from spacy_crfner import files
from spacy_crfner.components.configured import UnreadableComponent

GOLDEN = ROOT / "tests" / "golden" / "0.1.0"
TEXTS = [text for text, _ in TRAIN[:4]]
COMPONENTS = {
    "bcrf_ner": ("bcrf_ner", "bcrf_ner"),
    "weak_class_router": ("routed", "weak_class_router"),
    "ner_vote": ("routed", "ner_vote"),
    "back_attention": ("back_attention", "back_attention"),
}


def found(nlp):
    written = []
    for doc in nlp.pipe(TEXTS):
        for key, group in sorted(doc.spans.items()):
            values = [np.asarray(group.attrs[name]).tolist() for name in ("scores", "features") if name in group.attrs]
            written.append((key, [(span.start, span.end, span.label_) for span in group], values))
    return written


@pytest.fixture(params=COMPONENTS)
def saved(request, tmp_path):
    """A pipeline, a component of it, and the folder into which it was saved."""
    pipeline, name = COMPONENTS[request.param]
    nlp = spacy.load(GOLDEN / pipeline)
    nlp.to_disk(tmp_path / "model")
    return nlp, nlp.get_pipe(name), tmp_path / "model" / name


def test_a_failed_loading_leaves_a_component_as_it_was(saved, tmp_path):
    nlp, pipe, folder = saved
    before, expected = pipe.to_bytes(exclude=["vocab"]), found(nlp)
    damaged = [tmp_path / "empty"]
    damaged[0].mkdir()
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        copy = tmp_path / f"damaged-{len(damaged)}"
        shutil.copytree(folder, copy)
        broken = copy / file.relative_to(folder)
        broken.write_bytes(broken.read_bytes()[:-7])
        damaged.append(copy)
    assert len(damaged) > 1
    for path in damaged:
        with pytest.raises(ValueError, match=r"cannot be read .* Copy or train it again"):
            pipe.from_disk(path, exclude=["vocab"])
        assert pipe.to_bytes(exclude=["vocab"]) == before
    for data in (before[:-9], b"", srsly.msgpack_dumps([1]), srsly.msgpack_dumps({"cfg": "{}"})):
        with pytest.raises(ValueError, match=r"in these bytes cannot be read"):
            pipe.from_bytes(data, exclude=["vocab"])
        assert pipe.to_bytes(exclude=["vocab"]) == before
    assert found(nlp) == expected


def test_loading_that_fails_at_its_end_changes_nothing(saved, monkeypatch):
    """Without digests, as an earlier version has saved it, when the parts have been read already."""
    nlp, pipe, folder = saved
    before, expected = pipe.to_bytes(exclude=["vocab"]), found(nlp)
    cfg = json.loads((folder / "cfg").read_text())
    del cfg["saved"]
    (folder / "cfg").write_text(json.dumps(cfg))

    def fail():
        raise IndexError("of the end")

    monkeypatch.setattr(pipe, "after_loading", fail)
    with pytest.raises(ValueError, match=r"cannot be read \(IndexError: of the end\)"):
        pipe.from_disk(folder, exclude=["vocab"])
    assert pipe.to_bytes(exclude=["vocab"]) == before and found(nlp) == expected


@pytest.mark.parametrize("other", COMPONENTS)
def test_the_folder_of_another_component_is_refused(saved, other, tmp_path):
    _, pipe, _ = saved
    pipeline, name = COMPONENTS[other]
    nlp = spacy.load(GOLDEN / pipeline)
    if type(nlp.get_pipe(name)) is type(pipe):
        return
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match=r"it holds a \w+, not a \w+"):
        pipe.from_disk(tmp_path / "other" / name, exclude=["vocab"])
    with pytest.raises(ValueError, match=r"cannot be read|earlier version"):
        pipe.from_disk(GOLDEN / pipeline / name, exclude=["vocab"])


def test_saving_that_fails_leaves_what_was_saved(saved, monkeypatch):
    _, pipe, folder = saved
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    pipe.cfg["threshold" if "threshold" in pipe.cfg else "memory_mb" if "memory_mb" in pipe.cfg else "rule"] = object()
    with pytest.raises(TypeError):
        pipe.to_disk(folder, exclude=["vocab"])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# Numbers that are not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["start", "transitions", "end"])
def test_scores_of_the_crf_that_are_not_finite(value, name, tmp_path):
    nlp = spacy.load(GOLDEN / "max_f")
    nlp(TEXTS[0])
    node = nlp.get_pipe("bcrf_ner").model.get_ref("head").get_ref("transitions")
    weights = node.get_param(name).copy()
    weights.flat[-1] = value
    node.set_param(name, weights)
    with pytest.raises(ValueError, match=r"^The scores of 'bcrf_ner' are not finite numbers: training has diverged"):
        nlp(TEXTS[0])
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match=rf"{name} of its layer 'crf_transitions' holds numbers that are not finite"):
        spacy.load(tmp_path)


def test_a_layer_that_lacks_one_of_its_weights_is_refused(tmp_path):
    nlp = spacy.load(GOLDEN / "max_f")
    node = nlp.get_pipe("bcrf_ner").model.get_ref("head").get_ref("transitions")
    node._has_params["transitions"] = None
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match="transitions of its layer 'crf_transitions' is missing"):
        spacy.load(tmp_path)


@pytest.mark.parametrize("pipeline", ["max_f", "bcrf_ner", "routed"])
def test_weights_that_are_not_finite(pipeline):
    """Each layer by itself, with what it hides: a maximum of numbers and -inf is a number."""
    nlp, fresh = (spacy.load(GOLDEN / pipeline) for _ in range(2))
    name = next(name for name in nlp.pipe_names if name in ("bcrf_ner", "weak_class_router"))
    pipe, expected = nlp.get_pipe(name), found(nlp)
    arrays = [
        (own, weights)
        for node in pipe.model.walk()
        for own, weights in [
            *((own, node.get_param(own)) for own in node.param_names if node.has_param(own)),
            *((own, values.data.numpy()) for shim in node.shims for own, values in shim._model.named_parameters()),
        ]
    ]
    assert len(arrays) > 10
    for own, weights in arrays:
        before = weights.flat[0]
        weights.flat[0] = -np.inf
        pipe.finish_update(Adam(0.0))
        with pytest.raises(ValueError, match=rf"^'{name}' cannot be used, since {own} .*not finite"):
            nlp(TEXTS[0])
        with pytest.raises(ValueError, match=rf"The saved component '{name}' .*{own} .*not finite"):
            fresh.get_pipe(name).from_bytes(pipe.to_bytes(exclude=["vocab"]), exclude=["vocab"])
        weights.flat[0] = before
        pipe.finish_update(Adam(0.0))
    assert found(nlp) == found(fresh) == expected


def test_word_vectors_that_are_not_finite():
    nlp = spacy.blank("en")
    nlp.vocab.reset_vectors(width=8)
    for text, _ in TRAIN:
        for word in text.split():
            nlp.vocab.set_vector(word, np.ones(8, dtype=np.float32))
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    nlp("Anna Kell left .")
    nlp.vocab.set_vector("Kell", np.array([np.inf] + [0.0] * 7, dtype=np.float32))
    with pytest.raises(ValueError, match=r"^The word vector of 'Kell' in the vocab is not of finite numbers"):
        nlp("Anna Kell left .")
    nlp("It rained .")


@pytest.mark.parametrize("component", ["bcrf_ner", "weak_class_router"])
def test_a_learning_rate_of_10_is_noticed(component):
    nlp = spacy.blank("en")
    config = SMALL_MODEL if component == "bcrf_ner" else {"weak_labels": ["ORG"]}
    nlp.add_pipe(component, config=config)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    with pytest.warns(UserWarning, match=rf"^The mean loss of '{component}' over 20 .* Lower the learning rate"):
        for _ in range(20):
            nlp.update(examples[:6], sgd=Adam(10.0))


# What does not fit


def message(pipe, change):
    """Change what is in the file of a model; what loading says of it."""
    data = srsly.msgpack_loads(pipe.to_bytes(exclude=["vocab"]))
    cfg = json.loads(data["cfg"])
    del cfg["saved"]
    model = srsly.msgpack_loads(data["model"])
    change(model)
    data.update(cfg=json.dumps(cfg), model=srsly.msgpack_dumps(model))
    with pytest.raises(UnreadableComponent) as caught:
        pipe.from_bytes(srsly.msgpack_dumps(data), exclude=["vocab"])
    assert "\n" not in str(caught.value)
    return caught.value.reason


def with_header(data, **settings):
    """Change the settings in the header of a torch layer."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    own = {**json.loads(header["__metadata__"]["settings"]), **settings}
    header["__metadata__"]["settings"] = json.dumps(own)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def test_what_does_not_fit_is_said_in_one_sentence():
    pipe = spacy.load(GOLDEN / "bcrf_ner").get_pipe("bcrf_ner")

    def shim(index, **settings):
        def change(model):
            model["shims"][index][0] = with_header(model["shims"][index][0], **settings)

        return change

    nodes = list(pipe.model.walk())
    lstm, chars, output = (
        next(index for index, node in enumerate(nodes) if node.name == name)
        for name in ("bilstm", "word_char_embed", "linear")
    )
    start = time.monotonic()
    for index, settings in ((lstm, {"depth": 10**6}), (lstm, {"width": 10**9}), (chars, {"char_rows": 10**12})):
        assert "a larger layer than the weights" in message(pipe, shim(index, **settings))
    assert time.monotonic() - start < 30
    assert "ZeroDivisionError" in message(pipe, shim(chars, char_embed_width=0))
    assert "are missing" in message(pipe, shim(lstm, depth=2))
    assert "IndexError" in message(pipe, lambda model: model["params"].pop())

    def typed(dtype):
        def change(model):
            model["params"][output]["W"] = model["params"][output]["W"].astype(dtype)

        return change

    for dtype in ("int64", "bool"):
        assert f"W of its layer 'linear' holds numbers of type {dtype}" in message(pipe, typed(dtype))

    def short(model):
        model["params"][output]["W"] = model["params"][output]["W"][:-1]

    assert "W of 'linear' has the shape (12, 12), not (13, 12)" in message(pipe, short)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_torch_weights_of_whole_numbers_are_refused(dtype):
    from safetensors.torch import load, save

    shim = spacy.load(GOLDEN / "bcrf_ner").get_pipe("bcrf_ner").model.get_ref("tok2vec").shims[0]
    before = shim.to_bytes()
    state = {name: values.to(dtype) for name, values in load(before).items()}
    data = save(state, metadata={"settings": json.dumps(shim.cfg)})
    with pytest.raises(ValueError, match=r"holds numbers of type torch\.(int64|bool)"):
        shim.from_bytes(data)
    assert shim.to_bytes() == before


@pytest.mark.parametrize(("key", "value"), [("depth", 2), ("per_sentence", False)])
def test_a_config_that_contradicts_the_weights_is_refused(key, value):
    override = {"components": {"bcrf_ner": {"model": {"tok2vec": {key: value}}}}}
    with pytest.raises(ValueError, match=rf"the config says {key} = {value!r} for its layer 'bilstm', but it was"):
        spacy.load(GOLDEN / "bcrf_ner", config=override)


def test_settings_that_matter_in_training_alone_come_from_the_config():
    override = {"components": {"bcrf_ner": {"model": {"tok2vec": {"tok2vec": {"hash_noise": 0.25}}}}}}
    nlp = spacy.load(GOLDEN / "bcrf_ner", config=override)
    noises = [node.attrs["noise"] for node in nlp.get_pipe("bcrf_ner").model.walk() if "noise" in node.attrs]
    assert noises == [0.25]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_what_two_save_into_one_folder_is_that_of_one(tmp_path, monkeypatch):
    replace = files._replace

    def slowly(new, path):
        time.sleep(random.random() / 50)
        replace(new, path)

    monkeypatch.setattr(files, "_replace", slowly)
    nlp = spacy.load(GOLDEN / "bcrf_ner")
    pipes = [nlp.get_pipe("bcrf_ner"), copy.deepcopy(nlp.get_pipe("bcrf_ner"))]
    pipes[1].model.get_ref("head").get_ref("output_layer").set_param("b", np.zeros(len(pipes[1].tags), dtype="f"))
    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            list(pool.map(lambda pipe: pipe.to_disk(tmp_path, exclude=["vocab"]), pipes))
            pipes[0].from_disk(tmp_path, exclude=["vocab"])
