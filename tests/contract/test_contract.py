"""What every component of the package must do in every pipeline: the same tests over all setups.

That a prediction depends on nothing but the words of a Doc is in test_invariance.py.
"""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import spacy
import torch
from samples import TRAIN, trained
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import fix_random_seed
from thinc.api import Adam, Config

TEXTS = [text for text, _ in TRAIN]


@pytest.fixture
def learns(setup):
    """Skips a component that does not learn."""
    if not setup.trainable:
        pytest.skip("does not learn")


@pytest.fixture
def labels_entities(setup, learns):
    """Skips a component whose labels are not those of entities."""
    if not setup.writes_ents:
        pytest.skip("does not label entities")


def annotated(setup, nlp, texts=TEXTS, **options):
    return [setup.annotations(doc) for doc in nlp.pipe(texts, **options)]


def without_names(setup, doc):
    """The annotations without the keys of the span groups."""
    ents, *groups = setup.annotations(doc)
    return ents, [group[1:] for group in groups]


def without_scores(annotations):
    """What was found, however probable."""
    ents, *groups = annotations
    return ents, [group[:2] for group in groups]


# Learning


def test_learns_twenty_sentences_by_heart(setup, nlp):
    scores = nlp.evaluate(setup.examples(nlp))
    assert scores[setup.score] == 1.0


def test_same_seed_gives_same_weights(setup):
    weights = []
    for _ in range(2):
        fix_random_seed(7)
        nlp = trained(setup.blank(), setup.examples(setup.blank()), updates=3)
        weights.append(setup.params(nlp)())
    assert len(weights[0]) > 3
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.usefixtures("learns")
def test_initialize_from_label_files(setup, nlp):
    labels = {setup.component: nlp.get_pipe(setup.component).label_data}
    fresh = setup.blank()
    fresh.config["initialize"]["components"][setup.component] = {"labels": labels[setup.component]}
    fresh.initialize(lambda: setup.examples(fresh)[3:4])
    assert fresh.get_pipe(setup.component).labels == nlp.get_pipe(setup.component).labels


