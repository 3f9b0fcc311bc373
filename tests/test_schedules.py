"""spacy_crfner.anneal_on_plateau.v1: by simulation, with torch's scheduler as the oracle, and in trainings."""

import copy
import gc
import logging
import pickle
import subprocess
import sys
import warnings

import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import ROOT, SMALL_MODEL, TRAIN
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.loop import train_while_improving
from thinc.api import Adam, warmup_linear

from spacy_crfner.schedules import AnnealOnPlateau, make_anneal_on_plateau_v1


def rates(schedule, scores):
    """The rate after each evaluation, of which each comes after three updates."""
    found = []
    for score in scores:
        next(schedule), next(schedule)
        schedule.report({"ents_f": score, "ents_p": 0.3})
        found.append(next(schedule))
    return found


@given(
    st.lists(st.integers(0, 4), max_size=30), st.integers(1, 4), st.sampled_from([0.5, 0.1]), st.sampled_from([0, 0.02])
)
def test_rates_are_those_of_torch(scores, patience, factor, smallest):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # Torch waits for one evaluation more than its patience says.
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", factor=factor, patience=patience - 1, threshold=0.0, min_lr=smallest, eps=0.0
    )
    expected = []
    for score in scores:
        theirs.step(score / 4)
        expected.append(optimizer.param_groups[0]["lr"])
    own = make_anneal_on_plateau_v1(1.0, factor=factor, patience=patience, smallest=smallest)
    assert rates(own, [score / 4 for score in scores]) == pytest.approx(expected)


def test_another_schedule_gives_the_rate_before():
    own = make_anneal_on_plateau_v1(warmup_linear(1.0, 4, 8), factor=0.5, patience=1)
    plain = warmup_linear(1.0, 4, 8)
    assert [next(own) for _ in range(4)] == [next(plain) for _ in range(4)]
    for _ in range(2):
        own.report({"ents_f": 0.5})
        last = next(own)
    next(plain)
    assert last == 0.5 * next(plain)
    # Below the smallest rate is only what was there before.
    low = make_anneal_on_plateau_v1([0.01, 1.0, 1.0, 1.0], factor=0.1, patience=1, smallest=0.5)
    assert rates(low, [0.5]) == [1.0] and rates(low, [0.5]) == [0.5]
    # A list that has ended stays at its last rate.
    assert next(low) == 0.5


def test_scores_are_weighed_and_those_that_are_missing_are_not_zeros():
    own = make_anneal_on_plateau_v1(
        1.0, factor=0.5, patience=1, score_weights={"ents_f": 0.5, "weak_ap": 0.5, "ents_p": None}
    )
    for scores, expected in (
        ({"ents_f": 0.2, "weak_ap": 0.6}, 1.0),
        ({"ents_f": 0.7, "weak_ap": 0.2}, 1.0),
        ({"ents_f": None, "weak_ap": None, "ents_per_type": None}, 1.0),
        ({}, 1.0),
        ({"ents_f": 0.8, "weak_ap": 0.05}, 0.5),
    ):
        own.report(scores)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert next(own) == expected


