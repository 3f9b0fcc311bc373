"""The router, and taggers behind it."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import spacy
import srsly
from routing_samples import SMALL_ROUTER, examples, flag, pipeline, probabilities, selecting, spans, three_sentences
from samples import SMALL_MODEL, TRAIN, trained
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_crfner.routing import component as router_module
from spacy_crfner.routing.annotation import weak_probability, weak_sentences
from spacy_crfner.routing.sentence_selection import make_select_sentences_v1
from spacy_crfner.user_data_keys import REPEATED, WEIGHT

ROUTED = selecting(predict="routed", router="weak_class_router")

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


@pytest.mark.parametrize(
    "settings, named",
    [
        ({"width": 7}, "RCNN needs an even width .* not 7"),
        ({"width": -2}, "RCNN needs an even width .* not -2"),
        ({"hidden_width": 0}, "RCNN needs a hidden_width of 1 or more, not 0"),
    ],
)
def test_widths_that_no_router_has(settings, named):
    with pytest.raises(ValueError, match=named):
        spacy.blank("en").add_pipe("weak_class_router", config={"model": {**SMALL_ROUTER, **settings}})


@pytest.mark.parametrize("with_sentences", [True, False])
def test_sentences_are_counted_as_training_reads_them(with_sentences):
    """By themselves where something in front finds them; else a Doc is read as one."""
    nlp = spacy.blank("en")
    if with_sentences:
        nlp.add_pipe("sentencizer")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"]})
    data = []
    for label in ["ORG"] * 4 + ["LOC"] * 2:
        reference = three_sentences(nlp)
        reference.set_ents([Span(reference, 0, 1, label=label), Span(reference, 8, 9, label="PER")])
        data.append(Example(nlp.make_doc(reference.text), reference))
    nlp.initialize(lambda: data)
    assert router.cfg["share"] == (4 + 1) / ((18 if with_sentences else 6) + 2)


def test_every_doc_is_counted():
    """None twice, and none for another that had its place in memory."""
    nlp = spacy.blank("en")
    tagger = nlp.add_pipe("bcrf_ner", config=SMALL_MODEL)
    nlp.initialize(lambda: [Example.from_dict(nlp.make_doc("Ilm fell ."), {"entities": [(0, 3, x)]}) for x in "AB"])
    assert tagger.labels == ("A", "B")
    nlp = spacy.blank("en")
    router = nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "rare": 0.3})
    data = [Example.from_dict(nlp.make_doc("Ilm fell ."), {"entities": [(0, 3, x)]}) for x in "AABBBCCCCCCCCC"]
    for again in data[6:]:
        again.predicted.user_data[REPEATED] = True
    nlp.initialize(lambda: data)
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
    last = doc[22:23]._.weak_probability
    sentences = weak_sentences(doc, "weak_class_router")
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[4:7])
    assert doc[20:21]._.weak_probability == last is not None
    assert len(weak_sentences(doc, "weak_class_router")) == len(sentences)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[4:7])
    assert doc[4:5]._.weak_probability is None and doc[18:19]._.weak_probability == last
    with pytest.raises(ValueError, match="merge or split tokens after the taggers"):
        weak_sentences(doc, "weak_class_router")


def test_sentences_without_annotation_count_for_nothing():
    """In the loss, in its penalty, and in the scores."""
    nlp = spacy.blank("en")
    model = {**SMALL_ROUTER, "@architectures": "spacy_crfner.StructuredSelfAttention.v1", "hidden_width": 16}
    router = nlp.add_pipe("weak_class_router", config={"model": model, "weak_labels": ["ORG"], "penalty": 0.3})
    nlp.initialize(lambda: examples(nlp))
    data = examples(nlp)
    unknown = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text, _ in TRAIN]
    scores = router.model.predict([example.predicted for example in unknown])
    loss, gradient = router.get_loss(unknown, scores)
    assert loss == 0.0 and not gradient.logits.any() and not gradient.penalties.any()
    for example in (*data, *unknown):
        router(example.predicted)
    assert router.score([*data, *unknown]) == router.score(data)
    assert router.score(unknown)["weak_f"] is None


def test_dropout_of_the_classifier():
    for name in ("RCNN", "LSTMAttention", "StructuredSelfAttention"):
        nlp = spacy.blank("en")
        model = {"@architectures": f"spacy_crfner.{name}.v1", "tok2vec": SMALL_ROUTER["tok2vec"]}
        router = nlp.add_pipe("weak_class_router", config={"model": model, "weak_labels": ["ORG"]})
        nlp.initialize(lambda nlp=nlp: examples(nlp))
        docs = [example.predicted for example in examples(nlp)]
        for node in router.model.layers[0].walk():
            if "dropout_rate" in node.attrs:
                node.attrs["dropout_rate"] = 0.0
        found = []
        for rate in (0.0, 0.0, 0.5, 0.5):
            router.model.attrs["dropout_rate"] = rate
            found.append(router.model.begin_update(docs)[0].logits)
        np.testing.assert_allclose(found[0], found[1], atol=1e-6)
        assert np.abs(found[2] - found[3]).max() > 1e-4


def test_a_router_of_whole_docs():
    """per_sentence = false: one probability for a Doc, however many sentences it has."""
    nlp = spacy.blank("en")
    model = {**SMALL_ROUTER, "per_sentence": False}
    router = nlp.add_pipe("weak_class_router", config={"model": model, "weak_labels": ["ORG"]})
    trained(nlp, examples(nlp), 5)
    doc = three_sentences(nlp)
    assert [(start, end) for start, end, _ in spans(router(doc).spans["weak_class_router"])] == [(0, len(doc))]
    reference = three_sentences(nlp)
    reference.set_ents([Span(reference, 16, 17, label="ORG")])
    scores = router.score([Example(doc, reference)])
    assert scores["weak_ap"] == 1.0


def test_a_group_of_another_component_is_no_router(nlp):
    doc = nlp(three_sentences(nlp))
    with pytest.raises(ValueError, match=r"spans\['strong'\] .* holds no sentences of a weak_class_router"):
        weak_sentences(doc, "strong")


def test_weak_probability_is_that_of_the_router(nlp):
    """Not the confidence of a tagger whose group stands before it."""
    doc = nlp(three_sentences(nlp))
    entity = doc.spans["strong"][0]
    groups = {key: doc.spans[key] for key in ("strong", "weak", "weak_class_router")}
    doc.spans.clear()
    for key, group in groups.items():
        doc.spans[key] = group
    sentence = next(s for s in groups["weak_class_router"] if s.start <= entity.start < s.end)
    place = list(groups["weak_class_router"]).index(sentence)
    assert entity._.weak_probability == pytest.approx(float(probabilities(doc)[place]))


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


CONTEXT = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 32,
    "depth": 2,
    "embed_size": 300,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}


def test_what_is_found_in_a_sentence_does_not_depend_on_its_neighbours():
    """Also where an encoder of its own could look beyond the sentence."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": CONTEXT}
    config = {"model": model, **ROUTED, "annotate": ["marginals"]}
    tagger = nlp.add_pipe("bcrf_ner", config=config)
    trained(nlp, examples(nlp), 40)
    all_of_it, alone = (tagger(flag(nlp, three_sentences(nlp), places)) for places in ((0, 8, 15), (8,)))
    both = [doc.spans["bcrf_ner"].attrs["marginals"][8:15] for doc in (all_of_it, alone)]
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)
    assert np.abs(both[0] - np.eye(len(tagger.tags))[0]).max() > 0.5


