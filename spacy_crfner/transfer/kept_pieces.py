"""The pieces that a tokenizer needs, to cut some texts as with all of its pieces."""

import json
import sys
from itertools import islice, pairwise
from typing import Any, Dict, Iterable, Iterator, Optional, Set, Tuple

from ..raw_text import load_tokenizer

TEXTS_AT_ONCE = 1000
NO_MERGE = sys.maxsize
METASPACE = "\u2581"
"""How SentencePiece writes the space in front of a word."""


class TokenizerKind:
    """What pieces of one kind of tokenizer depend on.

    tokenizer: of the `tokenizers` library. model: its part "model", as JSON.
    """

    def __init__(self, tokenizer: Any, model: Dict[str, Any]):
        self.tokenizer = tokenizer
        self.model = model

    def always(self) -> Set[int]:
        """List the pieces that any text may need: all of one character, bytes, and what is unknown."""
        raise NotImplementedError

    def beside(self, text: str, encoded: Any) -> Set[int]:
        """List the pieces that a text needs beside those that it is cut into."""
        return set()

    def cut(self, kept: Set[int], new: Dict[int, int]) -> Dict[str, Any]:
        """Make the part "model" with these pieces alone. new: old number -> new one."""
        vocab = {piece: new[number] for piece, number in self.model["vocab"].items() if number in kept}
        return {**self.model, "vocab": vocab}

    def _one_character(self, prefix: str) -> Set[int]:
        spelled = ((piece.removeprefix(prefix), number) for piece, number in self.model["vocab"].items())
        return {number for piece, number in spelled if len(piece) < 2}


class Unigram(TokenizerKind):
    """Pieces with scores, of which the best sequence is taken (Kudo 2018): that of fewer ones, where they hold it."""

    def always(self) -> Set[int]:
        """See TokenizerKind; also the worst piece, which says what an unknown one costs."""
        vocab = self.model["vocab"]
        kept = {at for at, (piece, _) in enumerate(vocab) if len(piece.removeprefix(METASPACE)) < 2 or _is_byte(piece)}
        kept.add(min(range(len(vocab)), key=lambda at: vocab[at][1]))
        return kept | ({self.model["unk_id"]} - {None})

    def cut(self, kept: Set[int], new: Dict[int, int]) -> Dict[str, Any]:
        """See TokenizerKind."""
        vocab = [own for at, own in enumerate(self.model["vocab"]) if at in kept]
        return {**self.model, "vocab": vocab, "unk_id": new.get(self.model["unk_id"])}


class WordPiece(TokenizerKind):
    """The longest pieces from left to right (Wu et al. 2016), and the unknown piece for a word that has none there."""

    def always(self) -> Set[int]:
        """See TokenizerKind."""
        return self._one_character(self.model["continuing_subword_prefix"]) | _numbers(self.model, self._unknown)

    def beside(self, text: str, encoded: Any) -> Set[int]:
        """See TokenizerKind: of unknown words the pieces that they begin with, so that they stay unknown."""
        if self._unknown not in encoded.tokens:
            return set()
        normalizer, splitter = self.tokenizer.normalizer, self.tokenizer.pre_tokenizer
        text = normalizer.normalize_str(text) if normalizer else text
        words = [word for word, _ in splitter.pre_tokenize_str(text)] if splitter else [text]
        most = self.model["max_input_chars_per_word"]
        return {number for word in words if len(word) <= most for number in self._longest(word)}

    @property
    def _unknown(self) -> str:
        return self.model["unk_token"]

    def _longest(self, word: str) -> Iterator[int]:
        vocab, prefix, start = self.model["vocab"], "", 0
        while start < len(word):
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in vocab), None)
            if end is None:
                return
            yield vocab[prefix + word[start:end]]
            prefix, start = self.model["continuing_subword_prefix"], end


