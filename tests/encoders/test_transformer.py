"""spacy_crfner.Transformer.v1: pieces, windows, and the transformers library itself as the oracle."""

import copy
import json
import pickle
import shutil
import sys
import threading

import numpy as np
import pytest
import spacy
import torch
from gradients import check_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Adam, set_dropout_rate
from tiny_transformers import KINDS, make_causal, make_transformer
from transformers import AutoModel, AutoTokenizer

from spacy_crfner.encoders import transformer, transformer_module
from spacy_crfner.encoders.transformer import build_transformer_v1
from spacy_crfner.encoders.windows import cut_windows
from spacy_crfner.wrapping import shim_of

TEXT = "Anna Kell met Bob in Paris. Harlow & Pike moved to Oslo, said Anna."


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: make_transformer(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def make(folder, **config):
    model = build_transformer_v1(folder, **{"window": 32, "stride": 20, **config})
    model.initialize(X=[Doc(Vocab(), words=["Anna"])])
    return model


def expected(folder, text, layers=1):
    """What the transformers library gives for a text: of each piece, its characters and the mean of its last states."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(text, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    encoded.pop("token_type_ids", None)
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**encoded, output_hidden_states=True).hidden_states
    return offsets, torch.stack(states[len(states) - layers :]).mean(dim=0)[0].numpy()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_those_of_the_library(folders, kind, pooling, layers):
    doc = spacy.blank("en")(TEXT)
    # A byte-level vocabulary is read as if a space stood in front of the text.
    space = " " if kind == "roberta" else ""
    offsets, states = expected(folders[kind], space + TEXT, layers)
    (found,) = make(folders[kind], pooling=pooling, layers=layers, window=60, keep_spaces=True).predict([doc])
    for token, vector in zip(doc, found, strict=True):
        start = token.idx + len(space)
        own = [at for at, (i, j) in enumerate(offsets) if i < start + len(token) and j > start]
        rows = {"mean": states[own].mean(axis=0), "first": states[own[0]], "last": states[own[-1]]}
        np.testing.assert_allclose(vector, rows[pooling], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_and_its_padding_change_nothing(folders, kind):
    nlp, model = spacy.blank("en"), make(folders[kind])
    docs = [nlp(TEXT), nlp("Bob met Anna."), nlp(""), nlp("Oslo"), nlp(TEXT[:40])]
    for doc, rows in zip(docs, model.predict(docs), strict=True):
        assert rows.shape == (len(doc), 16)
        np.testing.assert_allclose(rows, model.predict([doc])[0], atol=1e-5)


def test_what_goes_wrong_when_a_roberta_is_read_like_a_bert(folders):
    """Pieces without their space, ends of another kind and padding that is read: the vectors are others."""
    tokenizer, model = AutoTokenizer.from_pretrained(folders["roberta"]), AutoModel.from_pretrained(folders["roberta"])
    words = ["Anna", "met", "Bob"]
    doc = Doc(Vocab(), words=words)
    (right,) = make(folders["roberta"]).predict([doc])
    pieces = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    ids = [tokenizer.unk_token_id, *(piece for own in pieces for piece in own), tokenizer.unk_token_id, 0, 0]
    with torch.no_grad():
        states = model.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    firsts = 1 + np.cumsum([0, *map(len, pieces)])[:-1]
    wrong = np.stack([states[at : at + len(own)].mean(axis=0) for at, own in zip(firsts, pieces, strict=True)])
    assert np.abs(right - wrong).max() > 0.1
    _, states = expected(folders["roberta"], " Anna met Bob")
    count = len(tokenizer.encode(" Anna", add_special_tokens=False))
    np.testing.assert_allclose(right[0], states[1 : 1 + count].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "words", [["\u200b"], ["Anna", "\u200b", "Bob"], ["\x00", "Oslo"], ["\ufe0f"], ["🤷🏽\u200d♀️", "中国", "\ufdfa"]]
)
def test_every_word_has_a_vector(folders, kind, words):
    (rows,) = make(folders[kind]).predict([Doc(Vocab(), words=words)])
    assert (np.abs(rows).max(axis=1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_white_space_has_none(folders, kind):
    doc = Doc(Vocab(), words=["\n", "Anna", "\t", "Bob", " "])
    (rows,) = make(folders[kind]).predict([doc])
    assert (np.abs(rows).max(axis=1) > 0).tolist() == [False, True, False, True, False]
    (none,) = make(folders[kind]).predict([Doc(Vocab(), words=["\n", " "])])
    assert none.shape == (2, 16) and not none.any()


def test_a_piece_may_stand_in_several_tokens(folders):
    doc = Doc(Vocab(), words=["An", "na", "met"], spaces=[False, True, False])
    whole = Doc(Vocab(), words=["Anna", "met"], spaces=[True, False])
    model = make(folders["bert"], pooling="first", keep_spaces=True)
    parts, rows = model.predict([doc, whole])
    np.testing.assert_allclose(parts[0], rows[0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_and_running_text_are_read_alike(folders, kind):
    doc = spacy.blank("en")("Harlow (Oslo) met Anna, not Bob.")
    columns = Doc(doc.vocab, words=[token.text for token in doc])
    text, words = make(folders[kind]).predict([doc, columns])
    np.testing.assert_allclose(text, words, atol=1e-5)
    if kind != "bert":
        text, words = make(folders[kind], keep_spaces=True).predict([doc, columns])
        assert np.abs(text - words).max() > 1e-2


def test_sentences_are_read_by_themselves(folders):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp(TEXT)
    first = next(doc.sents)
    model = make(folders["bert"])
    (rows,) = model.predict([doc])
    np.testing.assert_allclose(rows[: len(first)], model.predict([first.as_doc()])[0], atol=1e-5)
    (whole,) = make(folders["bert"], per_sentence=False).predict([doc])
    assert np.abs(whole - rows).max() > 1e-3


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(4, 30),
    st.integers(1, 20),
    st.integers(1, 200),
)
def test_windows_hold_every_piece_with_as_much_around_it_as_they_can(lengths, window, stride, at_once):
    room = window - 2
    stride = min(stride, room)
    sequences = [1000 * n + np.arange(length) for n, length in enumerate(lengths)]
    windows = cut_windows(sequences, [-1], [-2], -3, window=window, stride=stride, at_once=at_once)
    flat = np.concatenate([batch.ids.ravel() for batch in windows.batches])
    assert flat[windows.rows].tolist() == np.concatenate(sequences).tolist()
    for batch in windows.batches:
        assert batch.ids.shape[1] == batch.lengths.max() <= window
        assert batch.ids.size <= at_once or len(batch.ids) == 1
        for row, length in zip(batch.ids.tolist(), batch.lengths.tolist(), strict=True):
            assert row[0] == -1 and row[length - 1] == -2 and set(row[length:]) <= {-3}
            assert np.diff(row[1 : length - 1]).tolist() == [1] * (length - 3)
    # No window that holds a piece has it further from its nearer end than the one that was chosen.
    rows, starts, at = [], [], 0
    for batch in windows.batches:
        rows += [row[:length].tolist() for row, length in zip(batch.ids, batch.lengths, strict=True)]
        starts += range(at, at + batch.ids.size, batch.ids.shape[1])
        at += batch.ids.size
    for piece, at in zip(np.concatenate(sequences).tolist(), windows.rows.tolist(), strict=True):
        places = {start: row.index(piece) for start, row in zip(starts, rows, strict=True) if piece in row}
        lengths = dict(zip(starts, map(len, rows), strict=True))
        inside = {start: min(place, lengths[start] - 1 - place) for start, place in places.items()}
        assert inside[max(start for start in starts if start <= at)] == max(inside.values())


def test_long_texts_are_read_in_windows(folders):
    doc = Doc(Vocab(), words=["Anna", "met", "Bob", "in", "Oslo"] * 40)
    model = make(folders["bert"])
    (rows,) = model.predict([doc])
    assert rows.shape == (200, 16)
    # A token is read with what stands around it, as in a short text that begins and ends where its window does.
    pieces = shim_of(model).reader.read(doc, (0, 200), keep_spaces=False)
    assert len(pieces.ids) == 200, "a piece a token, so that tokens can be counted"
    windows = [*range(0, 170, 20), 170]
    for at in (0, 15, 24, 25, 26, 47, 100, 184, 185, 199):
        start = min(windows, key=lambda first, at=at: (abs(first + 14.5 - at), first))
        alone = Doc(doc.vocab, words=[token.text for token in doc[start : start + 30]])
        np.testing.assert_allclose(rows[at], model.predict([alone])[0][at - start], atol=1e-5, err_msg=str(at))


def test_gradients(folders):
    docs = [spacy.blank("en")(text) for text in (TEXT, "", "Bob met Anna.")]
    model = make(folders["bert"], layers=2, rate=1.0)
    # Attention does not depend on the bias of its keys.
    assert all(norm > 0 for norm in check_gradients(model, docs, but="key.bias").values())


# Training


def tagger(folder, **config):
    nlp = spacy.blank("en")
    layer = {"@architectures": "spacy_crfner.Transformer.v1", "name": folder, "window": 32, "stride": 20, **config}
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": layer}
    nlp.add_pipe("bcrf_ner", config={"model": model, "r_drop": 0.5})
    data = [("Anna Kell met Bob.", [(0, 9, "PER"), (14, 17, "PER")]), ("Pike moved to Oslo.", [(14, 18, "LOC")])]
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in data]
    nlp.initialize(lambda: examples)
    return nlp, examples


def weights(nlp):
    module = shim_of(nlp.get_pipe("bcrf_ner").model.get_ref("tok2vec"))._model
    return {name: values.detach().clone() for name, values in module.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_is_saved_with_the_pipeline(folders, kind, tmp_path):
    nlp, examples = tagger(make_transformer(tmp_path / "model", kind), rate=0.5)
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(60):
        losses = nlp.update(examples, sgd=optimizer, drop=0.1)
    assert np.isfinite(losses["bcrf_ner"])
    with nlp.use_params(optimizer.averages):
        assert nlp.evaluate(examples)["ents_f"] == 1.0
        nlp.to_disk(tmp_path / "pipeline")
    # What it was made of is gone.
    for file in (tmp_path / "model").iterdir():
        file.unlink()
    again = spacy.load(tmp_path / "pipeline")
    docs = [again(example.text) for example in examples]
    assert [[(e.text, e.label_) for e in doc.ents] for doc in docs] == [
        [(e.text, e.label_) for e in example.reference.ents] for example in examples
    ]
    same = pickle.loads(pickle.dumps(again))
    assert [doc.to_json() for doc in same.pipe([e.text for e in examples])] == [doc.to_json() for doc in docs]


def test_a_frozen_one_stays_as_it_is(folders):
    nlp, examples = tagger(folders["bert"], frozen=True)
    before = weights(nlp)
    nlp.update(examples, sgd=Adam(0.01), drop=0.1)
    assert all(torch.equal(before[name], values) for name, values in weights(nlp).items())


def count_reads(model, monkeypatch):
    """Count the runs of tokens that the transformer of a model reads from now on."""
    reader, read = shim_of(model).reader, []
    original = reader.read
    monkeypatch.setattr(
        reader, "read", lambda doc, span, **options: read.append(span) or original(doc, span, **options)
    )
    return read


def test_vectors_of_a_frozen_one_are_kept_while_it_is_trained(folders, tmp_path, monkeypatch):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    # The same sentence twice, and white space alone.
    docs = [nlp(TEXT), nlp("Bob met Anna. Bob met Anna."), nlp(" "), nlp("")]
    plain = make(folders["bert"], frozen=True)
    shim_of(plain).kept = None
    model = make(folders["bert"], frozen=True, cache=str(tmp_path))
    read = count_reads(model, monkeypatch)
    first = [rows.copy() for rows in model.predict(docs)]
    assert len(read) == 4
    for rows, computed in zip(first, plain.predict(docs), strict=True):
        assert rows.dtype == np.float32 and (rows == rows.astype(np.float16)).all()
        np.testing.assert_allclose(rows, computed, atol=2e-3)
    for again, _ in (model.begin_update(docs), model(docs[::-1], False)):
        assert len(read) == 4 and sum(map(len, again)) == sum(map(len, first))
    # Another training on the same text begins with what is in the folder.
    other = make(folders["bert"], frozen=True, cache=str(tmp_path))
    read = count_reads(other, monkeypatch)
    for rows, kept in zip(other.predict(docs), first, strict=True):
        np.testing.assert_array_equal(rows, kept)
    assert not read
    # Other weights and other settings have vectors of their own.
    for changed in (
        make(folders["bert"], frozen=True, cache=str(tmp_path), window=16, stride=8),
        make(folders["bert"], frozen=True, cache=str(tmp_path), layers=2),
        make(folders["bert"], frozen=True, cache=str(tmp_path), pooling="first"),
        make(make_transformer(tmp_path / "other", "bert", seed=1), frozen=True, cache=str(tmp_path)),
    ):
        read = count_reads(changed, monkeypatch)
        changed.predict(docs)
        assert len(read) == 4


def test_a_frozen_one_reads_a_doc_that_comes_twice_once(folders, monkeypatch):
    """As R-Drop has them, whose copies lose features of their own."""
    nlp = spacy.blank("en")
    docs = [nlp(TEXT), nlp("Bob met Anna."), nlp("")]
    model = make(folders["bert"], frozen=True)
    shim_of(model).kept = None
    read = count_reads(model, monkeypatch)
    alone = model.predict(docs)
    assert len(read) == 2
    order = [0, 2, 1, 1, 0, 2]
    twice = model.predict([docs[number] for number in order])
    assert len(read) == 4
    for rows, number in zip(twice, order, strict=True):
        np.testing.assert_array_equal(rows, alone[number])
    set_dropout_rate(model, 0.5)
    dropped, _ = model.begin_update([docs[0], docs[0]])
    assert not np.array_equal(*dropped)
    for rows in dropped:
        kept = rows != 0
        np.testing.assert_allclose(rows[kept], 2 * alone[0][kept], rtol=1e-6)
        assert 0.3 < kept.mean() < 0.7
    set_dropout_rate(model, 1.0)
    assert not model.begin_update(docs)[0][0].any()


def test_spaces_tell_kept_vectors_apart_where_they_are_read(folders, monkeypatch):
    docs = [Doc(Vocab(), words=["An", "na"], spaces=[space, False]) for space in (True, False)]
    for keeps, reads in ((False, 1), (True, 2)):
        model = make(folders["bert"], frozen=True, keep_spaces=keeps)
        read = count_reads(model, monkeypatch)
        spaced, joined = model.predict(docs)
        assert len(read) == reads and np.array_equal(spaced, joined) != keeps


def test_vectors_are_kept_by_how_they_were_computed(folders, tmp_path, monkeypatch):
    """A machine without 16 bits does not give its vectors to one that has them."""
    doc = spacy.blank("en")("Bob met Anna.")
    for has, int8, reads in ((False, False, 1), (True, False, 1), (True, True, 1), (False, False, 0), (True, False, 0)):
        monkeypatch.setattr(transformer, "has_fast_bfloat16", lambda device, has=has: has)
        options = {"frozen": True, "cache": str(tmp_path), "mixed_precision": True, "int8": int8}
        model = make(folders["bert"], **options)
        read = count_reads(model, monkeypatch)
        model.predict([doc])
        assert len(read) == reads


def test_a_loaded_pipeline_keeps_no_vectors(folders, tmp_path):
    nlp, examples = tagger(folders["bert"], frozen=True, cache=str(tmp_path / "cache"))
    nlp.update(examples, sgd=Adam(0.01))
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(tmp_path / "cache")
    again = spacy.load(tmp_path / "pipeline")
    docs = [again(example.text) for example in examples]
    assert not (tmp_path / "cache").exists()
    # Nor does one that goes through a pickle or a copy share a file with it.
    assert shim_of(pickle.loads(pickle.dumps(nlp)).get_pipe("bcrf_ner").model.get_ref("tok2vec")).kept is None
    assert [doc.to_json()["ents"] for doc in docs] == [nlp(e.text).to_json()["ents"] for e in examples]


def test_rates_of_layers_and_no_decay_of_biases_and_norms(folders):
    nlp, examples = tagger(folders["bert"], rate=0.1, layer_decay=0.5)
    before = weights(nlp)
    nlp.update(examples, sgd=Adam(0.01, L2=0.0), drop=0.0)
    moved = {name: (values - before[name]).abs().max().item() for name, values in weights(nlp).items()}
    # The first step of Adam is as long as its rate.
    for part, share in (("layer.1.output.dense.weight", 1.0), ("layer.0.output.dense.weight", 0.5), ("word", 0.25)):
        (name,) = [name for name in moved if part in name]
        assert moved[name] == pytest.approx(0.01 * 0.1 * share, rel=0.05)
    # Gradients apart, weight decay pulls at what is no bias and no norm.
    nlp, examples = tagger(folders["bert"], rate=0.1)
    before = weights(nlp)
    sgd = Adam(0.01, L2=1.0, L2_is_weight_decay=True)
    shim = shim_of(nlp.get_pipe("bcrf_ner").model.get_ref("tok2vec"))
    shim.rate = 0.1
    for parameter in shim._model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    shim.finish_update(sgd)
    for name, values in weights(nlp).items():
        changes = not torch.equal(values, before[name])
        assert changes == (not name.endswith("bias") and "LayerNorm" not in name), name
    assert sgd.L2 == 1.0


def test_dropout_is_drawn_in_training_alone(folders):
    model = make(folders["bert"])
    doc = Doc(Vocab(), words=["Anna", "met", "Bob"])
    (still,) = model.predict([doc])
    model.attrs["dropout_rate"] = 0.5
    (one,), _ = model([doc], True)
    (other,), _ = model([doc], True)
    assert np.abs(one - other).max() > 0
    np.testing.assert_array_equal(model.predict([doc])[0], still)


def test_16_bits_where_the_device_has_instructions_for_them(folders, monkeypatch):
    doc = spacy.blank("en")(TEXT)
    exact, half = make(folders["bert"]), make(folders["bert"], mixed_precision=True)
    monkeypatch.setattr(transformer_module, "has_fast_bfloat16", lambda device: False)
    np.testing.assert_array_equal(half.predict([doc])[0], exact.predict([doc])[0])
    monkeypatch.setattr(transformer_module, "has_fast_bfloat16", lambda device: True)
    rounded = half.predict([doc])[0]
    assert rounded.dtype == np.float32
    assert 1e-4 < np.abs(rounded - exact.predict([doc])[0]).max() < 0.3
    # What learns is kept in 32 bits: a rate that 16 bits would round away still moves the weights.
    (vectors,), backprop = half.begin_update([doc])
    # Equal gradients would leave nothing but noise below the last norm.
    backprop([np.random.default_rng(0).normal(size=vectors.shape).astype("float32")])
    before = [weight.detach().clone() for weight in shim_of(half)._model.parameters()]
    half.finish_update(Adam(1e-5))
    after = list(shim_of(half)._model.parameters())
    assert all(weight.dtype == torch.float32 for weight in after)
    assert all((old != new).any() for old, new in zip(before, after, strict=True) if old.ndim > 1)


@pytest.mark.parametrize("mixed", [False, True])
def test_8_bit_weights_predict_nearly_the_same_and_train_exactly_the_same(folders, mixed):
    doc = spacy.blank("en")(TEXT)
    exact, fast = (make(folders["bert"], int8=int8, mixed_precision=mixed) for int8 in (False, True))
    (expected,), (found,) = exact.predict([doc]), fast.predict([doc])
    assert not np.array_equal(found, expected) and np.abs(found - expected).mean() < 0.1
    np.testing.assert_array_equal(fast.begin_update([doc])[0][0], exact.begin_update([doc])[0][0])
    assert shim_of(fast).to_bytes() == shim_of(exact).to_bytes()
    # They follow the weights.
    (vectors,), backprop = fast.begin_update([doc])
    backprop([np.random.default_rng(0).normal(size=vectors.shape).astype("f")])
    fast.finish_update(Adam(0.1))
    assert np.abs(fast.predict([doc])[0] - found).max() > 0.1
    np.testing.assert_array_equal(fast.copy().predict([doc])[0], fast.predict([doc])[0])


def test_a_copy_is_independent(folders):
    model = make(folders["bert"])
    doc = Doc(Vocab(), words=["Anna", "met", "Bob"])
    copied, before = copy.deepcopy(model), model.predict([doc])[0]
    np.testing.assert_array_equal(copied.predict([doc])[0], before)
    copied.attrs["dropout_rate"] = 0.1
    (rows,), backprop = copied([doc], True)
    backprop([np.ones_like(rows)])
    copied.finish_update(Adam(0.01))
    np.testing.assert_array_equal(model.predict([doc])[0], before)
    assert np.abs(copied.predict([doc])[0] - before).max() > 0


def test_a_prediction_is_the_same_while_another_thread_trains(folders):
    model, doc = make(folders["bert"]), Doc(Vocab(), words=["Anna", "met", "Bob"])
    before = model.predict([doc])[0]
    model.attrs["dropout_rate"] = 0.5
    stop = threading.Event()

    def train():
        while not stop.is_set():
            model([doc], True)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(100):
            np.testing.assert_array_equal(model.predict([doc])[0], before)
    finally:
        stop.set()
        thread.join()


def test_text_that_spells_a_mark_holds_none(folders):
    marks = {"bert": ["[SEP]", "[MASK]"], "roberta": ["</s>", "<mask>"], "xlm-roberta": ["<pad>", "</s>", "<mask>"]}
    for kind, spelled in marks.items():
        reader = shim_of(make(folders[kind])).reader
        special = set(AutoTokenizer.from_pretrained(folders[kind]).all_special_ids) - {reader.unknown}
        for mark in spelled:
            doc = Doc(Vocab(), words=["see", mark, "now"])
            pieces = reader.read(doc, (0, 3), keep_spaces=False)
            assert len(special) > 3 and not special & set(pieces.ids.tolist()), mark
            assert set(pieces.token.tolist()) == {0, 1, 2}


def test_a_damaged_tokenizer_is_refused(folders):
    model = make(folders["bert"])
    shim_of(model)._model.tokenizer[:5] = 255
    saved = model.to_bytes()
    other = make(folders["bert"])
    with pytest.raises(ValueError, match="The tokenizer of a saved transformer cannot be read"):
        other.from_bytes(saved)
    assert other.predict([Doc(Vocab(), words=["Anna"])])[0].any()


def test_a_model_without_all_of_its_weights(folders, tmp_path):
    shutil.copytree(folders["bert"], tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(ValueError, match=r"it holds no weights for encoder\.layer\.2"):
        make(str(tmp_path))
    with pytest.raises(ValueError, match=r"it has 2 layers, so that there is no mean of the last 3"):
        make(folders["bert"], layers=3)
    with pytest.raises(ValueError, match=r"there is no such folder"):
        make("./no/such")


def test_a_model_that_reads_from_left_to_right(tmp_path):
    """What it makes of a word says nothing of the words behind."""
    with pytest.raises(ValueError, match=r"'gpt2' reads from left to right alone") as caught:
        make(make_causal(tmp_path / "causal"))
    assert "\n" not in str(caught.value)


def test_two_components_share_one(folders, tmp_path):
    nlp = spacy.blank("en")
    layer = {"@architectures": "spacy_crfner.Transformer.v1", "name": folders["roberta"], "window": 32, "stride": 20}
    nlp.add_pipe("tok2vec", config={"model": {**layer, "rate": 0.5}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    model = {"model": {"@architectures": "spacy_crfner.CRFTagger.v1", "tok2vec": listener}, "r_drop": 0.0}
    nlp.add_pipe("bcrf_ner", config={**model, "label_filter": ["PER"]})
    nlp.add_pipe("bcrf_ner", name="places", config={**model, "label_filter": ["LOC"], "spans_key": "places"})
    data = [("Anna Kell met Bob.", [(0, 9, "PER"), (14, 17, "PER")]), ("Pike moved to Oslo.", [(14, 18, "LOC")])]
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in data]
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    before = nlp.get_pipe("tok2vec").model.to_bytes()
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    assert nlp.get_pipe("tok2vec").model.to_bytes() != before
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    first, second = again.pipe([text for text, _ in data])
    assert [ent.text for ent in first.ents] == ["Anna Kell", "Bob"]
    assert [span.text for span in second.spans["places"]] == ["Oslo"]


def test_rehearsal_of_a_frozen_one(folders):
    nlp, examples = tagger(folders["bert"], frozen=True)
    optimizer = nlp.resume_training()
    # Nothing has been learned since, so there is nothing to be taught yet.
    assert nlp.rehearse(examples, sgd=optimizer)["bcrf_ner"] == pytest.approx(0.0, abs=1e-4)
    for _ in range(20):
        nlp.update(examples, sgd=optimizer)
    assert nlp.rehearse(examples, sgd=optimizer)["bcrf_ner"] > 1e-4


def test_a_saved_pipeline_takes_another_cache(folders, tmp_path):
    nlp, _ = tagger(folders["bert"], frozen=True, cache=str(tmp_path / "cache"))
    nlp.to_disk(tmp_path / "pipeline")
    encoder = "components.bcrf_ner.model.tok2vec"
    other = {f"{encoder}.cache": None, f"{encoder}.memory_mb": 10.0, f"{encoder}.name": "elsewhere"}
    assert spacy.load(tmp_path / "pipeline", config=other)("Bob met Anna.").has_annotation("ENT_IOB")


def test_16_bits_inside_an_autocast_of_the_program(folders, monkeypatch):
    """torch keeps the weights of its first products there; ours are those of now."""
    monkeypatch.setattr(transformer_module, "has_fast_bfloat16", lambda device: True)
    doc = spacy.blank("en")(TEXT)
    model = make(folders["bert"], mixed_precision=True, rate=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        (vectors,), backprop = model.begin_update([doc])
        backprop([np.random.default_rng(0).normal(size=vectors.shape).astype("f")])
        model.finish_update(Adam(0.1))
        (inside,) = model.predict([doc])
    assert np.abs(inside - vectors).max() > 0.1
    np.testing.assert_array_equal(inside, model.predict([doc])[0])


def test_rehearsal_by_the_component_alone(folders):
    nlp, examples = tagger(folders["bert"])
    optimizer = nlp.resume_training()
    nlp.get_pipe("bcrf_ner").rehearse(examples, sgd=optimizer)
    with pytest.raises(ValueError, match=r"cannot be trained by nlp\.rehearse"):
        nlp.rehearse(examples, sgd=optimizer)


def test_without_the_library(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-crfner\[transformers\]'"):
        build_transformer_v1(folders["bert"])


def test_frozen_first_then_fine_tuned(folders, tmp_path):
    """The pipeline is saved with other settings, and sourced by a config that trains on."""
    nlp, examples = tagger(folders["bert"], frozen=True, cache=str(tmp_path / "cache"))
    nlp.to_disk(tmp_path / "frozen")
    layer = "components.bcrf_ner.model.tok2vec"
    others = {f"{layer}.frozen": False, f"{layer}.cache": None, f"{layer}.rate": 0.5}
    spacy.load(tmp_path / "frozen", config=others).to_disk(tmp_path / "unfrozen")
    source = {"components": {"bcrf_ner": {"source": str(tmp_path / "unfrozen")}}}
    sourced = spacy.blank("en").from_config({"nlp": {"lang": "en", "pipeline": ["bcrf_ner"]}, **source})
    before = weights_of(sourced)
    assert before == weights_of(nlp)
    optimizer = Adam(0.01)
    for _ in range(3):
        sourced.update([Example(sourced.make_doc(own.text), own.reference) for own in examples], sgd=optimizer)
    assert weights_of(sourced) != before


def weights_of(nlp):
    """The weights of the transformer of a tagger."""
    return shim_of(nlp.get_pipe("bcrf_ner").model.get_ref("tok2vec")).to_bytes()


# What cannot be


@pytest.mark.parametrize(
    "config, message",
    [
        ({"pooling": "max"}, "pooling of Transformer.v1 is one of mean, first, last"),
        ({"stride": 40}, "a window larger than its stride"),
        ({"layers": 0}, "needs 1 layer or more"),
        ({"rate": 0.0}, "needs a rate above 0"),
        ({"stride": 31}, "would leave pieces out: choose a stride of at most 30"),
        ({"window": 128}, "reads 64 pieces at once, so its window cannot be 128"),
        ({"frozen": True, "unfreeze_after": 3}, "either frozen or unfrozen after some updates"),
        ({"cache": "kept"}, "nothing to put into the cache 'kept': set frozen = true"),
        ({"frozen": True, "memory_mb": -1}, "needs a memory_mb of 0 or more"),
        ({"window": 2, "stride": 1}, "holds 2 pieces that mark its ends, so it cannot be 2: choose a larger one"),
    ],
)
def test_arguments_that_cannot_be(folders, config, message):
    with pytest.raises(ValueError, match=message):
        make(folders["bert"], **config)


def test_a_config_names_no_model_until_it_is_trained():
    """`spacy init fill-config` has no option to name one."""
    model = build_transformer_v1()
    with pytest.raises(ValueError, match=r"no model to begin with: give the name .* such as --paths.transformer"):
        model.initialize(X=[Doc(Vocab(), words=["Anna"])])


def test_a_folder_without_a_model(folders, tmp_path):
    def refused(name, reason):
        with pytest.raises(ValueError, match=rf"cannot use the model .*{reason}.* that save_pretrained") as caught:
            make(str(tmp_path / name))
        assert "\n" not in str(caught.value)

    (tmp_path / "empty").mkdir()
    refused("empty", r"\(there is no config\.json in this folder\)")
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    refused("pipeline", r"\(there is a spaCy pipeline in this folder\)")
    shutil.copytree(folders["bert"], tmp_path / "mute")
    for file in (tmp_path / "mute").glob("*token*"):
        file.unlink()
    refused("mute", r"\(there is no tokenizer in this folder\)")
    (tmp_path / "mute" / "config.json").write_text("{}")
    (tmp_path / "mute" / "vocab.txt").write_text("Anna\n")
    refused("mute", r"\(.*model_type.*\)")
