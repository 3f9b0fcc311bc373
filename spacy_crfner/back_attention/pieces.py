"""Words in pieces, down to bytes, and back."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from ..extras import require

PAD, BEGIN, END = 0, 1, 2
FIRST_NAME = 3
NAMES = 16
"""How many names of a text can stand for themselves: each has a piece of its own."""
SPECIAL = FIRST_NAME + NAMES
"""Ids from here on are pieces of the tokenizer."""

WORD_START = "\u0120"
"""How a byte-level tokenizer writes the space in front of a word."""

Word = Union[str, int]
"""A word, or the number of the name that stands for it."""


class Pieces:
    """A vocabulary of byte pairs, which can spell every word, and of numbers for names.

    tokenizer: a `tokenizers.Tokenizer`, as `Pieces.train` makes it.
    """

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self._known: Dict[str, List[int]] = {}

    @classmethod
    def train(cls, sentences: Iterable[Sequence[str]], size: int) -> "Pieces":
        """Learn `size` pieces, at least the 256 bytes, from sentences of words."""
        tokenizers = require("tokenizers", "translation", "A translator that splits words into pieces")
        byte_level = tokenizers.pre_tokenizers.ByteLevel
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.pre_tokenizer = byte_level(add_prefix_space=True, use_regex=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=max(size, 256), initial_alphabet=byte_level.alphabet(), show_progress=False
        )
        # Word by word, so that no piece crosses the space between two.
        tokenizer.train_from_iterator((list(words) for words in sentences), trainer)
        return cls(tokenizer)

    @classmethod
    def from_str(cls, text: str) -> "Pieces":
        """Load what `to_str` saved."""
        tokenizers = require("tokenizers", "translation", "A translator that splits words into pieces")
        return cls(tokenizers.Tokenizer.from_str(text))

    def to_str(self) -> str:
        """Save the tokenizer as JSON."""
        return self.tokenizer.to_str()

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size() + SPECIAL

    def encode(self, words: Sequence[Word]) -> Tuple[List[int], List[int]]:
        """Split words and names into pieces, with an `END`; also find for each piece but that the index of its word."""
        ids: List[int] = []
        owners: List[int] = []
        for index, word in enumerate(words):
            pieces = [FIRST_NAME + word] if isinstance(word, int) else self._spell(word)
            ids += pieces
            owners += [index] * len(pieces)
        return [*ids, END], owners

    def decode(self, ids: Sequence[int]) -> Tuple[List[Word], List[int]]:
        """Join pieces to words, up to an `END`; also find for each piece up to there the index of its word."""
        groups: List[List[int]] = []
        owners: List[int] = []
        inside = False
        for piece in ids:
            if piece == END:
                break
            text = self._text(piece)
            if not inside or text is None or text.startswith(WORD_START):
                groups.append([])
            groups[-1].append(piece)
            owners.append(len(groups) - 1)
            inside = text is not None
        return [self._word(group) for group in groups], owners

    def _spell(self, word: str) -> List[int]:
        pieces = self._known.get(word)
        if pieces is None:
            ids = self.tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False).ids
            pieces = self._known[word] = [piece + SPECIAL for piece in ids[:LONGEST]]
            if len(self._known) > MOST_KNOWN:
                self._known = {}
        return pieces

    def _text(self, piece: int) -> Optional[str]:
        return None if piece < SPECIAL else self.tokenizer.id_to_token(piece - SPECIAL)

    def _word(self, group: Sequence[int]) -> Word:
        if group[0] < SPECIAL:
            return group[0] - FIRST_NAME
        text = "".join(self._text(piece) or "" for piece in group)
        data = bytes(BYTES[character] for character in text)
        return data.decode("utf8", errors="replace").removeprefix(" ") or "\ufffd"


def _byte_characters() -> Dict[str, int]:
    """Map the characters in which a byte-level tokenizer writes bytes: printable ones as they are, others from 256."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + n): byte for n, byte in enumerate(unprintable)}}


BYTES = _byte_characters()
LONGEST = 64
"""Most pieces of a word; of a longer one only the beginning is read."""
MOST_KNOWN = 200_000
"""Words whose pieces are kept."""
