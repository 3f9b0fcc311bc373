"""The factory of `back_attention`: what a config may say, and what it may leave out."""

from spacy.language import Language

from .component import BackAttention


@Language.factory(
    "back_attention",
    assigns=["doc.spans"],
    default_config={
        "representation": "states",
        "normalisation": "raw",
        "per_sentence": True,
        "memory_mb": 500.0,
    },
)
def make_back_attention(
    nlp: Language, name: str, representation: str, normalisation: str, per_sentence: bool, memory_mb: float
) -> BackAttention:
    """Gives every word what an English NER knows of the words that translate it (Sun et al. 2019).

    It translates each sentence, runs an English `bcrf_ner` on the translation, and carries what that knows of the
    English words back through the translator's attention. `spacy_crfner.BackAttentionFeatures.v1` reads the result in
    the model of a tagger. Translator and English pipeline are named in `[initialize.components.back_attention]`, stay
    as they are, and are saved with the component.

    representation: `states` of the English tagger's last layer before the CRF; `marginals`, the probabilities of its
        tags; or `tags`, which projects the entities that it finds.
    normalisation: `raw` takes the attention as the translator gives it; `row_normalised` makes each word's sum to 1
        and adds that sum as one more feature, the coverage.
    per_sentence: translate each sentence by itself where `doc.sents` is set; False translates the whole Doc.
    memory_mb: how much memory features may take that were computed before, in units of 10^6 bytes.
    """
    return BackAttention(
        name,
        representation=representation,
        normalisation=normalisation,
        per_sentence=per_sentence,
        memory_mb=memory_mb,
    )
