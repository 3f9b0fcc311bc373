"""Translators of the transformers library: any sequence-to-sequence model with cross-attention."""

import json
import re
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import spacy
import torch
from spacy.util import minibatch
from thinc.util import get_torch_default_device

from ..extras import require
from ..files import Files, write_files
from ..saved_weights import check_finite
from .alignment import between_words
from .pieces import LONGEST
from .translation import Translation, translate_in_parts

SETTINGS = "spacy_crfner.json"
WORD_STARTS = ("\u2581", "\u0120")
"""How SentencePiece and byte-level tokenizers write the space in front of a word."""


LANGUAGE = re.compile(r"[a-z]{2,3}_[A-Za-z]{2,4}")
"""How the pieces of mBART (en_XX) and NLLB (eng_Latn) for languages look."""
STEP = 16
"""Texts whose length in pieces differs by less are translated together."""


class HFTranslator:
    """Translate with a model such as MarianMT, M2M100, mBART or NLLB.

    model, tokenizer: as `AutoModelForSeq2SeqLM` and `AutoTokenizer` load them, the model with `eager` attention.
    settings: see `make_hf_translator_v1`.
    Raises ValueError where the model has no such layer, head or language, or weights that are not finite numbers.
    """

    kind = "spacy_crfner.saved_hf_translator.v1"
    extra = "transformers"

    def __init__(self, model: Any, tokenizer: Any, settings: Mapping[str, Any]):
        check_finite(model)
        self.model = model.eval().to(get_torch_default_device())
        self.tokenizer = tokenizer
        self.settings = dict(settings)
        for name in ("beams", "longest", "batch_size"):
            if self.settings[name] < 1:
                raise ValueError(f"{name} of a translator must be 1 or more, not {self.settings[name]}.")
        config = model.config
        layers = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None)
        heads = getattr(config, "decoder_attention_heads", None) or getattr(config, "num_heads", None)
        for name, count in (("layer", layers), ("head", heads)):
            chosen = self.settings[name]
            if chosen is not None and count is not None and not -count <= chosen < count:
                raise ValueError(f"The translator has {count} {name}s in its decoder, so there is no {name} {chosen}.")
        self._first = self._choose_languages()
        self._most = getattr(config, "max_position_embeddings", None) or 512
        self._longest_word = min(LONGEST, self._most - len(tokenizer.build_inputs_with_special_tokens([])))
        self._english = spacy.blank("en")

    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """Translate sentences of words of any length, none of them empty."""
        return translate_in_parts(sentences, self.settings["longest"], self._translate, self._fits)

    def _fits(self, words: List[str]) -> bool:
        return len(self._encode(words)[0]) <= self._most

    def _translate(self, parts: List[List[str]]) -> List[Translation]:
        translations: Dict[int, Translation] = {}
        encoded = [self._encode(words) for words in parts]
        order = sorted(range(len(parts)), key=lambda index: len(encoded[index][0]))
        # Texts of a batch may all become as long, so that the others of it do not change the translation of one.
        for most, group in groupby(order, key=lambda index: self._most_pieces(len(encoded[index][0]))):
            for indices in minibatch(group, self.settings["batch_size"]):
                batch = self._translate_batch([parts[n] for n in indices], [encoded[n] for n in indices], most)
                translations.update(zip(indices, batch, strict=True))
        return [translations[index] for index in range(len(parts))]

    def _most_pieces(self, length: int) -> int:
        """Limit the pieces of the translation of a text with this many."""
        return min(2 * STEP * -(-length // STEP) + 10, self._most - 2)

    @torch.no_grad()
    def _translate_batch(
        self, parts: Sequence[Sequence[str]], encoded: Sequence[Tuple[List[int], List[int]]], most: int
    ) -> List[Translation]:
        """Translate parts of about the same length. most: pieces of a translation."""
        width = max(len(ids) for ids, _ in encoded)
        pad = self.tokenizer.pad_token_id
        device = self.model.device
        rows = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids, _ in encoded], device=device)
        inputs = {"input_ids": rows, "attention_mask": (rows != pad).long()}
        options = {} if self._first is None else {"forced_bos_token_id": self._first}
        output = self.model.generate(
            **inputs,
            **options,
            num_beams=self.settings["beams"],
            do_sample=False,
            max_new_tokens=most,
        )
        # Once more over the finished translations: generating reorders attention with the beams.
        attention = self._attention(inputs, output[:, :-1])
        return [
            self._read(words, owners, ids[1:].tolist(), matrix)
            for words, (_, owners), ids, matrix in zip(parts, encoded, output, attention, strict=True)
        ]

    def _attention(self, inputs: Dict[str, torch.Tensor], decoded: torch.Tensor) -> np.ndarray:
        """Compute attention (batch, decoded, source): of the layer and head that were chosen, or the mean of all."""
        layers = self.model(**inputs, decoder_input_ids=decoded, output_attentions=True).cross_attentions
        if not layers or layers[0] is None:
            raise ValueError("The model gives no cross-attention: load it with attn_implementation='eager'.")
        layer, head = self.settings["layer"], self.settings["head"]
        chosen = torch.stack(list(layers)).mean(dim=0) if layer is None else layers[layer]
        return (chosen.mean(dim=1) if head is None else chosen[:, head]).float().cpu().numpy()

    def _encode(self, words: Sequence[str]) -> Tuple[List[int], List[int]]:
        """Split a sentence into pieces, with special ones; also find for each the index of its word, -1 for none.

        Word by word: what a tokenizer without offsets makes of a word does not depend on the words beside it.
        """
        ids: List[int] = []
        owners: List[int] = []
        for index, word in enumerate(words):
            pieces = self.tokenizer.convert_tokens_to_ids(self.tokenizer.tokenize(word))[: self._longest_word]
            ids += pieces
            owners += [index] * len(pieces)
        whole = self.tokenizer.build_inputs_with_special_tokens(ids)
        before = next(n for n in range(len(whole) - len(ids) + 1) if whole[n : n + len(ids)] == ids)
        return whole, [-1] * before + owners + [-1] * (len(whole) - before - len(ids))

    def _read(self, words: Sequence[str], owners: List[int], ids: List[int], attention: np.ndarray) -> Translation:
        """Read a translation.

        owners: for each piece of the source, the index of its word, or -1. ids: the pieces of the translation, with
        special ones. attention: (ids, pieces of the source).
        """
        special = set(self.tokenizer.all_special_ids)
        kept = [n for n, piece in enumerate(ids) if piece not in special]
        texts = self.tokenizer.convert_ids_to_tokens([ids[n] for n in kept])
        text, piece_of = _spell(texts)
        doc = self._english.make_doc(text)
        tokens = [token for token in doc if not token.is_space]
        sources = [n for n, word in enumerate(owners) if word >= 0]
        pieces, targets = [], []
        for number, token in enumerate(tokens):
            # A piece may reach over several tokens, as in "dog."
            for piece in sorted({piece_of[at] for at in range(token.idx, token.idx + len(token))}):
                pieces.append(kept[piece])
                targets.append(number)
        chosen = attention[np.ix_(pieces, sources)] if pieces else np.zeros((0, len(sources)))
        source = [owners[n] for n in sources]
        matrix = between_words(chosen, source, targets, (len(words), len(tokens)))
        return Translation([token.text for token in tokens], matrix)

    def _choose_languages(self) -> Optional[int]:
        """Tell a model of many languages which one it reads.

        Returns the piece that lets it write English; None for a model of two languages.
        """
        ids = language_ids(self.tokenizer)
        source, target = self.settings["source"], self.settings["target"]
        if not ids:
            if source is not None:
                raise ValueError(f"The translator knows two languages only: leave `source` ({source!r}) out.")
            return None
        for name, code in (("source", source), ("target", target)):
            if code not in ids:
                raise ValueError(
                    f"The translator has no language {code!r}: choose `{name}` from {', '.join(sorted(ids))}."
                )
        self.tokenizer.src_lang = source
        return ids[target]

    def files(self) -> Files:
        """Save model, tokenizer and settings."""
        with TemporaryDirectory(prefix="spacy-crfner-") as folder:
            self.model.save_pretrained(folder, safe_serialization=True)
            self.tokenizer.save_pretrained(folder)
            files = {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}
        return {**files, SETTINGS: json.dumps(self.settings).encode("utf8")}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "HFTranslator":
        """Load what `files()` saved."""
        with TemporaryDirectory(prefix="spacy-crfner-") as folder:
            write_files(folder, files)
            return read_hf_translator(folder, json.loads(files[SETTINGS]))


