"""Features that know less than back attention does, to tell what of its gain comes from where."""

import hashlib
import json
from typing import Dict, List, Mapping, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup
from spacy.util import registry

from spacy_crfner.back_attention.features import FEATURES
from spacy_crfner.back_attention.translation import Translation, Translator
from spacy_crfner.back_attention.translators import load_translator

INNER = "inner.json"


class Shuffled:
    """Translates as another translator does, and gives every word what comes from another word of the sentence.

    It still knows what the sentence holds, but not where.
    """

    kind = "controls.saved_shuffled.v1"

    def __init__(self, translator: Translator):
        self.translator = translator

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        found = self.translator.translate(sentences)
        return [
            Translation(one.words, np.roll(one.attention, _shift(words), axis=0))
            for words, one in zip(sentences, found, strict=True)
        ]

    def files(self) -> Dict[str, bytes]:
        return {**self.translator.files(), INNER: json.dumps(self.translator.kind).encode("utf8")}


@registry.misc("controls.Shuffled.v1")
def make_shuffled(translator: Translator) -> Shuffled:
    return Shuffled(translator)


@registry.misc("controls.saved_shuffled.v1")
def load_shuffled(files: Mapping[str, bytes]) -> Shuffled:
    inner = {name: content for name, content in files.items() if name != INNER}
    return Shuffled(load_translator(json.loads(files[INNER]), inner))


@Language.factory("random_features", assigns=["doc.spans"], default_config={"width": 400})
def make_random_features(nlp: Language, name: str, width: int) -> "RandomFeatures":
    return RandomFeatures(name, width)


class RandomFeatures:
    """Gives every word numbers between -1 and 1 by chance, the same ones whenever it occurs."""

    def __init__(self, name: str, width: int):
        self.name = name
        self.width = width

    def __call__(self, doc: Doc) -> Doc:
        rows = [_random([token.text]).uniform(-1.0, 1.0, self.width) for token in doc]
        features = np.array(rows, dtype=np.float16).reshape(len(doc), self.width)
        doc.spans[self.name] = SpanGroup(doc, name=self.name, spans=[], attrs={FEATURES: features})
        return doc


def _shift(words: Sequence[str]) -> int:
    """By how many words; by none only where there is one."""
    return int(_random(words).integers(1, len(words))) if len(words) > 1 else 0


def _random(words: Sequence[str]) -> np.random.Generator:
    digest = hashlib.sha256("\0".join(words).encode("utf8")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
