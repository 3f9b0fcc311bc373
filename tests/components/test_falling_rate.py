"""A learning rate that does not fall with the last update is told of."""

import warnings

import pytest
import spacy
from samples import SMALL_MODEL, TRAIN
from spacy.training import Example


def initialize(rate, max_steps, factory="bcrf_ner", config=SMALL_MODEL):
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, config=config)
    nlp.config["training"]["max_steps"] = max_steps
    nlp.config["training"]["optimizer"]["learn_rate"] = rate
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    return nlp


def falling(total):
    return {"@schedules": "warmup_linear.v1", "warmup_steps": 10, "total_steps": total, "initial_rate": 0.001}


@pytest.mark.parametrize("last", [300, 3000])
@pytest.mark.parametrize("pipe", [{}, {"factory": "weak_class_router", "config": {"weak_labels": ["ORG"]}}])
def test_another_end_is_told_of(last, pipe):
    with pytest.warns(UserWarning, match=rf"falls to 0 with update 2000 .* until update {last} .* the same number"):
        initialize(falling(2000), last, **pipe)


@pytest.mark.parametrize(
    "rate, last", [(falling(2000), 2000), (0.001, 500), (falling(2000), 0), (falling("${training.max_steps}"), 700)]
)
def test_nothing_is_said_of_others(rate, last):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        nlp = initialize(falling(100), 100)
        nlp.config["training"].update(max_steps=last)
        nlp.config["training"]["optimizer"]["learn_rate"] = rate
        nlp.get_pipe("bcrf_ner").initialize(
            lambda: [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN], nlp=nlp
        )
