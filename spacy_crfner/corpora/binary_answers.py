"""Answers to one question each, "is this span an entity?" -> one example a text, of which little is known.

Prodigy asks so in its binary interface: a record of a text has one span, and the answer accepts or rejects it.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Dict, List

from spacy.tokens import Doc

from ..text_files import Notes
from .char_spans import CharSpan, CharSpans, align, align_all

INCORRECT_SPANS = "incorrect_spans"
"""The span group of spans that are no entities; taggers are told of it by the setting `incorrect_spans_key`."""

BINARY_VIEW = "ner"
"""What Prodigy calls the interface; the one for whole texts is "ner_manual"."""


@dataclass
class Answers:
    """What is known of a text.

    text: itself. line: of its first record.
    tokens: as the first record gives them.
    accepted, rejected: spans, and the line that says so.
    trimmed, blank: how many spans had white space at their ends, or nothing else.
    """

    text: str
    line: int
    tokens: Any = None
    accepted: Dict[CharSpan, int] = field(default_factory=dict)
    rejected: Dict[CharSpan, int] = field(default_factory=dict)
    trimmed: int = 0
    blank: int = 0

    def add(self, given: CharSpans, is_accepted: bool, line: int, notes: Notes) -> None:
        """Note an answer. Raises ValueError where it contradicts one before."""
        if len(given.spans) != 1 and not (given.spans and is_accepted):
            notes.add("answers to no span, or which reject several, and so say nothing", line)
            return
        own, others = (self.accepted, self.rejected) if is_accepted else (self.rejected, self.accepted)
        for span in given.spans:
            if span in others:
                first, second = ("rejected", "accepted") if is_accepted else ("accepted", "rejected")
                raise ValueError(
                    f"the span {span.shown(self.text)} is {second}, but line {others[span]} has {first} it: keep one "
                    "of them."
                )
            own.setdefault(span, line)
        self.trimmed += given.trimmed
        self.blank += given.blank

    def annotate(self, doc: Doc, alignment: str) -> int:
        """Write to a Doc of the text what is known; returns how many spans were skipped. Raises ValueError."""
        for left, right in pairwise(sorted(self.accepted)):
            if right.start < left.end:
                raise ValueError(
                    f"the accepted spans {left.shown(self.text)} at line {self.accepted[left]} and "
                    f"{right.shown(self.text)} at line {self.accepted[right]} overlap: keep one of them."
                )
        entities, _ = align_all(doc, sorted(self.accepted), alignment)
        doc.set_ents(entities, default="missing")
        # What is no entity is so with these borders only: it is not stretched to others.
        mode = "strict" if alignment == "strict" else "skip"
        wrong: List[Any] = [align(doc, span, mode) for span in sorted(self.rejected)]
        known = [span for span in wrong if span is not None]
        if known:
            doc.spans[INCORRECT_SPANS] = known
        return len(self.accepted) - len(entities) + len(wrong) - len(known)
