"""Words as they are, instead of a translation."""

from typing import List, Mapping, Sequence

import numpy as np

from ..files import Files
from .translation import Translation


class Untranslated:
    """Give every sentence back, each word aligned to itself."""

    kind = "spacy_crfner.saved_untranslated.v1"

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """Give sentences back as they are."""
        return [Translation(list(words), np.eye(len(words), dtype=np.float32)) for words in sentences]

    def files(self) -> Files:
        """Save nothing: there is nothing to save."""
        return {}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Untranslated":
        """Make the translator of no files."""
        return cls()
