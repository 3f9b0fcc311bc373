"""The component and the layer: what is stored, where it is kept, what a user is told."""

import pickle
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
from samples import TRAIN, english_ner
from spacy.cli.train import train
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from thinc.api import set_dropout_rate

from spacy_crfner.back_attention import component
from spacy_crfner.back_attention.conv_translator import ConvTranslator
from spacy_crfner.back_attention.convs2s import ConvS2S
from spacy_crfner.back_attention.features import build_back_attention_features_v1
from spacy_crfner.back_attention.pieces import Pieces
from spacy_crfner.back_attention.translation import Translation, TranslationError
from spacy_crfner.back_attention.untranslated import Untranslated

WIDTH = 64


class Swapped(Untranslated):
    """Gives the words in another order, and counts how many sentences it was asked for."""

    def __init__(self):
        self.asked = 0

    def translate(self, sentences):
        self.asked += len(sentences)
        for words in sentences:
            if "fail" in words:
                raise RuntimeError("no such word")
        return [
            Translation([*reversed(words)], np.eye(len(words), dtype=np.float32)[:, ::-1] / 2) for words in sentences
        ]


def make(translator=None, cache=None, **config):
    nlp = spacy.blank("es")
    pipe = nlp.add_pipe("back_attention", config=config)
    pipe.initialize(lambda: [], nlp=nlp, translator=translator or Untranslated(), english=english_ner(), cache=cache)
    return nlp


@pytest.fixture(scope="module")
def english():
    return spacy.load(english_ner())


def states(english, words):
    doc = Doc(english.vocab, words=words)
    return english.get_pipe("bcrf_ner").model.get_ref("tok2vec").predict([doc])[0]


def stored(doc):
    return doc.spans["back_attention"].attrs["features"]


def test_every_word_has_the_states_of_the_words_that_translate_it(english):
    nlp = make(Swapped())
    words = ["Kell", " ", "ve", "Paris", "\n"]
    doc = nlp.get_pipe("back_attention")(Doc(nlp.vocab, words=words))
    read = states(english, ["Paris", "ve", "Kell"])
    expected = np.stack([read[2], np.zeros(WIDTH), read[1], read[0], np.zeros(WIDTH)]) / 2
    assert stored(doc).dtype == np.float16
    np.testing.assert_allclose(stored(doc).astype(float), expected, atol=1e-3)


def test_sentences_are_translated_one_by_one(english):
    nlp, whole = make(Swapped()), make(Swapped(), per_sentence=False)
    for pipeline in (nlp, whole):
        doc = Doc(pipeline.vocab, words=["Anna", "left", ".", "Bob", "stayed"], sent_starts=[1, 0, 0, 1, 0])
        found = stored(pipeline.get_pipe("back_attention")(doc))
        parts = [["Anna", "left", "."], ["Bob", "stayed"]] if pipeline is nlp else [[token.text for token in doc]]
        expected = np.concatenate([states(english, part[::-1])[::-1] / 2 for part in parts])
        np.testing.assert_allclose(found.astype(float), expected, atol=1e-3)


def test_marginals_and_coverage(english):
    nlp = make(Swapped(), representation="marginals", normalisation="row_normalised")
    found = stored(nlp("Anna Kell met Bob")).astype(float)
    tags = len(english.get_pipe("bcrf_ner").tag_set)
    assert found.shape == (4, tags + 1) == (4, nlp.get_pipe("back_attention").width)
    np.testing.assert_allclose(found[:, -1], 0.5)
    np.testing.assert_allclose(found[:, :-1].sum(axis=1), 1.0, atol=1e-2)


