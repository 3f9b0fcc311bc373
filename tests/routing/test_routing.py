"""Router, taggers and vote in one pipeline."""

import numpy as np
import pytest
import spacy
from samples import SMALL_MODEL, TRAIN, trained
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Corpus, Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.sampling import make_balanced_corpus_v1
from spacy_crfner.routing import threshold
from spacy_crfner.routing.threshold import find_gates, make_tune_threshold_v1
from spacy_crfner.sentences import weak_sentences
from spacy_crfner.tagging.selection import training_sequences

SMALL_ROUTER = {
    "@architectures": "spacy_crfner.RCNN.v1",
    "width": 32,
    "hidden_width": 32,
    "tok2vec": {
        "@architectures": "spacy_crfner.WordCharEmbed.v1",
        "layout": "char20",
        "char_rows": 1100,
        "hash_rows": [500] * 4,
        "hash_width": 32,
        "hash_noise": 0.0,
    },
}


def examples(nlp):
    return [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]


def pipeline(weak=None, strong=None, vote=None, router=None):
    nlp = spacy.blank("en")
    nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"], **(router or {})})
    asks = {**SMALL_MODEL, "router": "weak_class_router"}
    strong = {**asks, "label_filter": "strong", "spans_key": "strong", **(strong or {})}
    weak = {**asks, "label_filter": "weak", "spans_key": "weak", "predict_on": "routed", **(weak or {})}
    nlp.add_pipe("bcrf_ner", name="strong", config=strong)
    nlp.add_pipe("bcrf_ner", name="weak", config=weak)
    nlp.add_pipe("ner_vote", config=vote or {})
    return nlp


@pytest.fixture(scope="module")
def nlp():
    """Do not change it."""
    fix_random_seed(0)
    nlp = pipeline(weak={"annotate": ["confidence", "marginals", "n_best"]}, strong={"annotate": ["confidence"]})
    return trained(nlp, examples(nlp), 100)


def spans(group):
    return [(span.start, span.end, span.label_) for span in group]


def probabilities(doc):
    return doc.spans["weak_class_router"].attrs["scores"]


def flag(nlp, doc, places):
    """Let the router have flagged the sentences that begin at these tokens."""
    sentences = list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]]
    labels = ["weak" if sentence.start in places else "strong" for sentence in sentences]
    pairs = zip(sentences, labels, strict=True)
    doc.spans["weak_class_router"] = [Span(doc, s.start, s.end, label=label) for s, label in pairs]
    return doc


def three_sentences(nlp):
    texts = [TRAIN[1][0], TRAIN[0][0], TRAIN[8][0]]
    words = [text.split() for text in texts]
    starts = [k == 0 for sentence in words for k in range(len(sentence))]
    return Doc(nlp.vocab, words=[word for sentence in words for word in sentence], sent_starts=starts)


# The router


def test_every_sentence_has_its_probability(nlp):
    doc = nlp.get_pipe("weak_class_router")(three_sentences(nlp))
    group = doc.spans["weak_class_router"]
    assert spans(group) == [(0, 8, "weak"), (8, 15, "strong"), (15, 23, "weak")]
    scores = group.attrs["scores"]
    alone = [nlp.get_pipe("weak_class_router")(sentence.as_doc()) for sentence in doc.sents]
    np.testing.assert_allclose(scores, np.concatenate([probabilities(one) for one in alone]), atol=1e-5)
    assert doc[9:10]._.weak_probability == pytest.approx(float(scores[1]))
    assert weak_sentences(doc, "weak_class_router") == [(0, 8), (15, 23)]


def test_one_probability_for_a_doc_without_boundaries(nlp):
    doc = nlp.get_pipe("weak_class_router")(nlp.make_doc(TRAIN[1][0]))
    assert spans(doc.spans["weak_class_router"]) == [(0, len(doc), "weak")]


def test_probabilities_survive_docbin_and_processes(nlp):
    docs = list(nlp.pipe([text for text, _ in TRAIN], n_process=2, batch_size=4))
    again = list(DocBin().from_bytes(DocBin(docs=docs).to_bytes()).get_docs(nlp.vocab))
    for doc, other, (text, _) in zip(docs, again, TRAIN, strict=True):
        np.testing.assert_array_equal(probabilities(doc), probabilities(other))
        np.testing.assert_allclose(probabilities(doc), probabilities(nlp(text)), atol=1e-5)


