"""The translator that this package trains: ConvS2S over pieces, with names that stand for themselves."""

import json
import math
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Sequence, Tuple, Union

import numpy as np
from safetensors.torch import load, save
from thinc.util import get_torch_default_device

from ..files import Files, fingerprint, readable
from ..saved_weights import load_module
from ..torch_state import in_usual_torch
from .alignment import between_words, expand
from .beam import Hypothesis, beam_search
from .convs2s import ConvS2S
from .names import PROTECT, protect
from .pieces import Pieces, Word
from .translation import Translation, TranslationError, translate_in_parts

ROWS = 64
"""Texts that are translated at once."""

ABOUT, PIECES, WEIGHTS = TRANSLATOR_FILES = "translator.json", "pieces.json", "weights.safetensors"

DIGEST = "digest"
"""The entry of ABOUT that binds the files to each other."""

DEFAULTS: Dict[str, Any] = {"beams": 5, "length_power": 1.0, "longest": 30, "protect": "unknown", "names": []}


class ConvTranslator:
    """Translate sentences into English with a trained network.

    model: without weight normalisation. known: words of the source language that it has learned from.
    language: code of the source language, by which the text that it has learned from was split into words.
    settings: see `make_conv_seq2seq_v1`.
    """

    kind = "spacy_crfner.saved_conv_seq2seq.v1"
    extra = "translation"

    def __init__(
        self, model: ConvS2S, pieces: Pieces, known: Collection[str], language: str, settings: Mapping[str, Any]
    ):
        self.model = model.to(get_torch_default_device())
        self.pieces = pieces
        self._most = model.settings["positions"]
        self.known = frozenset(known)
        self.language = language
        self.settings = {**DEFAULTS, **settings}
        if isinstance(self.settings["names"], str):
            raise ValueError(f"The names of a translator are a list of words, not {self.settings['names']!r}.")
        for name in ("beams", "longest"):
            if self.settings[name] < 1:
                raise ValueError(f"{name} of a translator must be 1 or more, not {self.settings[name]}.")
        if self.settings["protect"] not in PROTECT:
            raise ValueError(
                f"A translator cannot protect {self.settings['protect']!r} words: choose from {', '.join(PROTECT)}."
            )

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """Translate sentences of words of any length, none of them empty."""
        return translate_in_parts(sentences, self.settings["longest"], self._translate, self._fits)

    def _fits(self, words: List[str]) -> bool:
        """Decide whether a text is no longer than those that the network has learned from."""
        return len(self.pieces.encode(words)[0]) <= self._most

    def _translate(self, parts: List[List[str]]) -> List[Translation]:
        shown = [protect(part, self.known, self.settings["protect"], self.settings["names"]) for part in parts]
        encoded = [self.pieces.encode(words) for words, _ in shown]
        translations: Dict[int, Translation] = {}
        # Texts of a length together, so that there is little padding.
        order = sorted(range(len(parts)), key=lambda index: len(encoded[index][0]))
        for first in range(0, len(order), ROWS):
            indices = order[first : first + ROWS]
            hypotheses = beam_search(
                self.model,
                [encoded[index][0] for index in indices],
                beams=self.settings["beams"],
                length_power=self.settings["length_power"],
            )
            for index, hypothesis in zip(indices, hypotheses, strict=True):
                words, spans = shown[index]
                translations[index] = self._read(parts[index], words, spans, encoded[index][1], hypothesis)
        return [translations[index] for index in range(len(parts))]

    def _read(
        self,
        words: Sequence[str],
        shown: Sequence[Word],
        spans: Sequence[Tuple[int, int]],
        source: Sequence[int],
        hypothesis: Hypothesis,
    ) -> Translation:
        """Read the words of a hypothesis, with the names instead of their numbers, and the attention between words.

        words: of the source, of which the network was shown numbers for those in `spans`; source: for each
        piece, the index of its word among what it was shown.
        """
        translated, target = self.pieces.decode(hypothesis.pieces)
        # Without the END of the source, which is no word.
        attention = hypothesis.attention[:, : len(source)].numpy()
        if not np.isfinite(attention).all() or math.isnan(hypothesis.score):
            raise TranslationError(f"The translator's attention to {' '.join(words)[:80]!r} is not finite.")
        between = between_words(attention, source, target, (len(shown), len(translated)))
        english: List[str] = []
        for word in translated:
            english += words[slice(*spans[word])] if isinstance(word, int) else [word]
        repeated = [spans[word] if isinstance(word, int) else (0, 0) for word in translated]
        return Translation(english, expand(between, _behind(shown, spans), repeated))

    def files(self) -> Files:
        """Save network, pieces and settings."""
        about = {
            "kind": self.kind,
            "language": self.language,
            "network": self.model.settings,
            "settings": self.settings,
            "known": sorted(self.known),
        }
        pieces = self.pieces.to_str().encode("utf8")
        weights = save({name: weight.cpu().contiguous() for name, weight in self.model.state_dict().items()})
        about[DIGEST] = fingerprint(about, pieces, weights)
        return {ABOUT: json.dumps(about, ensure_ascii=False, indent=1).encode("utf8"), PIECES: pieces, WEIGHTS: weights}

    @classmethod
    @in_usual_torch
    def from_files(cls, files: Mapping[str, bytes]) -> "ConvTranslator":
        """Load what `files()` saved.

        Raises ValueError, or what reading damaged files raises, where they do not belong together.
        """
        about = json.loads(files[ABOUT])
        # An earlier version has written none.
        saved = about.pop(DIGEST, None)
        if saved not in (None, fingerprint(about, files[PIECES], files[WEIGHTS])):
            raise ValueError("a file is damaged, or the files were not saved together")
        model = load_module(ConvS2S, {**about["network"], "normalised": False}, load(files[WEIGHTS])).eval()
        pieces = Pieces.from_str(files[PIECES].decode("utf8"))
        if len(pieces) != model.settings["vocab"]:
            raise ValueError(f"its network knows {model.settings['vocab']} pieces, not {len(pieces)}")
        return cls(model, pieces, about["known"], about["language"], about["settings"])


def read_conv_translator(path: Union[str, Path], settings: Mapping[str, Any]) -> ConvTranslator:
    """Read what `python -m spacy crfner train-translator` has written, with other settings.

    Raises ValueError where the folder holds none.
    """
    missing = [name for name in TRANSLATOR_FILES if not (Path(path) / name).is_file()]
    if missing:
        raise ValueError(
            f"{path}: there is no translator in this folder ({', '.join(missing)} missing): make one with "
            "`python -m spacy crfner train-translator`."
        )
    with readable(f"{path}: the translator in this folder"):
        files = {name: (Path(path) / name).read_bytes() for name in TRANSLATOR_FILES}
        saved = ConvTranslator.from_files(files)
    return ConvTranslator(saved.model, saved.pieces, saved.known, saved.language, {**saved.settings, **settings})


def _behind(shown: Sequence[Word], spans: Sequence[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """Find the words (start, end) behind each word or number that the network was shown."""
    behind: List[Tuple[int, int]] = []
    for word in shown:
        start = behind[-1][1] if behind else 0
        behind.append(spans[word] if isinstance(word, int) else (start, start + 1))
    return behind
