"""The pipelines that the contract is run over: add one for each component and each way to feed it."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import spacy
from samples import SMALL_MODEL, TRAIN, english_ner
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Model
from tiny_transformers import transformer_folder

ENCODER = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 48,
    "depth": 2,
    "embed_size": 500,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 48, "upstream": "tok2vec"}


@dataclass(frozen=True)
class Setup:
    """One pipeline under contract.

    component: the factory and name of the component under test.
    pipes: (factory, config) of every pipe, in order.
    score: the score key that tells whether it has learned.
    label: one that is not in the training data.
    labels: those that the component finds in it.
    writes_ents: whether it writes doc.ents; a router writes sentences.
    trainable: whether it learns; a vote does not.
    updates: after which it knows the training sentences.
    features: the component in front that gives it features, in training too; it is not trained itself.
    """

    name: str
    component: str
    pipes: Tuple[Tuple[str, Dict[str, Any]], ...]
    score: str = "ents_f"
    label: str = "EVENT"
    labels: Tuple[str, ...] = ("LOC", "ORG", "PER")
    writes_ents: bool = True
    trainable: bool = True
    updates: int = 60
    features: Optional[str] = None

    def blank(self) -> Language:
        nlp = spacy.blank("en")
        for factory, config in self.pipes:
            nlp.add_pipe(factory, name=config.get("spans_key"), config=config)
        if self.features is not None:
            nlp.config["initialize"]["components"] = {
                self.features: {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": english_ner()}
            }
        return nlp

    def update(self, nlp: Language, examples: List[Example], **options: Any) -> None:
        """An update as `spacy train` makes it."""
        nlp.update(examples, annotates=[] if self.features is None else [self.features], **options)

    @property
    def listens(self) -> bool:
        return any(factory == "tok2vec" for factory, _ in self.pipes)

    def own_encoders(self, nlp: Language) -> None:
        """Give every component that listens to a shared tok2vec one of its own."""
        for name in nlp.pipe_names:
            path = _find_listener(nlp.config["components"][name].get("model"), "model")
            if path is not None:
                nlp.replace_listeners("tok2vec", name, [path])

    def examples(self, nlp: Language) -> List[Example]:
        """With features, where they can be made already."""
        examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
        if self.features is not None and nlp.get_pipe(self.features).translator is not None:
            for example in examples:
                nlp.get_pipe(self.features)(example.predicted)
        return examples

    def annotations(self, doc: Doc) -> List[Any]:
        """Everything that the component writes, in comparable form."""
        written: List[Any] = [[(ent.start, ent.end, ent.label_) for ent in doc.ents]]
        for key, group in sorted(doc.spans.items()):
            scores = np.round(np.asarray(group.attrs.get("scores", []), dtype=float), 3).tolist()
            written.append((key, [(span.start, span.end, span.label_) for span in group], scores))
        return written

    def nodes(self, nlp: Language) -> List[Model]:
        """The layers of the component's model, or of all the pipes that it gets its input from."""
        pipes = [nlp.get_pipe(self.component)] if self.trainable else [pipe for _, pipe in nlp.pipeline]
        return [node for pipe in pipes if hasattr(pipe, "model") for node in pipe.model.walk()]

    def params(self, nlp: Language) -> Callable[[], List[np.ndarray]]:
        """Every weight of the component's model, native and torch, as copies."""
        nodes = self.nodes(nlp)

        def read() -> List[np.ndarray]:
            arrays = []
            for node in nodes:
                arrays += [np.array(node.get_param(name)) for name in node.param_names if node.has_param(name)]
                for shim in node.shims:
                    arrays += [p.detach().cpu().numpy().copy() for p in shim._model.parameters()]
            return arrays

        return read


def _find_listener(block: Any, path: str) -> Optional[str]:
    """Where the listener stands in the config of a model."""
    if not isinstance(block, dict):
        return None
    if "Tok2VecListener" in block.get("@architectures", ""):
        return path
    return next(filter(None, (_find_listener(value, f"{path}.{key}") for key, value in block.items())), None)


def _bcrf(tok2vec: Dict[str, Any]) -> Dict[str, Any]:
    return {"model": {"@architectures": "spacy_crfner.CRFTagger.v1", "nO": None, "tok2vec": tok2vec}}