def test_rare_labels_are_chosen_and_logged(caplog):
    nlp = spacy.blank("en")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "rare": 0.3})
    with caplog.at_level("INFO", logger="spacy"):
        nlp.initialize(lambda: examples(nlp))
    counts = {label: sum(label == ent[2] for _, ents in TRAIN for ent in ents) for label in ("LOC", "ORG", "PER")}
    total = sum(counts.values())
    expected = [label for label in sorted(counts, key=counts.get) if counts[label] < 0.3 * total]
    assert expected and list(router.labels) == expected
    assert all(f"{label} ({counts[label]})" in caplog.text for label in expected)
    with_weak = sum(any(ent[2] in expected for ent in ents) for _, ents in TRAIN)
    assert router.cfg["share"] == (with_weak + 1) / (len(TRAIN) + 2)
    assert set(router.weak_labels) | set(router.strong_labels) == set(counts)


def test_weights_follow_the_class_frequency():
    """Twice as rare, the same sentence weighs twice as much against the others."""
    nlp = spacy.blank("en")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"]})
    nlp.initialize(lambda: examples(nlp))
    scores = router.model.predict([example.predicted for example in examples(nlp)])
    gradients = []
    for share in (0.1, 0.2):
        router.cfg["share"] = share
        gradients.append(router.get_loss(examples(nlp), scores)[1].logits)
    weak = np.array([any(ent[2] == "ORG" for ent in ents) for _, ents in TRAIN])
    np.testing.assert_allclose(gradients[0][weak] / gradients[1][weak], 0.9 / 0.8, rtol=1e-5)
    np.testing.assert_allclose(gradients[0][~weak] / gradients[1][~weak], 0.5, rtol=1e-5)


def test_the_penalty_is_in_the_loss_and_its_gradient():
    nlp = spacy.blank("en")
    model = {**SMALL_ROUTER, "@architectures": "spacy_crfner.StructuredSelfAttention.v1", "hidden_width": 16}
    router = nlp.add_pipe("weak_class_router", config={"model": model, "weak_labels": ["ORG"], "penalty": 0.3})
    nlp.initialize(lambda: examples(nlp))
    scores = router.model.predict([example.predicted for example in examples(nlp)])
    assert (scores.penalties > 0).all()
    loss, gradient = router.get_loss(examples(nlp), scores)
    np.testing.assert_allclose(gradient.penalties, 0.3 / len(TRAIN), rtol=1e-5)
    router.cfg["penalty"] = 0.0
    assert loss - router.get_loss(examples(nlp), scores)[0] == pytest.approx(0.3 * scores.penalties.mean(), rel=1e-5)
    router.cfg["penalty"] = 0.3
    before = scores.penalties.mean()
    for _ in range(20):
        nlp.update(examples(nlp), sgd=Adam(0.005))
    assert router.model.predict([example.predicted for example in examples(nlp)]).penalties.mean() < before


def test_threshold_is_tuned_where_the_model_is_saved(nlp, tmp_path):
    copied = pipeline().from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    router = copied.get_pipe("weak_class_router")
    router.cfg["threshold"] = 1.0
    assert copied.evaluate(examples(copied))["weak_r"] == 0.0
    assert make_tune_threshold_v1(tmp_path / "dev.spacy")(copied) is copied
    assert copied.evaluate(examples(copied))["weak_f"] == 1.0
    copied.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model").get_pipe("weak_class_router")
    assert again.cfg["threshold"] == pytest.approx(router.cfg["threshold"])
    with pytest.raises(ValueError, match="no weak_class_router named 'strong'"):
        make_tune_threshold_v1(tmp_path / "dev.spacy", component="strong")(copied)


def test_a_threshold_can_be_set_again_when_the_pipeline_is_loaded(nlp, tmp_path):
    copied = pipeline().from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    make_tune_threshold_v1(tmp_path / "dev.spacy")(copied)
    tuned = copied.get_pipe("weak_class_router").cfg["threshold"]
    assert tuned != 0.5
    copied.to_disk(tmp_path / "model")
    path = "components.weak_class_router.threshold"
    for given, expected in (({}, tuned), ({path: 0.5}, 0.5), ({path: 0.3}, 0.3)):
        loaded = spacy.load(tmp_path / "model", config=given)
        assert loaded.get_pipe("weak_class_router").cfg["threshold"] == pytest.approx(expected)


