"""The factory of `bcrf_ner`, with its default model."""

from typing import Any, Callable, List, Optional

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from ..components.settings import component_factory
from ..crf import CRFLoss
from .component import CRFEntityRecognizer
from .decoders import Decoder
from .head import CRFScores
from .sentence_selection import SentenceSelection
from .settings import BCRF_NER_SETTINGS

DEFAULT_MODEL = {
    "@architectures": "spacy_crfner.CRFTagger.v1",
    "nO": None,
    "tok2vec": {
        "@architectures": "spacy_crfner.BiLSTM.v1",
        "width": 400,
        "depth": 1,
        "per_sentence": True,
        "tok2vec": {
            "@architectures": "spacy_crfner.WordCharEmbed.v1",
            "layout": "word+char*2",
            "char_width": 50,
            "char_embed_width": 30,
            "char_rows": 4096,
            "hash_attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
            "hash_rows": [5000, 1000, 2500, 2500],
            "hash_width": 128,
            "hash_noise": 0.4,
        },
    },
}


@component_factory(
    "bcrf_ner",
    settings=BCRF_NER_SETTINGS,
    parts={
        "model": DEFAULT_MODEL,
        "loss": {"@misc": "spacy_crfner.bernoulli.v1", "P": 0.2, "P_missed": None, "P_invented": None},
        "decoder": {"@misc": "spacy_crfner.viterbi_decoder.v1"},
        "sentences": None,
        "scorer": {"@scorers": "spacy_crfner.entity_scorer.v1"},
    },
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_bcrf_ner(
    nlp: Language,
    name: str,
    model: Model[List[Doc], CRFScores],
    loss: CRFLoss,
    decoder: Decoder,
    sentences: Optional[SentenceSelection],
    scorer: Optional[Callable],
    **settings: Any,
) -> CRFEntityRecognizer:
    """Make a CRF tagger for named entities.

    model: from Docs to CRF scores: `spacy_crfner.CRFTagger.v1` over any tok2vec.
    loss: see [Losses](#losses).
    decoder: see [Decoders](#decoders).
    sentences: which sentences are learned from and read, see [Selections of sentences](#selections-of-sentences);
        `null` takes all.
    scorer: spaCy's entity scores, or `spans_<key>_f` with `spans_key`.
    """
    return CRFEntityRecognizer(
        nlp.vocab, model, name, loss=loss, decoder=decoder, sentences=sentences, scorer=scorer, **settings
    )
