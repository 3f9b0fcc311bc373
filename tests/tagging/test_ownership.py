"""Whose entities are whose: two pipelines on a Doc, gold on both sides of an Example, Docs that are copied and cut."""

import pytest
import spacy
from samples import ROOT, SMALL_MODEL, TRAIN, copy_of, trained
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import fix_random_seed, load_config

TEXT = TRAIN[0][0]
DAYS = [("Anna Kell met Bob in Paris .", [(0, 4, "FIRST"), (18, 20, "PLACE")]), ("Bob left .", [])]


def made(nlp, data):
    return [Example.from_dict(nlp.make_doc(text), {"entities": entities}) for text, entities in data]


def found(doc):
    return [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]


def confidences(doc):
    return {(ent.text, ent.label_): ent._.confidence for ent in doc.ents}


@pytest.fixture(scope="module")
def other_nlp():
    """Another pipeline, with a component of the same name and other labels."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    return trained(nlp, made(nlp, DAYS), 40)


@pytest.fixture(scope="module")
def same_labels():
    """Another pipeline of the same name, labels and seed, made of other sentences."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    data = [("Anna Kell met Bob in Paris .", [(0, 4, "LOC"), (5, 9, "ORG"), (18, 20, "PER")])]
    return trained(nlp, made(nlp, data), 40)


# Training


@pytest.mark.parametrize("side", ["both", "predicted too", "wrong"])
def test_learns_from_the_reference_whatever_the_predicted_doc_holds(side):
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    examples = made(nlp, TRAIN)
    for number, example in enumerate(examples):
        if side == "both":
            examples[number] = Example(example.reference, example.reference)
        elif side == "predicted too":
            example.predicted.set_ents(
                [Span(example.predicted, e.start, e.end, e.label) for e in example.reference.ents]
            )
        else:
            example.predicted.set_ents([Span(example.predicted, 0, 1, "ORG")])
    nlp = trained(nlp, examples, 60)
    assert nlp.get_pipe("bcrf_ner").skipped_sentences == 0
    assert [found(nlp(text)) for text, _ in TRAIN] == [entities for _, entities in TRAIN]


def test_blocked_tokens_of_the_predicted_doc_say_nothing_in_training(small_nlp):
    pipe = small_nlp.get_pipe("bcrf_ner")
    losses = []
    for blocked in (False, True):
        (example,) = made(small_nlp, TRAIN[:1])
        if blocked:
            example.predicted.set_ents([], blocked=[example.predicted[0:2]])
        losses.append(pipe.get_loss([example], pipe.model.predict([example.predicted]))[0])
    assert losses[0] == losses[1] > 0


# Two pipelines


def test_two_pipelines_keep_each_others_entities(small_nlp, other_nlp):
    first = confidences(small_nlp(TEXT))
    doc = other_nlp(small_nlp(TEXT))
    both = confidences(doc)
    assert {key: both[key] for key in first} == first
    assert ("in", "PLACE") in both and both[("in", "PLACE")] > 0.3
    # Each may read the Doc again: what it has found is its own, and the rest is not.
    assert confidences(small_nlp(doc)) == pytest.approx(both, abs=0.05)
    assert confidences(other_nlp(doc)) == pytest.approx(both, abs=0.05)


def test_pipelines_of_the_same_name_labels_and_seed_are_told_apart(small_nlp, same_labels):
    doc = same_labels(small_nlp(TEXT))
    assert set(found(small_nlp(TEXT))) <= set(found(doc)) and (18, 20, "PER") in found(doc)


@pytest.mark.parametrize("labels", [None, ["LOC", "PER"]])
def test_components_that_learn_from_other_annotation_of_the_same_texts_are_told_apart(labels):
    identities = set()
    for first, second in [("PER", "LOC"), ("PER", "LOC"), ("LOC", "PER")]:
        fix_random_seed(0)
        nlp = spacy.blank("en")
        pipe = nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
        examples = made(nlp, [("Anna Kell met Bob in Paris .", [(0, 4, first), (21, 26, second)])])
        pipe.initialize(lambda examples=examples: examples, nlp=nlp, labels=labels)
        identities.add(pipe.cfg["identity"])
    assert len(identities) == 2


def test_a_copy_of_a_pipeline_knows_its_entities(small_nlp, tmp_path):
    small_nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    doc = again.make_doc(TEXT)
    doc = small_nlp(doc)
    again.get_pipe("bcrf_ner").cfg["threshold"] = 1.0
    assert len(doc.ents) == 3 and not again(doc).ents


