"""Files that were damaged on the way: bytes flipped, cut, doubled, put in or mixed up."""

import random
from typing import Callable, Iterator, List

SIGNS = [
    b"\n",
    b"\r",
    b"\t",
    b" ",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc2\xa0",
    "\u2028\u202e".encode(),
    b"\x1b[31m",
]
TAGS = [b"O", b"B-PER", b"M-X", b"PER-B", b"|", b"-", b"-DOCSTART-"]
JSON = [
    *(bytes([sign]) for sign in b'"\\[]{},:'),
    b"\\ud83d",
    b"1e999999999",
    b"9" * 5000,
    b"NaN",
    b"null",
    b"[" * 1100,
]
SNIPPETS = [*SIGNS, *TAGS, *JSON, b'{"text": "a", "spans": []}']
"""What readers may stumble over."""


def flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:] if chance.random() < 0.7 else data[:start]


def double(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:]


def insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice(SNIPPETS) + data[place:]


def move(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    rest = data[:start] + data[end:]
    place = chance.randrange(len(rest) + 1)
    return rest[:place] + data[start:end] + rest[place:]


WAYS: List[Callable[[bytes, random.Random], bytes]] = [flip, flip, cut, double, insert, insert, move]


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Give copies of a file's bytes, each damaged in one to three ways; the same ones for the same seed."""
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        damaged = data
        for _ in range(chance.choice((1, 1, 2, 3))):
            damaged = chance.choice(WAYS)(damaged or b" ", chance)
        yield damaged
