"""Raw text to learn from, and a part of it that is held out."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from ..raw_text import read_texts


@dataclass(frozen=True)
class RawText:
    """Texts of files, read anew as a stream whenever they are asked for; see `raw_text.read_texts`.

    train: files to learn from. dev: files to evaluate on; none holds out a part of `train`.
    held_out: the share of the texts of `train` that is for evaluation then. A checksum of the text chooses, so that
        copies of a text are on one side, and the order of the files does not matter.
    Raises ValueError for a share that cannot be, CorpusError where a file does not exist.
    """

    train: Sequence[Path]
    dev: Sequence[Path] = ()
    held_out: float = 0.02

    def __post_init__(self) -> None:
        """Check share and files."""
        # It looks whether they exist at once, before a model is read.
        read_texts([*self.train, *self.dev])
        if not self.dev and not 0.0 < self.held_out < 1.0:
            raise ValueError(f"The share of the text to evaluate on is a number between 0 and 1, not {self.held_out}.")

    def to_learn_from(self) -> Iterator[str]:
        """Read the texts to learn from. Raises CorpusError."""
        texts = read_texts(self.train)
        return texts if self.dev else (text for text in texts if not self._is_held_out(text))

    def to_evaluate_on(self) -> Iterator[str]:
        """Read the texts to evaluate on. Raises CorpusError."""
        return read_texts(self.dev) if self.dev else filter(self._is_held_out, read_texts(self.train))

    def _is_held_out(self, text: str) -> bool:
        return zlib.crc32(text.encode("utf8", "surrogatepass")) < self.held_out * 2**32
