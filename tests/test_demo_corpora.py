"""The demo corpora keep the promises of `assets/README.md`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
SCRIPTS = ROOT / "scripts"
sys.path.insert(0, str(SCRIPTS))

from demo_corpora.lookup import lookup_f1  # noqa: E402
from demo_corpora.tagged import Sentence, read_conll  # noqa: E402

FOUR = {"PER", "ORG", "LOC", "MISC"}
RARE = {"ART", "EVE", "NAT"}
COUNTS = {
    "news/train": 1500, "news/dev": 400, "news/test": 400,
    "weak/train": 2000, "weak/dev": 500, "weak/test": 600,
    "german/train": 1200, "german/dev": 200, "german/test": 200,
    "german/train.en": 1200, "german/dev.en": 200, "german/test.en": 200,
}  # fmt: skip
HELD_OUT = [(c, s) for c in ("news", "weak", "german") for s in ("dev", "test")]


def read(name: str) -> list[Sentence]:
    return list(read_conll(ASSETS / f"{name}.conll"))


def labels(sentences: list[Sentence]) -> Counter[str]:
    return Counter(label for s in sentences for _, label in s.mentions())


@pytest.mark.parametrize("name", COUNTS)
def test_a_file_has_its_number_of_sentences_and_its_labels(name: str) -> None:
    sentences = read(name)
    assert len(sentences) == COUNTS[name]
    assert set(labels(sentences)) == (FOUR | RARE if name.startswith("weak") else FOUR)


@pytest.mark.parametrize("name", COUNTS)
def test_a_file_is_plain_iob2_in_two_columns(name: str) -> None:
    raw = (ASSETS / f"{name}.conll").read_bytes().decode("utf-8")
    assert "\r" not in raw and raw.endswith("\n\n") and "\n\n\n" not in raw
    before = "O"
    for line in raw.removesuffix("\n").split("\n"):
        if not line:
            before = "O"
            continue
        word, tag = line.split("\t")
        assert word and word == word.strip() and " " not in word
        assert tag == "O" or tag[:2] in ("B-", "I-")
        assert not tag.startswith("I-") or before[1:] == tag[1:], line
        before = tag


@pytest.mark.parametrize("name", [n for n in COUNTS if not n.startswith("german")])
def test_english_sentences_are_of_news_length_and_some_name_nobody(name: str) -> None:
    sentences = read(name)
    assert all(6 <= len(s.tokens) <= 35 for s in sentences)
    assert all(len(s.spans()) <= 5 for s in sentences)
    assert 0.08 <= sum(not s.spans() for s in sentences) / len(sentences) <= 0.16


@pytest.mark.parametrize("corpus, split", HELD_OUT)
def test_remembering_the_training_names_is_not_enough(corpus: str, split: str) -> None:
    assert lookup_f1(read(f"{corpus}/train"), read(f"{corpus}/{split}")) < 40


@pytest.mark.parametrize("corpus, split", HELD_OUT)
def test_no_frame_of_the_training_file_comes_again(corpus: str, split: str) -> None:
    known = {s.frame() for s in read(f"{corpus}/train")}
    assert not known & {s.frame() for s in read(f"{corpus}/{split}")}


@pytest.mark.parametrize("corpus, split", HELD_OUT[:4])
def test_only_some_names_come_again(corpus: str, split: str) -> None:
    known = {text for s in read(f"{corpus}/train") for text, _ in s.mentions()}
    mentions = [text for s in read(f"{corpus}/{split}") for text, _ in s.mentions()]
    assert 0.1 <= sum(text in known for text in mentions) / len(mentions) <= 0.2


def test_names_are_ambiguous() -> None:
    seen: dict[str, set[str]] = {}
    for s in read("news/train"):
        for text, label in s.mentions():
            seen.setdefault(text, set()).add(label)
    assert sum({"LOC", "ORG"} <= found for found in seen.values()) >= 50
    assert sum({"PER", "ORG"} <= found for found in seen.values()) >= 20


def test_three_labels_are_rare_where_the_weak_corpus_is_trained() -> None:
    train, dev, test = (labels(read(f"weak/{s}")) for s in ("train", "dev", "test"))
    assert sum(train[r] for r in RARE) / train.total() < 0.02
    assert all(train[r] >= 12 for r in RARE)
    assert all(dev[r] >= 10 for r in RARE)
    assert all(test[r] >= 30 for r in RARE) and sum(test[r] for r in RARE) >= 100


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_german_and_english_line_up(split: str) -> None:
    german, english = read(f"german/{split}"), read(f"german/{split}.en")
    links = (ASSETS / "german" / f"{split}.align").read_text(encoding="utf-8").splitlines()
    assert len(german) == len(english) == len(links)
    for de, en, line in zip(german, english, links, strict=True):
        assert sorted(la for _, la in de.mentions()) == sorted(la for _, la in en.mentions())
        pairs = [tuple(map(int, link.split("-"))) for link in line.split()]
        assert all(i < len(de.tokens) and j < len(en.tokens) for i, j in pairs)
        for start, end, label in en.spans():
            sources = {i for i, j in pairs if start <= j < end}
            assert sources and {de.tags[i][2:] for i in sources} == {label}


def test_the_generator_writes_the_same_bytes_again(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "make_demo_corpora.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(made) == 15
    for path in made:
        assert (tmp_path / path).read_bytes() == (ASSETS / path).read_bytes(), path


def test_the_lookup_baseline_takes_the_longest_match_and_the_most_frequent_label() -> None:
    train = [
        Sentence(("Redmere", "won"), ("B-ORG", "O")),
        Sentence(("in", "Redmere"), ("O", "B-LOC")),
        Sentence(("near", "Redmere"), ("O", "B-LOC")),
        Sentence(("Redmere", "Foods", "fell"), ("B-ORG", "I-ORG", "O")),
    ]
    test = [
        Sentence(("Redmere", "Foods", "left", "Redmere"), ("B-ORG", "I-ORG", "O", "B-LOC")),
        Sentence(("Redmere", "beat", "Harl"), ("B-ORG", "O", "B-ORG")),
    ]
    assert lookup_f1(train, test) == pytest.approx(100 * 2 * 2 / (3 + 4))
