"""Translators: trained here, brought along, from the transformers library."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from spacy_crfner.back_attention.batches import Batching, make_batches
from spacy_crfner.back_attention.parallel_text import read_pairs
from spacy_crfner.back_attention.pieces import BEGIN, END, PAD, Pieces
from spacy_crfner.back_attention.translation import TranslationError
from spacy_crfner.back_attention.translator_training import CHECKPOINT, TrainingSettings, TranslatorTraining
from spacy_crfner.back_attention.translators import (
    load_translator,
    make_conv_seq2seq_v1,
    make_hf_translator_v1,
    make_precomputed_v1,
    make_untranslated_v1,
)
from spacy_crfner.corpora import CorpusError

WORDS = {"el": "the", "perro": "dog", "gato": "cat", "come": "eats", "ve": "sees", "pan": "bread", "un": "a"}
NAMES = ["Kell", "Roma", "Brandell", "Oslo", "Aske", "Lyon", "Okafor", "Redmere"]
SMALL = TrainingSettings(
    vocab=300,
    size=32,
    width=32,
    encoder_layers=2,
    decoder_layers=2,
    warmup=50,
    learn_rate=4e-3,
    max_updates=250,
    eval_every=50,
    bleu_sentences=10,
    dropout=0.05,
    known_from=100,
    batching=Batching(size=600),
)


def make_pairs(count, seed=0):
    """Sentences such as: Kell ve el perro un gato - Kell sees the dog a cat."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        source = [
            rng.choice(NAMES),
            rng.choice(["ve", "come"]),
            rng.choice(["el", "un"]),
            rng.choice(["perro", "gato", "pan"]),
        ]
        pairs.append((source, [WORDS.get(word, word) for word in source]))
    return pairs


