"""Settings that a program gives to a component: kept and saved, or refused in one sentence and left as they were."""

import copy
import pickle

import numpy as np
import pytest
import spacy

VALUES = [
    None,
    5,
    -1,
    True,
    10**400,
    0.5,
    float("nan"),
    "",
    "x",
    b"x",
    [],
    [5],
    [[1]],
    ["PER", "PER"],
    ("confidence", "marginals"),
    {"confidence"},
    {},
    {"PER": 0.5},
    {1: "x"},
    np.float32(0.25),
    np.int64(3),
    np.True_,
    np.array(["PER"]),
    object(),
    print,
]


@pytest.fixture(scope="module")
def components():
    nlp = spacy.blank("en")
    names = ("bcrf_ner", "weak_class_router", "ner_vote", "back_attention")
    return {name: nlp.add_pipe(name, config={"groups": ["a"]} if name == "ner_vote" else {}) for name in names}


@pytest.mark.parametrize("name", ["bcrf_ner", "weak_class_router", "ner_vote", "back_attention"])
def test_any_value_is_saved_or_refused(components, name):
    pipe = components[name]
    for setting in pipe.declared:
        for value in VALUES:
            before = copy.deepcopy(pipe.cfg)
            try:
                setattr(pipe, setting, value)
            except ValueError as error:
                assert "\n" not in str(error) and str(error).endswith(".")
                assert pipe.cfg == before
            else:
                saved = pipe.to_bytes()
                given = pipe.cfg[setting]
                pipe.cfg.update(copy.deepcopy(before))
                assert pipe.from_bytes(saved).cfg[setting] == given
            pipe.cfg.update(copy.deepcopy(before))
            pipe.check()


def test_numbers_of_numpy_can_be_saved_wherever_they_stand(components):
    pipe = components["bcrf_ner"]
    pipe.threshold = np.float32(0.25)
    assert type(pipe.cfg["threshold"]) is float
    pipe.cfg["n_best"] = np.int64(3)
    assert copy.deepcopy(pipe).from_bytes(pipe.to_bytes()).cfg["n_best"] == 3
    pipe.n_best = 5
    pipe.annotate = ("confidence", "n_best")
    assert pipe.annotate == ["confidence", "n_best"]


def test_a_property_is_not_asked_when_attributes_are_set_or_sought(components):
    with pytest.raises(AttributeError):
        components["back_attention"].width = 3
    for pipe in components.values():
        empty = type(pipe).__new__(type(pipe))
        settings = [name for name in pipe.declared if not hasattr(type(pipe), name)]
        assert not any(hasattr(empty, name) for name in (*settings, "nothing"))
        for again in (copy.copy(pipe), copy.deepcopy(pipe), pickle.loads(pickle.dumps(pipe))):
            assert again.cfg == pipe.cfg and again.name == pipe.name


def test_more_sequences_than_anybody_can_read_are_refused(components):
    pipe = components["bcrf_ner"]
    with pytest.raises(ValueError, match="n_best of 'bcrf_ner' must be a whole number from 1 to 10,000, not 10001"):
        pipe.n_best = 10_001
    assert pipe.n_best == 5