@pytest.mark.usefixtures("learns")
def test_update_without_optimizer_only_collects_gradients(setup, nlp):
    before = setup.params(nlp)()
    setup.update(nlp, setup.examples(nlp), sgd=False, losses={})
    nlp.get_pipe(setup.component).update(setup.examples(nlp), sgd=False)
    for first, second in zip(before, setup.params(nlp)(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_missing_annotation_teaches_nothing(setup, nlp):
    """Docs without entity annotation are not Docs without entities."""
    optimizer = Adam(0.01, L2=0.0)
    before = annotated(setup, nlp)
    examples = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in TEXTS]
    losses = {}
    for _ in range(5):
        setup.update(nlp, examples, sgd=optimizer, losses=losses)
    assert sum(losses.values()) == pytest.approx(0.0, abs=1e-3)
    found = annotated(setup, nlp)
    assert [without_scores(a) for a in found] == [without_scores(b) for b in before]


def test_averages(setup, nlp):
    optimizer = Adam(0.02, use_averages=True)
    for _ in range(4):
        setup.update(nlp, setup.examples(nlp), sgd=optimizer, drop=0.3)
    read = setup.params(nlp)
    plain = read()
    with nlp.use_params(optimizer.averages):
        averaged = read()
    changed = [not np.array_equal(a, b) for a, b in zip(plain, averaged, strict=True)]
    assert all(c for c, array in zip(changed, plain, strict=True) if array.size > 100)
    for first, second in zip(plain, read(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_frozen_component_keeps_its_weights(setup, nlp):
    """As `spacy train` does it: left out of the update, but annotating for the pipes behind it."""
    read = setup.params(nlp)
    before = read()
    names = list(nlp.pipe_names)
    nlp.add_pipe("tagger")
    examples = setup.examples(nlp)
    for example in examples:
        for token in example.reference:
            token.tag_ = "X" if token.i % 2 else "Y"
    nlp.get_pipe("tagger").initialize(lambda: examples, nlp=nlp)
    nlp.update(examples, sgd=Adam(0.1), exclude=names, annotates=names)
    for first, second in zip(before, read(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.usefixtures("learns")
def test_resume_training_and_rehearse(setup, nlp):
    optimizer = nlp.resume_training()
    setup.update(nlp, setup.examples(nlp), sgd=optimizer)
    if setup.listens:
        with pytest.raises(ValueError, match="replace_listeners"):
            nlp.rehearse(setup.examples(nlp), sgd=optimizer)
        setup.own_encoders(nlp)
        optimizer = nlp.resume_training()
    # Away from the remembered model, the divergence grows; rehearsal pulls it back.
    for _ in range(3):
        setup.update(nlp, setup.examples(nlp)[:2], sgd=Adam(0.02))
    first, last = {}, {}
    nlp.rehearse(setup.examples(nlp), sgd=optimizer, losses=first)
    for _ in range(15):
        nlp.rehearse(setup.examples(nlp), sgd=optimizer, losses={})
    nlp.rehearse(setup.examples(nlp), sgd=optimizer, losses=last)
    assert 0.0 <= last[setup.component] < first[setup.component]


@pytest.mark.usefixtures("labels_entities")
def test_add_label_keeps_what_is_known(setup, nlp):
    # Words that were never seen, where a new label would come in most easily.
    odd = [f"{a} {b} glonked the {c} ." for a, b, c in zip("ABCDEFGH", TEXTS, TEXTS[3:], strict=False)]
    before = annotated(setup, nlp, [*TEXTS, *odd])
    pipe = nlp.get_pipe(setup.component)
    assert pipe.add_label(setup.label) == 1
    assert pipe.add_label(setup.label) == 0
    assert setup.label in pipe.labels
    after = annotated(setup, nlp, [*TEXTS, *odd])
    assert [a[0] for a in after] == [b[0] for b in before]
    text = "They met at the Harvest Fair ."
    example = Example.from_dict(nlp.make_doc(text), {"entities": [(16, 28, setup.label)]})
    optimizer = Adam(0.003)
    for _ in range(60):
        setup.update(nlp, [*setup.examples(nlp), example], sgd=optimizer)
    assert (4, 6, setup.label) in setup.annotations(nlp(text))[0]
    reloaded = setup.blank().from_bytes(nlp.to_bytes())
    assert (4, 6, setup.label) in setup.annotations(reloaded(text))[0]


# Saving


def test_to_disk(setup, nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    assert annotated(setup, again) == annotated(setup, nlp)
    shims = [shim for node in setup.nodes(nlp) for shim in node.shims]
    for shim in shims:
        # Safetensors: the length of a JSON header, the header, raw numbers. No pickle.
        data = shim.to_bytes()
        size = int.from_bytes(data[:8], "little")
        assert "settings" in json.loads(data[8 : 8 + size])["__metadata__"]
    files = [file for name in nlp.pipe_names for file in (tmp_path / "model" / name).rglob("*") if file.is_file()]
    stored = b"".join(file.read_bytes() for file in files)
    assert b"PK\x03\x04" not in stored and b"torch._utils" not in stored


def test_saved_before_initialization(setup, tmp_path):
    setup.blank().to_disk(tmp_path / "model")
    nlp = spacy.load(tmp_path / "model")
    trained(nlp, setup.examples(nlp), updates=1)


def test_config_round_trip(setup, nlp):
    config = Config().from_str(nlp.config.to_str())
    filled = spacy.util.load_model_from_config(config, auto_fill=True, validate=True)
    assert filled.config["components"] == nlp.config["components"]


@pytest.mark.usefixtures("learns")
def test_sourced_into_another_pipeline(setup, nlp, tmp_path):
    if setup.listens:
        setup.own_encoders(nlp)
    other = spacy.blank("en")
    other.add_pipe("sentencizer")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if setup.features is not None:
            other.add_pipe(setup.features, source=nlp)
        other.add_pipe(setup.component, source=nlp, name="borrowed")
    expected = [without_names(setup, doc) for doc in nlp.pipe(TEXTS)]
    assert [without_names(setup, doc) for doc in other.pipe(TEXTS)] == expected
    other.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    assert [without_names(setup, doc) for doc in again.pipe(TEXTS)] == expected
    # A sourced, unfrozen pipe resumes training; labels added meanwhile are no hindrance.
    optimizer = other.resume_training()
    losses = {}
    setup.update(other, setup.examples(other), sgd=optimizer, losses=losses)
    assert "borrowed" in losses


# Prediction


FORK = """
import json, sys, spacy, torch
torch.set_num_threads(4)
if __name__ == "__main__":
    nlp = spacy.load(sys.argv[1])
    texts = sys.stdin.read().splitlines()
    torch.ones(800, 800) @ torch.ones(800, 800)
    def found(doc):
        return [[e.text, e.label_] for group in (doc.ents, *doc.spans.values()) for e in group]

    before = [found(doc) for doc in nlp.pipe(texts)]
    after = [found(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=4)]
    assert before == after
    print(json.dumps(before))
"""


def test_a_fresh_process_with_processes_of_its_own(setup, nlp, tmp_path):
    """It finds what this one does; and its forked children must not wait for threads of torch that only it has."""
    nlp.to_disk(tmp_path / "model")
    (tmp_path / "fork.py").write_text(FORK)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, str(tmp_path / "fork.py"), str(tmp_path / "model")]
    options = {"capture_output": True, "text": True, "timeout": 240, "env": environment}
    result = subprocess.run(command, input="\n".join(TEXTS * 3), **options)
    assert result.returncode == 0, result.stderr
    docs = list(nlp.pipe(TEXTS * 3))
    expected = [[[e.text, e.label_] for group in (doc.ents, *doc.spans.values()) for e in group] for doc in docs]
    assert any(expected)
    assert json.loads(result.stdout) == expected


def test_empty_and_white_space_docs(setup, nlp):
    texts = ["", " ", "\n\n", "Anna Kell met Bob in Paris .", "  \t "]
    docs = list(nlp.pipe(texts))
    if setup.writes_ents:
        assert [len(doc.ents) > 0 for doc in docs] == [False, False, False, True, False]
    assert list(nlp.pipe([])) == []
    assert next(nlp.pipe(["", " "])).ents == ()
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": []}) for text in ["", " "]]
    setup.update(nlp, examples, sgd=Adam(0.001), losses={})
    setup.update(nlp, [*examples, *setup.examples(nlp)], sgd=Adam(0.001), losses={})


@pytest.mark.usefixtures("learns")
def test_long_docs(setup, nlp):
    words = [word for text in TEXTS for word in text.split()] * 20
    words = words[:2000]
    doc = nlp(Doc(nlp.vocab, words=words))
    assert len(doc) == 2000
    if setup.writes_ents:
        assert len(doc.ents) > 20
    ents = [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents if ent.label_ != "PER"]
    example = Example.from_dict(Doc(nlp.vocab, words=words), {"entities": ents})
    first, last = {}, {}
    setup.update(nlp, [example], sgd=Adam(0.002), losses=first)
    for _ in range(5):
        setup.update(nlp, [example], sgd=Adam(0.002), losses=last)
    assert 0.0 < last[setup.component] / 5 < first[setup.component]


def test_old_entities_do_not_stay(setup, nlp):
    """A Doc in which nothing is found ends with annotated, empty entities."""
    doc = nlp("It rained for three days .")
    assert doc.ents == ()
    assert doc.has_annotation("ENT_IOB") or not setup.writes_ents


# Manners


def test_analyze_pipes_is_clean(setup):
    analysis = setup.blank().analyze_pipes()
    assert not any(analysis["problems"].values())
    assert analysis["summary"][setup.component]["assigns"]


def test_default_score_weights(setup):
    meta = setup.blank().get_pipe_meta(setup.component)
    assert meta.default_score_weights.get(setup.score)


def test_predicting_before_initialization_says_so(setup):
    with pytest.raises(ValueError, match=r"E109|has no translator"):
        setup.blank()("Anna Kell met Bob .")


def test_init_nlp_from_a_config(setup, tmp_path):
    """What `spacy train` does before the first update."""
    nlp = setup.blank()
    DocBin(docs=[example.reference for example in setup.examples(nlp)]).to_disk(tmp_path / "train.spacy")
    config = nlp.config.copy()
    config["paths"]["train"] = config["paths"]["dev"] = str(tmp_path / "train.spacy")
    config["training"]["max_steps"] = 1
    ready = init_nlp(config)
    found = [label for name in ready.pipe_names for label in getattr(ready.get_pipe(name), "labels", ())]
    assert sorted(set(found)) == sorted(setup.labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(setup):
    pytest.importorskip("cupy")
    from thinc.api import CupyOps, NumpyOps, set_current_ops

    set_current_ops(CupyOps())
    try:
        nlp = trained(setup.blank(), setup.examples(setup.blank()))
        assert nlp.evaluate(setup.examples(nlp))[setup.score] == 1.0
        stored = nlp.to_bytes()
        expected = [without_scores(annotation) for annotation in annotated(setup, nlp)]
    finally:
        set_current_ops(NumpyOps())
    there = setup.blank().from_bytes(stored)
    assert [without_scores(annotation) for annotation in annotated(setup, there)] == expected