def test_features_of_the_whole_doc_are_there_for_flagged_sentences():
    """A layer that reads what another component has stored in the Doc sees the Doc, not a sentence cut out of it."""
    nlp = spacy.blank("en")
    features = {"@architectures": "spacy_crfner.BackAttentionFeatures.v1", "width": 6, "component": "given"}
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": features}
    config = {"model": model, **ROUTED, "annotate": ["marginals"]}
    tagger = nlp.add_pipe("bcrf_ner", config=config)
    nlp.initialize(lambda: examples(nlp))
    tagger.model.get_ref("head").get_ref("output_layer").get_param("W")[:] = np.random.default_rng(0).normal(
        size=(13, 6)
    )
    found = []
    for places in ((0, 8, 15), (8,)):
        doc = flag(nlp, three_sentences(nlp), places)
        rows = np.random.default_rng(1).normal(size=(len(doc), 6)).astype(np.float16)
        doc.spans["given"] = SpanGroup(doc, name="given", spans=[], attrs={"features": rows})
        found.append(tagger(doc).spans["bcrf_ner"].attrs["marginals"])
    np.testing.assert_allclose(found[0][8:15], found[1][8:15], atol=1e-6)
    assert np.abs(found[0][:8] - found[1][:8]).max() > 0.1


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
    config = {"model": model, **ROUTED, "spans_key": "weak", "r_drop": 0.0}
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