def test_sentences_are_counted_as_the_references_have_them():
    nlp = spacy.blank("en")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"]})
    reference = three_sentences(nlp)
    reference.set_ents([Span(reference, 0, 1, label="ORG"), Span(reference, 8, 9, label="PER")])
    nlp.initialize(lambda: [Example(nlp.make_doc(reference.text), reference)] * 6)
    assert router.cfg["share"] == (6 + 1) / (18 + 2)


def test_repeated_references_are_counted_once_and_other_docs_always():
    nlp = spacy.blank("en")
    tagger = nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("Ilm fell ."), {"entities": [(0, 3, x)]}) for x in "AB"])
    assert tagger.labels == ("A", "B")
    nlp = spacy.blank("en")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "rare": 0.3})
    once = [Example.from_dict(nlp.make_doc("Ilm fell ."), {"entities": [(0, 3, x)]}) for x in "AABBB"]
    rare = Example.from_dict(nlp.make_doc("Ilm fell ."), {"entities": [(0, 3, "C")]})
    nlp.initialize(lambda: [*once, *[Example(nlp.make_doc("Ilm fell ."), rare.reference) for _ in range(9)]])
    assert router.labels == ("C",)


def test_boundaries_that_come_after_the_router_do_no_harm(nlp):
    doc = three_sentences(nlp)
    reference = Doc(nlp.vocab, words=[token.text for token in doc], ents=["O"] * len(doc))
    predicted = nlp.get_pipe("weak_class_router")(Doc(nlp.vocab, words=[token.text for token in doc]))
    probability = probabilities(predicted)
    for token in doc:
        predicted[token.i].is_sent_start = token.is_sent_start
    nlp.get_pipe("weak_class_router").score([Example(predicted, reference)])
    predicted.spans["weak_class_router"] = [Span(predicted, 0, len(doc), label="weak")]
    predicted.spans["weak_class_router"].attrs["scores"] = probability
    weak = nlp.get_pipe("weak")
    whole = flag(nlp, three_sentences(nlp), (0, 8, 15))
    assert spans(weak(predicted).spans["weak"]) == spans(weak(whole).spans["weak"])


def test_merged_tokens():
    nlp = spacy.blank("en")
    nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"]})
    nlp.initialize(lambda: examples(nlp))
    doc = nlp(three_sentences(nlp))
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[4:7])
    assert doc[20:21]._.weak_probability is None
    with pytest.raises(ValueError, match="merge or split tokens after the taggers"):
        weak_sentences(doc, "weak_class_router")


# Taggers behind a router


@pytest.mark.parametrize("flagged", [(), (0,), (8,), (0, 15), (0, 8, 15)])
def test_only_flagged_sentences_are_read(nlp, flagged):
    """In them, all is as it is where every sentence is read."""
    weak = nlp.get_pipe("weak")
    whole, part = (flag(nlp, three_sentences(nlp), places) for places in ((0, 8, 15), flagged))
    for doc in (whole, part):
        weak(doc)
    tokens = {token.i for sentence in part.sents if sentence.start in flagged for token in sentence}
    expected = [place for place, span in enumerate(whole.spans["weak"]) if span.start in tokens]
    assert spans(part.spans["weak"]) == [spans(whole.spans["weak"])[place] for place in expected]
    attrs, all_attrs = part.spans["weak"].attrs, whole.spans["weak"].attrs
    np.testing.assert_allclose(attrs["scores"], np.array(all_attrs["scores"])[expected], atol=1e-5)
    for token in range(len(part)):
        row = all_attrs["marginals"][token] if token in tokens else np.eye(len(weak.tags))[0]
        np.testing.assert_allclose(attrs["marginals"][token], row, atol=1e-4)
    paths = [
        paths for paths, sentence in zip(all_attrs["n_best"], whole.sents, strict=True) if sentence.start in tokens
    ]
    assert [[path["ents"] for path in found] for found in attrs["n_best"]] == [
        [path["ents"] for path in found] for found in paths
    ]


