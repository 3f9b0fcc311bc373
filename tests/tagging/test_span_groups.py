"""No component of a pipeline erases what another one has written into a span group."""

import pytest
import spacy
from samples import SMALL_MODEL, english_ner
from spacy.training import Example

ROUTER = {"weak_labels": ["PER"]}


def pipeline(*components):
    nlp = spacy.blank("en")
    for factory, name, settings in components:
        nlp.add_pipe(factory, name=name, config=settings)
    return nlp


def initialize(nlp):
    data = [("Bob left Oslo .", [(0, 3, "PER"), (9, 13, "LOC")]), ("It rained .", [])]
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": entities}) for text, entities in data]
    for example in examples:
        example.reference.spans["a"] = list(example.reference.ents)
    nlp.initialize(lambda: examples)


@pytest.mark.parametrize(
    ("components", "key"),
    [
        (
            [
                ("bcrf_ner", "x", {**SMALL_MODEL, "spans_key": "a"}),
                ("bcrf_ner", "y", {**SMALL_MODEL, "spans_key": "a"}),
            ],
            "a",
        ),
        # The tagger "a" keeps what it knows of its entities under its name.
        ([("bcrf_ner", "a", SMALL_MODEL), ("bcrf_ner", "y", {**SMALL_MODEL, "spans_key": "a"})], "a"),
        ([("weak_class_router", "r", {**ROUTER, "spans_key": "a"}), ("bcrf_ner", "a", SMALL_MODEL)], "a"),
        ([("spancat", "s", {"spans_key": "a"}), ("bcrf_ner", "y", {**SMALL_MODEL, "spans_key": "a"})], "a"),
        ([("bcrf_ner", "y", {**SMALL_MODEL, "spans_key": "v"}), ("ner_vote", "v", {"groups": ["v"]})], "v"),
        ([("span_ruler", "s", {"spans_key": "a"}), ("bcrf_ner", "a", SMALL_MODEL)], "a"),
    ],
)
def test_two_components_that_write_one_group_are_refused(components, key):
    nlp = pipeline(*components)
    with pytest.raises(ValueError, match=rf"would both write doc.spans\['{key}'\]") as error:
        initialize(nlp)
    assert all(repr(name) in str(error.value) for _, name, _ in components) and "\n" not in str(error.value)


def test_back_attention_and_a_tagger_of_one_key():
    nlp = pipeline(("back_attention", "b", {}), ("bcrf_ner", "y", {**SMALL_MODEL, "spans_key": "b"}))
    sources = {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": english_ner()}
    nlp.config["initialize"]["components"] = {"b": sources}
    with pytest.raises(ValueError, match=r"would both write doc.spans\['b'\]"):
        initialize(nlp)


def test_components_with_groups_of_their_own():
    nlp = pipeline(
        ("weak_class_router", "r", ROUTER),
        ("bcrf_ner", "x", {**SMALL_MODEL, "spans_key": "strong"}),
        ("bcrf_ner", "y", {**SMALL_MODEL, "spans_key": "weak"}),
        ("ner_vote", "v", {}),
        ("entity_ruler", "e", {}),
    )
    initialize(nlp)
    assert {"strong", "weak", "v"} <= set(nlp("Bob left .").spans)


@pytest.mark.parametrize(
    ("factory", "settings", "setting"),
    [
        ("bcrf_ner", {"spans_key": ""}, "spans_key"),
        ("bcrf_ner", {"incorrect_spans_key": " "}, "incorrect_spans_key"),
        ("weak_class_router", {"spans_key": ""}, "spans_key"),
        ("ner_vote", {"router": ""}, "router"),
        ("ner_vote", {"groups": ["strong", ""]}, "groups"),
    ],
)
def test_a_group_needs_a_name(factory, settings, setting):
    with pytest.raises(ValueError, match=rf"{setting} of '{factory}' must be"):
        spacy.blank("en").add_pipe(factory, config=settings)