PAIRS = make_pairs(400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained translator."""
    folder = tmp_path_factory.mktemp("translator")
    found = []
    TranslatorTraining(folder, PAIRS, PAIRS[:40], "es", SMALL, found.append).run()
    assert [line["update"] for line in found] == [50, 100, 150, 200, 250]
    assert found[-1]["dev_loss"] < found[0]["dev_loss"] / 2 and found[-1]["dev_bleu"] > 80
    assert [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] == found
    return folder


# Trained here


def test_a_trained_translator_translates_and_knows_what_comes_from_where(folder):
    translator = make_conv_seq2seq_v1(folder)
    sentences = [["Kell", "ve", "el", "perro"], ["Nadie", "Otro", "come", "un", "pan"]]
    for words, found in zip(sentences, translator.translate(sentences), strict=True):
        assert found.words == [WORDS.get(word, word) for word in words]
        assert found.attention.shape == (len(words), len(words)) and found.attention.dtype == np.float32
        assert (found.attention.sum(axis=0) <= 1 + 1e-5).all()
        assert found.attention[0, 0] == 1.0  # a name belongs to itself
        assert found.attention.argmax(axis=0)[-1] == len(words) - 1


def test_long_sentences_are_translated_in_parts(folder):
    translator = make_conv_seq2seq_v1(folder, longest=4)
    (found,) = translator.translate([["Kell", "ve", "el", "perro", "Roma", "come", "un", "pan"]])
    assert found.words == ["Kell", "sees", "the", "dog", "Roma", "eats", "a", "bread"]
    assert not found.attention[:4, 4:].any() and not found.attention[4:, :4].any()


def test_a_saved_translator_is_the_same(folder):
    translator = make_conv_seq2seq_v1(folder, beams=2, protect="none")
    again = load_translator(translator.kind, translator.files())
    assert again.files() == translator.files() and again.settings["beams"] == 2
    sentence = [["Xyz", "ve", "un", "gato"]]
    (first,), (second,) = translator.translate(sentence), again.translate(sentence)
    assert first.words == second.words
    np.testing.assert_array_equal(first.attention, second.attention)


def test_bad_settings_and_folders(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no translator in this folder .*train-translator"):
        make_conv_seq2seq_v1(tmp_path)
    with pytest.raises(ValueError, match="beams of a translator"):
        make_conv_seq2seq_v1(folder, beams=0)
    with pytest.raises(ValueError, match="choose from unknown, capitalised, none"):
        make_conv_seq2seq_v1(folder, protect="all")


def training(folder, **settings):
    return TranslatorTraining(folder, PAIRS[:80], PAIRS[:10], "es", replace(SMALL, eval_every=5, **settings), print)


def test_a_training_that_goes_on_is_that_without_a_break(tmp_path):
    whole, broken = training(tmp_path / "a", max_updates=12), training(tmp_path / "b", max_updates=7)
    assert whole.run().update == 12 and broken.run().update == 7
    again = training(tmp_path / "b", max_updates=12)
    assert again.run().update == 12
    for first, second in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    finished = training(tmp_path / "b", max_updates=12)
    assert finished.run().update == 12 and finished.progress.best == again.progress.best


KILLED = """
import sys
sys.path[:0] = sys.argv[2:]
import test_translators
from pathlib import Path
test_translators.training(Path(sys.argv[1]), max_updates=100000, patience=100000, checkpoint_minutes=0.0).run()
"""


def test_a_killed_training_goes_on(tmp_path):
    folder = tmp_path / "killed"
    here = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), here], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (folder / "weights.safetensors").exists() and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert make_conv_seq2seq_v1(folder).translate([["Kell", "ve"]])
    reached = training(folder, max_updates=1).run().update
    assert reached >= 4
    assert training(folder, max_updates=reached + 3).run().update == reached + 3


def test_another_training_does_not_go_on_with_it(tmp_path):
    training(tmp_path, max_updates=1).run()
    with pytest.raises(ValueError, match=f"other settings or other text: delete {CHECKPOINT}"):
        training(tmp_path, max_updates=1, dropout=0.4).run()


def test_it_stops_when_dev_gets_no_better(tmp_path):
    progress = training(tmp_path, max_updates=1000, learn_rate=1e-12, patience=2).run()
    assert progress.update == 15 and progress.best_update == 5


def test_batches_hold_every_pair_once():
    pieces = Pieces.train((words for pair in PAIRS for words in pair), 300)
    batching = Batching(size=100, join=0.4, names=0.5)
    batches = list(make_batches(PAIRS, pieces, batching, random.Random(0)))
    assert all(max(source.numel(), target.numel()) <= 100 for source, target in batches)
    assert sum(int((source == END).sum()) for source, _ in batches) < len(PAIRS)
    assert all((target[:, 0] == BEGIN).all() for _, target in batches)
    sizes = [sum(int(((side > END) & (side != PAD)).sum()) for side in sides) for sides in zip(*batches, strict=True)]
    # Names of one word: every word of this text is a piece or a number.
    longest = [sum(len(pieces.encode(words)[1]) for words in side) for side in zip(*PAIRS, strict=True)]
    assert all(4 * len(PAIRS) <= size <= most for size, most in zip(sizes, longest, strict=True))
    again = list(make_batches(PAIRS, pieces, batching, random.Random(0)))
    assert all(
        torch.equal(a, b) for one, other in zip(batches, again, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_parallel_text(tmp_path):
    (tmp_path / "a.es").write_text("¿Qué ve Kell?\n\nUn perro.\n", encoding="utf8")
    (tmp_path / "a.en").write_text("What does Kell see?\nNothing.\nA dog.\n", encoding="utf8")
    pairs = read_pairs(tmp_path / "a.es", tmp_path / "a.en", "es")
    assert pairs == [
        (["¿", "Qué", "ve", "Kell", "?"], ["What", "does", "Kell", "see", "?"]),
        (["Un", "perro", "."], ["A", "dog", "."]),
    ]
    assert read_pairs(tmp_path / "a.es", tmp_path / "a.en", "es", tokenized=True)[1] == (
        ["Un", "perro."],
        ["A", "dog."],
    )
    (tmp_path / "b.en").write_text("One\n", encoding="utf8")
    with pytest.raises(CorpusError, match=r"has 3 lines, .*b\.en has 1"):
        read_pairs(tmp_path / "a.es", tmp_path / "b.en", "es")
    with pytest.raises(CorpusError, match=r"none\.es: the file cannot be read"):
        read_pairs(tmp_path / "none.es", tmp_path / "b.en", "es")
    with pytest.raises(CorpusError, match="no language 'xx_none'"):
        read_pairs(tmp_path / "b.en", tmp_path / "b.en", "xx_none")


# Brought along


def write_lines(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf8")
    return path


def test_precomputed_translations(tmp_path):
    aligned = {"words": ["el", "perro", "ve"], "translation": ["the", "dog", "sees"], "alignment": "0-0 1-1 2-2 1-2"}
    matrix = {"words": ["un"], "translation": ["a", "one"], "attention": [[0.25, 0.5]]}
    translator = make_precomputed_v1(write_lines(tmp_path / "t.jsonl", aligned, "", matrix))
    again = load_translator(translator.kind, translator.files())
    for one in (translator, again):
        first, second = one.translate([aligned["words"], ["un"]])
        np.testing.assert_array_equal(first.attention, [[1, 0, 0], [0, 1, 0.5], [0, 0, 0.5]])
        assert second.words == ["a", "one"] and second.attention.tolist() == [[0.25, 0.5]]
    with pytest.raises(TranslationError, match="no translation of 'el gato'"):
        translator.translate([["un"], ["el", "gato"]])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is no translation"),
        ('{"words": "el", "translation": [], "alignment": ""}', "'words' must be a list of words"),
        ('{"words": ["el"], "translation": ["the"]}', "needs an alignment or an attention"),
        ('{"words": ["el"], "translation": ["the"], "alignment": "0:0"}', "'0:0' is no pair"),
        ('{"words": ["el"], "translation": ["the"], "alignment": "0-1"}', "names a word that there is not"),
        ('{"words": ["el"], "translation": ["the"], "attention": [[1, 2]]}', "1 by 2, not 1 words by 1 English"),
        ('{"words": ["el"], "translation": ["the"], "attention": [[NaN]]}', "finite numbers"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = {"words": ["un"], "translation": [], "alignment": ""}
    path = write_lines(tmp_path / "t.jsonl", good, line)
    with pytest.raises(ValueError, match=r"t\.jsonl, line 2 is no translation") as error:
        make_precomputed_v1(path)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.jsonl: the translations cannot be read"):
        make_precomputed_v1(tmp_path / "none.jsonl")


def test_no_translation():
    translator = make_untranslated_v1()
    (found,) = load_translator(translator.kind, translator.files()).translate([["Kell", "ve"]])
    assert found.words == ["Kell", "ve"] and found.attention.tolist() == [[1, 0], [0, 1]]


# The transformers library


@pytest.fixture(scope="module", params=["marian", "m2m_100"])
def hugging_face(request, tmp_path_factory):
    """A folder with a small random model of its kind and a tokenizer that has learned the words above."""
    transformers = pytest.importorskip("transformers")
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp(request.param)
    text = folder / "text.txt"
    text.write_text("\n".join(" ".join(words) for pair in PAIRS for words in pair), encoding="utf8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "sp"), vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
    words = [pieces.id_to_piece(k) for k in range(pieces.get_piece_size())]
    words = ["<s>", "<pad>", "</s>", "<unk>", *(word for word in words if word not in ("<s>", "</s>", "<unk>"))]
    vocab = {word: k for k, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf8")
    sizes = {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 64,
        "pad_token_id": vocab["<pad>"],
        "eos_token_id": vocab["</s>"],
    }
    torch.manual_seed(0)
    sp = str(folder / "sp.model")
    if request.param == "marian":
        tokenizer = transformers.MarianTokenizer(sp, sp, str(folder / "vocab.json"), source_lang="es", target_lang="en")
        config = transformers.MarianConfig(
            vocab_size=len(vocab), decoder_start_token_id=vocab["<pad>"], forced_eos_token_id=vocab["</s>"], **sizes
        )
        model = transformers.MarianMTModel(config)
    else:
        tokenizer = transformers.M2M100Tokenizer(str(folder / "vocab.json"), sp, src_lang="es", tgt_lang="en")
        config = transformers.M2M100Config(
            vocab_size=len(tokenizer) + 20, decoder_start_token_id=vocab["</s>"], **sizes
        )
        model = transformers.M2M100ForConditionalGeneration(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SENTENCES = [["Kell", "ve", "el", "perro"], ["un", "gato"], ["Oslo"] * 12]


def test_hugging_face_models_translate_with_attention(hugging_face):
    source = "es" if "m2m" in str(hugging_face) else None
    translator = make_hf_translator_v1(hugging_face, source=source, beams=2, longest=10, batch_size=2)
    found = translator.translate(SENTENCES)
    for words, one in zip(SENTENCES, found, strict=True):
        assert one.attention.shape == (len(words), len(one.words)) and np.isfinite(one.attention).all()
        assert (one.attention >= 0).all() and (one.attention.sum(axis=0) <= 1 + 1e-4).all()
        assert all(word.strip() for word in one.words)
    assert any(one.words for one in found)
    again = load_translator(translator.kind, translator.files())
    for one, same in zip(found, again.translate(SENTENCES), strict=True):
        assert one.words == same.words
        np.testing.assert_allclose(one.attention, same.attention, atol=1e-5)


def test_hugging_face_attention_is_that_of_the_chosen_layer_and_head(hugging_face):
    source = "es" if "m2m" in str(hugging_face) else None
    words = [["Kell", "ve", "el", "perro"]]
    whole = make_hf_translator_v1(hugging_face, source=source).translate(words)[0]
    parts = [
        make_hf_translator_v1(hugging_face, source=source, layer=layer, head=head).translate(words)[0].attention
        for layer in range(3)
        for head in range(4)
    ]
    np.testing.assert_allclose(np.mean(parts, axis=0), whole.attention, atol=1e-5)
    last = make_hf_translator_v1(hugging_face, source=source, layer=-1, head=-1).translate(words)[0].attention
    np.testing.assert_allclose(last, parts[-1], atol=1e-6)
    with pytest.raises(ValueError, match="3 layers in its decoder, so there is no layer 3"):
        make_hf_translator_v1(hugging_face, layer=3)


def test_hugging_face_errors(hugging_face, tmp_path):
    source = "es" if "m2m" in str(hugging_face) else None
    translator = make_hf_translator_v1(hugging_face, source=source)
    for words in (["Brandell"] * 70, ["Brandell" * 90]):
        (found,) = translator.translate([words])
        assert found.attention.shape == (len(words), len(found.words)) and np.isfinite(found.attention).all()
    with pytest.raises(ValueError, match="no translation model can be loaded from there"):
        make_hf_translator_v1(tmp_path / "none")
    if "m2m" in str(hugging_face):
        with pytest.raises(ValueError, match="no language 'tlh'"):
            make_hf_translator_v1(hugging_face, source="es", target="tlh")
