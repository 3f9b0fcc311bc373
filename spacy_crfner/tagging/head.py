"""The head of a tag set: linear emissions and the parameters of a CRF, on top of any encoder."""

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Tuple, cast

import numpy as np
from thinc.api import Linear, Model
from thinc.types import Floats1d, Floats2d

from ..wrapping import concatenate_rows, join_inputs, split_rows

NEW_TAG_GAP = 4.0
"""How far below the lowest bias of the tags that a head knows a new tag begins."""


@dataclass(frozen=True, eq=False)
class CRFScores:
    """What a head says of a batch of Docs, and likewise the gradient of a loss by it; K tags.

    emissions: a (length of the Doc, K) array for each Doc.
    start, transitions, end: (K,), (K from, K to), (K,), shared by all Docs; the layout of pytorch-crf.
    """

    emissions: List[Floats2d]
    start: Floats1d
    transitions: Floats2d
    end: Floats1d

    def times(self, factor: float) -> "CRFScores":
        """Multiply all of it."""
        if factor == 1.0:
            return self
        edges: Any = (values * factor for values in (self.start, self.transitions, self.end))
        return CRFScores([emissions * factor for emissions in self.emissions], *edges)


Head = Model[List[Floats2d], CRFScores]


def build_head(n_tags: Optional[int] = None) -> Head:
    """Make a layer from the vectors of each Doc, (length, width) arrays, to CRF scores.

    n_tags: None where they are not known yet, see `resize_head`. A model keeps the layer under a ref, and initializes
    it with `initialize_head`; the layer itself always stays the same one.
    """
    output, transitions = Linear(nO=n_tags), _transitions(n_tags)
    return Model(
        "crf_head",
        forward,
        layers=[output, transitions],
        refs={"output_layer": output, "transitions": transitions},
    )


def _transitions(n_tags: Optional[int]) -> Model:
    """Make the node that holds the parameters of the CRF; nothing passes through it."""
    return Model(
        "crf_transitions",
        _pass_through,
        dims={"nO": n_tags},
        params={"start": None, "transitions": None, "end": None},
    )


def _pass_through(model: Model, inputs: Any, is_train: bool) -> Tuple[Any, Callable]:
    return inputs, lambda gradient: gradient


def forward(
    head: Head, vectors: List[Floats2d], is_train: bool
) -> Tuple[CRFScores, Callable[[CRFScores], List[Floats2d]]]:
    """Score the tags of every token; `backprop` takes the gradient of the scores and gives that of the vectors."""
    output, transitions = head.get_ref("output_layer"), head.get_ref("transitions")
    lengths = [len(rows) for rows in vectors]
    rows = join_inputs(head, vectors, head_width(head))
    if not is_train and isinstance(rows, np.ndarray):
        # Thinc multiplies matrices of few rows slowly on a CPU.
        emissions, backprop_output = rows @ output.get_param("W").T + output.get_param("b"), _no_backprop
    else:
        emissions, backprop_output = output(rows, is_train)

    def backprop(gradient: CRFScores) -> List[Floats2d]:
        for name in transitions.param_names:
            transitions.inc_grad(name, getattr(gradient, name))
        return split_rows(head, backprop_output(concatenate_rows(head, gradient.emissions)), lengths)

    scores = CRFScores(
        emissions=split_rows(head, emissions, lengths),
        start=cast(Floats1d, transitions.get_param("start")),
        transitions=cast(Floats2d, transitions.get_param("transitions")),
        end=cast(Floats1d, transitions.get_param("end")),
    )
    return scores, backprop


def _no_backprop(gradient: Floats2d) -> Floats2d:
    raise ValueError("A CRF head was run for prediction, which keeps nothing to learn from: use is_train=True.")


def is_initialized(head: Head) -> bool:
    """Tell whether a head has weights."""
    return bool(head.get_ref("transitions").has_param("start"))


def head_size(head: Head) -> Optional[int]:
    """Read the number of tags; None where it is not known yet."""
    return head.get_ref("output_layer").maybe_get_dim("nO")


def head_width(head: Head) -> int:
    """Read the number of features of a vector.

    Raises ValueError before the head is initialized.
    """
    return head.get_ref("output_layer").get_dim("nI")


def initialize_head(head: Head, width: int) -> None:
    """Make new weights for vectors of this width.

    Raises ValueError where the number of tags is not known.
    """
    n_tags = head_size(head)
    if n_tags is None:
        raise ValueError("A CRF head needs its number of tags (nO) before it is initialized.")
    _replace_layers(head, n_tags, width)


def resize_head(head: Head, n_tags: int) -> None:
    """Take another number of tags, in place.

    An initialized head keeps the scores of the tags that it has; new tags begin well below them, so that predictions
    stay what they were until the new tags are learned.
    """
    if not is_initialized(head):
        head.get_ref("output_layer").set_dim("nO", n_tags, force=True)
        return
    layers = {ref: head.get_ref(ref) for ref in head.ref_names}
    old = {(ref, name): layer.get_param(name) for ref, layer in layers.items() for name in layer.param_names}
    _replace_layers(head, n_tags, head_width(head))
    for (ref, name), values in old.items():
        layer = head.get_ref(ref)
        had: Any = values
        larger: Any = layer.ops.alloc(layer.get_param(name).shape)
        kept = tuple(slice(min(sizes)) for sizes in zip(larger.shape, had.shape, strict=True))
        larger[kept] = had[kept]
        if name == "b":
            larger[len(had) :] = had.min() - NEW_TAG_GAP
        layer.set_param(name, larger)


def clear_head(head: Head) -> None:
    """Drop weights, widths and number of tags, such as before others are loaded."""
    _set_layers(head, Linear(), _transitions(None))


def _replace_layers(head: Head, n_tags: int, width: int) -> None:
    ops = head.ops
    output, transitions = Linear(nO=n_tags, nI=width), _transitions(n_tags)
    output.initialize()
    transitions.set_param("start", ops.alloc1f(n_tags))
    transitions.set_param("transitions", ops.alloc2f(n_tags, n_tags))
    transitions.set_param("end", ops.alloc1f(n_tags))
    _set_layers(head, output, transitions)


def _set_layers(head: Head, output: Model, transitions: Model) -> None:
    # Thinc fixes the widths of a layer that has weights, so the layers inside the head are replaced.
    head.replace_node(head.get_ref("output_layer"), output)
    head.replace_node(head.get_ref("transitions"), transitions)
