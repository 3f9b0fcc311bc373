"""Docs with what their reader noted -> a report, and ``.spacy`` files."""

import errno
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence

import numpy as np
from spacy.tokens import DocBin

from ..files import replacing
from ..text_files import CorpusError
from .reading import ReadDoc

ATTRS = ("ENT_IOB", "ENT_TYPE", "SENT_START")
"""The annotation that a corpus has; DocBin adds words and spaces."""


@dataclass
class ConversionReport:
    """What a conversion wrote.

    documents, sentences, tokens: counts; a Doc without sentence borders counts as one sentence.
    entities: number of entities by label, labels in order.
    unannotated_tokens: tokens that are neither in an entity nor known to be outside.
    repaired_tags: tags that contradict the tags before them, and so begin an entity of their own (see
        :func:`~spacy_crfner.corpora.repairs.find_repairs`).
    first_repair: the line of the first of them in the file; None if there is none.
    skipped_examples: examples of the file that were left out because their answer is "reject" or "ignore".
    skipped_spans: spans that were turned into missing annotation (alignment ``skip``).
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

    def __str__(self) -> str:
        by_label = ", ".join(f"{label} {count:,}" for label, count in self.entities.items())
        parts = [f"sentences {self.sentences:,}", f"docs {self.documents:,}", f"tokens {self.tokens:,}"]
        parts.append(f"entities {sum(self.entities.values()):,}" + (f" ({by_label})" if by_label else ""))
        # What was left out or repaired is only worth a word where there is some.
        for name in ("unannotated_tokens", "repaired_tags", "skipped_examples", "skipped_spans"):
            if getattr(self, name):
                where = f" (first at line {self.first_repair})" if name == "repaired_tags" else ""
                parts.append(f"{name.replace('_', ' ')} {getattr(self, name):,}{where}")
        return ", ".join(parts)


def describe(docs: Sequence[ReadDoc], skipped_examples: int = 0) -> ConversionReport:
    """Report on Docs that are to be written. skipped_examples: how many examples their reader left out."""
    repairs = [line for read in docs for line in read.repaired_lines]
    labels = Counter(entity.label_ for read in docs for entity in read.doc.ents)
    return ConversionReport(
        documents=len(docs),
        sentences=sum(max(1, int((read.doc.to_array("SENT_START") == 1).sum())) for read in docs),
        tokens=sum(len(read.doc) for read in docs),
        entities=dict(sorted(labels.items())),
        unannotated_tokens=sum(int(np.count_nonzero(read.doc.to_array("ENT_IOB") == 0)) for read in docs),
        repaired_tags=len(repairs),
        first_repair=min(repairs, default=None),
        skipped_examples=skipped_examples,
        skipped_spans=sum(read.skipped_spans for read in docs),
    )


def write_all(files: Mapping[Path, Sequence[ReadDoc]]) -> None:
    """Write Docs to ``.spacy`` files, whose folders are made if need be.

    They are renamed when all are complete, so that an error leaves neither half a file nor a changed one.
    Raises CorpusError where a file cannot be written.
    """
    target = next(iter(files), Path())
    try:
        with replacing(*files) as unfinished:
            for (target, docs), path in zip(files.items(), unfinished, strict=True):
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "a folder has this name", str(target))
                path.write_bytes(DocBin(ATTRS, docs=[read.doc for read in docs]).to_bytes())
    except OSError as error:
        # An error without a name is of the file that was being written.
        path = error.filename or target
        raise CorpusError(f"{path}: the file cannot be written ({error.strerror or error}).") from None