def test_a_second_run_finds_the_same(nlp):
    """What a tagger found before is not given to it, also in sentences that are cut out."""
    tagger = pipeline(weak={"spans_key": None, "overwrite_ents": False}).get_pipe("weak")
    tagger.from_bytes(nlp.get_pipe("weak").to_bytes())
    doc = flag(nlp, three_sentences(nlp), (0, 15))
    found = []
    for _ in range(3):
        tagger(doc)
        found.append((spans(doc.ents), doc.spans["weak"].attrs["scores"].tolist()))
    assert found[0][0]
    for again in found[1:]:
        assert again[0] == found[0][0]
        np.testing.assert_allclose(again[1], found[0][1], atol=1e-5)


def test_many_sentences_at_once(nlp, tmp_path):
    """Docs of several sentences, in batches, in processes, saved: as one by one."""
    nlp = pipeline().from_bytes(nlp.to_bytes())
    nlp.add_pipe("sentencizer", first=True)
    texts = [" ".join(text for text, _ in TRAIN[start : start + 5]) for start in range(0, 20, 5)]
    expected = [[spans(doc.ents), *map(spans, doc.spans.values())] for doc in map(nlp, texts)]
    assert all(found[0] for found in expected)
    for options in ({"batch_size": 2}, {"n_process": 2, "batch_size": 1}):
        docs = list(nlp.pipe(texts, **options))
        assert [[spans(doc.ents), *map(spans, doc.spans.values())] for doc in docs] == expected
    again = DocBin().from_bytes(DocBin(docs=docs).to_bytes()).get_docs(nlp.vocab)
    assert [[spans(doc.ents), *map(spans, doc.spans.values())] for doc in again] == expected


