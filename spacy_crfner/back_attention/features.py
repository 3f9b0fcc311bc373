"""`spacy_crfner.BackAttentionFeatures.v1`: the layer that reads what `back_attention` has stored."""

from typing import Any, Callable, List, Optional, Tuple

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..known_spans import array_of, attrs_of
from ..wrapping import concatenate_rows, split_rows

FEATURES = "features"
"""The key of a span group's attrs under which the features of a Doc's tokens stand: (tokens, width) float16."""

LAYER = "back_attention_features"
"""The name of the layer in a model."""


def build_back_attention_features_v1(
    width: int = 400, component: str = "back_attention", dropout: float = 0.0
) -> Model[List[Doc], List[Floats2d]]:
    """Read the features that `back_attention` has stored in each Doc; nothing is learned.

    width: features a token: those of the English tagger, 400 for the states of the config bcrf_ner, and one more for
        `row_normalised`.
    component: the name of the `back_attention` component.
    dropout: the share of the words all of whose features are set to zero in training, so that what is behind it does
        not rely on them alone; beside the dropout of the training config, which acts on single features.
    Raises ValueError where the features of a Doc are missing or have another width. Only before the first training
    update, while spaCy finds out the widths of the layers behind it, missing features are zeros.
    """
    return Model(
        LAYER,
        forward,
        init=init,
        dims={"nO": width},
        attrs={
            "reads_annotation": True,
            "component": component,
            "word_dropout": dropout,
            "dropout_rate": 0.0,
            "has_seen": False,
        },
    )


def wrong_width(component: str, given: int, expected: int) -> str:
    """Say that a layer expects another number of features a token than a component gives."""
    return (
        f"{component!r} gives {given} features a token, but BackAttentionFeatures.v1 expects {expected}: set width = "
        f"{given} in the block of that layer."
    )


def init(
    model: Model[List[Doc], List[Floats2d]], X: Optional[List[Doc]] = None, Y: Optional[List[Floats2d]] = None
) -> None:
    """Begin anew: missing features are zeros until the first training update."""
    model.attrs["has_seen"] = False


def forward(
    model: Model[List[Doc], List[Floats2d]], docs: List[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    """Read the features of Docs: (tokens, nO) for each."""
    features = [_read(model, doc, is_train or model.attrs["has_seen"]) for doc in docs]
    if is_train:
        model.attrs["has_seen"] = True
        if model.attrs["word_dropout"] or model.attrs["dropout_rate"]:
            rows = _drop(model, concatenate_rows(model, features))
            features = split_rows(model, rows, [len(doc) for doc in docs])
    return features, lambda gradient: docs


def _drop(model: Model[List[Doc], List[Floats2d]], rows: Floats2d) -> Floats2d:
    """Drop words and features at random. rows: of all Docs of a batch."""
    if model.attrs["word_dropout"]:
        rows = rows * (model.ops.get_dropout_mask((len(rows), 1), model.attrs["word_dropout"]) != 0)
    if model.attrs["dropout_rate"]:
        rows = rows * model.ops.get_dropout_mask(rows.shape, model.attrs["dropout_rate"])
    return rows


def _read(model: Model[List[Doc], List[Floats2d]], doc: Doc, required: bool) -> Floats2d:
    name, width = model.attrs["component"], model.get_dim("nO")
    group = doc.spans.get(name)
    if group is None or FEATURES not in attrs_of(group):
        if required and len(doc):
            raise ValueError(
                f"The Doc {doc.text[:40]!r} has no features in doc.spans[{name!r}]: put a back_attention component "
                f"of this name in front, in training also into [training.annotating_components]."
            )
        return model.ops.alloc2f(len(doc), width)
    rows: Any = array_of(group.attrs[FEATURES], "f", 2)
    if rows is None:
        raise ValueError(f"doc.spans[{name!r}] of the Doc {doc.text[:40]!r} holds no features: run {name!r} again.")
    if rows.shape[0] != len(doc):
        raise ValueError(
            f"{name!r} has stored features of {rows.shape[0]} tokens in the Doc {doc.text[:40]!r}, which has "
            f"{len(doc)} now: merge or split tokens after the tagger."
        )
    if rows.shape[1] != width:
        raise ValueError(wrong_width(name, rows.shape[1], width))
    if not np.isfinite(rows).all():
        raise ValueError(
            f"{name!r} has stored features in the Doc {doc.text[:40]!r} that are not finite: run it again."
        )
    return model.ops.asarray2f(rows)
