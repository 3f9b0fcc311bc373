"""The tokens of Docs as pieces of a transformer's vocabulary, and which piece stands in which token."""

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc

Span = Tuple[int, int]
"""The first token of a sequence, and the one after its last."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """The P pieces of a sequence of T tokens.

    ids: (P,) rows of the vocabulary, without those that mark the ends of a text.
    piece, token: (M,) pairs of a piece and a token that it stands in, counted from the first of each, in order of the
        pieces. A token that is more than white space has one at least.
    """

    ids: np.ndarray
    piece: np.ndarray
    token: np.ndarray


class PieceReader:
    """Cuts text as the tokenizer of a transformer does.

    tokenizer: of the `tokenizers` library. before, after: pieces that mark the ends of a text.
    unknown: the piece of a token whose characters the tokenizer leaves out, such as a zero-width space.
    padding: the piece that fills a batch up.
    """

    def __init__(self, tokenizer: Any, *, before: List[int], after: List[int], unknown: int, padding: int):
        self.tokenizer = tokenizer
        self.before, self.after = before, after
        self.unknown, self.padding = unknown, padding
        # A text that spells a mark of the vocabulary, such as [SEP], does not hold one. Unigram vocabularies have some
        # of their marks among the pieces of text, which the tokenizer goes on finding.
        tokenizer.encode_special_tokens = True
        special = [number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special]
        self._marks = np.array(sorted({*before, *after, padding, *special} - {unknown}), dtype=np.int64)
        # A byte-level vocabulary has a word with a space in front as another piece: every word but the first has one.
        described = json.dumps(json.loads(tokenizer.to_str()).get("pre_tokenizer"))
        self.space = " " if "ByteLevel" in described else ""

    @classmethod
    def of_transformer(cls, tokenizer: Any) -> "PieceReader":
        """Take what a fast tokenizer of the transformers library says. Raises ValueError for a slow one."""
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"{type(tokenizer).__name__} says nothing of characters: save the model's fast tokenizer")
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        marked = backend.encode("a", add_special_tokens=True)
        inside = [at for at, special in enumerate(marked.special_tokens_mask) if not special] or [1]
        padding = tokenizer.pad_token_id
        unknown = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.mask_token_id
        if unknown is None:
            raise ValueError("its tokenizer has no piece for what is unknown")
        return cls(
            backend,
            before=marked.ids[: inside[0]],
            after=marked.ids[inside[-1] + 1 :],
            unknown=unknown,
            padding=0 if padding is None else padding,
        )

    @property
    def settings(self) -> Dict[str, Any]:
        """What a reader of the same tokenizer needs beside it, as JSON holds it."""
        return {"before": self.before, "after": self.after, "unknown": self.unknown, "padding": self.padding}

    def read(self, doc: Doc, span: Span, *, keep_spaces: bool) -> Pieces:
        """Cut some tokens of a Doc, one or more, into pieces.

        keep_spaces: read the text with the spaces that it has; otherwise as if a space stood between all tokens.
        """
        tokens = doc[span[0] : span[1]]
        lengths = [len(token) for token in tokens]
        if keep_spaces:
            text, starts = tokens.text, [token.idx - tokens.start_char for token in tokens]
        else:
            text = " ".join(token.text for token in tokens)
            starts = (np.cumsum([0, *lengths[:-1]]) + np.arange(len(lengths))).tolist()
        encoded = self.tokenizer.encode(self.space + text, add_special_tokens=False)
        token_of_char = _tokens_of_chars(text, starts, lengths)
        offsets = np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2) - len(self.space)
        piece, token = _pairs(np.maximum(offsets, 0), token_of_char)
        return self._complete(Pieces(self.ids_of(encoded), piece, token), token_of_char)

    def ids_of(self, encoded: Any) -> np.ndarray:
        """Read the pieces of a text that the tokenizer has cut, (P,), where what spells a mark is unknown."""
        ids = np.array(encoded.ids, dtype=np.int64)
        ids[np.isin(ids, self._marks)] = self.unknown
        return ids

    def _complete(self, pieces: Pieces, token_of_char: np.ndarray) -> Pieces:
        """Put the unknown piece where a token has none."""
        wanted = np.unique(token_of_char[token_of_char >= 0])
        absent = np.setdiff1d(wanted, pieces.token)
        if not len(absent):
            return pieces
        ids, piece, token = list(pieces.ids), pieces.piece, pieces.token
        for missing in absent[::-1].tolist():
            later = piece[token > missing]
            at = int(later.min()) if len(later) else len(ids)
            ids.insert(at, self.unknown)
            piece = np.append(np.where(piece >= at, piece + 1, piece), at)
            token = np.append(token, missing)
        order = np.lexsort((token, piece))
        return Pieces(np.array(ids, dtype=np.int64), piece[order], token[order])


def _tokens_of_chars(text: str, starts: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
    """Find the token that each character belongs to; -1 for white space."""
    owners = np.full(len(text), -1, dtype=np.int64)
    for token, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        owners[start : start + length] = token
    owners[[at for at, char in enumerate(text) if char.isspace()]] = -1
    return owners


def _pairs(offsets: np.ndarray, token_of_char: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Pair pieces, by (first character, the one after the last), with the tokens whose characters they hold."""
    if not len(offsets) or not len(token_of_char):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    visible = np.flatnonzero(token_of_char >= 0)
    # The characters of a piece that are no white space, as a range of the visible ones.
    first, end = np.searchsorted(visible, offsets[:, 0]), np.searchsorted(visible, offsets[:, 1])
    counts = np.maximum(end - first, 0)
    piece = np.repeat(np.arange(len(offsets)), counts)
    at = np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    token = token_of_char[visible[at]]
    new = np.ones(len(piece), dtype=bool)
    new[1:] = (piece[1:] != piece[:-1]) | (token[1:] != token[:-1])
    return piece[new], token[new]
