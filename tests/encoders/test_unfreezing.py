"""Gradual unfreezing of spacy_crfner.Transformer.v1, and training in two steps."""

import numpy as np
import pytest
import spacy
import torch
from spacy.training import Example
from spacy.training.loop import train_while_improving
from thinc.api import Adam
from tiny_transformers import make_transformer

from spacy_crfner.encoders.layerwise import Unfreezing
from spacy_crfner.encoders.transformer import build_transformer_v1
from spacy_crfner.wrapping import shim_of

PARTS = {"embeddings.": 0, "layer.0.": 1, "layer.1.": 2}
"""What the names of parameters hold, from below: a transformer of two layers."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_transformer(tmp_path_factory.mktemp("bert"), "bert")


def tagger(folder, **config):
    nlp = spacy.blank("en")
    layer = {"@architectures": "spacy_crfner.Transformer.v1", "name": folder, "window": 32, "stride": 20, **config}
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": {**layer, "rate": 0.5}}
    nlp.add_pipe("bcrf_ner", config={"model": model, "r_drop": 0.0})
    data = [("Anna Kell met Bob.", [(0, 9, "PER"), (14, 17, "PER")]), ("Pike moved to Oslo.", [(14, 18, "LOC")])]
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in data]
    nlp.initialize(lambda: examples)
    return nlp, examples


def shim(nlp):
    return shim_of(nlp.get_pipe("bcrf_ner").model.get_ref("tok2vec"))


def weights(nlp):
    return {name: values.detach().clone() for name, values in shim(nlp)._model.named_parameters()}


def moved(before, after):
    """The parts of which something has changed, as the lowest of them: 3 for none. None may be left out above it."""
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    found = {depth for part, depth in PARTS.items() if any(part in name for name in changed)}
    lowest = min(found, default=3)
    assert found == set(range(lowest, 3))
    return lowest


def lowest_parts(nlp, examples, optimizer, updates, **options):
    """Train, and say for each update down to which part it has changed the transformer."""
    found, before = [], weights(nlp)
    for _ in range(updates):
        nlp.update(examples, sgd=optimizer, **options)
        after = weights(nlp)
        found.append(moved(before, after))
        before = after
    return found


@pytest.mark.parametrize(
    "config, expected",
    [
        ({}, [0, 0, 0, 0, 0, 0, 0, 0]),
        ({"unfreeze_after": 3}, [3, 3, 3, 0, 0, 0, 0, 0]),
        ({"unfreeze_every": 2}, [2, 2, 1, 1, 0, 0, 0, 0]),
        ({"unfreeze_after": 2, "unfreeze_every": 2}, [3, 3, 2, 2, 1, 1, 0, 0]),
        ({"frozen": True}, [3, 3, 3, 3, 3, 3, 3, 3]),
    ],
)
@pytest.mark.parametrize("use_averages, drop", [(True, 0.0), (False, 0.1)])
def test_layers_learn_from_the_top_one_after_another(folder, config, expected, use_averages, drop):
    nlp, examples = tagger(folder, **config)
    head = nlp.get_pipe("bcrf_ner").model.get_ref("head").get_ref("output_layer")
    before = head.get_param("W").copy()
    assert lowest_parts(nlp, examples, Adam(0.01, use_averages=use_averages), 1, drop=drop) == expected[:1]
    assert (head.get_param("W") != before).any()
    nlp, examples = tagger(folder, **config)
    assert lowest_parts(nlp, examples, Adam(0.01, use_averages=use_averages), 8, drop=drop) == expected


def test_what_does_not_learn_is_not_computed(folder, monkeypatch):
    nlp, examples = tagger(folder, unfreeze_after=2, unfreeze_every=1)
    own, backward, optimizer = shim(nlp), [], Adam(0.01)
    begin_update = type(own).begin_update
    monkeypatch.setattr(type(own), "begin_update", lambda *args: backward.append(1) or begin_update(*args))
    reached = []
    for _ in range(5):
        nlp.update(examples, sgd=False)
        have = {name for name, parameter in own._model.named_parameters() if parameter.grad is not None}
        reached.append(sorted(depth for part, depth in PARTS.items() if any(part in name for name in have)))
        nlp.get_pipe("bcrf_ner").finish_update(optimizer)
    assert len(backward) == 3
    assert reached == [[], [], [2], [1, 2], [0, 1, 2]]


def test_parts_of_a_batch_and_evaluations_are_no_updates(folder):
    nlp, examples = tagger(folder, unfreeze_after=2)
    before, found = weights(nlp), []
    loop = train_while_improving(
        nlp,
        Adam(0.01),
        ((0, examples) for _ in range(4)),
        lambda: (nlp.evaluate(examples)["ents_f"], {}),
        dropout=0.1,
        eval_frequency=1,
        accumulate_gradient=2,
        patience=0,
        max_steps=0,
        exclude=[],
        annotating_components=[],
        before_update=None,
    )
    for _ in loop:
        found.append(moved(before, weights(nlp)))
    assert found == [3, 3, 0, 0]


def test_another_optimizer_counts_anew_and_a_loaded_pipeline_too(folder, tmp_path):
    nlp, examples = tagger(folder, unfreeze_after=2)
    optimizer = Adam(0.01)
    assert lowest_parts(nlp, examples, optimizer, 3) == [3, 3, 0]
    assert lowest_parts(nlp, examples, Adam(0.01), 3) == [3, 3, 0]
    assert lowest_parts(nlp, examples, optimizer, 1) == [0]
    nlp.to_disk(tmp_path)
    assert lowest_parts(spacy.load(tmp_path), examples, Adam(0.01), 3) == [3, 3, 0]


def test_settings_of_training_can_be_others_than_before(folder, tmp_path):
    """Two trainings: with a frozen transformer, and then of all."""
    nlp, examples = tagger(folder, frozen=True)
    assert lowest_parts(nlp, examples, Adam(0.01), 1) == [3]
    nlp.to_disk(tmp_path)
    layer = "components.bcrf_ner.model.tok2vec"
    again = spacy.load(tmp_path, config={f"{layer}.frozen": False, f"{layer}.unfreeze_after": 1, f"{layer}.rate": 0.1})
    assert lowest_parts(again, examples, Adam(0.01), 2) == [3, 0]
    # By hand, in the middle.
    again.get_pipe("bcrf_ner").model.get_ref("tok2vec").attrs["unfreeze_after"] = 9
    assert lowest_parts(again, examples, Adam(0.01), 1) == [3]
    again.get_pipe("bcrf_ner").model.get_ref("tok2vec").attrs["unfreeze_after"] = 0
    assert lowest_parts(again, examples, Adam(0.01), 1) == [0]


def test_averages_of_what_has_not_learned_yet(folder):
    """What was never changed predicts as it is; what has just begun to learn predicts nearly as it is."""
    nlp, examples = tagger(folder, unfreeze_after=3, unfreeze_every=2)
    optimizer, pretrained = Adam(1e-5), weights(nlp)
    for update in range(8):
        nlp.update(examples, sgd=optimizer)
        averaged = {name for key, name in optimizer.averages if key == shim(nlp).id}
        lowest = (3, 3, 3, 2, 2, 1, 1, 0)[update]
        assert {depth for part, depth in PARTS.items() if any(part in n for n in averaged)} == set(range(lowest, 3))
        with nlp.use_params(optimizer.averages):
            for name, values in weights(nlp).items():
                if name in averaged:
                    torch.testing.assert_close(values, pretrained[name], atol=1e-4, rtol=0)
                else:
                    assert torch.equal(values, pretrained[name])


def test_rates_of_layers_stay_what_they_are(folder):
    nlp, examples = tagger(folder, unfreeze_after=1, layer_decay=0.5)
    optimizer = Adam(0.01, L2=0.0)
    nlp.update(examples, sgd=optimizer)
    before = weights(nlp)
    nlp.update(examples, sgd=optimizer)
    after = weights(nlp)
    # The first step of Adam is as long as its rate.
    for part, share in (("layer.1.output.dense.weight", 1.0), ("layer.0.output.dense.weight", 0.5), ("word", 0.25)):
        (name,) = [name for name in before if part in name]
        assert (after[name] - before[name]).abs().max().item() == pytest.approx(0.01 * 0.5 * share, rel=0.05)


def test_rehearsal_is_an_update_of_its_optimizer(folder):
    nlp, examples = tagger(folder, unfreeze_after=1)
    optimizer = nlp.resume_training(sgd=Adam(0.01))
    before = weights(nlp)
    nlp.get_pipe("bcrf_ner").rehearse(examples, sgd=optimizer)
    assert moved(before, weights(nlp)) == 3
    nlp.update(examples, sgd=optimizer)
    assert moved(before, weights(nlp)) == 0


def test_layers_that_learn():
    gradual = Unfreezing(after=10, every=5)
    assert [gradual.lowest(n, 12) for n in (0, 9, 10, 14, 15, 69, 70, 1000)] == [13, 13, 12, 12, 11, 1, 0, 0]
    assert Unfreezing().lowest(0, 12) == 0 and not Unfreezing().is_gradual


@pytest.mark.parametrize("config", [{"unfreeze_after": -1}, {"unfreeze_every": -5}])
def test_arguments_that_cannot_be(folder, config):
    with pytest.raises(ValueError, match="counts in unfreeze_after and unfreeze_every updates of 0 or more"):
        build_transformer_v1(folder, **config)


def test_what_stands_over_it_learns_from_its_own_weights_not_from_8_bit_ones(folder):
    doc = spacy.blank("en")("Anna Kell met Bob.")
    found = []
    for options in ({"int8": True, "unfreeze_after": 5}, {"unfreeze_after": 5}, {"int8": True}):
        model = build_transformer_v1(folder, window=32, stride=20, **options)
        model.initialize(X=[doc])
        found.append(model.begin_update([doc])[0][0])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    np.testing.assert_allclose(found[0], found[2], atol=1e-5)