def read_hf_translator(name: str, settings: Mapping[str, Any]) -> HFTranslator:
    """Load a model. name: a folder, or the name of a model of the hub. Raises ValueError where there is none."""
    transformers = require("transformers", "transformers", "spacy_crfner.HFTranslator.v1")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(name, attn_implementation="eager")
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: no translation model can be loaded from there ({error}).") from None
    return HFTranslator(model, tokenizer, settings)


def language_ids(tokenizer: Any) -> Dict[str, int]:
    """List the languages of a tokenizer, each with the piece that stands for it; none where it has no choice.

    M2M100 has a table of them; mBART and NLLB have them among their special pieces.
    """
    if not hasattr(tokenizer, "src_lang"):
        return {}
    if hasattr(tokenizer, "get_lang_id"):
        return {code: int(tokenizer.get_lang_id(code)) for code in tokenizer.lang_code_to_id}
    codes = getattr(tokenizer, "lang_code_to_id", None) or [
        code for code in tokenizer.additional_special_tokens if LANGUAGE.fullmatch(code)
    ]
    return {code: int(tokenizer.convert_tokens_to_ids(code)) for code in codes}


def _spell(pieces: Sequence[str]) -> Tuple[str, List[int]]:
    """Join pieces to a text, and find for each of its characters the index of its piece."""
    text, piece_of = "", []
    for index, piece in enumerate(pieces):
        for start in WORD_STARTS:
            piece = piece.replace(start, " ")
        if not text:
            piece = piece.lstrip()
        text += piece
        piece_of += [index] * len(piece)
    return text, piece_of
