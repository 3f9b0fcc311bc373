"""Text in blocks, and which of its pieces are masked."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_transformers import KINDS, TEXTS, transformer_folder
from transformers import AutoTokenizer

from spacy_crfner.encoders.word_pieces import PieceReader
from spacy_crfner.transfer import blocks as blocks_module
from spacy_crfner.transfer.blocks import LONGEST_WORD, Blocks
from spacy_crfner.transfer.masking import Masking
from spacy_crfner.transfer.texts import RawText


def read(kind):
    tokenizer = AutoTokenizer.from_pretrained(transformer_folder(kind))
    return tokenizer, PieceReader.of_transformer(AutoTokenizer.from_pretrained(transformer_folder(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_hold_the_pieces_of_all_texts_in_order(kind, monkeypatch):
    monkeypatch.setattr(blocks_module, "TEXTS_AT_ONCE", 3)
    tokenizer, reader = read(kind)
    blocks = Blocks.of_texts(TEXTS, reader, tokenizer.sep_token_id, 16)
    expected = []
    for text in TEXTS:
        # A byte-level vocabulary is read as if a space stood in front of the text.
        expected += tokenizer(reader.space + text, add_special_tokens=False)["input_ids"] + [tokenizer.sep_token_id]
    assert blocks.ids.tolist() == expected and blocks.n_texts == len(TEXTS)
    ids, _, lengths = blocks.pick(np.arange(len(blocks)))
    assert ids.tolist() == expected and lengths.max() <= 14
    # Blocks end where words do, as all of these are short.
    assert blocks.starts[blocks.borders[:-1]].all()
    empty = Blocks.of_texts([], reader, None, 16)
    assert len(empty) == 0 and empty.ids.size == 0


@pytest.mark.parametrize("kind", KINDS)
def test_words_begin_where_the_tokenizer_says(kind):
    _, reader = read(kind)
    blocks = Blocks.of_texts(["Harlow moved"], reader, None, 99)
    pieces = [reader.tokenizer.id_to_token(number) for number in blocks.ids]
    words = [[]]
    for piece, start in zip(pieces, blocks.starts, strict=True):
        if start:
            words.append([])
        words[-1].append(piece.strip("\u0120\u2581#"))
    assert ["".join(word) for word in words if any(word)] == ["Harlow", "moved"]


def test_a_text_without_spaces_is_no_single_word():
    _, reader = read("xlm-roberta")
    text = "中国上海" * 5
    blocks = Blocks.of_texts([text], reader, None, 12)
    assert len(blocks.ids) > LONGEST_WORD and blocks.starts.all()
    assert np.diff(blocks.borders).max() <= 10


def test_a_word_that_is_longer_than_a_block_is_cut(monkeypatch):
    monkeypatch.setattr(blocks_module, "LONGEST_WORD", 10**6)
    _, reader = read("roberta")
    blocks = Blocks.of_texts(["x" * 50], reader, None, 12)
    assert np.diff(blocks.borders).max() <= 10 and blocks.borders[-1] == len(blocks.ids)
    _, starts, lengths = blocks.pick(np.arange(1, len(blocks)))
    assert starts[0] and starts.sum() == len(lengths)


def masking(whole_words=True, share=0.15, vocabulary=1000):
    ordinary = np.ones(vocabulary, dtype=bool)
    ordinary[:5] = False
    return Masking(share, whole_words, 4, ordinary)


@given(st.data())
def test_words_are_masked_as_a_whole(data):
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=30))
    ids = np.array(
        data.draw(st.lists(st.integers(0, 40), min_size=sum(lengths), max_size=sum(lengths))), dtype=np.int32
    )
    if not (ids >= 5).any():
        return
    starts = np.zeros(len(ids), dtype=bool)
    starts[np.cumsum([0, *lengths[:-1]])] = True
    before = ids.copy()
    own = masking(share=data.draw(st.floats(0.01, 0.9)))
    read, places = own.draw(ids, starts, np.random.default_rng(data.draw(st.integers(0, 99))))
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[places] = True
    assert chosen.any() and not chosen[ids < 5].any()
    for word in np.split(np.arange(len(ids)), np.flatnonzero(starts)[1:]):
        assert len(set(chosen[word][ids[word] >= 5])) <= 1
    np.testing.assert_array_equal(read[~chosen], ids[~chosen])
    np.testing.assert_array_equal(ids, before)


@pytest.mark.parametrize("whole_words", [True, False])
def test_shares_are_those_that_are_asked_for(whole_words):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 1000, 200_000).astype(np.int32)
    starts = rng.random(len(ids)) < 0.6
    starts[0] = True
    read, places = masking(whole_words).draw(ids, starts, rng)
    assert len(places) / len(ids) == pytest.approx(0.15, abs=0.005)
    masks, same = (read[places] == 4).mean(), (read[places] == ids[places]).mean()
    assert masks == pytest.approx(0.8, abs=0.01) and same == pytest.approx(0.1, abs=0.01)
    assert read[places].min() == 4
    again, _ = masking(whole_words).draw(ids, starts, np.random.default_rng(1))
    assert not np.array_equal(read, again)


def test_single_pieces_are_masked_alone():
    ids, starts = np.full(2000, 7, dtype=np.int32), np.zeros(2000, dtype=bool)
    starts[::2] = True
    _, places = masking(whole_words=False).draw(ids, starts, np.random.default_rng(0))
    assert len(set(places // 2)) > 0.8 * len(places)


def test_held_out_texts_are_neither_learned_from_nor_dependent_on_files(tmp_path):
    lines = [f"Text number {n} of many." for n in range(1000)]
    (tmp_path / "one.txt").write_text("\n".join(lines[:500]))
    (tmp_path / "two.txt.gz").write_bytes(gzip.compress("\n".join(lines[500:]).encode()))
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines[::-1] + lines))
    text = RawText([tmp_path / "one.txt", tmp_path / "two.txt.gz"], held_out=0.2)
    train, dev = list(text.to_learn_from()), list(text.to_evaluate_on())
    assert sorted(train + dev) == sorted(lines) and 150 < len(dev) < 250
    again = RawText([tmp_path / "all.jsonl"], held_out=0.2)
    assert set(again.to_evaluate_on()) == set(dev) and not set(again.to_learn_from()) & set(dev)
    apart = RawText([tmp_path / "one.txt"], [tmp_path / "two.txt.gz"])
    assert (list(apart.to_learn_from()), list(apart.to_evaluate_on())) == (lines[:500], lines[500:])
    with pytest.raises(ValueError, match="between 0 and 1, not"):
        RawText([tmp_path / "one.txt"], held_out=1.5)