def test_tags_of_the_entities_that_the_english_pipeline_finds(english):
    nlp = make(Swapped(), representation="tags")
    words = ["Paris", "in", "Bob", "met", "Kell", "Anna"]
    found = stored(nlp.get_pipe("back_attention")(Doc(nlp.vocab, words=words))).astype(float)
    doc = english(Doc(english.vocab, words=words[::-1]))
    assert doc.ents
    names = english.get_pipe("bcrf_ner").tags
    tags = [token.ent_iob_ if token.ent_iob_ == "O" else token.ent_type_ for token in doc][::-1]
    for row, tag in zip(found, tags, strict=True):
        assert row.max() == 0.5 and row.sum() == 0.5
        assert names[row.argmax()].endswith(tag)


def test_features_survive_docbin_and_processes():
    nlp = make()
    texts = [text for text, _ in TRAIN]
    docs = list(nlp.pipe(texts))
    again = list(DocBin().from_bytes(DocBin(docs=docs).to_bytes()).get_docs(nlp.vocab))
    others = list(nlp.pipe(texts, n_process=2, batch_size=5))
    for doc, same, other in zip(docs, again, others, strict=True):
        np.testing.assert_array_equal(stored(doc), stored(same))
        np.testing.assert_array_equal(stored(doc), stored(other))


def test_a_doc_whose_tokens_are_merged_behind_can_be_saved():
    nlp = make(Swapped())
    doc = nlp.get_pipe("back_attention")(Doc(nlp.vocab, words=["Anna", "Kell", "met", "Bob"]))
    features = stored(doc)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    (read,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab)
    for copied in (read, Doc(nlp.vocab).from_bytes(doc.to_bytes()), doc.copy()):
        assert copied.text == doc.text
        np.testing.assert_array_equal(stored(copied), features)


