"""From words to pieces and back, names that are repeated, and attention between words."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.back_attention.alignment import between_words, carry, expand
from spacy_crfner.back_attention.names import LONGEST, PROTECT, looks_like_name, protect, shared_names
from spacy_crfner.back_attention.pieces import END, FIRST_NAME, NAMES, SPECIAL, Pieces
from spacy_crfner.back_attention.translation import Translation, cut, translate_in_parts

TEXT = [["The", "dog", "sleeps", "."], ["El", "perro", "duerme", "."]] * 20
PIECES = Pieces.train(TEXT, 300)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), min_size=1, max_size=8)


@given(st.lists(st.one_of(WORDS, st.integers(0, NAMES - 1)), max_size=8))
def test_every_word_can_be_spelt_and_read_again(words):
    ids, places = PIECES.encode(words)
    assert ids[-1] == END and len(places) == len(ids) - 1
    assert PIECES.decode(ids) == (words, places)
    assert all(SPECIAL <= one < len(PIECES) or FIRST_NAME <= one < SPECIAL for one in ids[:-1])


def test_words_that_were_learned_are_one_piece_and_others_are_bytes():
    ids, places = PIECES.encode(["The", "中", 3])
    assert places == [0, 1, 1, 1, 1, 2] and ids[5] == FIRST_NAME + 3
    again = Pieces.from_str(PIECES.to_str())
    assert again.encode(["The", "中", 3]) == (ids, places) and len(again) == len(PIECES)


def test_broken_pieces_are_still_words():
    ids, _ = PIECES.encode(["中"])
    words, places = PIECES.decode(ids[1:2])
    assert len(words) == 1 and places == [0] and words[0].strip()
    assert PIECES.decode([]) == ([], [])


# Names


def test_what_looks_like_a_name():
    assert [word for word in ("Kell", "eBay", "B2", "I", "7", "dog", ".", "EFE") if looks_like_name(word)] == [
        "Kell",
        "eBay",
        "B2",
        "EFE",
    ]


def test_names_in_a_row_are_protected_as_one():
    words = ["Ayer", "Anna", "Kell", "vio", "a", "la", "ONU", "en", "Madrid"]
    shown, spans = protect(words, {"ayer", "vio", "a", "la", "en", "Madrid"})
    assert shown == ["Ayer", 0, "vio", "a", "la", 1, "en", "Madrid"]
    assert spans == [(1, 3), (6, 7)]
    assert protect(words, {"ayer", "Madrid"}, "capitalised")[1] == [(1, 3), (6, 7), (8, 9)]
    assert protect(words, set(), "none") == (words, [])
    assert protect(words, set(), "none", {"la"})[1] == [(5, 6)]


def test_the_first_word_is_a_name_unless_it_is_known_in_small_letters():
    assert protect(["Kell", "vio"], {"vio"})[1] == [(0, 1)]
    assert protect(["Vio", "algo"], {"vio"})[1] == []


def test_long_rows_and_many_names():
    _, spans = protect(["Xy"] * (LONGEST + 2), set())
    assert spans == [(0, LONGEST), (LONGEST, LONGEST + 2)]
    words = ["Xy", "a"] * (NAMES + 3)
    shown, spans = protect(words, {"a"})
    assert len(spans) == NAMES and shown[-2:] == ["Xy", "a"]


@given(st.lists(st.sampled_from(["Kell", "Anna", "dog", "3a", "."]), max_size=8), st.integers(0, 99))
def test_shared_names_can_be_put_back(words, seed):
    """Replaced in both sentences alike: with the names in their places, they are what they were."""
    source, target = words, [*reversed(words), "Kell"]
    *shown, names = shared_names(source, target, 0.7, random.Random(seed))
    for side in shown:
        assert sorted(word for word in side if isinstance(word, int)) == sorted(names)
    for side, original in zip(shown, (source, target), strict=True):
        assert [word for one in side for word in (names[one] if isinstance(one, int) else [one])] == original
    assert all(looks_like_name(word) for name in names.values() for word in name)


def test_all_or_no_shared_names():
    source, target = ["Anna", "Kell", "vio", "Roma"], ["Anna", "Kell", "saw", "Rome"]
    assert shared_names(source, target, 0.0, random.Random(0)) == (source, target, {})
    (first, *rest), (same, *others), names = shared_names(source, target, 1.0, random.Random(0))
    assert (
        names == {first: ["Anna", "Kell"]} and first == same and rest == ["vio", "Roma"] and others == ["saw", "Rome"]
    )


# Attention


def test_names_that_come_twice_keep_their_order():
    source, target = ["Tom", "ve", "Mary", "Tom", "come"], ["Tom", "sees", "Mary", "Tom", "eats"]
    for seed in range(10):
        shown_source, shown_target, names = shared_names(source, target, 0.8, random.Random(seed))
        numbers = [[word for word in side if isinstance(word, int)] for side in (shown_source, shown_target)]
        assert numbers[0] == numbers[1] and set(numbers[0]) == set(names)


def test_words_that_are_too_long_stand_for_themselves():
    address = "https://example.org/" + "a" * 60
    for how in PROTECT:
        assert protect(["mira", address, "ya"], {"mira", "ya", address}, how) == (["mira", 0, "ya"], [(1, 2)])


def test_attention_between_words_by_loops():
    rng = np.random.default_rng(0)
    attention = rng.random((5, 4)).astype(np.float32)
    source, target = [0, 0, 2, 1], [0, 1, 1, 1, 3]
    expected = np.zeros((3, 4))
    for word in range(3):
        for english in range(4):
            rows = [k for k in range(5) if target[k] == english]
            columns = [k for k in range(4) if source[k] == word]
            if rows:
                expected[word, english] = sum(attention[r, c] for r in rows for c in columns) / len(rows)
    np.testing.assert_allclose(between_words(attention, source, target, (3, 4)), expected, rtol=1e-6)


def test_names_belong_to_themselves():
    """Source: a word, a name of two words. Translation: the name, a word."""
    attention = np.array([[0.3, 0.6], [0.7, 0.4]], dtype=np.float32)
    found = expand(attention, [(0, 1), (1, 3)], [(1, 3), (0, 0)])
    np.testing.assert_allclose(found, [[0, 0, 0.6], [1, 0, 0.2], [0, 1, 0.2]], atol=1e-6)
    assert expand(np.zeros((1, 0)), [(0, 1)], []).shape == (1, 0)


def test_carry():
    attention = np.array([[0.5, 1.0], [0.5, 0.0], [0.0, 0.0]], dtype=np.float32)
    states = np.array([[2.0, 4.0], [6.0, 8.0]], dtype=np.float32)
    np.testing.assert_allclose(carry(attention, states), [[7, 10], [1, 2], [0, 0]])
    expected = [[14 / 3, 20 / 3, 1.5], [2, 4, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(carry(attention, states, "row_normalised"), expected, rtol=1e-6)


# Long sentences


@given(st.lists(st.sampled_from(["a", "b", ",", "."]), min_size=1, max_size=40), st.integers(1, 9))
def test_cut_loses_nothing(words, longest):
    parts = cut(words, longest)
    assert [word for part in parts for word in part] == words
    assert all(0 < len(part) <= longest for part in parts)


def test_cut_after_punctuation():
    assert cut(["uno", "dos", ",", "tres", "cuatro", "cinco"], 4) == [["uno", "dos", ","], ["tres", "cuatro", "cinco"]]
    assert cut(["uno", "dos", "tres", "cuatro", "cinco"], 4) == [["uno", "dos", "tres", "cuatro"], ["cinco"]]


@pytest.mark.parametrize(
    ("text", "longest", "first"),
    [
        ("ayer . no dijo nada ¿ qué pasa ?", 6, "ayer . no dijo nada ¿"),
        ("a b l' homme est la", 4, "a b l' homme"),
        ('a b c " d e f', 5, 'a b c " d'),
        ("a b c ) d e f", 5, "a b c )"),
    ],
)
def test_nothing_is_cut_behind_what_opens(text, longest, first):
    assert " ".join(cut(text.split(" "), longest)[0]) == first


def test_parts_that_cannot_be_read_are_halved():
    def translate(parts):
        assert all(len(part) <= 3 for part in parts)
        return [Translation(part, np.eye(len(part), dtype=np.float32)) for part in parts]

    words = list("abcdefghijk")
    (found,) = translate_in_parts([words], 100, translate, lambda part: len(part) <= 3)
    assert found.words == words and (found.attention == np.eye(11)).all()


def test_parts_are_put_together():
    def translate(parts):
        return [Translation([f"{word}!" for word in part], np.full((len(part),) * 2, len(part))) for part in parts]

    first, second = translate_in_parts([["a", "b", "c"], ["d"]], 2, translate)
    assert first.words == ["a!", "b!", "c!"] and second.words == ["d!"]
    np.testing.assert_array_equal(first.attention, [[2, 2, 0], [2, 2, 0], [0, 0, 1]])


@pytest.mark.parametrize("size", [10, 256])
def test_a_vocabulary_has_all_bytes(size):
    assert len(Pieces.train(TEXT, size)) == 256 + SPECIAL