def test_behind_a_shared_encoder_docs_without_a_flagged_sentence_are_not_read(monkeypatch):
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": listener}
    config = {"model": model, **ROUTED, "spans_key": "weak", "r_drop": 0.0}
    weak = nlp.add_pipe("bcrf_ner", config=config)
    trained(nlp, examples(nlp), 100)
    flags = ((15,), (), (0,), ())
    one_by_one = []
    for starts in flags:
        doc = nlp.get_pipe("tok2vec")(flag(nlp, three_sentences(nlp), starts))
        one_by_one.append(spans(weak(doc).spans["weak"]))
    read = []
    decode = weak._decode
    monkeypatch.setattr(weak, "_decode", lambda docs, chosen: read.append(docs) or decode(docs, chosen))
    docs = [flag(nlp, three_sentences(nlp), starts) for starts in flags]
    docs = list(weak.pipe(nlp.get_pipe("tok2vec").pipe(docs)))
    assert [spans(doc.spans["weak"]) for doc in docs] == one_by_one
    assert one_by_one[0] and one_by_one[2] and not one_by_one[1]
    assert read == [[docs[0], docs[2]]]


def test_training_takes_the_sentences_it_is_told_to(nlp):
    data = examples(nlp)
    with_org = [any(ent[2] == "ORG" for ent in ents) for _, ents in TRAIN]
    balance = make_select_sentences_v1(train="balanced").for_training
    balanced = [bool(chosen.any()) for chosen in balance(data, ["ORG"], True)]
    assert sum(balanced) == 2 * sum(with_org) and all(b for b, org in zip(balanced, with_org, strict=True) if org)
    for place, example in enumerate(data):
        flag(nlp, example.predicted, (0,) if place == 3 else ())
    unknown = [Example(nlp.make_doc("Nothing is known ."), nlp.make_doc("Nothing is known ."))] * 30
    chosen = balance([*unknown, *data], ["ORG"], True)
    assert not any(found.any() for found in chosen[:30])
    route = make_select_sentences_v1(train="routed", router="weak_class_router").for_training
    routed = [bool(chosen.any()) for chosen in route(data, ["ORG"], True)]
    assert routed == [org or place == 3 for place, org in enumerate(with_org)]


def test_training_on_routed_sentences():
    """Through nlp.update: what is neither flagged nor has an entity costs nothing, and what is flagged does."""
    nlp = pipeline(weak={**selecting(train="routed", predict="routed", router="weak_class_router"), "r_drop": 0.0})
    nlp.initialize(lambda: examples(nlp))
    weak = nlp.get_pipe("weak")
    without = [example for example, (_, ents) in zip(examples(nlp), TRAIN, strict=True) if not ents]
    for places, learns in (((), False), ((0,), True)):
        for example in without:
            flag(nlp, example.predicted, places)
        assert (weak.update(without)["weak"] > 0.0) is learns