def test_behind_a_shared_encoder_sentences_are_masked():
    """The same is found as with an encoder of its own, which only runs over what is flagged."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    encoder = {"@architectures": "spacy_crfner.BiLSTM.v1", "width": 32, "tok2vec": SMALL_ROUTER["tok2vec"]}
    nlp.add_pipe("tok2vec", config={"model": encoder})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "tok2vec"}
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": listener}
    config = {"model": model, "router": "weak_class_router", "predict_on": "routed", "spans_key": "weak", "r_drop": 0.0}
    weak = nlp.add_pipe("bcrf_ner", config=config)
    trained(nlp, examples(nlp), 150)
    found = []
    for _ in range(2):
        doc = flag(nlp, three_sentences(nlp), (15,))
        for _, pipe in nlp.pipeline:
            pipe(doc)
        found.append((spans(doc.spans["weak"]), doc.spans["weak"].attrs["scores"].tolist()))
        if weak.listens:
            nlp.replace_listeners("tok2vec", "bcrf_ner", ["model.tok2vec"])
    assert found[0][0] == found[1][0] != [] and all(start >= 15 for start, _, _ in found[0][0])
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-5)


def test_training_takes_the_sentences_it_is_told_to(nlp):
    data = examples(nlp)
    with_org = [any(ent[2] == "ORG" for ent in ents) for _, ents in TRAIN]
    balanced = [bool(chosen.any()) for chosen in training_sequences(data, "balanced", ["ORG"], None, True)]
    assert sum(balanced) == 2 * sum(with_org) and all(b for b, org in zip(balanced, with_org, strict=True) if org)
    for place, example in enumerate(data):
        flag(nlp, example.predicted, (0,) if place == 3 else ())
    unknown = [Example(nlp.make_doc("Nothing is known ."), nlp.make_doc("Nothing is known ."))] * 30
    chosen = training_sequences([*unknown, *data], "balanced", ["ORG"], None, True)
    assert not any(found.any() for found in chosen[:30])
    routed = [bool(chosen.any()) for chosen in training_sequences(data, "routed", ["ORG"], "weak_class_router", True)]
    assert routed == [org or place == 3 for place, org in enumerate(with_org)]


def test_sentences_that_are_not_taken_teach_nothing():
    for own_encoder in (True, False):
        fix_random_seed(0)
        nlp = spacy.blank("en")
        nlp.add_pipe("tok2vec")
        listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
        listening = {"model": {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": listener}, "r_drop": 0.0}
        config = {"label_filter": ["ORG"], "train_on": "balanced", **(SMALL_MODEL if own_encoder else listening)}
        nlp.add_pipe("bcrf_ner", config=config)
        nlp.initialize(lambda nlp=nlp: examples(nlp))
        without = [example for example, (_, ents) in zip(examples(nlp), TRAIN, strict=True) if not ents]
        before = nlp.get_pipe("bcrf_ner").model.to_bytes()
        losses = nlp.update(without, sgd=Adam(0.01, L2=0.0))
        assert losses["bcrf_ner"] == 0.0
        assert nlp.get_pipe("bcrf_ner").model.to_bytes() == before


def test_labels_come_from_the_router(nlp):
    assert nlp.get_pipe("weak").labels == ("ORG",)
    assert nlp.get_pipe("strong").labels == ("LOC", "PER")


def test_labels_are_asked_for_at_every_initialization(nlp):
    nlp = pipeline()
    nlp.initialize(lambda: examples(nlp))
    nlp.get_pipe("weak_class_router").cfg["weak_labels"] = ["LOC"]
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("weak").labels == ("LOC",)
    assert sorted(nlp.get_pipe("strong").labels) == ["ORG", "PER"]


def test_a_label_for_a_routed_pipeline(nlp):
    nlp = pipeline().from_bytes(nlp.to_bytes())
    for name in ("weak_class_router", "weak"):
        assert nlp.get_pipe(name).add_label("EVENT") == 1
    nlp.get_pipe("weak_class_router").add_label("PER")
    assert nlp.get_pipe("weak_class_router").strong_labels == ("LOC",)
    nlp.update(examples(nlp), sgd=Adam(0.001))
    again = pipeline().from_bytes(nlp.to_bytes()).get_pipe("weak")
    assert list(again.labels) == again.label_filter == ["ORG", "EVENT"]


# The vote


def test_the_vote_finds_what_the_taggers_found(nlp):
    scores = nlp.evaluate(examples(nlp))
    assert scores["ents_f"] == scores["ents_macro_f"] == 1.0
    doc = nlp(TRAIN[11][0])
    merged = sorted(spans(doc.spans["strong"]) + spans(doc.spans["weak"]))
    assert spans(doc.ents) == merged
    for ent, score in zip(doc.ents, doc.spans["ner_vote"].attrs["scores"], strict=True):
        assert ent._.confidence == pytest.approx(float(score))


def test_words_are_merged_behind_trained_taggers(nlp):
    both = {"annotate": ["confidence", "marginals"]}
    words = pipeline(weak=both, strong=both, vote={"rule": "word"})
    with pytest.raises(ValueError, match="needs confidence, marginals of 'strong': set annotate"):
        pipeline(weak=both, vote={"rule": "word"}).initialize(lambda: examples(nlp))
    for name in ("weak_class_router", "strong", "weak"):
        words.get_pipe(name).from_bytes(nlp.get_pipe(name).to_bytes())
        if name != "weak_class_router":
            words.get_pipe(name).cfg.update(both)
    for text, _ in TRAIN:
        assert spans(words(text).ents) == spans(nlp(text).ents)
    spaced = words(TRAIN[4][0].replace("Bank of", "Bank \n of"))
    assert all(ent[0].text.strip() and ent[-1].text.strip() for ent in spaced.ents)


def test_settings_of_the_vote_are_saved(tmp_path):
    nlp = pipeline()
    nlp.get_pipe("ner_vote").cfg["overwrite_ents"] = True
    nlp.to_disk(tmp_path / "model")
    assert spacy.load(tmp_path / "model").get_pipe("ner_vote").cfg["overwrite_ents"]
    assert pipeline().from_bytes(nlp.to_bytes()).get_pipe("ner_vote").cfg["overwrite_ents"]


def voted(config, router=(), ents=(), **groups):
    """doc.ents after a vote on spans (start, end, label, score) of six words in two sentences."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config=config)
    doc = Doc(nlp.vocab, words=list("abcdef"), sent_starts=[True, False, False] * 2)
    for key, found in groups.items():
        doc.spans[key] = [Span(doc, start, end, label=label) for start, end, label, _ in found]
        doc.spans[key].attrs["scores"] = np.array([score for *_, score in found])
    doc.set_ents([Span(doc, *ent) for ent in ents])
    flag(nlp, doc, router)
    return spans(vote(vote(doc)).ents)


