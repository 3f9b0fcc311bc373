"""Docs of somebody else, whose attrs and user data hold anything: None, or one clear sentence, never an accident."""

import json

import numpy as np
import pytest
import spacy
from samples import TRAIN
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example

from spacy_crfner.back_attention.features import build_back_attention_features_v1
from spacy_crfner.known_spans import known_spans
from spacy_crfner.routing.annotation import routed_sentences, weak_sentences, write_sentences
from spacy_crfner.routing.scorer import collect
from spacy_crfner.tagging.annotation import DocPrediction, write_prediction

STRANGE = [
    None,
    "offsets",
    "",
    7,
    -1.5,
    True,
    {},
    {"a": 1},
    [],
    [None, None],
    [1, 2],
    [["a", 2], [None]],
    [[[]]],
    [{}, 3],
    b"bytes",
    [2**70, -(2**70)],
    np.zeros(0),
    np.array(5),
    np.array([[np.nan, np.inf]] * 2),
    np.array([np.nan, np.inf]),
    np.array([[2**63 - 1, -(2**63)]] * 2),
    np.array([[2**64 - 1] * 2] * 2, dtype=np.uint64),
    np.array([[90, 95], [0, 4]]),
    np.array([[0, 0], [4, 2]]),
    np.array([["a", "b"], ["c", "d"]]),
    np.zeros((2, 3)),
    np.zeros((2, 2, 2), dtype=np.int64),
    np.zeros(10_000),
]


@pytest.fixture(scope="module")
def vote_nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_vote", config={"groups": ["one", "two"], "router": "router", "gated": ["two"], "rule": "word"})
    return nlp


def written(nlp):
    """Make a Doc as two taggers and a router leave it."""
    doc = nlp.make_doc("Anna met Bob in Paris .")
    tags = ["O", *(f"{role}-{label}" for label in ("LOC", "PER") for role in "BIES")]
    for key in ("one", "two"):
        attrs = {"scores": np.array([0.9, 0.8], dtype=np.float32), "tags": tags}
        attrs["marginals"] = np.full((len(doc), len(tags)), 1 / len(tags), dtype=np.float32)
        found = DocPrediction([(0, 1, "PER"), (4, 5, "LOC")], attrs=attrs)
        write_prediction(doc, found, component=key, owner=f"{key}/1", spans_key=key)
    write_sentences(doc, np.array([0.7]), threshold=0.5, component="router", spans_key="router", per_sentence=False)
    return doc


def through_a_file(nlp, doc):
    """Let a Doc travel as it does between people; None where spaCy itself cannot write it."""
    try:
        data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    except (TypeError, ValueError, OverflowError):
        return None
    return next(iter(DocBin().from_bytes(data).get_docs(nlp.vocab)))


def read_all(nlp, doc, *others):
    """Read a Doc in every way. Only what needs it may complain, by a ValueError that names the Doc or the component."""
    for token in doc:
        span = Span(doc, token.i, token.i + 1, label="PER")
        assert span._.confidence is None or 0 <= span._.confidence <= 1
        assert span._.weak_probability is None or 0 <= span._.weak_probability <= 1
    json.dumps(doc._.confidences)
    list(known_spans(doc))
    needs = [
        lambda: routed_sentences(doc, "router"),
        lambda: weak_sentences(doc, "router"),
        lambda: collect([Example(doc, doc)], spans_key="router", labels=["LOC"]),
        lambda: nlp.get_pipe("ner_vote")(doc),
        *(lambda other=other: other(doc) for other in others),
    ]
    for need in needs:
        try:
            need()
        except ValueError as error:
            said = str(error)
            assert said.count("\n") == 0 and ("doc.spans" in said or "'one'" in said or "'two'" in said), said