def test_sentences_that_are_not_taken_teach_nothing():
    for own_encoder in (True, False):
        fix_random_seed(0)
        nlp = spacy.blank("en")
        nlp.add_pipe("tok2vec")
        listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
        listening = {"model": {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": listener}, "r_drop": 0.0}
        config = {"label_filter": ["ORG"], **selecting(train="balanced"), **(SMALL_MODEL if own_encoder else listening)}
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


def test_labels_that_were_added_before_are_weak_too():
    nlp = pipeline()
    nlp.get_pipe("weak_class_router").add_label("LOC")
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("weak_class_router").labels == nlp.get_pipe("weak").labels == ("ORG", "LOC")
    assert nlp.get_pipe("strong").labels == ("PER",)


@pytest.mark.parametrize(
    "data",
    [{"labels": ["ORG"]}, {"labels": [], "strong": [], "share": 0.1}, {"labels": ["A"], "strong": [], "share": 2}],
)
def test_label_data_that_are_none(data):
    nlp = pipeline()
    with pytest.raises(ValueError, match="not as `spacy init labels` writes them"):
        nlp.get_pipe("weak_class_router").initialize(lambda: examples(nlp), labels=data)


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


def test_without_its_selection_a_tagger_has_its_own_labels_again(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    changed = spacy.load(tmp_path / "model", config={"components.weak.sentences": None})
    assert changed.get_pipe("weak").label_filter is None and changed.get_pipe("weak").labels == ("ORG",)
    with pytest.raises(ValueError, match="come from its sentences: leave out its label_filter"):
        spacy.load(tmp_path / "model", config={"components.weak.label_filter": ["ORG"]})


def test_a_sentence_counts_as_often_as_its_weight_says(nlp):
    """A weight of 2 equals the sentence twice, one of 0 its absence."""
    router = nlp.get_pipe("weak_class_router")
    twice = [examples(nlp)[number] for number in (0, 0, 1)]
    scores = router.model.predict([example.predicted for example in twice])
    plain, plain_gradient = router.get_loss(twice, scores)
    weighted = examples(nlp)[:3]
    for example, weight in zip(weighted, (2.0, 1.0, 0.0), strict=True):
        example.predicted.user_data[WEIGHT] = weight
    loss, gradient = router.get_loss(weighted, router.model.predict([example.predicted for example in weighted]))
    assert loss == pytest.approx(plain, rel=1e-5)
    expected = [plain_gradient.logits[0] * 2, plain_gradient.logits[2], 0.0]
    np.testing.assert_allclose(gradient.logits, expected, rtol=1e-4, atol=1e-7)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"router": {"weak_labels": []}}, "weak_labels of 'weak_class_router' must be a list of labels, or null"),
        ({"router": {"threshold": 2.0}}, "threshold of 'weak_class_router' must be a number from 0 to 1"),
        ({"router": {"penalty": -1.0}}, "penalty"),
        ({"weak": selecting(train="some")}, "train of .* must be one of all, once, routed, balanced, not 'some'"),
        ({"weak": selecting(predict="some")}, "predict of .* must be one of all, routed, not 'some'"),
        ({"weak": selecting(labels="rare")}, "labels of .* must be one of weak, strong, not 'rare'"),
        ({"weak": {"label_filter": []}}, "label_filter of 'weak' must be a list of labels"),
        ({"weak": selecting(predict="routed")}, "name its span group in `router`"),
        ({"weak": {"sentences": {"@misc": "spacy_crfner.nll.v1"}}}, "sentences"),
        ({"router": {"loss": {"@misc": "spacy_crfner.nll.v1"}}}, "not a loss for this component: choose one such"),
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
    nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **selecting(router="elsewhere", labels="weak")})
    with pytest.raises(ValueError, match="no weak_class_router before it writes this span group"):
        nlp.initialize(lambda: examples(nlp))


def test_a_doc_that_no_router_has_read(nlp):
    with pytest.raises(ValueError, match=r"has no doc\.spans\['weak_class_router'\]: put a weak_class_router"):
        nlp.get_pipe("weak")(nlp.make_doc("Anna left ."))


def test_models_that_are_none_of_the_component():
    nlp = spacy.blank("en")
    with pytest.raises(ValueError, match=r"not one of a tagger: choose spacy_crfner\.CRFTagger\.v1"):
        nlp.add_pipe("bcrf_ner", config={"model": SMALL_ROUTER})
    with pytest.raises(ValueError, match=r"not one of a router: choose one such as spacy_crfner\.RCNN\.v1"):
        nlp.add_pipe(
            "weak_class_router",
            config={"model": {"@architectures": "spacy_crfner.CRFTagger.v1", "nO": None, "tok2vec": CONTEXT}},
        )