STRONG = [(0, 2, "A", 0.6), (3, 4, "A", 0.9)]
WEAK = [(1, 3, "B", 0.8), (4, 6, "B", 0.3)]


def test_gated_groups_vote_in_flagged_sentences_only():
    gated = {"router": "weak_class_router", "gated": ["weak"]}
    assert voted({}, strong=STRONG, weak=WEAK) == [(1, 3, "B"), (3, 4, "A"), (4, 6, "B")]
    assert voted(gated, strong=STRONG, weak=WEAK) == [(0, 2, "A"), (3, 4, "A")]
    assert voted(gated, router=(0,), strong=STRONG, weak=WEAK) == [(1, 3, "B"), (3, 4, "A")]
    assert voted(gated, router=(3,), strong=STRONG, weak=WEAK) == [(0, 2, "A"), (3, 4, "A"), (4, 6, "B")]


def gates_doc(nlp, probabilities, weak, gold=()):
    """A Doc of one-word sentences that a router has read, with entities of a gated group and gold ones."""
    doc = Doc(nlp.vocab, words=list("abcdefgh")[: len(probabilities)], sent_starts=[True] * len(probabilities))
    flag(nlp, doc, [place for place, probability in enumerate(probabilities) if probability >= 0.1])
    doc.spans["weak_class_router"].attrs["scores"] = np.array(probabilities)
    doc.spans["weak"] = [Span(doc, place, place + 1, label=label) for place, label in weak]
    doc.spans["weak"].attrs["scores"] = np.ones(len(weak))
    reference = doc.copy()
    reference.set_ents([Span(reference, place, place + 1, label=label) for place, label in gold])
    return Example(doc, reference)


GATED = {"groups": ["weak"], "router": "weak_class_router", "gated": ["weak"]}


def test_a_gate_asks_for_more_than_a_flag():
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config={**GATED, "gates": {"A": 0.5, "B": 0.0}})
    doc = gates_doc(nlp, [0.05, 0.2, 0.6], [(0, "B"), (1, "A"), (2, "A")]).predicted
    assert spans(vote(doc).ents) == [(0, 1, "B"), (2, 3, "A")]
    doc = gates_doc(nlp, [0.05, 0.2, 0.6], [(0, "C"), (1, "C"), (2, "A")]).predicted
    assert spans(vote(doc).ents) == [(1, 2, "C"), (2, 3, "A")]
    with pytest.raises(ValueError, match="needs the groups that they are for"):
        nlp.add_pipe("ner_vote", name="other", config={"groups": ["weak"], "gates": {"A": 0.5}})


