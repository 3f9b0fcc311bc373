"""The factories of `weak_class_router` and `ner_vote`, with their defaults."""

from typing import Any, Callable, List, Optional

from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model

from ..components.settings import component_factory
from .component import WeakClassRouter
from .losses import RouterLoss
from .model import RouterScores
from .settings import ROUTER_SETTINGS, VOTE_SETTINGS
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


@component_factory(
    "weak_class_router",
    settings=ROUTER_SETTINGS,
    parts={
        "model": DEFAULT_MODEL,
        "loss": {"@misc": "spacy_crfner.weighted_cross_entropy.v1", "weak": None, "strong": None},
        "scorer": {"@scorers": "spacy_crfner.sentence_scorer.v1"},
    },
    assigns=["doc.spans"],
    default_score_weights={"weak_ap": 1.0, "weak_p": 0.0, "weak_r": 0.0, "weak_f": 0.0, "strong_r": 0.0},
)
def make_weak_class_router(
    nlp: Language,
    name: str,
    model: Model[List[Doc], RouterScores],
    loss: RouterLoss,
    scorer: Optional[Callable],
    **settings: Any,
) -> WeakClassRouter:
    """Make a router, which says of each sentence how probable it is that it holds an entity with a weak (rare) label.

    A sentence is one of `doc.sents` where they are set, else the whole Doc.

    model: from Docs to router scores: `spacy_crfner.RCNN.v1`, or one of the other [router architectures](#layers), over
        any tok2vec.
    loss: see [Losses of a router](#losses-of-a-router).
    scorer: see [Scores of a router](#scores-of-a-router).
    """
    return WeakClassRouter(nlp.vocab, model, name, loss=loss, scorer=scorer, **settings)


@component_factory(
    "ner_vote",
    settings=VOTE_SETTINGS,
    parts={"scorer": {"@scorers": "spacy_crfner.average_scorer.v1"}},
    requires=["doc.spans"],
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_macro_f": 0.0,
        "ents_weighted_f": 0.0,
        "ents_per_type": None,
    },
)
def make_ner_vote(nlp: Language, name: str, scorer: Optional[Callable], **settings: Any) -> NERVote:
    """Make a vote, which makes the entities of several taggers one set without overlaps, in doc.ents.

    scorer: spaCy's entity scores with `ents_macro_f` and `ents_weighted_f` beside them.
    """
    return NERVote(name, scorer=scorer, **settings)
