"""Fill English sentence patterns with names, and build the `news` and `weak` corpora."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .grammar import Rules, expand, read_rules
from .names import NEWS_LABELS, SPLITS, WEAK_LABELS, Names
from .tagged import Sentence

FRAMES = Path(__file__).parent / "frames"
NEWS_COUNTS = {"train": 1500, "dev": 400, "test": 400}
WEAK_COUNTS = {"train": 2000, "dev": 500, "test": 600}
WEAK_RARE = {"train": 18, "dev": 20, "test": 48}
RARE = ("EVENT", "WORK", "NATURE")  # each has a section of patterns
RARE_SLOTS = ("EVENT", "MEET", "WORK")  # of the ordinary patterns
RECURRING = 0.17
SECTIONS = {"H": 0.035, "S0": 0.12, "C": 0.48}  # headlines, no names, joined phrases; rest: S
OPENED = 0.16
CLOSED = 0.22

_SLOT = re.compile(r"\{([A-Z]+)\}")
_BARE = re.compile(r'^"|<lp>|^(source|signed|no|not|why|where|how|that|his|her|neither|if|it|what|squad|group)\b')
_PRESENT = re.compile(
    r"\b(is|are|has|have|will|must|may|can|could|would|hopes|believes|plays|offers|makes|teaches|"
    r"plan|plans|denies|rejects|links|expects|needs|wants|returns|remain|stay|host|go|goes|spend|"
    r"pairs|work|lives|does|separate|lack|say)\b"
)
_OPENED = re.compile(r"[^.]*(<opener>)|(in|at|by|for|after|with|under|as|on|according|born|once)\b")
_CLOSED = re.compile(r"\b(said|says|say|told|reported|according|quoted|wrote|<said>)\b|<said>")
_YU = re.compile(r"uni(?!d|n|m)|use|eu|one|U\.|UN", re.IGNORECASE)
_SPELT_VOWEL = frozenset("AEFHILMNORSX")

Name = tuple[list[str], list[str]]  # the words before it, such as `the`, and its own


@dataclass
class Memory:
    """What the training split holds: no other split may repeat its frames or (new) names."""

    frames: set[str] = field(default_factory=set)
    mentions: set[str] = field(default_factory=set)
    by_kind: dict[str, list[Name]] = field(default_factory=dict)


def _an(word: str) -> bool:
    if (len(word) > 1 and word.isupper() and word[1].isupper()) or word[1:2] == ".":
        return word[0] in _SPELT_VOWEL
    if word in ("8", "11", "18") or re.fullmatch(r"8\d*|8\d,\d+", word):
        return True
    return word[0] in "aeiouAEIOU" and not _YU.match(word)


def polish(tokens: list[str], tags: list[str]) -> None:
    """Mend doubled commas, `a`/`an`, `i` and the first letter, in place."""
    for i in range(len(tokens) - 2, -1, -1):
        if tokens[i] == "," and tokens[i + 1] in ",.;":
            del tokens[i], tags[i]
    for i in range(len(tokens) - 1):
        if tokens[i] == "a" and tags[i] == "O" and _an(tokens[i + 1]):
            tokens[i] = "an"
        if tokens[i] == "i" and tags[i] == "O":
            tokens[i] = "I"
    first = 1 if tokens[0] == '"' else 0
    if tags[first] == "O":
        tokens[first] = tokens[first][0].upper() + tokens[first][1:]


class Writer:
    """Writes the sentences of one split."""

    def __init__(self, split: str, rules: Rules, labels: Mapping[str, str], memory: Memory, seed: str) -> None:
        self.split, self.rules, self.labels, self.memory = split, rules, labels, memory
        self.names = Names(split)
        self.rng = random.Random(f"{seed}/{split}")
        self.seen: set[str] = set()
        self.used: list[tuple[str, Name]] = []  # the names of the latest sentence

    def name(self, kind: str) -> Name:
        """A name for a slot: of this split, or now and then one that the training split has."""
        known = self.memory.by_kind.get(kind, [])
        if self.split != "train" and known and self.rng.random() < RECURRING:
            return self.rng.choice(known)
        while True:
            before, name = self.names.draw(kind, self.rng)
            if self.split == "train" or " ".join(name) not in self.memory.mentions:
                return before, name

    def fill(self, pieces: list[str], upper: bool) -> Sentence | None:
        """The sentence of a pattern, or none if it names the same thing twice."""
        tokens: list[str] = []
        tags: list[str] = []
        used: list[tuple[str, Name]] = []
        for piece in pieces:
            slot = _SLOT.fullmatch(piece)
            if not slot:
                tokens.append(piece)
                tags.append("O")
                continue
            before, name = self.name(slot.group(1))
            label = self.labels[slot.group(1)]
            if before and tokens and tokens[-1] == before[-1]:
                before = []
            tokens += before + name
            tags += ["O"] * len(before) + [f"B-{label}"] + [f"I-{label}"] * (len(name) - 1)
            used.append((slot.group(1), (before, name)))
        if len({tuple(name) for _, (_, name) in used}) < len(used):
            return None
        polish(tokens, tags)
        if upper:
            tokens = [w.upper() for w in tokens]
            used = []
        self.used = used
        return Sentence(tuple(tokens), tuple(tags))

    def write(self, section: str) -> Sentence:
        """One new sentence from a section of the patterns."""
        while True:
            patterns, weights = zip(*self.rules[section], strict=True)
            pattern = self.dress(section, self.rng.choices(patterns, weights)[0])
            pieces = expand(self.rules, pattern, self.rng)
            slots = _SLOT.findall(" ".join(pieces))
            if any(slot not in self.labels for slot in slots) or len(slots) > 5:
                continue
            sentence = self.fill(pieces, section == "H")
            if sentence is None or not self.fits(sentence):
                continue
            self.accept(sentence)
            return sentence

    def dress(self, section: str, pattern: str) -> str:
        """The pattern, perhaps with an opening or a closing phrase around it."""
        if section != "S" or not pattern.endswith(" .") or _BARE.search(pattern):
            return pattern
        if not _OPENED.match(pattern) and self.rng.random() < OPENED:
            pattern = f"<{'open_now' if _PRESENT.search(pattern) else 'open'}> {pattern}"
        if not _CLOSED.search(pattern) and self.rng.random() < CLOSED:
            pattern = pattern.removesuffix(".") + "<tail>"
        return pattern

    def fits(self, sentence: Sentence) -> bool:
        """Whether the sentence is of a fair length, and new."""
        if not 5 < len(sentence.tokens) < 36 or " ".join(sentence.tokens) in self.seen:
            return False
        return self.split == "train" or sentence.frame() not in self.memory.frames

    def accept(self, sentence: Sentence) -> None:
        self.seen.add(" ".join(sentence.tokens))
        if self.split == "train":
            self.memory.frames.add(sentence.frame())
            for kind, name in self.used:
                self.memory.by_kind.setdefault(kind, []).append(name)
            self.memory.mentions.update(text for text, _ in sentence.mentions())

    def section(self) -> str:
        """Which section the next ordinary sentence is from."""
        roll = self.rng.random()
        for name, share in SECTIONS.items():
            if roll < share:
                return name
            roll -= share
        return "S"


def _without(rules: Rules, slots: tuple[str, ...]) -> Rules:
    """The rules without the options that have one of the slots."""
    return {
        name: [(o, w) for o, w in options if not any(f"{{{s}}}" in o for s in slots)] for name, options in rules.items()
    }


def news() -> dict[str, list[Sentence]]:
    """The splits of the news corpus."""
    memory = Memory()
    corpus = {}
    for split in SPLITS:
        rules = read_rules(FRAMES / "shared.txt", FRAMES / f"{split}.txt")
        writer = Writer(split, rules, NEWS_LABELS, memory, "news")
        corpus[split] = [writer.write(writer.section()) for _ in range(NEWS_COUNTS[split])]
    return corpus


def weak() -> dict[str, list[Sentence]]:
    """The splits of the corpus with three labels that are rare in training."""
    memory = Memory()
    corpus = {}
    for split in SPLITS:
        rules = read_rules(FRAMES / "shared.txt", FRAMES / f"{split}.txt", FRAMES / f"rare_{split}.txt")
        writer = Writer(split, _without(rules, RARE_SLOTS), WEAK_LABELS, memory, "weak")
        rare = [kind for kind in RARE for _ in range(WEAK_RARE[split])]
        plain = WEAK_COUNTS[split] - len(rare)
        sentences = [writer.write(writer.section()) for _ in range(plain)]
        writer.rules = rules
        sentences += [writer.write(f"RARE_{kind}") for kind in rare]
        writer.rng.shuffle(sentences)
        corpus[split] = sentences
    return corpus