class BytePairs(TokenizerKind):
    """Pairs that are merged in the order in which they were learned (Sennrich et al. 2016).

    A text is cut as before where all merges on the way to its pieces are kept: of the others none was ever the first.
    """

    def __init__(self, tokenizer: Any, model: Dict[str, Any]):
        super().__init__(tokenizer, model)
        if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
            raise ValueError("a vocabulary of byte pairs that marks the inside or the end of words cannot be cut")
        # Older versions of the library write a pair as a text.
        merges = [tuple(own.split(" ")) if isinstance(own, str) else tuple(own) for own in model["merges"]]
        self.ranks: Dict[Tuple[str, ...], int] = {pair: rank for rank, pair in enumerate(merges)}
        self._known: Dict[str, Set[int]] = {}

    def always(self) -> Set[int]:
        """See TokenizerKind."""
        vocab = self.model["vocab"]
        unknown = _numbers(self.model, self.model.get("unk_token"))
        return self._one_character("") | {vocab[piece] for piece in vocab if _is_byte(piece)} | unknown

    def beside(self, text: str, encoded: Any) -> Set[int]:
        """See TokenizerKind: what is merged on the way to the pieces."""
        return {number for piece in set(encoded.tokens) for number in self._on_the_way(piece)}

    def _on_the_way(self, piece: str) -> Set[int]:
        if piece not in self._known:
            symbols, found = list(piece), set()
            while True:
                pairs = ((self.ranks.get(pair, NO_MERGE), at) for at, pair in enumerate(pairwise(symbols)))
                rank, at = min(pairs, default=(NO_MERGE, 0))
                if rank == NO_MERGE:
                    break
                symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
                found.add(symbols[at])
            vocab = self.model["vocab"]
            self._known[piece] = {vocab[own] for own in (*found, *piece) if own in vocab}
        return self._known[piece]

    def cut(self, kept: Set[int], new: Dict[int, int]) -> Dict[str, Any]:
        """See TokenizerKind; and the merges whose parts and result are there."""
        made = super().cut(kept, new)
        vocab = made["vocab"]
        pairs = self.model["merges"]
        inside = [all(part in vocab for part in (*pair, "".join(pair))) for pair in self.ranks]
        made["merges"] = [pair for pair, keep in zip(pairs, inside, strict=True) if keep]
        return made


KINDS = {"Unigram": Unigram, "WordPiece": WordPiece, "BPE": BytePairs}


def tokenizer_kind(tokenizer: Any) -> TokenizerKind:
    """Choose what a tokenizer is. Raises ValueError for one whose vocabulary cannot be cut."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] not in KINDS:
        raise ValueError(f"a vocabulary of the type {model['type']!r} cannot be cut")
    return KINDS[model["type"]](tokenizer, model)


def needed_pieces(kind: TokenizerKind, texts: Iterable[str]) -> Set[int]:
    """List the pieces without which some text would be cut in another way."""
    kept, stream = kind.always(), iter(texts)
    while portion := list(islice(stream, TEXTS_AT_ONCE)):
        for text, encoded in zip(portion, kind.tokenizer.encode_batch(portion, add_special_tokens=False), strict=True):
            kept.update(encoded.ids)
            kept |= kind.beside(text, encoded)
    return kept


def as_read(texts: Iterable[str], language: str, space: str) -> Iterator[str]:
    """Give each text in the ways in which it is read: as it is, and with a space between all words.

    language: code of the spaCy language that splits words. space: " " where a text is read with a space in front too.
    """
    splitter = load_tokenizer(language).tokenizer
    for text in texts:
        # `PieceReader` reads white space as a word too.
        tokens = " ".join(token.text for token in splitter(text))
        yield from dict.fromkeys(start + own for own in (text, tokens) for start in ("", space))


def renumber(part: Any, new: Dict[int, int]) -> Any:
    """Write the numbers of pieces anew in the part "post_processor" of a tokenizer's JSON."""
    kind = (part or {}).get("type")
    if kind == "Sequence":
        return {**part, "processors": [renumber(own, new) for own in part["processors"]]}
    if kind == "TemplateProcessing":
        special = part["special_tokens"].items()
        return {**part, "special_tokens": {key: {**own, "ids": [new[n] for n in own["ids"]]} for key, own in special}}
    if kind in ("BertProcessing", "RobertaProcessing"):
        return {**part, **{end: [part[end][0], new[part[end][1]]] for end in ("sep", "cls")}}
    return part


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")


def _numbers(model: Dict[str, Any], piece: Optional[str]) -> Set[int]:
    return {model["vocab"][piece]} if piece in model["vocab"] else set()