def test_a_router_that_is_not_in_front():
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config={**SMALL_MODEL, **ROUTED})
    nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"]})
    with pytest.warns(UserWarning, match="takes its sentences from the router .* put one in front"):
        nlp.initialize(lambda: examples(nlp))


@pytest.mark.parametrize(
    ("name", "setting", "value", "message"),
    [
        ("weak", "threshold", "x", "threshold of 'weak' must be a number from 0 to 1"),
        ("strong", "annotate", ["confidences"], "annotate of 'strong' must be a list of confidence"),
        ("weak_class_router", "threshold", None, "a number from 0 to 1"),
        ("ner_vote", "gated", ["weka"], "cannot gate weka"),
    ],
)
def test_settings_changed_by_hand_are_checked(nlp, name, setting, value, message):
    copied = pipeline().from_bytes(nlp.to_bytes())
    copied.get_pipe(name).cfg[setting] = value
    with pytest.raises(ValueError, match=message):
        copied("Anna Kell met Bob .")
    with pytest.raises(ValueError, match=message):
        pipeline().from_bytes(copied.to_bytes())


@pytest.mark.parametrize("name", ["weak", "weak_class_router"])
def test_a_missing_cfg_is_damage(nlp, tmp_path, name):
    nlp.to_disk(tmp_path / "model")
    (tmp_path / "model" / name / "cfg").unlink()
    with pytest.raises(ValueError, match=rf"'{name}' in .*{name} cannot be read .*its cfg is missing"):
        spacy.load(tmp_path / "model")


def test_a_model_for_other_labels_is_damage(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    shutil.copy(tmp_path / "model" / "strong" / "model", tmp_path / "model" / "weak" / "model")
    with pytest.raises(ValueError, match="model is damaged, or was not saved together with its cfg"):
        spacy.load(tmp_path / "model")
    # Of a version that wrote no digests.
    cfg = srsly.read_json(tmp_path / "model" / "weak" / "cfg")
    del cfg["saved"]
    srsly.write_json(tmp_path / "model" / "weak" / "cfg", cfg)
    with pytest.raises(ValueError, match="its model is not one for the labels ORG"):
        nlp.get_pipe("weak").from_disk(tmp_path / "model" / "weak", exclude=["vocab"])


# Long Docs


def test_the_probability_of_a_sentence_is_that_of_its_characters():
    offsets = np.array([(3 * k, 3 * k + 3) for k in range(1_000)])
    attrs = {"scores": np.arange(1_000.0) / 1_000, "labels": ["strong"] * 1_000, "threshold": 0.5, "offsets": offsets}
    group = SimpleNamespace(attrs=attrs)
    doc = SimpleNamespace(spans={"weak_class_router": group})
    for start, end, expected in (
        (0, 1, 0),
        (2, 3, 0),
        (3, 6, 1),
        (2, 4, None),
        (2_999, 3_000, 999),
        (1_500, 1_503, 500),
    ):
        found = weak_probability(SimpleNamespace(doc=doc, start_char=start, end_char=end))
        assert found == (None if expected is None else expected / 1_000)


def test_every_span_of_a_sentence_has_its_probability(nlp):
    doc = nlp.get_pipe("weak_class_router")(three_sentences(nlp))
    scores = dict(zip([sentence.start for sentence in doc.sents], probabilities(doc).tolist(), strict=True))
    for token in doc:
        assert doc[token.i : token.i + 1]._.weak_probability == pytest.approx(scores[token.sent.start])
    assert doc[7:9]._.weak_probability is None


def test_a_router_reads_large_batches_in_portions(nlp, monkeypatch):
    router = nlp.get_pipe("weak_class_router")
    docs = [nlp.make_doc(text) for text, _ in TRAIN] + [three_sentences(nlp), nlp.make_doc("")]
    expected, seen = router.predict(docs), []
    forward = router.model._func
    monkeypatch.setattr(router_module, "TOKENS_AT_ONCE", 30)
    monkeypatch.setattr(
        router.model, "_func", lambda model, d, is_train: seen.append(sum(map(len, d))) or forward(model, d, False)
    )
    found = router.predict(docs)
    assert max(seen) <= 30 < sum(seen)
    for own, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, wanted, atol=1e-6)
