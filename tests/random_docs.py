"""Docs as no corpus has them, and yet as spaCy allows them."""

import random

from samples import TRAIN
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

WORDS = [word for text, _ in TRAIN for word in text.split()]
ODD = [
    " ",
    "\n",
    "\t\t",
    "\u00a0",
    "\u2028",
    "\u3000 ",
    "\x00",
    "\x00\x00Bob",
    "\x1b[0m",
    "\ufeff",
    "\u200b",
    "\u200d",
    "\u0301",
    "e\u0301\u0327",
    "\u0645\u064e\u0651",
    "👩\u200d👩\u200d👧",
    "🇩🇪",
    "🙂",
    "\U0010ffff",
    "東京",
    "ﬁ",
    "İ",
    "ß",
    "..",
    "'",
    "-",
    "''",
    "B-PER",
    "O",
    "None",
    "0",
    "1e308",
    "http://a.b/c?d=e",
]
LABELS = ["PER", "LOC", "ORG", "EVENT", "x y-z", "B-PER"]


def random_doc(vocab: Vocab, seed: int) -> Doc:
    """Make a Doc of up to a few hundred tokens: the same for the same seed.

    It may be empty, of white space alone, and hold marks, very long tokens, sentence borders anywhere, entities,
    blocked tokens and tokens without annotation, and tokens that were merged or split.
    """
    rng = random.Random(seed)
    length = rng.choice([0, 1, 1, 2, 3, rng.randint(4, 12), rng.randint(4, 12), rng.randint(10, 60)])
    if rng.random() < 0.01:
        length = rng.randint(150, 400)
    words = [_word(rng, oddness) for oddness in [rng.choice([0.1, 0.5, 1.0])] for _ in range(length)]
    borders = rng.choice(["none", "any", "all", "some"])
    starts = {
        "none": None,
        "any": [rng.choice([True, False, None]) for _ in words],
        "all": [True] * length,
        "some": [not k or rng.random() < 0.15 for k in range(length)],
    }[borders]
    doc = Doc(vocab, words=words, spaces=[rng.random() < 0.7 for _ in words], sent_starts=starts)
    if length and rng.random() < 0.3:
        give_entities(doc, rng)
    if rng.random() < 0.2:
        retokenize(doc, rng)
    return doc


def _word(rng: random.Random, oddness: float) -> str:
    if rng.random() >= oddness:
        return rng.choice(WORDS)
    kind = rng.random()
    if kind < 0.7:
        return rng.choice(ODD)
    if kind < 0.8:
        return rng.choice(ODD + WORDS) * rng.choice([2, 30, 61, 400, 3000 if kind < 0.71 else 5])
    codes = [rng.choice([rng.randint(1, 0x2FF), rng.randint(0x300, 0xD7FF), rng.randint(0x10000, 0x10FFFF)])]
    return "".join(chr(code) for code in codes * rng.randint(1, 3)) + rng.choice(["", rng.choice(WORDS)])


def give_entities(doc: Doc, rng: random.Random) -> None:
    """Set entities of somebody else, blocked tokens and tokens without annotation in a Doc."""
    ents, blocked, missing, start = [], [], [], 0
    while start < len(doc):
        end = min(len(doc), start + rng.randint(1, 4))
        kind = rng.random()
        if kind < 0.2:
            ents.append(Span(doc, start, end, label=rng.choice(LABELS)))
        elif kind < 0.3:
            blocked.append(doc[start:end])
        elif kind < 0.4:
            missing.append(doc[start:end])
        start = end
    doc.set_ents(ents, blocked=blocked, missing=missing, default=rng.choice(["outside", "missing"]))


def retokenize(doc: Doc, rng: random.Random) -> None:
    """Merge some tokens of a Doc, or split one."""
    if len(doc) > 1 and rng.random() < 0.6:
        start = rng.randint(0, len(doc) - 2)
        with doc.retokenize() as retokenizer:
            retokenizer.merge(doc[start : min(len(doc), start + rng.randint(2, 4))])
        return
    # spaCy makes entities of no label of a blocked token that is split, and cannot read the Doc then.
    long = [token for token in doc if len(token) > 1 and (token.ent_iob != 3 or token.ent_type)]
    if long:
        token = rng.choice(long)
        cut = rng.randint(1, len(token) - 1)
        with doc.retokenize() as retokenizer:
            retokenizer.split(token, [token.text[:cut], token.text[cut:]], heads=[(token, 0), (token, 1)])
