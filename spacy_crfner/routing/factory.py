"""The factories of `weak_class_router` and `ner_vote`, with their defaults."""

from typing import Callable, Dict, List, Optional

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from .component import WeakClassRouter
from .losses import RouterLoss
from .model import RouterScores
from .vote import NERVote

DEFAULT_MODEL = {
    "@architectures": "spacy_crfner.RCNN.v1",
    "width": 200,
    "hidden_width": 100,
    "per_sentence": True,
    "tok2vec": {
        "@architectures": "spacy_crfner.WordCharEmbed.v1",
        "layout": "word",
        "hash_attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
        "hash_rows": [5000, 1000, 2500, 2500],
        "hash_width": 128,
        "hash_noise": 0.4,
    },
}


@Language.factory(
    "weak_class_router",
    assigns=["doc.spans"],
    default_config={
        "model": DEFAULT_MODEL,
        "loss": {"@misc": "spacy_crfner.weighted_cross_entropy.v1", "weak": None, "strong": None},
        "weak_labels": None,
        "rare": 0.02,
        "threshold": 0.5,
        "penalty": 0.0,
        "spans_key": "weak_class_router",
        "scorer": {"@scorers": "spacy_crfner.sentence_scorer.v1"},
    },
    default_score_weights={
        "weak_ap": 1.0,
        "weak_p": 0.0,
        "weak_r": 0.0,
        "weak_f": 0.0,
        "strong_r": 0.0,
    },
)
def make_weak_class_router(
    nlp: Language,
    name: str,
    model: Model[List[Doc], RouterScores],
    loss: RouterLoss,
    weak_labels: Optional[List[str]],
    rare: float,
    threshold: float,
    penalty: float,
    spans_key: str,
    scorer: Optional[Callable],
) -> WeakClassRouter:
    """Says of each sentence how probable it is that it holds an entity with a weak (rare) label.

    A sentence is one of `doc.sents` where they are set, else the whole Doc.

    model: from Docs to router scores, `spacy_crfner.{RCNN,LSTMAttention,StructuredSelfAttention}.v1` over any tok2vec.
    loss: `spacy_crfner.{weighted_cross_entropy,cross_entropy,focal_cross_entropy}.v1`.
    weak_labels: the weak labels; None takes those that are rare in the training data, and logs them.
    rare: without `weak_labels`, a label is weak where less than this share of all entities has it.
    threshold: a sentence is flagged where its probability reaches this; `spacy_crfner.tune_threshold.v1` finds it.
    penalty: weight of the penalty of overlapping attentions (Lin et al. 2017), for StructuredSelfAttention.v1; 0 leaves
        it out.
    spans_key: the span group to write, which takes part in DocBin and `n_process`.
    scorer: see `spacy_crfner.sentence_scorer.v1`.
    """
    return WeakClassRouter(
        nlp.vocab,
        model,
        name,
        loss=loss,
        weak_labels=weak_labels,
        rare=rare,
        threshold=threshold,
        penalty=penalty,
        spans_key=spans_key,
        scorer=scorer,
    )


@Language.factory(
    "ner_vote",
    requires=["doc.spans"],
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
    default_config={
        "groups": ["strong", "weak"],
        "rule": "span",
        "router": None,
        "gated": [],
        "gates": {},
        "overwrite_ents": False,
        "scorer": {"@scorers": "spacy_crfner.average_scorer.v1"},
    },
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_macro_f": 0.0,
        "ents_weighted_f": 0.0,
        "ents_per_type": None,
    },
)
def make_ner_vote(
    nlp: Language,
    name: str,
    groups: List[str],
    rule: str,
    router: Optional[str],
    gated: List[str],
    gates: Dict[str, float],
    overwrite_ents: bool,
    scorer: Optional[Callable],
) -> NERVote:
    """Makes the entities of several taggers one set without overlaps, in doc.ents.

    groups: the span groups of the taggers (`spans_key` of each `bcrf_ner`), which must hold their confidence.
    rule: `span`: the more probable entity wins; `word`: at every word a tag beats O and the more probable tag wins
        (Saarland report 2020, eqs. 8-9), for which the taggers must annotate `marginals`.
    router: the span group of a `weak_class_router`.
    gated: groups that have a vote only in sentences which the router flags.
    gates: label -> probability: entities of the gated groups with this label need a sentence that the router finds at
        least so probable, flagged or not; `spacy_crfner.tune_threshold.v1` finds them.
    overwrite_ents: False keeps entities that are already in doc.ents and sets others around them.
    scorer: see `spacy_crfner.average_scorer.v1`.
    """
    return NERVote(
        name,
        groups=groups,
        rule=rule,
        router=router,
        gated=gated,
        gates=gates,
        overwrite_ents=overwrite_ents,
        scorer=scorer,
    )