def test_a_saved_component_needs_neither_of_its_sources(tmp_path):
    english = tmp_path / "english"
    shutil.copytree(english_ner(), english)
    nlp = spacy.blank("es")
    nlp.add_pipe("back_attention")
    block = {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": str(english)}
    nlp.config["initialize"]["components"]["back_attention"] = block
    nlp.initialize()
    expected = stored(nlp("Anna Kell met Bob ."))
    nlp.to_disk(tmp_path / "model")
    shutil.rmtree(english)
    pipe = nlp.get_pipe("back_attention")
    for again in (spacy.load(tmp_path / "model"), pickle.loads(pickle.dumps(nlp))):
        assert again.get_pipe("back_attention").cfg["fingerprint"] == pipe.cfg["fingerprint"]
        np.testing.assert_array_equal(stored(again("Anna Kell met Bob .")), expected)
    nlp.to_disk(tmp_path / "model")
    assert (tmp_path / "model" / "back_attention" / "parts" / "english" / "config.cfg").exists()


def test_a_component_of_an_earlier_version_is_refused(tmp_path):
    """Its features would be kept under keys that say nothing of the translator."""
    nlp = make()
    nlp.to_disk(tmp_path)
    cfg = srsly.read_json(tmp_path / "back_attention" / "cfg")
    cfg["digest"] = cfg.pop("fingerprint")
    del cfg["saved"]
    srsly.write_json(tmp_path / "back_attention" / "cfg", cfg)
    message = r"^The saved component 'back_attention' in .* was saved by an earlier version: train it again\.$"
    with pytest.raises(ValueError, match=message):
        spacy.load(tmp_path)
    with pytest.raises(ValueError, match=message):
        nlp.get_pipe("back_attention").from_disk(tmp_path / "back_attention")
    data = srsly.msgpack_loads(make().get_pipe("back_attention").to_bytes())
    data["cfg"] = srsly.json_dumps(cfg)
    with pytest.raises(ValueError, match=message):
        make().get_pipe("back_attention").from_bytes(srsly.msgpack_dumps(data))


def test_nothing_is_computed_twice(tmp_path):
    asked = []
    for _ in range(2):
        translator = Swapped()
        nlp = make(translator, cache=tmp_path / "cache")
        list(nlp.pipe(["Anna left .", "Bob left .", "Anna left ."]))
        nlp("Bob left .")
        asked.append(translator.asked)
    assert asked == [2, 0]
    other = make(translator := Swapped(), cache=tmp_path / "cache", normalisation="row_normalised")
    other("Bob left .")
    assert translator.asked == 1


def test_a_pickled_component_shares_the_cache(tmp_path):
    nlp = make(cache=tmp_path / "cache")
    again = pickle.loads(pickle.dumps(nlp)).get_pipe("back_attention")
    assert again.cache.path == nlp.get_pipe("back_attention").cache.path
    shutil.rmtree(tmp_path / "cache")
    assert pickle.loads(pickle.dumps(nlp)).get_pipe("back_attention").cache.path is None
    assert not (tmp_path / "cache").exists()


class Other(Untranslated):
    """Translates as its base does, from other files."""

    def files(self):
        return {"other": b"files"}


def test_features_of_other_models_are_not_taken_from_the_cache(english, tmp_path, monkeypatch):
    """Another translator, another English pipeline, or other code: each has keys of its own."""
    fingerprints = []
    nlp = make(cache=tmp_path)
    fingerprints.append(nlp.get_pipe("back_attention").cfg["fingerprint"])
    expected = stored(nlp("Anna left ."))
    fingerprints.append(make(Other(), cache=tmp_path).get_pipe("back_attention").cfg["fingerprint"])
    changed = spacy.load(english_ner())
    for node in changed.get_pipe("bcrf_ner").model.walk():
        if node.name == "hashembed":
            node.set_param("E", node.get_param("E") * 2.0)
    changed.to_disk(tmp_path / "english")
    other = spacy.blank("es")
    pipe = other.add_pipe("back_attention")
    pipe.initialize(lambda: [], translator=Untranslated(), english=tmp_path / "english", cache=tmp_path)
    fingerprints.append(pipe.cfg["fingerprint"])
    assert np.abs(stored(other("Anna left .")) - expected).max() > 0.01
    monkeypatch.setattr(component, "FEATURES_VERSION", component.FEATURES_VERSION + 1)
    fingerprints.append(make(cache=tmp_path).get_pipe("back_attention").cfg["fingerprint"])
    assert len(set(fingerprints)) == 4


def test_what_does_not_fit_is_computed_again(tmp_path):
    """Rows of a file that somebody has changed."""
    nlp = make(cache=tmp_path)
    expected = stored(nlp("Anna left ."))
    for length in (2 * WIDTH, 4 * 2 * WIDTH):
        with closing(sqlite3.connect(tmp_path / "features.sqlite")) as connection, connection:
            connection.execute("UPDATE features SET data = ?", (b"\0" * length,))
        again = make(cache=tmp_path)
        np.testing.assert_array_equal(stored(again("Anna left .")), expected)


def test_a_translator_of_another_language():
    translator = Untranslated()
    translator.language = "de"
    with pytest.warns(UserWarning, match="has learned 'de', but the language of the pipeline is 'es'"):
        make(translator)


@pytest.mark.parametrize(
    ("names", "width", "message"),
    [
        (("back_attention", "bcrf_ner"), WIDTH + 1, r"'bcrf_ner' cannot be trained: .* gives 64 .* set width = 64"),
        (("bcrf_ner", "back_attention"), WIDTH, "'bcrf_ner' reads the features of 'back_attention': put it behind"),
    ],
)
def test_layers_that_do_not_fit_are_found_before_training(names, width, message):
    nlp = spacy.blank("es")
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": {"@architectures": FEATURES, "width": width}}
    for name in names:
        nlp.add_pipe(name, config={"model": model} if name == "bcrf_ner" else {})
    block = {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": english_ner()}
    nlp.config["initialize"]["components"]["back_attention"] = block
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    with pytest.raises(ValueError, match=message):
        nlp.initialize(lambda: examples)


WEIGHTS = ["translator/weights.safetensors", "translator/translator.json", "translator/pieces.json", "translator"]


@pytest.mark.parametrize("name", ["cfg", *(f"parts/{name}" for name in WEIGHTS), "parts/english/config.cfg", "parts"])
@pytest.mark.parametrize("missing", [True, False])
def test_damaged_files_say_where(tmp_path, name, missing):
    pieces = Pieces.train([["uno", "dos"]], 260)
    model = ConvS2S(len(pieces), size=8, width=8, encoder_layers=1, decoder_layers=1).without_norms()
    nlp = make(ConvTranslator(model, pieces, ["uno"], "es", {}))
    nlp.to_disk(tmp_path / "model")
    path = tmp_path / "model" / "back_attention" / name
    if path.is_dir():
        shutil.rmtree(path)
    elif missing:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2] + b"{")
    with pytest.raises(ValueError, match=r"'back_attention' in .*back_attention cannot be read .* Copy or train it"):
        spacy.load(tmp_path / "model")


