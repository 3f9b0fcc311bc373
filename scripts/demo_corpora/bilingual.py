"""German phrases with their English translation, word by word linked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .tagged import Sentence

_keys = itertools.count()
_MARKED = re.compile(r"(.+)_(\d+(?:\+\d+)*)")


@dataclass(frozen=True)
class Word:
    """A word with its tag; words of the two languages that share a key are aligned."""

    text: str
    keys: frozenset[int] = frozenset()
    tag: str = "O"


@dataclass(frozen=True)
class Phrase:
    """A German phrase and its translation."""

    de: tuple[Word, ...] = ()
    en: tuple[Word, ...] = ()

    def __add__(self, other: Phrase) -> Phrase:
        return Phrase(self.de + other.de, self.en + other.en)

    def __bool__(self) -> bool:
        return bool(self.de or self.en)


@dataclass(frozen=True)
class Pair:
    """A German sentence, its translation and the aligned word numbers."""

    de: Sentence
    en: Sentence
    links: tuple[tuple[int, int], ...] = field(default=())


def fresh() -> frozenset[int]:
    """A key that no other word has."""
    return frozenset([next(_keys)])


def text(both: str) -> Phrase:
    """The phrase written `Deutsch | English`.

    Without marks the words are linked one to one (or, if the numbers differ, all to all); with
    marks as in `vor_3 zwei_1 Jahren_2 | two_1 years_2 ago_3` those with a common number are, and so
    are full stops.
    """
    de, en = (side.split() for side in both.split(" | "))
    if not any(_MARKED.fullmatch(w) for w in de + en):
        one, many = fresh(), [fresh() for _ in de]
        same = len(de) == len(en)
        return Phrase(
            tuple(Word(w, many[i] if same else one) for i, w in enumerate(de)),
            tuple(Word(w, many[i] if same else one) for i, w in enumerate(en)),
        )
    keys: dict[str, frozenset[int]] = {}

    def word(raw: str) -> Word:
        found = _MARKED.fullmatch(raw)
        if not found:
            return Word(raw, keys.setdefault(raw, fresh()) if raw == "." else frozenset())
        marks = found.group(2).split("+")
        linked = [keys.setdefault(mark, fresh()) for mark in marks]
        return Word(found.group(1), frozenset().union(*linked))

    return Phrase(tuple(map(word, de)), tuple(map(word, en)))


def entity(label: str, de: str, en: str, genitive: bool = False) -> Phrase:
    """A name; as a German genitive it gains an s, and its translation 's."""
    phrase = text(f"{de} | {en}")

    def tagged(words: tuple[Word, ...]) -> list[Word]:
        marks = ["B-"] + ["I-"] * (len(words) - 1)
        return [Word(w.text, w.keys, m + label) for w, m in zip(words, marks, strict=True)]

    german, english = tagged(phrase.de), tagged(phrase.en)
    if genitive:
        last = german[-1]
        german[-1] = Word(last.text + "s", last.keys, last.tag)
        english.append(Word("'s", last.keys))
    return Phrase(tuple(german), tuple(english))


def finish(phrase: Phrase) -> Pair:
    """The sentence pair: the first letters raised, commas mended, links counted."""

    def side(words: tuple[Word, ...]) -> list[Word]:
        out: list[Word] = []
        for word in words:
            if out and out[-1].text == "," and word.text in {",", "."}:
                out.pop()
            out.append(word)
        first = next((i for i, w in enumerate(out) if w.text[0].isalpha()), 0)
        word = out[first]
        out[first] = Word(word.text[0].upper() + word.text[1:], word.keys, word.tag)
        return out

    de, en = side(phrase.de), side(phrase.en)
    links = [(i, j) for i, a in enumerate(de) for j, b in enumerate(en) if a.keys & b.keys]
    return Pair(_sentence(de), _sentence(en), tuple(links))


def _sentence(words: list[Word]) -> Sentence:
    return Sentence(tuple(w.text for w in words), tuple(w.tag for w in words))


def write_links(path: Path, pairs: Iterable[Pair]) -> None:
    """Write the links in Pharaoh format: one line a sentence, `German-English`, from 0."""
    lines = [" ".join(f"{i}-{j}" for i, j in pair.links) for pair in pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))
