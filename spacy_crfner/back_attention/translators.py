"""The translators that a config can name, and how a saved one is loaded."""

from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Union

from spacy.util import registry

from ..files import readable
from .conv_translator import ConvTranslator, read_conv_translator
from .hugging_face import HFTranslator, read_hf_translator
from .precomputed import PrecomputedTranslator, read_precomputed
from .translation import Translator
from .untranslated import Untranslated

CONV_HELP = (
    "the folder that `python -m spacy crfner train-translator` has written, in the shipped config with "
    "--paths.translator (or train without a translator, with the config untranslated)"
)


def _given(path: Union[str, Path, None], argument: str, what: str) -> Union[str, Path]:
    """Check that a config has said where a translator is. Raises ValueError, which says how, where it has not."""
    if path is None or not str(path).strip():
        raise ValueError(f"The translator has no {argument}: give {what}.")
    return path


def make_conv_seq2seq_v1(
    path: Union[str, Path, None] = None,
    beams: int = 5,
    length_power: float = 1.0,
    longest: int = 30,
    protect: str = "unknown",
    names: Sequence[str] = (),
) -> ConvTranslator:
    """Translate with the convolutional network of Gehring et al. 2017 that `train-translator` has trained.

    path: the folder into which `python -m spacy crfner train-translator` has written.
    beams: translations that are followed at once.
    length_power: the log probability of a translation is divided by this power of its length in pieces.
    longest: words of a part; longer sentences are cut, after punctuation where there is some.
    protect: words that are not translated but repeated: `unknown` words with a capital letter or a digit, all
        `capitalised` ones but the first of a sentence, or `none`.
    names: words that are repeated too.
    Raises ValueError where the folder holds no translator, or for a setting that does not exist.
    """
    settings = {"beams": beams, "length_power": length_power, "longest": longest, "protect": protect}
    return read_conv_translator(_given(path, "path", CONV_HELP), {**settings, "names": list(names)})


def make_hf_translator_v1(
    name: Union[str, Path, None] = None,
    source: Optional[str] = None,
    target: str = "en",
    layer: Optional[int] = None,
    head: Optional[int] = None,
    beams: int = 4,
    longest: int = 100,
    batch_size: int = 16,
) -> HFTranslator:
    """Translate with a model of transformers that has cross-attention, such as MarianMT, M2M100, mBART or NLLB.

    name: a folder, or the name of a model of the hub, which transformers then downloads.
    source, target: languages, as a model of many languages names them (`eng_Latn` for English in NLLB); a model of two
        needs none.
    layer, head: whose attention is taken, counted from 0, or with -1 from the last; None takes the mean of all.
    beams: translations that are followed at once.
    longest: words of a part; longer sentences are cut, after punctuation where there is some.
    batch_size: parts that are translated at once.
    Raises ImportError without transformers, ValueError where there is no such model, layer, head or language.
    """
    settings = {"source": source, "target": target, "layer": layer, "head": head, "beams": beams}
    name = _given(name, "name", "the folder of a model of transformers, or its name in the hub")
    return read_hf_translator(str(name), {**settings, "longest": longest, "batch_size": batch_size})


def make_precomputed_v1(path: Union[str, Path, None] = None) -> PrecomputedTranslator:
    """Look up translations made elsewhere, with word alignments or attention matrices.

    path: a JSON lines file: `{"words": [...], "translation": [...], "alignment": "0-0 1-2"}` with pairs of source word
        and English word, counted from 0 (Pharaoh format), or `"attention": [[...], ...]`, a row for each source word.
    Raises ValueError, naming the line, where the file says something else.
    """
    return read_precomputed(_given(path, "path", "a JSON lines file of translations"))


def make_untranslated_v1() -> Untranslated:
    """Translate nothing: the English pipeline reads the words of the language itself.

    A control, and all that is needed where the names are what the languages share.
    """
    return Untranslated()


def load_translator(kind: str, files: Mapping[str, bytes]) -> Translator:
    """Load a translator from what its `files()` gave.

    kind: the registered function (in `registry.misc`) that makes it of them.
    Raises ValueError where they cannot be read, or hold no translator of this kind.
    """
    load: Any = registry.misc.get(kind)
    with readable("its translator"):
        translator = load(dict(files))
        if not isinstance(translator, Translator) or translator.kind != kind:
            raise ValueError(f"{kind} makes no translator of this kind")
        return translator
