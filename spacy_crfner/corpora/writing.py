"""Docs with what their reader noted -> a report, and spaCy's binary format."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import DocBin

from ..quoting import shorten
from ..sentences import find_sentence_lengths, sentence_lengths
from .reading import ReadDoc

ATTRS = ("ENT_IOB", "ENT_TYPE", "SENT_START")
"""The annotation that a corpus has; DocBin adds words and spaces."""

LONG = 500
"""Tokens of a sentence; where one has more, blank lines are missing more often than not."""

MAX_LABELS = 40
"""Labels that a report counts one by one."""


@dataclass
class ConversionReport:
    """What a conversion wrote.

    documents, sentences, tokens: counts; sentences of a Doc without borders are counted as spaCy's sentencizer cuts it.
    entities: number of entities by label, labels in order.
    unannotated_tokens: tokens that are neither in an entity nor known to be outside.
    repaired_tags: tags that contradict the tags before them, and so begin an entity of their own (see
        :func:`~spacy_crfner.corpora.repairs.find_repairs`).
    first_repair: the line of the first of them in the file; None if there is none.
    skipped_examples: examples of the file that were left out because their answer is "reject" or "ignore".
    skipped_spans: spans that were left out (alignment ``skip``).
    trimmed_entities, first_trimmed: entities that had white space at an end, and the line of the first.
    blank_entities, first_blank: those of white space alone, which were left out, and the line of the first.
    long_sentences: sentences with more than 500 tokens. longest: tokens of the longest sentence, and its line.
    several_sentences: Docs that hold several sentences.
    copies: name of another file that was written with this one -> Docs whose text stands there too.
    notes: what is unusual in the file as a whole.
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    entities: Dict[str, int] = field(default_factory=dict)
    unannotated_tokens: int = 0
    repaired_tags: int = 0
    first_repair: Optional[int] = None
    skipped_examples: int = 0
    skipped_spans: int = 0
    trimmed_entities: int = 0
    first_trimmed: Optional[int] = None
    blank_entities: int = 0
    first_blank: Optional[int] = None
    long_sentences: int = 0
    longest: Tuple[int, int] = (0, 0)
    several_sentences: int = 0
    copies: Dict[str, int] = field(default_factory=dict)
    notes: Tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"sentences {self.sentences:,}", f"docs {self.documents:,}", f"tokens {self.tokens:,}"]
        parts.append(f"entities {sum(self.entities.values()):,}" + self._by_label())
        # What was left out or repaired is only worth a word where there is some.
        for name in ("unannotated_tokens", "repaired_tags", "skipped_examples", "skipped_spans"):
            if getattr(self, name):
                where = f" (first at line {self.first_repair})" if name == "repaired_tags" else ""
                where = " (answer reject or ignore)" if name == "skipped_examples" else where
                parts.append(f"{name.replace('_', ' ')} {getattr(self, name):,}{where}")
        return "\n  ".join([", ".join(parts), *self.remarks()])

    def _by_label(self) -> str:
        shown = [f"{shorten(label)} {count:,}" for label, count in self.entities.items()][:MAX_LABELS]
        rest = len(self.entities) - len(shown)
        if rest:
            shown.append(f"and {rest:,} other labels")
        return f" ({', '.join(shown)})" if shown else ""

    def remarks(self) -> List[str]:
        """List what is unusual, and what can be done about it, a line for each."""
        remarks = list(self.notes)
        if self.trimmed_entities:
            remarks.append(
                f"entities with white space at an end, which was trimmed: {self.trimmed_entities:,} (first at line "
                f"{self.first_trimmed})"
            )
        if self.blank_entities:
            remarks.append(
                f"entities of white space alone, which were left out: {self.blank_entities:,} (first at line "
                f"{self.first_blank})"
            )
        if self.long_sentences:
            tokens, line = self.longest
            remarks.append(
                f"sentences of more than {LONG} tokens: {self.long_sentences:,} (the longest has {tokens:,}, at line "
                f"{line}); if blank lines are missing, cut them behind full stops with --cut-sentences"
            )
        if self.several_sentences:
            remarks.append(
                f"docs that hold several sentences: {self.several_sentences:,}; train with a config that finds them: "
                "python -m spacy crfner config NAME --sentencizer"
            )
        remarks += [f"docs whose text stands in {name} too: {count:,}" for name, count in self.copies.items() if count]
        return remarks


def describe(docs: Sequence[ReadDoc], skipped_examples: int = 0, notes: Sequence[str] = ()) -> ConversionReport:
    """Report on Docs that are to be written.

    skipped_examples: how many examples their reader left out. notes: what it noted on the file as a whole.
    """
    repairs, trimmed, blank = (
        [line for read in docs for line in getattr(read, name)]
        for name in ("repaired_lines", "trimmed_lines", "blank_lines")
    )
    labels = Counter(entity.label_ for read in docs for entity in read.doc.ents)
    # Of other Docs nobody knows where their sentences begin.
    lengths = [
        (length, -read.line)
        for read in docs
        if read.doc.has_annotation("SENT_START")
        for length in sentence_lengths(read.doc)
    ]
    longest, line = max(lengths, default=(0, 0))
    found = [len(find_sentence_lengths(read.doc)) for read in docs]
    return ConversionReport(
        documents=len(docs),
        sentences=sum(max(1, count) for count in found),
        tokens=sum(len(read.doc) for read in docs),
        entities=dict(sorted(labels.items())),
        unannotated_tokens=sum(int(np.count_nonzero(read.doc.to_array("ENT_IOB") == 0)) for read in docs),
        repaired_tags=len(repairs),
        first_repair=min(repairs, default=None),
        skipped_examples=skipped_examples,
        skipped_spans=sum(read.skipped_spans for read in docs),
        trimmed_entities=len(trimmed),
        first_trimmed=min(trimmed, default=None),
        blank_entities=len(blank),
        first_blank=min(blank, default=None),
        long_sentences=sum(length > LONG for length, _ in lengths),
        longest=(longest, -line),
        several_sentences=sum(count > 1 for count in found),
        notes=tuple(notes),
    )


def to_bytes(docs: Sequence[ReadDoc]) -> bytes:
    """Write Docs in spaCy's binary format."""
    return DocBin(ATTRS, docs=[read.doc for read in docs]).to_bytes()
