"""Tag schemes: entity labels <-> token tags, entity spans <-> tag sequences, legal transitions.

A :class:`TagSet` gives every tag of a scheme a fixed number. Tag 0 is always ``O``; each label then owns
a run of tags, in the order in which the labels were given, so that a new label only appends tags.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Dict, Iterable, List, Sequence, Set, Tuple

import numpy as np

from .quoting import quote, shorten

SCHEMES: Dict[str, str] = {"BIOES": "BIES", "BIO": "BI"}
"""Scheme name -> the prefixes that each label owns, in tag order."""

LabelledSpan = Tuple[int, int, str]
"""Start (inclusive) and end (exclusive) in tokens, and the label."""


def check_labels(labels: Iterable[str]) -> Tuple[str, ...]:
    """Check labels, and make them a tuple.

    Raises ValueError where a label cannot be the second half of a tag (empty, not a string, ``O``, or with white
    space other than single blanks inside) or stands twice.
    """
    labels = tuple(labels)
    for label in labels:
        if not isinstance(label, str):
            kind = type(label).__name__
            raise ValueError(f"Entity labels must be strings, but {quote(label)} is a {kind}: rename it.")
        if not label or label == "O" or label != " ".join(label.split()):
            raise ValueError(
                f"The entity label {quote(label)} cannot be written as a tag such as 'B-PER': labels must not be "
                "empty, be 'O', or hold white space other than single blanks inside. Rename it in the training data."
            )
    if len(set(labels)) != len(labels):
        twice = ", ".join(sorted({label for label in labels if labels.count(label) > 1}))
        raise ValueError(f"Entity labels must be distinct, but these stand more than once: {shorten(twice)}.")
    return labels


@dataclass(frozen=True)
class TagSet:
    """The tags of a list of labels in a scheme.

    labels: entity labels, distinct, e.g. ``("PER", "LOC")``.
    scheme: ``"BIOES"`` (begin, inside, outside, end, single) or ``"BIO"`` (begin, inside, outside).
    """

    labels: Tuple[str, ...]
    scheme: str = "BIOES"

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ValueError(f"Unknown tag scheme {self.scheme!r}: choose one of {', '.join(SCHEMES)}.")
        object.__setattr__(self, "labels", check_labels(self.labels))

    def __len__(self) -> int:
        return 1 + len(self.prefixes) * len(self.labels)

    @property
    def prefixes(self) -> str:
        """The prefixes that each label owns, in tag order."""
        return SCHEMES[self.scheme]

    @cached_property
    def names(self) -> Tuple[str, ...]:
        """Tag names in tag order: ``("O", "B-PER", "I-PER", ...)``."""
        return ("O", *(f"{prefix}-{label}" for label in self.labels for prefix in self.prefixes))

    @cached_property
    def index(self) -> Dict[str, int]:
        """Tag name -> tag."""
        return {name: tag for tag, name in enumerate(self.names)}

    @cached_property
    def label_index(self) -> Dict[str, int]:
        """Label -> its index in ``labels``."""
        return {label: number for number, label in enumerate(self.labels)}

    def role(self, prefix: str) -> np.ndarray:
        """List the tags, (labels,), that play a role for each label.

        ``B`` begins an entity of two or more tokens, ``I`` continues it, ``E`` ends it, ``S`` is an entity of one
        token. In BIO, ``E`` is played by ``I`` and ``S`` by ``B``.
        """
        if prefix not in self.prefixes:
            prefix = {"E": "I", "S": "B"}[prefix]
        return 1 + self.prefixes.index(prefix) + len(self.prefixes) * np.arange(len(self.labels))

    @cached_property
    def _roles(self) -> Tuple[Set[int], Set[int], Set[int], List[int]]:
        """The tags that begin, end and are an entity, and the tag with which an entity goes on after each tag."""
        goes_on = [int(self.role("I")[label]) if label >= 0 else 0 for label in self.tag_labels.tolist()]
        begins, ends, singles = (set(self.role(prefix).tolist()) for prefix in "BES")
        return begins, ends, singles, goes_on

    @cached_property
    def tag_labels(self) -> np.ndarray:
        """The index in ``labels`` of each tag's label, (tags,); -1 for ``O``."""
        return np.concatenate([[-1], np.repeat(np.arange(len(self.labels)), len(self.prefixes))]).astype(np.int64)

    @cached_property
    def legal(self) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What may start a sequence (tags,), follow (from, to), and end a sequence (tags,), as booleans."""
        prefixes = np.array(["O", *(prefix for _ in self.labels for prefix in self.prefixes)])
        labels = self.tag_labels
        opening = np.isin(prefixes, ["O", "B", "S"])
        may_close = np.isin(prefixes, ["O", "E", "S"] if self.scheme == "BIOES" else ["O", "B", "I"])
        continues = np.isin(prefixes, ["B", "I"])[:, None] & np.isin(prefixes, ["I", "E"])[None, :]
        continues &= labels[:, None] == labels[None, :]
        return opening, (may_close[:, None] & opening[None, :]) | continues, may_close

    def span_tags(self, length: int, label: str) -> List[int]:
        """List the tags of one entity of `length` tokens."""
        first = self.index[f"B-{label}"]
        if self.scheme == "BIO":
            return [first] + [first + 1] * (length - 1)
        return [first + 3] if length == 1 else [first] + [first + 1] * (length - 2) + [first + 2]

    def spans_to_tags(self, spans: Iterable[LabelledSpan], length: int) -> List[int]:
        """Make the tag sequence of non-overlapping entity spans in a sentence of `length` tokens.

        Raises ValueError where spans overlap, leave the sentence, or carry an unknown label.
        """
        tags = [0] * length
        for start, end, label in spans:
            if not 0 <= start < end <= length:
                raise ValueError(f"The entity ({start}, {end}, {quote(label)}) does not fit into {length} tokens.")
            if label not in self.label_index:
                raise ValueError(
                    f"The entity ({start}, {end}, {quote(label)}) has a label that is not one of {self.labels}."
                )
            if any(tags[start:end]):
                shown = f"({start}, {end}, {quote(label)})"
                raise ValueError(f"The entity {shown} overlaps another: entities must not overlap.")
            tags[start:end] = self.span_tags(end - start, label)
        return tags

    def tags_to_spans(self, tags: Sequence[int]) -> List[LabelledSpan]:
        """List the entity spans of a well-formed tag sequence, in order."""
        spans = []
        begins, ends, singles, goes_on = self._roles
        last = len(tags) - 1
        start = 0
        for i, tag in enumerate(tags):
            if tag == 0:
                continue
            if tag in begins or tag in singles:
                start = i
            closes = tag in ends or tag in singles
            if self.scheme == "BIO":
                closes = i == last or tags[i + 1] != goes_on[tag]
            if closes:
                spans.append((start, i + 1, self.labels[self.tag_labels[tag]]))
        return spans


def iob_to_spans(tags: Sequence[str]) -> List[LabelledSpan]:
    """Read the entity spans of written tags in IOB1, IOB2, BIOES or BILUO, in order.

    An entity begins at ``B-``, ``S-`` and ``U-``, at any tag whose label differs from the one before, and
    after an ``O`` or a closed entity; it ends before the next beginning or ``O``, and after ``E-``, ``L-``,
    ``S-`` and ``U-``. So every sequence of these tags has one reading and none is rejected.
    Raises ValueError for a tag that is not ``O`` or one of these prefixes, a hyphen and a label.
    """
    spans: List[LabelledSpan] = []
    start, open_label = 0, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, label = tag.partition("-")
        if tag != "O" and (prefix not in tuple("BIESLU") or not label):
            expected = "'O' or a tag such as 'B-PER', with B, I, E, S, L or U"
            raise ValueError(f"{quote(tag)} is not a tag: expected {expected}.")
        begins = label and (prefix in ("B", "S", "U") or label != open_label)
        if open_label and (begins or not label):
            spans.append((start, i, open_label))
            open_label = ""
        if begins:
            start, open_label = i, label
        if prefix in ("E", "L", "S", "U"):
            spans.append((start, i + 1, open_label))
            open_label = ""
    return spans
