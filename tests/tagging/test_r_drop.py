"""R-Drop: two predictions for each sentence, under different dropout, should agree."""

from dataclasses import replace

import numpy as np
import pytest
import spacy
import torch
from samples import SMALL_MODEL, TRAIN
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam, set_dropout_rate

from spacy_crfner.crf import distillation
from spacy_crfner.tagging.sequences import TokenSequences


def make(**config):
    fix_random_seed(0)
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **config})
    data = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    return nlp, pipe, data, nlp.initialize(lambda: data)


def disagreement(pipe, docs):
    """The mean divergence between predictions under dropout, of several that differ much."""
    sequences = TokenSequences.build(docs, True)
    potentials = [pipe.task.potentials(pipe.model.begin_update(docs)[0], sequences) for _ in range(24)]
    pairs = zip(potentials[::2], potentials[1::2], strict=True)
    return sum(float(distillation(one, other).loss.mean()) for one, other in pairs) / 12


def test_predictions_under_dropout_agree_better():
    nlp, pipe, data, optimizer = make(r_drop=0.0)
    for _ in range(60):
        nlp.update(data, sgd=optimizer, drop=0.1)
    # Where nothing is annotated, only the agreement is learned.
    unknown = [Example(nlp.make_doc(example.text), nlp.make_doc(example.text)) for example in data]
    docs, weights, found = [example.predicted for example in data], pipe.model.to_bytes(), {}
    for r_drop in (0.0, 1.0):
        pipe.model.from_bytes(weights)
        pipe.cfg["r_drop"] = r_drop
        optimizer = Adam(0.001)
        for _ in range(120):
            nlp.update(unknown, sgd=optimizer, drop=0.4)
        set_dropout_rate(pipe.model, 0.4)
        fix_random_seed(0)
        found[r_drop] = disagreement(pipe, docs)
    assert found[1.0] < 0.5 * found[0.0]


def test_entities_are_learned_beside_the_agreement():
    nlp, _, data, optimizer = make(r_drop=0.0)
    for _ in range(60):
        nlp.update(data, sgd=optimizer, drop=0.1)
    nlp.get_pipe("bcrf_ner").r_drop = 5.0
    optimizer = Adam(0.001)
    for _ in range(30):
        nlp.update(data, sgd=optimizer, drop=0.4)
    assert nlp.evaluate(data)["ents_f"] > 0.9


def test_both_divergences_are_added():
    _, pipe, data, _ = make(r_drop=0.7)
    set_dropout_rate(pipe.model, 0.4)
    one, other = (pipe.model.begin_update([example.predicted for example in data])[0] for _ in range(2))
    both = replace(one, emissions=[*one.emissions, *other.emissions])
    dropped = pipe.task.compute_loss(data * 2, both, r_drop=0.7)
    loss, gradient = dropped.loss, dropped.gradient
    plain, plain_gradient = pipe.get_loss(data * 2, both)
    sequences = TokenSequences.build([example.predicted for example in data], True)
    p, q = (pipe.task.potentials(scores, sequences) for scores in (one, other))
    divergences = [distillation(p, q), distillation(q, p)]
    expected = sum(float(found.loss.sum()) for found in divergences)
    assert expected > 0
    assert loss - plain == pytest.approx(0.7 * expected / (2 * len(sequences.lengths)), rel=1e-3)
    added = np.concatenate(gradient.emissions) - np.concatenate(plain_gradient.emissions)
    rows = torch.cat([found.emissions[p.packing.rows.argsort()] for found in divergences])
    np.testing.assert_allclose(added, 0.7 * rows.numpy() / (2 * len(sequences.lengths)), atol=1e-5)


def test_what_is_left_out_is_counted_once():
    nlp, _, _, _ = make(r_drop=1.0)
    predicted = nlp.make_doc("Anna Kell left .")
    predicted[1].is_sent_start = True
    example = Example.from_dict(predicted, {"entities": [(0, 9, "PER")]})
    with pytest.warns(UserWarning, match="left 2 sentence"):
        nlp.update([example], sgd=Adam(0.001), drop=0.2)


def test_behind_a_shared_encoder_it_is_left_out():
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "*"}
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "nO": None, "tok2vec": listener}
    pipe = nlp.add_pipe("bcrf_ner", config={"model": model, "r_drop": 0.5})
    data = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    with pytest.warns(UserWarning, match=r"R-Drop is left out: set r_drop = 0\.0"):
        optimizer = nlp.initialize(lambda: data)
    losses = []
    for r_drop in (0.5, 0.0):
        pipe.cfg["r_drop"] = r_drop
        fix_random_seed(0)
        losses.append(nlp.update(data, sgd=False, drop=0.1))
    assert losses[0] == losses[1]
    nlp.update(data, sgd=optimizer, drop=0.1)
