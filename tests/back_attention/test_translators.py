"""Translators: trained here, brought along, from the transformers library."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spacy_crfner.back_attention.batches import Batching, make_batches
from spacy_crfner.back_attention.parallel_text import read_pairs
from spacy_crfner.back_attention.pieces import BEGIN, END, PAD, Pieces
from spacy_crfner.back_attention.translation import TranslationError
from spacy_crfner.back_attention.translator_training import TrainingSettings, TranslatorTraining
from spacy_crfner.back_attention.translators import (
    load_translator,
    make_conv_seq2seq_v1,
    make_hf_translator_v1,
    make_precomputed_v1,
    make_untranslated_v1,
)
from spacy_crfner.text_files import CorpusError
from spacy_crfner.training_loop import CHECKPOINT

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


def test_the_benchmark_of_alignment_counts_names_that_are_seen(folder, monkeypatch):
    """The attention finds shared names where they are, and not where the translation is turned round."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import alignment

    translator = make_conv_seq2seq_v1(folder)
    pairs = [(["el", "perro", "ve", "Roma"], ["the", "dog", "sees", "Roma"]), (["un", "gato"], ["a", "cat"])]
    assert alignment.count_shared_names(translator, pairs)["words"] == 1
    seen = alignment.count_shared_names(translator, PAIRS)
    assert seen["words"] == len(PAIRS) and seen["distinct"] == len(NAMES)
    assert min(seen["peak_at_itself"], seen["peak_at_itself_by_word"]) > 0.9
    # In the wrong place, with no word of its own there.
    turned = [(source, [*target[1:], target[0]]) for source, target in PAIRS]
    assert alignment.count_shared_names(translator, turned)["peak_at_itself"] < 0.5


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
    for first, second in zip(whole.trainee.module.parameters(), again.trainee.module.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert again.progress.since_best == whole.progress.since_best
    logs = [[json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()] for name in "ab"]
    # The end of the run that was broken off is an evaluation more, and changes none of the others.
    kept = [[{**line, "minutes": 0} for line in log if line["update"] != 7] for log in logs]
    assert kept[0] == kept[1] and [line["update"] for line in logs[1]] == [5, 7, 10, 12]
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
    with pytest.raises(ValueError, match=r"other settings or other text: choose .*--overwrite"):
        training(tmp_path, max_updates=1, dropout=0.4).run()
    other = replace(SMALL, eval_every=5, max_updates=2, dropout=0.4)
    anew = TranslatorTraining(tmp_path, PAIRS[:80], PAIRS[:10], "es", other, print, overwrite=True)
    assert anew.run().update == 2
    assert [json.loads(line)["update"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [2]
    # With the same settings, it goes on all the same.
    again = TranslatorTraining(tmp_path, PAIRS[:80], PAIRS[:10], "es", other, print, overwrite=True)
    assert again.run().update == 2 and again.progress == anew.progress


def test_a_damaged_checkpoint_says_so(tmp_path):
    training(tmp_path, max_updates=1).run()
    (tmp_path / CHECKPOINT).write_bytes((tmp_path / CHECKPOINT).read_bytes()[:100])
    with pytest.raises(ValueError, match=r"the checkpoint is damaged .*: choose .*--overwrite"):
        training(tmp_path, max_updates=2).run()


@pytest.mark.parametrize("settings", [{"max_updates": 0}, {"warmup": 0}, {"dropout": 1.0}, {"learn_rate": 0.0}])
def test_numbers_that_training_cannot_work_with(settings):
    with pytest.raises(ValueError, match="translator"):
        replace(SMALL, **settings)


def test_pairs_that_are_too_long_are_counted(tmp_path):
    long = [(["el"] * 50, ["the"] * 50)]
    brief = replace(SMALL, max_updates=1, batching=Batching(size=600, longest=20))
    assert TranslatorTraining(tmp_path, [*PAIRS, *long], PAIRS[:4], "es", brief, print).too_long == 1
    with pytest.raises(ValueError, match="all have more than 20 pieces"):
        TranslatorTraining(tmp_path, long, PAIRS[:4], "es", brief, print)


def test_the_loss_on_dev_is_a_mean_over_pieces(tmp_path):
    """However they are put into batches; and training smooths its labels, which dev does not."""
    one, other = training(tmp_path / "a").trainee, training(tmp_path / "b").trainee
    pairs = [*PAIRS[:7], (["el", "perro"] * 8, ["the", "dog"] * 8)]
    losses = []
    for size in (40, 600):
        one.dev, one.settings = pairs, replace(one.settings, batching=Batching(size=size))
        losses.append(one.dev_loss())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    source, target = torch.tensor([[30, 31, END]]), torch.tensor([[BEGIN, 33, END]])
    other.module.eval()
    scores = other.module(source, target[:, :-1])[0][0].log_softmax(-1)
    right = torch.stack([scores[0, 33], scores[1, END]])
    expected = -(0.9 * right + 0.1 * scores.mean(-1)).mean()
    torch.testing.assert_close(other.cross_entropy(source, target, 0.0, 0.1), expected)
    torch.testing.assert_close(other.cross_entropy(source, target, 0.0, 0.0), -right.mean())


def test_it_stops_when_dev_gets_no_better(tmp_path):
    progress = training(tmp_path, max_updates=1000, learn_rate=1e-12, patience=2).run()
    assert progress.update == 15 and progress.best_update == 5


def test_batches_hold_every_pair_once():
    pieces = Pieces.train((words for pair in PAIRS for words in pair), 300)
    batching = Batching(size=100, join=0.4, names=0.0)
    batches = list(make_batches(PAIRS, pieces, batching, random.Random(0)))
    assert all(max(source.numel(), target.numel()) <= 100 for source, target in batches)
    assert sum(int((source == END).sum()) for source, _ in batches) < len(PAIRS)
    assert all((target[:, 0] == BEGIN).all() for _, target in batches)
    for side in (0, 1):
        rows = [
            pieces.decode([one for one in row if one != BEGIN])[0] for batch in batches for row in batch[side].tolist()
        ]
        expected = Counter(tuple(pair[side]) for pair in PAIRS)
        # Every sentence has four words.
        assert Counter(tuple(row[k : k + 4]) for row in rows for k in range(0, len(row), 4)) == expected
    again = list(make_batches(PAIRS, pieces, batching, random.Random(0)))
    assert all(
        torch.equal(a, b) for one, other in zip(batches, again, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_no_more_is_joined_than_fits():
    pieces = Pieces.train((words for pair in PAIRS for words in pair), 300)
    longest = max(len(pieces.encode(words)[0]) for pair in PAIRS for words in pair)
    batching = Batching(size=400, longest=3 * longest, join=1.0, names=0.0)
    batches = list(make_batches(PAIRS, pieces, batching, random.Random(0)))
    lengths = [int((row != PAD).sum()) for source, _ in batches for row in source]
    assert longest < max(lengths) <= 3 * longest
    words = sum(len(pieces.decode(row.tolist())[0]) for source, _ in batches for row in source)
    assert words == 4 * len(PAIRS)


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
    (tmp_path / "c.es").write_text("\ufeffUn perro.\n", encoding="utf8")
    (tmp_path / "c.en").write_text("A dog.\n", encoding="utf8")
    assert read_pairs(tmp_path / "c.es", tmp_path / "c.en", "es")[0][0][0] == "Un"
    assert read_pairs(tmp_path / "c.es", tmp_path / "c.en", "qu", tokenized=True)[0][0] == ["Un", "perro."]
    (tmp_path / "b.en").write_text("One\n", encoding="utf8")
    with pytest.raises(CorpusError, match=r"has 3 lines, .*b\.en has 1"):
        read_pairs(tmp_path / "a.es", tmp_path / "b.en", "es")
    (tmp_path / "long.es").write_text("Un perro.\n" + "a" * 1_000_001, encoding="utf8")
    with pytest.raises(CorpusError, match=r"long\.es:2: the text has 1,000,001 characters, but spaCy takes 1,000,000"):
        read_pairs(tmp_path / "long.es", tmp_path / "b.en", "es")
    with pytest.raises(CorpusError, match=r"none\.es: there is no such file"):
        read_pairs(tmp_path / "none.es", tmp_path / "b.en", "es")
    with pytest.raises(CorpusError, match=r"no language 'xx_none'.* choose 'xx'"):
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
        ('{"words": ["el"], "translation": ["the"], "alignment": [[0, 0]]}', 'a text such as "0-0 1-2"'),
        ('{"words": ["el"], "translation": ["the"], "alignment": "0:0"}', "'0:0' is no pair"),
        ('{"words": ["el"], "translation": ["the"], "alignment": "0-1"}', "names a word that there is not"),
        ('{"words": ["el"], "translation": ["the"], "attention": [[1, 2]]}', "1 by 2, not 1 words by 1 English"),
        ('{"words": ["el"], "translation": ["the"], "attention": [[NaN]]}', "finite numbers"),
        ('{"words": ["el"], "translation": ["the"], "attention": [[1e99]]}', "finite numbers"),
        ('{"words": ["el"], "translation": ["the"], "attention": [[1], [2, 3]]}', "rows of equally many numbers"),
        ('{"words": ["el"], "translation": ["the"], "attention": {"a": 1}}', "a list of lists of numbers"),
        ('{"words": ["el"], "translation": ["the"], "alignment": "0-' + "1" * 5000 + '"}', "names a word that there"),
        ("[" * 100_000, "the line is nested too deeply"),
        ('{"words": ["el"], "words": ["la"], "translation": [], "alignment": ""}', "'words' stands twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = {"words": ["un"], "translation": [], "alignment": ""}
    path = write_lines(tmp_path / "t.jsonl", good, line)
    with pytest.raises(ValueError, match=r"t\.jsonl, line 2 is no translation") as error:
        make_precomputed_v1(path)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.jsonl: there is no such file"):
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


def test_the_attention_is_that_by_which_each_piece_was_chosen(hugging_face, monkeypatch):
    """Of every piece of the translation, that at the step which predicts it."""
    source = "es" if "m2m" in str(hugging_face) else None
    translator = make_hf_translator_v1(hugging_face, source=source, beams=1)
    words = ["Kell", "ve", "el", "perro"]
    ids, _ = translator._encode(words)
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    options = {} if translator._first is None else {"forced_bos_token_id": translator._first}
    with torch.no_grad():
        output = translator.model.generate(**inputs, **options, num_beams=1, do_sample=False, max_new_tokens=42)[0]
        found = translator.model(**inputs, decoder_input_ids=output[None, :-1], output_attentions=True)
    chosen = found.logits[0].argmax(-1).tolist()
    forced = 1 if translator._first is not None else 0
    assert chosen[forced:-1] == output[1 + forced : -1].tolist()  # so row n is that which predicts piece n
    seen = []
    read = translator._read
    monkeypatch.setattr(translator, "_read", lambda *arguments: seen.append(arguments[2:]) or read(*arguments))
    translator.translate([words])
    ((pieces, matrix),) = seen
    assert pieces == output[1:].tolist()
    np.testing.assert_allclose(matrix, torch.stack(list(found.cross_attentions)).mean(dim=(0, 2))[0].numpy(), atol=1e-5)


def test_a_translation_does_not_depend_on_what_is_beside_it(hugging_face):
    source = "es" if "m2m" in str(hugging_face) else None
    translator = make_hf_translator_v1(hugging_face, source=source, beams=2)
    together = translator.translate(SENTENCES)
    for words, found in zip(SENTENCES, together, strict=True):
        (alone,) = translator.translate([words])
        assert alone.words == found.words
        np.testing.assert_allclose(alone.attention, found.attention, atol=1e-5)


def test_languages_that_a_model_does_not_have(hugging_face):
    if "m2m" in str(hugging_face):
        for settings in ({"source": "klingon"}, {"source": None}, {"source": "es", "target": "tlh"}):
            with pytest.raises(ValueError, match=r"has no language .* choose `(source|target)` from"):
                make_hf_translator_v1(hugging_face, **settings)
    else:
        with pytest.raises(ValueError, match=r"two languages only: leave `source` \('es'\) out"):
            make_hf_translator_v1(hugging_face, source="es")
    for name in ("beams", "longest", "batch_size"):
        with pytest.raises(ValueError, match=f"{name} of a translator must be 1 or more"):
            make_hf_translator_v1(hugging_face, **{name: 0})


def test_nllb_is_told_its_languages(tmp_path):
    """Its tokenizer has them among its special pieces."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = sorted({word for pair in PAIRS for side in pair for word in side})
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *(("\u2581" + word, -2.0) for word in words)]
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=3))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer = transformers.NllbTokenizerFast(tokenizer_object=inner, src_lang="spa_Latn", tgt_lang="eng_Latn")
    config = transformers.M2M100Config(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64,
        decoder_start_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.M2M100ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    translator = make_hf_translator_v1(tmp_path, source="spa_Latn", target="eng_Latn")
    assert translator._first == tokenizer.convert_tokens_to_ids("eng_Latn")
    ids, _ = translator._encode(["Kell", "ve"])
    assert tokenizer.convert_tokens_to_ids("spa_Latn") in ids
    assert translator.translate([["Kell", "ve"]])[0].attention.shape[0] == 2
    with pytest.raises(ValueError, match=r"no language 'en': choose `target` from .*eng_Latn"):
        make_hf_translator_v1(tmp_path, source="spa_Latn", target="en")
