"""The factory of `bcrf_ner`, with its default model."""

from typing import Callable, List, Optional, Union

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from .component import CRFEntityRecognizer
from .decoders import Decoder
from .losses import LossBlock
from .model import CRFScores

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


@Language.factory(
    "bcrf_ner",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "loss": {"@misc": "spacy_crfner.bernoulli.v1", "P": 0.2, "P_missed": None, "P_invented": None},
        "decoder": {"@misc": "spacy_crfner.viterbi_decoder.v1"},
        "scheme": "BIOES",
        "per_sentence": True,
        "r_drop": 0.5,
        "router": None,
        "train_on": "all",
        "predict_on": "all",
        "label_filter": None,
        "spans_key": None,
        "threshold": 0.0,
        "annotate": ["confidence"],
        "n_best": 5,
        "incorrect_spans_key": None,
        "overwrite_ents": False,
        "scorer": {"@scorers": "spacy_crfner.entity_scorer.v1"},
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
)
def make_bcrf_ner(
    nlp: Language,
    name: str,
    model: Model[List[Doc], CRFScores],
    loss: LossBlock,
    decoder: Decoder,
    scheme: str,
    per_sentence: bool,
    r_drop: float,
    router: Optional[str],
    train_on: str,
    predict_on: str,
    label_filter: Union[List[str], str, None],
    spans_key: Optional[str],
    threshold: float,
    annotate: List[str],
    n_best: int,
    incorrect_spans_key: Optional[str],
    overwrite_ents: bool,
    scorer: Optional[Callable],
) -> CRFEntityRecognizer:
    """A CRF tagger for named entities.

    model: from Docs to CRF scores, `spacy_crfner.CRFTagger.v1` over any tok2vec.
    loss: `spacy_crfner.{bernoulli,nll,viterbi_gated,focal,softmax}.v1`.
    decoder: `spacy_crfner.{viterbi,max_f,softmax}_decoder.v1`.
    scheme: `BIOES` or `BIO`.
    per_sentence: run the CRF on each sentence by itself where doc.sents is set; False always takes the whole Doc.
    r_drop: weight of the divergence between two predictions for each sentence under different dropout (R-Drop, Liang et
        al. 2021, https://arxiv.org/abs/2106.14448), over all tag sequences. Training takes twice the time. 0: none.
        Left out where the model listens to a shared tok2vec, which can give a batch only one dropout.
    router: the span group of a `weak_class_router` in front, for the next three settings.
    train_on: `all` sentences; `once`: without those that `spacy_crfner.BalancedCorpus.v1` repeats; `routed`: those that
        the router flags and those that hold an entity; `balanced`: those that hold an entity, and as many others of the
        batch, drawn at random.
    predict_on: `all` sentences, or those that the router flags (`routed`).
    label_filter: the only labels that are learned and found; entities of others count as no entities. `weak` and
        `strong` are the weak labels of the router, and all others.
    spans_key: write doc.spans[spans_key] and leave doc.ents alone; None writes doc.ents.
    threshold: drop entities whose probability is below this.
    annotate: what doc.spans[...].attrs holds: `confidence` (`scores`, one probability an entity),
        `marginals` (tokens x tags), `n_best` (the best tag sequences of each sentence).
    n_best: how many tag sequences a sentence.
    incorrect_spans_key: the span group of the training Docs with spans that are known to be no entities.
    overwrite_ents: False keeps entities that are already in doc.ents and finds others around them.
    scorer: see `spacy_crfner.entity_scorer.v1`.
    """
    return CRFEntityRecognizer(
        nlp.vocab,
        model,
        name,
        loss=loss,
        decoder=decoder,
        scheme=scheme,
        per_sentence=per_sentence,
        r_drop=r_drop,
        router=router,
        train_on=train_on,
        predict_on=predict_on,
        label_filter=label_filter,
        spans_key=spans_key,
        threshold=threshold,
        annotate=annotate,
        n_best=n_best,
        incorrect_spans_key=incorrect_spans_key,
        overwrite_ents=overwrite_ents,
        scorer=scorer,
    )