def _router(tok2vec: Dict[str, Any], *, width: int = 32, **config: Any) -> Dict[str, Any]:
    model = {"@architectures": "spacy_crfner.RCNN.v1", "width": width, "hidden_width": 32, "per_sentence": True}
    return {"model": {**model, "tok2vec": tok2vec}, "weak_labels": ["ORG"], **config}


BESIDE = {
    "@architectures": "spacy_crfner.Concatenate.v1",
    "first": ENCODER,
    "second": {"@architectures": "spacy_crfner.BackAttentionFeatures.v1", "width": 64},
}
BELOW = {
    "@architectures": "spacy_crfner.BiLSTM.v1",
    "width": 64,
    "tok2vec": {**BESIDE, "second": {**BESIDE["second"], "width": 65}},
}

ROUTED = {
    "sentences": {
        "@misc": "spacy_crfner.select_sentences.v1",
        "train": "balanced",
        "predict": "routed",
        "router": "weak_class_router",
    }
}


def _taggers(model: Dict[str, Any] = SMALL_MODEL, **weak: Any) -> Tuple[Tuple[str, Dict[str, Any]], ...]:
    strong = {**model, "label_filter": ["LOC", "PER"], "spans_key": "strong"}
    return ("bcrf_ner", strong), ("bcrf_ner", {**model, "label_filter": ["ORG"], "spans_key": "weak", **weak})


TRANSFORMER = {
    "@architectures": "spacy_crfner.Transformer.v1",
    "name": transformer_folder("xlm-roberta"),
    "window": 60,
    "stride": 40,
    "rate": 1.0,
}

CHAR_CNN = {"@architectures": "spacy_crfner.CharCNN.v1", "char_rows": 1100}
ATTENTION = {
    "@architectures": "spacy_crfner.SelfAttention.v1",
    "tok2vec": {"@architectures": "spacy_crfner.BiLSTM.v1", "width": 64, "tok2vec": CHAR_CNN},
}

SETUPS = [
    Setup("own_encoders", "bcrf_ner", (("bcrf_ner", SMALL_MODEL),)),
    Setup("tok2vec", "bcrf_ner", (("bcrf_ner", _bcrf(ENCODER)),)),
    Setup(
        "listener",
        "bcrf_ner",
        (
            ("tok2vec", {"model": ENCODER}),
            (
                "bcrf_ner",
                _bcrf(
                    {
                        "@architectures": "spacy_crfner.BiLSTM.v1",
                        "width": 48,
                        "depth": 1,
                        "per_sentence": True,
                        "tok2vec": LISTENER,
                    }
                ),
            ),
        ),
    ),
    Setup(
        "router",
        "weak_class_router",
        (("weak_class_router", _router(ENCODER)),),
        score="weak_ap",
        labels=("ORG",),
        writes_ents=False,
    ),
    Setup(
        "router_listener",
        "weak_class_router",
        (("tok2vec", {"model": ENCODER}), ("weak_class_router", _router(LISTENER))),
        score="weak_ap",
        labels=("ORG",),
        writes_ents=False,
    ),
    Setup("vote", "ner_vote", (*_taggers(), ("ner_vote", {})), trainable=False, updates=100),
    Setup(
        "routed",
        "ner_vote",
        (
            ("weak_class_router", _router(ENCODER)),
            *_taggers(**ROUTED),
            ("ner_vote", {"router": "weak_class_router", "gated": ["weak"]}),
        ),
        trainable=False,
        updates=100,
    ),
    Setup(
        "routed_shared",
        "ner_vote",
        (
            ("tok2vec", {"model": ENCODER}),
            ("weak_class_router", _router(LISTENER, width=0)),
            *_taggers({**_bcrf(LISTENER), "r_drop": 0.0}, **ROUTED),
            ("ner_vote", {"router": "weak_class_router", "gated": ["weak"]}),
        ),
        trainable=False,
        updates=100,
    ),
    Setup("char_cnn_and_attention", "bcrf_ner", (("bcrf_ner", _bcrf(ATTENTION)),), updates=100),
    Setup("transformer", "bcrf_ner", (("bcrf_ner", _bcrf(TRANSFORMER)),), updates=150),
    Setup(
        "back_attention",
        "bcrf_ner",
        (("back_attention", {}), ("bcrf_ner", _bcrf(BESIDE))),
        features="back_attention",
    ),
    Setup(
        "back_attention_input",
        "bcrf_ner",
        (("back_attention", {"normalisation": "row_normalised"}), ("bcrf_ner", _bcrf(BELOW))),
        features="back_attention",
    ),
]
