"""Save a tiny pipeline of each component, and what it finds, for tests/test_golden.py.

They go to tests/golden/<version of the package>/; see tests/golden/README.md for when they may be replaced.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from samples import ROOT, TRAIN

from spacy_crfner import __version__
from spacy_crfner.files import replacing, write_file
from spacy_crfner.known_spans import LABELS, OFFSETS, OWNER, OWNERS, spans_on_tokens

GOLDEN = Path(__file__).parent

TEXTS = [
    *(text for text, _ in TRAIN[:6]),
    "It rained for three days . Oslo City drew with Redmere .",
    "Oslo City hired Anna Kell .",
    "Mary Okafor flew from Lyon to Cape Town on Sunday .",
    "Apple Pie Ltd and the Bank of Tessaly  left Rome .",
    "No word of it was true .",
]
"""Sentences of training, others of their words and of new ones, two in one text, white space inside."""

TINY_CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 12,
    "depth": 1,
    "embed_size": 60,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
TINY_CHARS = {
    "@architectures": "spacy_crfner.WordCharEmbed.v1",
    "layout": "word+char",
    "char_width": 6,
    "char_embed_width": 3,
    "char_rows": 1025,
    "hash_attrs": ["NORM", "SHAPE"],
    "hash_rows": [90, 30],
    "hash_width": 12,
    "hash_noise": 0.0,
}
UPDATES = 100
LEARN_RATE = 0.01


def tagger(tok2vec: Dict[str, Any], **settings: Any) -> Dict[str, Any]:
    model = {"@architectures": "spacy_crfner.CRFTagger.v1", "nO": None, "tok2vec": tok2vec}
    return {"model": model, "r_drop": 0.0, **settings}


def own_encoders() -> Dict[str, Any]:
    return tagger({"@architectures": "spacy_crfner.BiLSTM.v1", "width": 12, "tok2vec": TINY_CHARS})


def make_bcrf_ner() -> Language:
    """`bcrf_ner` with the encoders of this package, and English tokens."""
    nlp = spacy.blank("en")
    nlp.add_pipe("bcrf_ner", config=own_encoders())
    return learn(nlp)


def make_max_f() -> Language:
    """BIO tags, the entities with the best expected F1, and all annotations."""
    nlp = spacy.blank("xx")
    decoder = {"@misc": "spacy_crfner.max_f_decoder.v1", "threshold": 0.4}
    annotations = {"annotate": ["confidence", "marginals", "n_best"], "n_best": 2}
    nlp.add_pipe("bcrf_ner", config=tagger(TINY_CNN, scheme="BIO", decoder=decoder, **annotations))
    return learn(nlp)


def make_softmax() -> Language:
    """Token classification without a CRF, into a span group."""
    nlp = spacy.blank("xx")
    parts = {
        "loss": {"@misc": "spacy_crfner.softmax.v1"},
        "decoder": {"@misc": "spacy_crfner.softmax_decoder.v1"},
    }
    nlp.add_pipe("bcrf_ner", config=tagger(TINY_CNN, spans_key="entities", **parts))
    nlp.config["training"]["score_weights"] = {"spans_entities_f": 1.0}
    return learn(nlp)


def make_routed() -> Language:
    """A router, a tagger for all sentences, one for those that are flagged, and a vote."""
    nlp = spacy.blank("xx")
    nlp.add_pipe("sentencizer")
    router = {"@architectures": "spacy_crfner.RCNN.v1", "width": 8, "hidden_width": 8, "tok2vec": TINY_CNN}
    nlp.add_pipe("weak_class_router", config={"model": router, "weak_labels": ["ORG"]})
    selection = {
        "@misc": "spacy_crfner.select_sentences.v1",
        "train": "balanced",
        "predict": "routed",
        "router": "weak_class_router",
    }
    strong = tagger(TINY_CNN, spans_key="strong", label_filter=["LOC", "PER"])
    weak = tagger(TINY_CNN, spans_key="weak", label_filter=["ORG"], sentences=selection)
    nlp.add_pipe("bcrf_ner", name="strong", config=strong)
    nlp.add_pipe("bcrf_ner", name="weak", config=weak)
    nlp.add_pipe("ner_vote", config={"router": "weak_class_router", "gated": ["weak"]})
    return learn(nlp)


def make_back_attention() -> Language:
    """`back_attention` over an English `bcrf_ner`, and a tagger that reads its features alone."""
    with tempfile.TemporaryDirectory() as folder:
        english = spacy.blank("xx")
        english.add_pipe("bcrf_ner", config=own_encoders())
        learn(english).to_disk(folder)
        nlp = spacy.blank("xx")
        nlp.add_pipe("back_attention", config={"normalisation": "row_normalised"})
        # Features of the English BiLSTM, and the coverage.
        nlp.add_pipe(
            "bcrf_ner", config=tagger({"@architectures": "spacy_crfner.BackAttentionFeatures.v1", "width": 13})
        )
        nlp.config["initialize"]["components"] = {
            "back_attention": {"translator": {"@misc": "spacy_crfner.Untranslated.v1"}, "english": folder}
        }
        learn(nlp)
    nlp.config["initialize"]["components"] = {}
    return nlp


PIPELINES: Dict[str, Callable[[], Language]] = {
    "bcrf_ner": make_bcrf_ner,
    "max_f": make_max_f,
    "softmax": make_softmax,
    "routed": make_routed,
    "back_attention": make_back_attention,
}


def learn(nlp: Language) -> Language:
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": entities}) for text, entities in TRAIN]
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = LEARN_RATE
    annotating = [name for name in nlp.pipe_names if name in ("sentencizer", "back_attention", "weak_class_router")]
    for _ in range(UPDATES):
        nlp.update(examples, sgd=optimizer, annotates=annotating)
    return nlp


def spans_of(spans: Any) -> List[List[Any]]:
    return [[span.start, span.end, span.label_] for span in spans]


def plain(value: Any) -> Any:
    """Turn what stands in a span group's attrs into what JSON can hold."""
    if isinstance(value, dict):
        return {key: plain(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return round(value, 6) if isinstance(value, float) else value


def written(doc: Doc) -> Dict[str, Any]:
    """Read all that components have written: entities, and the spans and attrs of each group.

    By tokens, and without how spans are found again.
    """
    groups = {}
    for key, group in sorted(doc.spans.items()):
        if "features" in group.attrs:
            continue  # they are many, and what they are good for shows in the tagger
        known = spans_on_tokens(doc, group) or []
        attrs = {k: plain(v) for k, v in group.attrs.items() if k not in (OFFSETS, LABELS, OWNER, OWNERS)}
        for path in (path for paths in attrs.get("n_best", ()) for path in paths):
            path["ents"] = spans_of(doc.char_span(start, end, label=label) for start, end, label in path["ents"])
        groups[key] = {"spans": spans_of(known), **attrs}
    return {"ents": spans_of(doc.ents), "spans": groups}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="replace what is there, see tests/golden/README.md")
    args = parser.parse_args()
    folder = GOLDEN / __version__
    if folder.exists() and not args.force:
        sys.exit(f"{folder} is there already: see tests/golden/README.md for when --force may replace it.")
    if folder.exists() and f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        sys.exit(f"{folder} belongs to a version that CHANGELOG.md calls released: it is never replaced.")
    with replacing(folder) as (unfinished,):
        unfinished.mkdir()
        found = []
        for name, make in PIPELINES.items():
            nlp = make()
            nlp.to_disk(unfinished / name)
            # A line for each text, so that a difference can be read.
            lines = ",\n".join(json.dumps({"text": doc.text, **written(doc)}) for doc in nlp.pipe(TEXTS))
            found.append(f'"{name}": [\n{lines}\n]')
            size = sum(path.stat().st_size for path in (unfinished / name).rglob("*") if path.is_file())
            print(f"{name}: {size / 1000:.0f} kB")
        write_file(unfinished / "expected.json", f"{{{', '.join(found)}}}\n")


if __name__ == "__main__":
    main()