def test_gates_are_for_labels_that_are_better_with_them():
    """A is right only in probable sentences, B everywhere, C nowhere."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote", config=GATED)
    found = [(0, "A"), (1, "A"), (2, "B"), (3, "B"), (4, "C")]
    example = gates_doc(nlp, [0.2, 0.9, 0.2, 0.9, 0.9], found, [(1, "A"), (2, "B"), (3, "B")])
    empty = Example(nlp.make_doc(""), nlp.make_doc(""))
    empty.predicted.spans["weak"] = []
    assert find_gates([example, empty], vote, 0.5) == {"A": 0.5}
    assert list(example.predicted.spans) == ["weak_class_router", "weak"]


def test_gates_are_tuned_where_the_model_is_saved(nlp, tmp_path, monkeypatch):
    copied = pipeline(vote={"router": "weak_class_router", "gated": ["weak"]}).from_bytes(nlp.to_bytes())
    DocBin(docs=[example.reference for example in examples(nlp)]).to_disk(tmp_path / "dev.spacy")
    tune = make_tune_threshold_v1(tmp_path / "dev.spacy", beta=8.0, vote="ner_vote")
    copied.get_pipe("ner_vote").configure("gates", {"ORG": 1.0})
    assert copied.evaluate(examples(copied))["ents_per_type"]["ORG"]["f"] < 1.0
    tune(copied)
    assert copied.get_pipe("ner_vote").cfg["gates"] == {}
    assert copied.evaluate(examples(copied))["ents_per_type"]["ORG"]["f"] == 1.0
    monkeypatch.setattr(threshold, "find_gates", lambda *arguments: {"ORG": 0.25, "GPE.NAM": 0.5})
    tune(copied)
    copied.to_disk(tmp_path / "model")
    assert spacy.load(tmp_path / "model").get_pipe("ner_vote").cfg["gates"] == {"ORG": 0.25, "GPE.NAM": 0.5}
    with pytest.raises(ValueError, match="finds no ner_vote 'strong' that 'weak_class_router' gates"):
        make_tune_threshold_v1(tmp_path / "dev.spacy", vote="strong")(copied)


def test_entities_of_others_stay():
    given = [(3, 5, "C")]
    assert voted({}, ents=given, strong=STRONG, weak=WEAK) == [(1, 3, "B"), (3, 5, "C")]
    assert (3, 5, "C") not in voted({"overwrite_ents": True}, ents=given, strong=STRONG, weak=WEAK)


def test_entities_that_a_tagger_found_too_stay():
    """That a tagger found in its span group what was given is no reason to drop it."""
    nlp = spacy.blank("en")
    vote = nlp.add_pipe("ner_vote")
    doc = Doc(nlp.vocab, words=list("abcdef"), ents=["B-A", "I-A", "O", "O", "O", "O"])
    for key, found in (("strong", STRONG), ("weak", WEAK)):
        doc.spans[key] = [Span(doc, start, end, label=label) for start, end, label, _ in found]
        doc.spans[key].attrs.update(scores=np.array([score for *_, score in found]), component=key)
    assert spans(vote(doc).ents) == [(0, 2, "A"), (3, 4, "A"), (4, 6, "B")]


def test_any_number_of_groups():
    groups = {"groups": ["x", "y", "z"]}
    assert voted(groups, x=STRONG, y=WEAK, z=[(0, 6, "C", 0.95)]) == [(0, 6, "C")]


def test_what_a_vote_cannot_do_without():
    with pytest.raises(ValueError, match=r"no entities with probabilities in doc\.spans\['weak'\]"):
        voted({}, strong=STRONG)
    with pytest.raises(ValueError, match="needs the marginals of 'strong': set annotate"):
        voted({"rule": "word"}, strong=STRONG, weak=WEAK)
    for config, message in (
        ({"rule": "majority"}, "choose from span, word"),
        ({"groups": []}, "no groups"),
        ({"gated": ["other"]}, "cannot gate other"),
        ({"gated": ["weak"]}, "name of a router"),
    ):
        with pytest.raises(ValueError, match=message):
            voted(config, strong=STRONG, weak=WEAK)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"router": {"weak_labels": []}}, "weak_labels of 'weak_class_router' are empty"),
        ({"router": {"threshold": 2.0}}, "threshold of 'weak_class_router' is a number from 0 to 1"),
        ({"router": {"penalty": -1.0}}, "penalty"),
        ({"weak": {"train_on": "some"}}, "cannot train on 'some'"),
        ({"weak": {"predict_on": "some"}}, "cannot predict on 'some'"),
        ({"weak": {"label_filter": "rare"}}, "label_filter of 'weak' is a list of labels"),
        ({"weak": {"router": None}}, "name its span group in `router`"),
        ({"router": {"loss": {"@misc": "spacy_crfner.nll.v1"}}}, "not a loss block of this component: choose one such"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(**options)


def test_labels_that_are_not_there():
    nlp = pipeline(router={"weak_labels": ["NOPE"]})
    with pytest.raises(ValueError, match="weak_labels NOPE, but the training data has only LOC, ORG, PER"):
        nlp.initialize(lambda: examples(nlp))
    nlp = pipeline(router={"weak_labels": ["ORG", "NOPE"]})
    with pytest.warns(UserWarning, match="weak_labels NOPE"):
        nlp.initialize(lambda: examples(nlp))
    nlp = pipeline(router={"weak_labels": ["ORG", "LOC", "PER"]})
    with pytest.raises(ValueError, match="takes none of the labels as strong"):
        nlp.initialize(lambda: examples(nlp))
    nlp = pipeline(router={"weak_labels": None, "rare": 0.01})
    with pytest.raises(ValueError, match=r"no label that less than 1\.0% of the \d+ entities have"):
        nlp.initialize(lambda: examples(nlp))
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, "router": "elsewhere", "label_filter": "weak"})
    with pytest.raises(ValueError, match="no weak_class_router before it writes this span group"):
        nlp.initialize(lambda: examples(nlp))


def test_a_doc_that_no_router_has_read(nlp):
    with pytest.raises(ValueError, match=r"has no doc\.spans\['weak_class_router'\]: put a weak_class_router"):
        nlp.get_pipe("weak")(nlp.make_doc("Anna left ."))


# Balanced reading


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Twenty Docs, one of them with the label RARE."""
    nlp = spacy.blank("en")
    docs = [example.reference for example in examples(nlp)]
    docs[3].set_ents([Span(docs[3], 0, 1, label="RARE")])
    path = tmp_path_factory.mktemp("balanced") / "train.spacy"
    DocBin(docs=docs).to_disk(path)
    return path