@pytest.mark.parametrize("name", ["../evil", "/tmp/spacy-crfner-evil", "sub/evil", "..", "a\\b"])
def test_bytes_that_name_another_folder_write_nothing(tmp_path, monkeypatch, name):
    """A translator of the transformers library is loaded from a folder, into which its files are written before."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
    nlp = make()
    pipe = nlp.get_pipe("back_attention")
    data = srsly.msgpack_loads(pipe.to_bytes())
    cfg = srsly.json_loads(data["cfg"])
    del cfg["saved"]
    cfg["translator"] = "spacy_crfner.saved_hf_translator.v1"
    parts = {**srsly.msgpack_loads(data["parts"]), "translator": {name: b"evil", "spacy_crfner.json": b"{}"}}
    evil = srsly.msgpack_dumps({"cfg": srsly.json_dumps(cfg), "parts": srsly.msgpack_dumps(parts)})
    expected = stored(nlp("Anna left ."))
    with pytest.raises(ValueError, match=r"is no name of a file: it must stand in the folder itself"):
        pipe.from_bytes(evil)
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]
    assert not Path("/tmp/spacy-crfner-evil").exists()
    np.testing.assert_array_equal(stored(nlp("Anna left .")), expected)


@pytest.mark.parametrize("kind", ["spacy_crfner.Untranslated.v1", "spacy_crfner.nll.v1", "spacy.CharacterSegmenter.v1"])
def test_only_a_translator_is_loaded_as_one(kind):
    nlp = make()
    data = srsly.msgpack_loads(nlp.get_pipe("back_attention").to_bytes())
    cfg = srsly.json_loads(data["cfg"])
    del cfg["saved"]
    cfg["translator"] = kind
    with pytest.raises(ValueError, match="cannot be read"):
        nlp.get_pipe("back_attention").from_bytes(srsly.msgpack_dumps({**data, "cfg": srsly.json_dumps(cfg)}))


def test_states_that_are_too_large_for_features_are_an_error(monkeypatch):
    nlp = make()
    english = nlp.get_pipe("back_attention").english
    monkeypatch.setattr(english, "read", lambda sentences: [np.full((len(words), WIDTH), 1e5) for words in sentences])
    with pytest.raises(TranslationError, match=r"not finite, or above 65,504, for 'Anna left \.'"):
        nlp("Anna left .")


def test_stored_features_that_are_not_finite_are_refused(tmp_path):
    """In a Doc; in a cache they are computed again."""
    nlp = make(cache=tmp_path)
    doc = nlp("Anna left .")
    expected = stored(doc).copy()
    stored(doc)[1, 3] = np.inf
    with pytest.raises(ValueError, match=r"has stored features in the Doc 'Anna left \.' that are not finite"):
        build_back_attention_features_v1(WIDTH).predict([doc])
    with closing(sqlite3.connect(tmp_path / "features.sqlite")) as connection, connection:
        connection.execute("UPDATE features SET data = ?", (np.full(3 * WIDTH, np.nan, np.float16).tobytes(),))
    np.testing.assert_array_equal(stored(make(cache=tmp_path)("Anna left .")), expected)


def test_files_of_two_translators_are_refused(tmp_path):
    pieces = Pieces.train([["uno", "dos"]], 260)
    folders = []
    for width in (8, 8):
        model = ConvS2S(len(pieces), size=8, width=width, encoder_layers=1, decoder_layers=1).without_norms()
        folders.append(ConvTranslator(model, pieces, ["uno"], "es", {}).files())
    first, second = folders
    assert ConvTranslator.from_files(first).language == "es"
    with pytest.raises(ValueError, match="not saved together"):
        ConvTranslator.from_files({**first, "weights.safetensors": second["weights.safetensors"]})
    # Of a version that wrote no digest.
    about = srsly.json_loads(first["translator.json"])
    del about["digest"]
    old = {**first, "translator.json": srsly.json_dumps(about).encode()}
    assert ConvTranslator.from_files(old).language == "es"
    about["network"]["encoder_layers"] = 10**6
    with pytest.raises(ValueError, match="a larger layer than the weights"):
        ConvTranslator.from_files({**old, "translator.json": srsly.json_dumps(about).encode()})


def test_a_config_without_a_translator_says_what_is_missing(root, tmp_path):
    config = spacy.util.load_config(root / "configs" / "back_attention.cfg")
    config["paths"]["train"] = config["paths"]["dev"] = str(tmp_path / "corpus.spacy")
    config["paths"]["english"] = english_ner()
    DocBin(docs=[spacy.blank("es")("Anna left .")]).to_disk(tmp_path / "corpus.spacy")
    with pytest.raises(ValueError, match=r"^The translator has no path: give the folder that .*--paths\.translator"):
        init_nlp(config)


def test_a_failing_translator_names_the_sentence():
    nlp = make(Swapped())
    with pytest.raises(TranslationError, match=r"'back_attention' failed at 'please fail \.': no such word"):
        list(nlp.pipe(["Anna left .", "please fail .", "Bob left ."]))
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((name, len(docs))))
    docs = list(nlp.pipe(["Anna left .", "please fail ."], batch_size=1))
    assert [doc.text for doc in docs] == ["Anna left ."] and failed == [("back_attention", 1)]


def test_a_translator_without_attention_is_refused():
    class Bad(Untranslated):
        def translate(self, sentences):
            return [Translation(words, np.zeros((1, 1))) for words in sentences]

    with pytest.raises(TranslationError, match=r"no attention between 2 words and 2 for 'Anna left'"):
        make(Bad())("Anna left")


def test_what_is_missing_is_said(tmp_path):
    nlp = spacy.blank("es")
    pipe = nlp.add_pipe("back_attention")
    with pytest.raises(ValueError, match=r"give translator and english in \[initialize\.components\.back_attention\]"):
        nlp.initialize()
    with pytest.raises(ValueError, match=r"no English pipeline: give english in .* \(--paths.english in"):
        pipe.initialize(lambda: [], translator=Untranslated())
    with pytest.raises(ValueError, match="there is no English pipeline"):
        pipe.initialize(lambda: [], translator=Untranslated(), english=tmp_path)
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ValueError, match="has no bcrf_ner"):
        pipe.initialize(lambda: [], translator=Untranslated(), english=tmp_path / "blank")
    untrained = spacy.blank("en")
    untrained.add_pipe("bcrf_ner")
    untrained.to_disk(tmp_path / "untrained")
    with pytest.raises(ValueError, match="has not been trained"):
        pipe.initialize(lambda: [], translator=Untranslated(), english=tmp_path / "untrained")
    with pytest.raises(ValueError, match="representation of 'other' must be one of states, marginals, tags"):
        nlp.add_pipe("back_attention", name="other", config={"representation": "vectors"})


# The layer


def test_the_layer_gives_the_features():
    nlp = make()
    docs = list(nlp.pipe(["Anna left .", "", "Bob"]))
    layer = build_back_attention_features_v1(WIDTH)
    layer.initialize(X=docs)
    found, backprop = layer(docs, is_train=True)
    assert [rows.dtype for rows in found] == [np.float32] * 3
    for rows, doc in zip(found, docs, strict=True):
        np.testing.assert_array_equal(rows, stored(doc).astype(np.float32))
    assert backprop(found) is docs


def test_features_may_be_missing_only_before_the_first_update():
    nlp, docs = make(), [spacy.blank("es")("Anna left .")]
    layer = build_back_attention_features_v1(WIDTH)
    layer.initialize(X=docs)
    assert not layer.predict(docs)[0].any()
    with pytest.raises(ValueError, match=r"annotating_components"):
        layer(docs, is_train=True)
    layer(list(nlp.pipe(["Anna"])), is_train=True)
    with pytest.raises(ValueError, match=r"has no features in doc\.spans\['back_attention'\]"):
        layer.predict(docs)
    again = build_back_attention_features_v1(WIDTH).from_bytes(layer.to_bytes())
    with pytest.raises(ValueError, match="has no features"):
        again.predict(docs)


def test_features_of_another_width_are_refused():
    doc = make()("Anna left .")
    with pytest.raises(ValueError, match=r"gives 64 features a token, but .* expects 400: set width = 64"):
        build_back_attention_features_v1().predict([doc])
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0:2])
    with pytest.raises(ValueError, match="merge or split tokens after the tagger"):
        build_back_attention_features_v1(WIDTH).predict([doc])


def test_dropout_of_features():
    """The rate that training sets acts on single features, and leaves their mean as it is."""
    doc = make()("Anna left . " * 100)
    layer = build_back_attention_features_v1(WIDTH)
    layer.initialize(X=[doc])
    expected = layer.predict([doc])[0]
    set_dropout_rate(layer, 0.4)
    found = layer([doc], is_train=True)[0][0]
    kept = found != 0
    assert 0.5 < kept[expected != 0].mean() < 0.7
    np.testing.assert_allclose(found[kept], (expected / 0.6)[kept], rtol=1e-3)
    np.testing.assert_array_equal(layer.predict([doc])[0], expected)


def test_dropout_of_words():
    doc = make()("Anna left . " * 100)
    layer = build_back_attention_features_v1(WIDTH, dropout=0.25)
    layer.initialize(X=[doc])
    dropped = (layer([doc], is_train=True)[0][0] == 0).all(axis=1)
    assert 0.1 < dropped.mean() < 0.4
    assert not (layer.predict([doc])[0] == 0).all(axis=1).any()


def test_the_features_matter_to_a_tagger():
    """With nothing but the features, the tagger learns what the English one knows."""
    nlp = spacy.blank("es")
    nlp.add_pipe("back_attention")
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": {"@architectures": FEATURES, "width": WIDTH}}
    nlp.add_pipe("bcrf_ner", config={"model": model})
    block = {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": english_ner()}
    nlp.config["initialize"]["components"]["back_attention"] = block
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.02
    for _ in range(60):
        nlp.update(examples, sgd=optimizer, annotates=["back_attention"])
    assert nlp.evaluate(examples)["ents_f"] > 0.95


FEATURES = "spacy_crfner.BackAttentionFeatures.v1"


def test_the_config_without_a_translator_trains(root, tmp_path):
    nlp = spacy.blank("es")
    docs = [Example.from_dict(nlp.make_doc(text), {"entities": ents}).reference for text, ents in TRAIN]
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    overrides = {
        "paths.train": str(tmp_path / "corpus.spacy"),
        "paths.dev": str(tmp_path / "corpus.spacy"),
        "paths.english": english_ner(),
        "nlp.lang": "es",
        "components.bcrf_ner.model.tok2vec.first.width": 64,
        "components.bcrf_ner.model.tok2vec.second.width": WIDTH,
        "training.max_steps": 60,
        "training.eval_frequency": 30,
    }
    train(root / "configs" / "untranslated.cfg", tmp_path, overrides=overrides)
    nlp = spacy.load(tmp_path / "model-best")
    assert nlp.lang == "es" and isinstance(nlp.get_pipe("back_attention").translator, Untranslated)
    assert nlp.meta["performance"]["ents_f"] > 0.5
