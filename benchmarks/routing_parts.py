"""What routing.py trains: taggers and routers, each by itself, so that they can be put together in many ways."""

from typing import Any, Dict, List, Optional

from experiments.training import fall, shipped_config
from thinc.api import Config

ARCHITECTURES = {
    "RCNN": {"@architectures": "spacy_crfner.RCNN.v1", "hidden_width": 100},
    "LSTM attention": {"@architectures": "spacy_crfner.LSTMAttention.v1"},
    "self-attention": {
        "@architectures": "spacy_crfner.StructuredSelfAttention.v1",
        "attention_width": 100,
        "hops": 30,
        "hidden_width": 100,
    },
}
LOSSES = {
    "plain": {"@misc": "spacy_crfner.cross_entropy.v1"},
    "weighted": {"@misc": "spacy_crfner.weighted_cross_entropy.v1", "weak": None, "strong": None},
}

WITHOUT_CONTEXT = "without context"
"""The part that reads each word by itself."""

PENALTY = 0.1
"""Of structured self-attention."""

WEIGHT = 0.04
"""The mean weight of a sentence in the weighted loss where 2 % of them are weak, 2 * 0.02 * 0.98: the penalty weighs as
much beside one loss as beside the other."""


def tagger_config(corpus: Optional[Dict[str, Any]] = None, **settings: Any) -> Config:
    """The default recipe with other settings of the component, and perhaps another reader of the training corpus."""
    config = shipped_config("bcrf_ner")
    config["components"]["bcrf_ner"].update(settings)
    config["corpora"]["train"] = corpus or config["corpora"]["train"]
    if "spans_key" in settings:
        config["training"]["score_weights"] = {f"spans_{settings['spans_key']}_f": 1.0}
    return config


def router_config(architecture: str, loss: str, weak: List[str], corpus: Optional[Dict[str, Any]] = None) -> Config:
    """The router of the shipped config by itself."""
    config = shipped_config("weak_class")
    router = config["components"]["weak_class_router"]
    model = {**ARCHITECTURES[architecture], "width": 200, "per_sentence": True, "tok2vec": router["model"]["tok2vec"]}
    penalty = PENALTY * (WEIGHT if loss == "weighted" else 1.0) if architecture == "self-attention" else 0.0
    router.update(model=model, loss=LOSSES[loss], penalty=penalty)
    config["routing"]["weak_labels"] = weak
    config["components"] = {"weak_class_router": router}
    config["nlp"]["pipeline"] = ["weak_class_router"]
    config["corpora"]["train"] = corpus or shipped_config("bcrf_ner")["corpora"]["train"]
    config["training"]["score_weights"] = {"weak_ap": 1.0}
    config["training"]["before_to_disk"].pop("vote")
    config["training"]["before_to_disk"]["beta"] = 1.0
    return config


def without_context() -> Config:
    """A tagger that sees each word by itself: layers after the features, and no CRF.

    The features are those of the others, of which word vectors are projected so that they fit the layers.
    """
    loss, decoder = {"@misc": "spacy_crfner.softmax.v1"}, {"@misc": "spacy_crfner.softmax_decoder.v1"}
    config = tagger_config(loss=loss, decoder=decoder)
    model = config["components"]["bcrf_ner"]["model"]
    # 172 + 2 * 50 of characters + 128 of hashes are 400.
    embed = {**model["tok2vec"]["tok2vec"], "layout": "word172+char*2"}
    layers = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "width": 400, "window_size": 0, "maxout_pieces": 3}
    model["tok2vec"] = {"@architectures": "spacy.Tok2Vec.v2", "embed": embed, "encode": {**layers, "depth": 2}}
    return config


def make_parts(strong: List[str], weak: List[str]) -> Dict[str, Config]:
    """Name -> config of everything that can be trained."""
    reader = {"@readers": "spacy_crfner.BalancedCorpus.v1", "path": "${paths.train}", "labels": weak, "rare": 0.02}
    repeated = {**reader, "share": 0.2, "method": "repeat", "seed": "${system.seed}"}
    dropped = {**repeated, "share": 0.5, "method": "drop"}
    dearer = {"@misc": "spacy_crfner.bernoulli.v1", "P": 0.2, "P_missed": 0.05}
    parts = {
        "single, missed entities dearer": tagger_config(loss=dearer),
        WITHOUT_CONTEXT: without_context(),
        "strong": tagger_config(label_filter=strong, spans_key="strong"),
    }
    for how, corpus in (("", None), (", rare repeated", repeated), (", balanced", dropped)):
        parts[f"single{how}"] = tagger_config(corpus)
        parts[f"weak{how}"] = tagger_config(corpus, label_filter=weak, spans_key="weak")
    for name, shipped in (("shipped", "weak_class"), ("shipped, one encoder", "weak_class_shared")):
        parts[name] = shipped_config(shipped)
        parts[name]["routing"]["weak_labels"] = weak
    for architecture in ARCHITECTURES:
        for loss in LOSSES:
            parts[f"router {architecture}, {loss}"] = router_config(architecture, loss, weak)
        parts[f"router {architecture}, balanced"] = router_config(architecture, "plain", weak, dropped)
    # As in the shipped recipe.
    parts["router RCNN, weighted, rare repeated"] = router_config("RCNN", "weighted", weak, repeated)
    return parts


FROZEN = ("frozen_transformer", "frozen_bilstm")
"""The shipped configs whose encoder reads a frozen transformer."""


def with_frozen(config: Config, encoder: str, transformer: str, cache: str) -> Config:
    """Put what reads a frozen transformer in the place of each encoder of a config.

    encoder: the shipped config that it is taken from, one of FROZEN. transformer: its folder or name. cache: the folder
    where its vectors are kept for all parts.
    """
    block = shipped_config(encoder)["components"]["bcrf_ner"]["model"]["tok2vec"]
    config["paths"].update(transformer=transformer, cache=cache)
    for component in [*config["components"].values(), config.get("tagger", {})]:
        if component.get("factory") == "tok2vec":
            component["model"] = block
        # What listens, or is written elsewhere, is no block.
        elif isinstance(component.get("model"), dict) and isinstance(component["model"].get("tok2vec"), dict):
            component["model"]["tok2vec"] = block
    return config


def in_steps(config: Config, steps: int) -> Config:
    """Change a config for a large corpus and a given time: so many updates of 1,000 words, and no R-Drop.

    Routers, which are done sooner, have half as many updates, and what learns from a reduced corpus a quarter. A
    pipeline of which one tagger skips what the corpus repeats has half as many again, so that this tagger sees no fewer
    sentences.
    """
    components = config["components"]
    for component in components.values():
        if "r_drop" in component:
            component["r_drop"] = 0.0
    if list(components) == ["weak_class_router"]:
        steps = max(1, steps // 2)
    if config["corpora"]["train"].get("method") == "drop":
        steps = max(1, steps // 4)
    if any((component.get("sentences") or {}).get("train") == "once" for component in components.values()):
        steps = steps * 3 // 2
    config["training"]["batcher"]["size"] = 1000
    # A whole pipeline is tuned whenever it is evaluated, which takes some minutes.
    fall(config, steps, 0.0015, evaluations=4 if len(components) > 1 else 8)
    return config