@pytest.mark.parametrize(("method", "weak", "others"), [("repeat", 19, 19), ("drop", 1, 1)])
def test_balanced_corpus(corpus, method, weak, others):
    nlp = spacy.blank("en")
    for labels in (["RARE"], None):
        found = list(make_balanced_corpus_v1(corpus, labels=labels, rare=0.05, share=0.5, method=method)(nlp))
        rare = [example.text for example in found if any(ent.label_ == "RARE" for ent in example.reference.ents)]
        assert (len(rare), len(found) - len(rare)) == (weak, others)
        assert len({id(example.predicted) for example in found}) == len(found)
    assert len({example.text for example in found} - set(rare)) == others


def test_balanced_corpus_has_the_options_of_spacys_own(corpus):
    nlp, seen = spacy.blank("en"), []

    def augmenter(nlp, example):
        seen.append(example)
        yield example
        yield Example(nlp.make_doc("more"), nlp.make_doc("more"))

    options = {"limit": 10, "augmenter": augmenter, "share": 0.5, "labels": ["RARE"]}
    found = list(make_balanced_corpus_v1(corpus, **options)(nlp))
    assert len(found) == 2 * len(seen) == 2 * (9 + 9)
    assert len({id(example.predicted) for example in seen}) == len(seen)
    longest = max(len(example.reference) for example in seen)
    seen.clear()
    list(make_balanced_corpus_v1(corpus, **options, max_length=longest - 1)(nlp))
    assert seen and max(len(example.reference) for example in seen) < longest


def test_a_tagger_can_learn_from_repeated_docs_once(corpus):
    """Weights are what they would be without the copies, whose sentences cost nothing."""
    weights = []
    readers = {"once": make_balanced_corpus_v1(corpus, labels=["RARE"], share=0.5), "all": Corpus(corpus)}
    for train_on, read in readers.items():
        fix_random_seed(0)
        nlp = spacy.blank("en")
        nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, "train_on": train_on, "r_drop": 0.0})
        found = sorted(read(nlp), key=lambda example: example.text)
        assert len(found) == (38 if train_on == "once" else 20)
        nlp.initialize(lambda found=found: found)
        losses = {}
        nlp.update(found, sgd=Adam(0.001, L2=0.0), losses=losses)
        output = nlp.get_pipe("bcrf_ner").model.get_ref("output_layer")
        weights.append((losses["bcrf_ner"], [output.get_param(name) for name in ("W", "b")]))
    assert weights[0][0] == pytest.approx(weights[1][0], rel=1e-4)
    for one, other in zip(weights[0][1], weights[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_balanced_corpus_never_has_fewer_rare_docs(corpus):
    found = list(make_balanced_corpus_v1(corpus, labels=["PER"], share=0.01)(spacy.blank("en")))
    assert len(found) == 20


def test_balanced_corpus_says_what_is_wrong(corpus):
    nlp = spacy.blank("en")
    with pytest.raises(CorpusError, match="no Doc has a rare label"):
        list(make_balanced_corpus_v1(corpus, labels=["NOPE"])(nlp))
    with pytest.raises(CorpusError, match=r"--paths\.train"):
        list(make_balanced_corpus_v1(None)(nlp))
    with pytest.raises(ValueError, match="share between 0 and 1"):
        make_balanced_corpus_v1(corpus, share=1.0)
    with pytest.raises(ValueError, match="choose from repeat, drop"):
        make_balanced_corpus_v1(corpus, method="none")