def test_scores_that_no_evaluation_gives():
    own = make_anneal_on_plateau_v1(1.0)
    with pytest.warns(UserWarning, match="follows ents_f, which no evaluation has given.* name one of spans_crf_f in"):
        own.report({"spans_crf_f": 0.5, "spans_crf_per_type": {}})
        next(own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own.report({"spans_crf_f": 0.5})
        assert next(own) == 1.0


@pytest.mark.parametrize("config", [{"factor": 1.0}, {"factor": 0.0}, {"patience": 0}, {"smallest": -0.1}])
def test_arguments_that_cannot_be(config):
    with pytest.raises(ValueError, match=r"anneal_on_plateau\.v1 needs a factor between 0 and 1"):
        make_anneal_on_plateau_v1(1.0, **config)
    with pytest.raises(ValueError, match="needs a score to follow"):
        make_anneal_on_plateau_v1(1.0, score_weights={"ents_f": 0.0})


# In trainings


class Heard(AnnealOnPlateau):
    """Notes which evaluations have counted."""

    def __init__(self, **config):
        super().__init__(0.001, **{"factor": 0.5, "patience": 2, "smallest": 0.0, **config})
        self.counted = []

    def _take_up(self, scores):
        self.counted.append(dict(scores))
        super()._take_up(scores)


def pipeline(*names):
    nlp = spacy.blank("en")
    for name in names:
        nlp.add_pipe("bcrf_ner", name=name, config={**SMALL_MODEL, "r_drop": 0.0, "spans_key": name})
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    for example in examples:
        for name in names:
            example.reference.spans[name] = list(example.reference.ents)
    nlp.initialize(lambda: examples)
    return nlp, examples


def train(nlp, examples, optimizer, updates, evaluate=None, exclude=(), accumulate=1):
    """Train as `spacy train` does, with an evaluation after each third update."""
    evaluate = evaluate or (lambda: (nlp.evaluate(examples)["spans_one_f"], {}))
    options = {"dropout": 0.1, "eval_frequency": 3, "accumulate_gradient": accumulate, "patience": 0, "max_steps": 0}
    batches = ((0, examples) for _ in range(updates))
    others = {"exclude": list(exclude), "annotating_components": [], "before_update": None}
    for _ in train_while_improving(nlp, optimizer, batches, evaluate, **options, **others):
        pass


@pytest.mark.parametrize("use_averages, accumulate", [(True, 1), (False, 2)])
def test_each_evaluation_of_a_training_counts_once(use_averages, accumulate):
    nlp, examples = pipeline("one", "two")
    schedule, found = Heard(score_weights={"spans_one_f": 0.5, "spans_two_f": 0.5}), []

    def evaluate():
        found.append(nlp.evaluate(examples))
        return found[-1]["spans_one_f"], found[-1]

    train(nlp, examples, Adam(schedule, use_averages=use_averages), 11, evaluate, accumulate=accumulate)
    # After updates 1, 4, 7 and 10; each is heard of at the end of the next update.
    assert len(found) == 4
    assert [(own["spans_one_f"], own["spans_two_f"]) for own in schedule.counted] == [
        (own["spans_one_f"], own["spans_two_f"]) for own in found
    ]


def test_a_training_on_a_plateau(caplog):
    nlp, examples = pipeline("one")
    ends = [example for example in examples if not example.reference.ents] + examples[:1]
    sgd = Adam(make_anneal_on_plateau_v1(1e-9, factor=0.5, patience=2, score_weights={"spans_one_f": 1.0}))
    with caplog.at_level(logging.INFO, "spacy"):
        # Evaluations after updates 1, 4, ..., 16: the first is the best, two and four more do not rise above it.
        train(nlp, ends, sgd, 17)
    assert sgd.learn_rate == 1e-9 * 0.25
    assert caplog.text.count("the learning rate is") == 2


def test_a_frozen_component_says_nothing():
    nlp, examples = pipeline("one", "two")
    schedule = Heard(score_weights={"spans_one_f": 1.0})
    train(nlp, examples, Adam(schedule), 5, exclude=["two"])
    assert len(schedule.counted) == 2 and all(
        not name.startswith("spans_two") for own in schedule.counted for name in own
    )


def test_who_hears_of_what_a_program_evaluates():
    """The optimizer that last took a step with the component, as long as there is one; not that of a copy."""
    nlp, examples = pipeline("one")
    saved = nlp.to_bytes()
    first, second = Heard(score_weights={"spans_one_f": 1.0}), Heard(score_weights={"spans_one_f": 1.0})
    optimizers = [Adam(schedule, use_averages=False) for schedule in (first, second)]
    nlp.evaluate(examples)
    before = nlp.get_pipe("one").to_bytes()
    nlp.get_pipe("one").finish_update(optimizers[0])
    assert nlp.get_pipe("one").to_bytes() == before and nlp.to_bytes() == saved
    for other in (copy.deepcopy(nlp.get_pipe("one")), pickle.loads(pickle.dumps(nlp.get_pipe("one")))):
        assert other.score(examples)
    assert not first._reported
    # Rehearsal collects gradients with a function.
    nlp.get_pipe("one").finish_update(lambda key, weights, gradient: (weights, gradient))
    nlp.evaluate(examples)
    assert first._reported and not second._reported
    # Twice before an update is once.
    nlp.evaluate(examples)
    optimizers[0].step_schedules()
    optimizers[0].step_schedules()
    assert len(first.counted) == 1
    nlp.get_pipe("one").finish_update(optimizers[1])
    nlp.evaluate(examples)
    assert second._reported and not first._reported
    listening = nlp.get_pipe("one")._followers._schedules
    assert list(listening) == [second]
    del optimizers, second
    gc.collect()
    assert not list(listening)


def test_the_router_reports_too():
    nlp = spacy.blank("en")
    model = {"width": 8, "hidden_width": 8, "tok2vec": {"hash_width": 16}}
    nlp.add_pipe("weak_class_router", config={"weak_labels": ["ORG"], "model": model})
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    schedule = Heard(score_weights={"weak_ap": 1.0})
    train(nlp, examples, Adam(schedule), 5, lambda: (nlp.evaluate(examples)["weak_ap"], {}))
    assert [own["weak_ap"] > 0 for own in schedule.counted] == [True, True]


def test_from_the_command_line(tmp_path):
    """With the weights by which spaCy chooses the best pipeline, and another schedule inside."""
    nlp = spacy.blank("en")
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    DocBin(docs=[example.reference for example in examples]).to_disk(tmp_path / "train.spacy")
    config = (ROOT / "configs" / "bcrf_ner.cfg").read_text(encoding="utf8")
    assert "\nlearn_rate = 0.001\n" in config
    config = config.replace("\nlearn_rate = 0.001\n", "\n")
    config += """
[training.optimizer.learn_rate]
@schedules = "spacy_crfner.anneal_on_plateau.v1"
factor = 0.5
patience = 1
score_weights = ${training.score_weights}

[training.optimizer.learn_rate.rate]
@schedules = "warmup_linear.v1"
warmup_steps = 1
total_steps = 1000000000
initial_rate = 1e-9
"""
    (tmp_path / "config.cfg").write_text(config, encoding="utf8")
    paths = [part for split in ("train", "dev") for part in (f"--paths.{split}", str(tmp_path / "train.spacy"))]
    small = [
        "--components.bcrf_ner.model.tok2vec.width=64",
        "--components.bcrf_ner.model.tok2vec.tok2vec.layout=char20",
    ]
    short = ["--training.max_steps=5", "--training.eval_frequency=1", "--training.patience=0", "--verbose"]
    command = [sys.executable, "-m", "spacy", "train", str(tmp_path / "config.cfg"), *paths, *small, *short]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout + result.stderr
    assert "No score above" in said and "the learning rate is 0.5 of its own now" in said
