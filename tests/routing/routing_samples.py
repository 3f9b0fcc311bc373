"""Small routed pipelines, and Docs for them."""

import numpy as np
import spacy
from samples import SMALL_MODEL, TRAIN
from spacy.tokens import Doc, Span
from spacy.training import Example

SMALL_ROUTER = {
    "@architectures": "spacy_crfner.RCNN.v1",
    "width": 32,
    "hidden_width": 32,
    "tok2vec": {
        "@architectures": "spacy_crfner.WordCharEmbed.v1",
        "layout": "char20",
        "char_rows": 1100,
        "hash_rows": [500] * 4,
        "hash_width": 32,
        "hash_noise": 0.0,
    },
}

GATED = {"groups": ["weak"], "router": "weak_class_router", "gated": ["weak"]}
"""A vote that asks the router for everything."""


def examples(nlp):
    return [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]


def selecting(**arguments):
    """Settings of a tagger that selects sentences."""
    return {"sentences": {"@misc": "spacy_crfner.select_sentences.v1", **arguments}}


def pipeline(weak=None, strong=None, vote=None, router=None):
    nlp = spacy.blank("en")
    nlp.add_pipe("weak_class_router", config={"model": SMALL_ROUTER, "weak_labels": ["ORG"], **(router or {})})
    asks = {"router": "weak_class_router"}
    strong = {**SMALL_MODEL, **selecting(labels="strong", **asks), "spans_key": "strong", **(strong or {})}
    routed = selecting(labels="weak", predict="routed", **asks)
    weak = {**SMALL_MODEL, **routed, "spans_key": "weak", **(weak or {})}
    nlp.add_pipe("bcrf_ner", name="strong", config=strong)
    nlp.add_pipe("bcrf_ner", name="weak", config=weak)
    nlp.add_pipe("ner_vote", config=vote or {})
    return nlp


def spans(group):
    return [(span.start, span.end, span.label_) for span in group]


def probabilities(doc):
    return doc.spans["weak_class_router"].attrs["scores"]


def flag(nlp, doc, places):
    """Let the router have flagged the sentences that begin at these tokens."""
    sentences = list(doc.sents) if doc.has_annotation("SENT_START") else [doc[:]]
    labels = ["weak" if sentence.start in places else "strong" for sentence in sentences]
    pairs = zip(sentences, labels, strict=True)
    doc.spans["weak_class_router"] = [Span(doc, s.start, s.end, label=label) for s, label in pairs]
    return doc


def three_sentences(nlp):
    texts = [TRAIN[1][0], TRAIN[0][0], TRAIN[8][0]]
    words = [text.split() for text in texts]
    starts = [k == 0 for sentence in words for k in range(len(sentence))]
    return Doc(nlp.vocab, words=[word for sentence in words for word in sentence], sent_starts=starts)


def gates_doc(nlp, probabilities, weak, gold=()):
    """A Doc of one-word sentences that a router has read, with entities of a gated group and gold ones."""
    doc = Doc(nlp.vocab, words=list("abcdefgh")[: len(probabilities)], sent_starts=[True] * len(probabilities))
    flag(nlp, doc, [place for place, probability in enumerate(probabilities) if probability >= 0.1])
    doc.spans["weak_class_router"].attrs["scores"] = np.array(probabilities)
    doc.spans["weak"] = [Span(doc, place, place + 1, label=label) for place, label in weak]
    doc.spans["weak"].attrs["scores"] = np.ones(len(weak))
    reference = doc.copy()
    reference.set_ents([Span(reference, place, place + 1, label=label) for place, label in gold])
    return Example(doc, reference)