def test_more_training_leaves_entities_a_components_own(small_nlp):
    nlp = copy_of(small_nlp)
    doc = nlp(TEXT)
    optimizer = nlp.resume_training()
    nlp.update(made(nlp, [(TEXT, [(14, 17, "LOC")])]), sgd=optimizer)
    nlp.get_pipe("bcrf_ner").cfg["threshold"] = 1.0
    assert len(doc.ents) == 3 and not nlp(doc).ents


def test_a_component_that_stands_twice_in_a_pipeline(small_nlp):
    nlp = copy_of(small_nlp)
    nlp.add_pipe("second", source=copy_of(small_nlp, name="second", threshold=1.0), name="second")
    assert found(nlp(TEXT)) == TRAIN[0][1]


@pytest.mark.parametrize("how", ["bytes", "copy", "docbin", "from_docs", "as_doc"])
def test_docs_that_were_copied_or_saved(small_nlp, other_nlp, how):
    doc = other_nlp(small_nlp(TEXT))
    expected = confidences(doc)
    vocab = small_nlp.vocab
    if how == "bytes":
        doc = Doc(vocab).from_bytes(doc.to_bytes())
    elif how == "copy":
        doc = doc.copy()
    elif how == "docbin":
        (doc,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(vocab)
    elif how == "from_docs":
        doc = Doc.from_docs([Doc(doc.vocab, words=["He", "says", ":"]), doc])
    else:
        doc = doc[:].as_doc(copy_user_data=True)
    assert confidences(doc) == expected
    # The first pipeline finds its own again, and keeps those of the other.
    again = confidences(small_nlp(doc))
    assert again.keys() == expected.keys() and None not in again.values()


def test_entities_of_a_piece_whose_finder_is_not_known_stay(small_nlp):
    doc = small_nlp(TEXT)
    piece = doc[0:4].as_doc()
    assert all(ent._.confidence is None for ent in piece.ents)
    assert found(small_nlp(piece)) == found(piece) == TRAIN[0][1][:2]


def test_entities_that_a_user_made_are_not_the_components(small_nlp):
    doc = small_nlp(TEXT)
    doc.ents = [Span(doc, 0, 2, "ORG"), *doc.ents[1:]]
    assert doc.ents[0]._.confidence is None
    assert (0, 9, "ORG") in found(small_nlp(doc))


# Labels that come later


def test_a_trained_component_learns_a_label_of_later_data(small_nlp):
    nlp = copy_of(small_nlp)
    later = made(nlp, [*TRAIN[:6], ("It rained on Sunday .", [(13, 19, "DAY")])])
    optimizer = nlp.resume_training()
    with pytest.warns(UserWarning, match=r"'bcrf_ner' learns the label\(s\) DAY") as caught:
        for _ in range(60):
            nlp.update(later, sgd=optimizer, drop=0.1)
    assert len([one for one in caught if "learns" in str(one.message)]) == 1
    assert nlp.get_pipe("bcrf_ner").labels == ("LOC", "ORG", "PER", "DAY")
    assert [found(nlp(example.text)) for example in later] == [found(example.reference) for example in later]


def test_a_sourced_component_learns_a_label_by_config_alone(small_nlp, tmp_path):
    """As `spacy train` does it, from a stream whose label comes after what initialization has seen."""
    copy_of(small_nlp).to_disk(tmp_path / "old")
    nlp = spacy.blank("en")
    examples = made(nlp, [("Bob left .", [(0, 3, "PER")])] * 100 + [("On Sunday .", [(3, 9, "DAY")])] * 60)
    DocBin(docs=[example.reference for example in examples]).to_disk(tmp_path / "train.spacy")
    overrides = {
        "paths.train": str(tmp_path / "train.spacy"),
        "paths.dev": str(tmp_path / "train.spacy"),
        "training.max_epochs": -1,
        "training.max_steps": 60,
        "training.eval_frequency": 60,
        "training.batcher.size": 160,
        "training.dropout": 0.1,
    }
    for component in ({"factory": "bcrf_ner", **SMALL_MODEL}, {"source": str(tmp_path / "old")}):
        config = load_config(ROOT / "configs" / "bcrf_ner.cfg")
        config["components"]["bcrf_ner"] = component
        config = config.merge({}).from_str(config.to_str(), overrides=overrides)
        with pytest.warns(UserWarning, match="DAY"):
            trained_nlp, _ = train(init_nlp(config), None)
        assert found(trained_nlp("On Sunday .")) == [(3, 9, "DAY")]