@pytest.mark.parametrize("kind", ["tagger", "router"])
@pytest.mark.parametrize(
    "key", ["offsets", "labels", "owners", "scores", "owner", "threshold", "marginals", "tags", None]
)
def test_strange_attrs_of_a_group(vote_nlp, small_nlp, kind, key):
    tagger = small_nlp.get_pipe("bcrf_ner")
    for strange in STRANGE:
        doc = written(vote_nlp)
        group = doc.spans["one" if kind == "tagger" else "router"]
        if key is not None:
            group.attrs[key] = strange
        elif isinstance(strange, dict):
            group.attrs = strange
        for one in (doc, through_a_file(vote_nlp, doc)):
            if one is not None:
                read_all(vote_nlp, one)
                tagger.set_annotations([one], [DocPrediction([(0, 1, "PER")])])


def test_missing_attrs_of_a_group(vote_nlp):
    for kind in ("one", "router"):
        for key in list(written(vote_nlp).spans[kind].attrs):
            doc = written(vote_nlp)
            del doc.spans[kind].attrs[key]
            read_all(vote_nlp, doc)


@pytest.mark.parametrize(
    "place", [(0, 4), (4, 0), (-1, 4), ("a", None), (None, None), (0.5, 2.5), (True, 4), (2**62, 2**63 - 1)]
)
def test_strange_user_data(vote_nlp, small_nlp, place):
    for strange in [
        *STRANGE,
        [["PER", "high", "x"]],
        [[1, 0.5, 2]],
        [["PER", 0.5]],
        [["PER", float("nan"), "x"]],
        [[[], 1.0, {}]],
    ]:
        doc = written(vote_nlp)
        doc.user_data[("._.", "crfner", *place)] = strange
        for one in (doc, through_a_file(vote_nlp, doc)):
            if one is not None:
                read_all(vote_nlp, one, small_nlp)


def test_spans_that_no_token_has(vote_nlp):
    doc = written(vote_nlp)
    short = Doc(vote_nlp.vocab, words=["Anna"])
    for key in ("one", "router"):
        data = doc.spans[key].to_bytes()
        for keep in (True, False):
            group = SpanGroup(short).from_bytes(data)
            if not keep:
                group.attrs.clear()
            short.spans[key] = group
            read_all(vote_nlp, short)


@pytest.mark.parametrize("features", STRANGE)
def test_strange_features(features):
    layer = build_back_attention_features_v1(width=2)
    layer.initialize()
    layer.attrs["has_seen"] = True
    doc = Doc(spacy.blank("en").vocab, words=["Anna"])
    doc.spans["back_attention"] = SpanGroup(doc, attrs={"features": features})
    with pytest.raises(ValueError, match="back_attention"):
        layer.predict([doc])


GOOD = {"start": 0, "end": 4, "label": "PER", "confidence": 0.5, "owner": "x"}


@pytest.mark.parametrize(
    "values",
    [
        None,
        7,
        "text",
        {},
        [None],
        ["PER"],
        [{}],
        [[0, 4, "PER", 0.5, "x"]],
        *([GOOD, {key: value for key, value in GOOD.items() if key != left_out}] for left_out in GOOD),
        *([GOOD, {**GOOD, key: value}] for key in GOOD for value in (None, [], {}, True, -1, 10**400, float("nan"))),
        [GOOD, {**GOOD, "label": "\ud800"}],
        [GOOD, {**GOOD, "start": 4}],
    ],
)
def test_strange_json(small_nlp, values):
    doc = small_nlp.make_doc(TRAIN[0][0])
    saved = {**doc.to_json(), "_": {"confidences": values}}
    with pytest.raises(ValueError, match="confidences takes the list"):
        Doc(small_nlp.vocab).from_json(saved)
    with pytest.raises(ValueError, match="confidences takes the list"):
        doc._.confidences = values
    assert doc._.confidences == []
    assert json.loads(json.dumps([GOOD])) == [GOOD]
    doc._.confidences = [GOOD]
    assert doc._.confidences == [GOOD]
