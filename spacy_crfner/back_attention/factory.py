"""The factory of `back_attention`: what a config may say, and what it may leave out."""

from typing import Any

from spacy.language import Language

from ..components.settings import component_factory
from .component import BackAttention
from .settings import BACK_ATTENTION_SETTINGS


@component_factory("back_attention", settings=BACK_ATTENTION_SETTINGS, parts={}, assigns=["doc.spans"])
def make_back_attention(nlp: Language, name: str, **settings: Any) -> BackAttention:
    """Make a component that gives every word what an English NER knows of the words that translate it.

    Sun et al. 2019: it translates each sentence, runs an English `bcrf_ner` on the translation, and carries what that
    knows of the English words back through the translator's attention. `spacy_crfner.BackAttentionFeatures.v1` reads
    the result in the model of a tagger. Translator and English pipeline are named in
    `[initialize.components.back_attention]`, stay as they are, and are saved with the component.

    """
    return BackAttention(name, **settings)
