"""Annotated files -> ``.spacy`` files (DocBin) that spaCy trains on."""

import os
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Collection, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import get_lang_class
from spacy.vocab import Vocab, create_vocab

from . import CorpusError
from .columns import MISSING_TAGS, read_columns, sentences_to_docs
from .jsonl import read_jsonl

COLUMN_SUFFIXES = (".conll", ".txt", ".iob", ".tsv", ".bio")
JSONL_SUFFIX = ".jsonl"
SPLITS = {
    "train": ("train", "eng.train"),
    "dev": ("dev", "devel", "valid", "validation", "testa", "eng.testa"),
    "test": ("test", "testb", "eng.testb"),
}
"""Split -> the names, without endings, that its file has in the corpora people download."""
FORMATS = ("auto", "columns", "jsonl")

ATTRS = ("ENT_IOB", "ENT_TYPE", "SENT_START")
"""The annotation that a corpus has; DocBin adds words and spaces."""


@dataclass
class ConversionReport:
    """What a conversion wrote.

    documents, sentences, tokens: counts; a Doc without sentence borders counts as one sentence.
    entities: number of entities by label, labels in order.
    unannotated_tokens: tokens that are neither in an entity nor known to be outside.
    skipped_examples: examples of the file that were left out because their answer is "reject" or "ignore".
    skipped_spans: spans that were turned into missing annotation (alignment ``skip``).
    """

    documents: int = 0
    sentences: int = 0
    tokens: int = 0
    entities: Dict[str, int] = field(default_factory=dict)
    unannotated_tokens: int = 0
    skipped_examples: int = 0
    skipped_spans: int = 0

    def __str__(self) -> str:
        by_label = ", ".join(f"{label} {count:,}" for label, count in self.entities.items())
        parts = [f"sentences {self.sentences:,}", f"docs {self.documents:,}", f"tokens {self.tokens:,}"]
        parts.append(f"entities {sum(self.entities.values()):,}" + (f" ({by_label})" if by_label else ""))
        # What was left out is only worth a word where there is some.
        for name in ("unannotated_tokens", "skipped_examples", "skipped_spans"):
            if getattr(self, name):
                parts.append(f"{name.replace('_', ' ')} {getattr(self, name):,}")
        return ", ".join(parts)


def convert_file(
    source: Union[str, Path],
    target: Union[str, Path],
    *,
    file_format: str = "auto",
    language: str = "en",
    limit: Union[int, str, None] = None,
    allow_no_entities: bool = False,
    sentences_per_doc: int = 1,
    no_spaces: bool = False,
    token_column: int = 0,
    tag_column: int = -1,
    missing_tags: Collection[str] = MISSING_TAGS,
    comment_prefix: Optional[str] = None,
    alignment: str = "strict",
) -> ConversionReport:
    """Convert a column or JSON lines file to a ``.spacy`` file.

    source: the file, plain or ``.gz``.
    target: the file to write; its folder is made if need be. It is written under another name and renamed when
        complete, so that an error leaves neither half a file nor a changed one.
    file_format: "columns", "jsonl", or "auto": JSON lines if the name ends in ``.jsonl`` or ``.jsonl.gz``, and
        columns otherwise.
    language: code of the spaCy language whose vocabulary (and, for JSON lines, tokenizer) is used.
    limit: convert only the first sentences (of JSON lines: examples), a number or a share such as "10%"; the
        whole file is checked all the same.
    allow_no_entities: accept a corpus without any entity.
    sentences_per_doc, no_spaces, token_column, tag_column, missing_tags, comment_prefix: for columns, see
        :func:`~spacy_crfner.corpora.columns.read_columns` and
        :func:`~spacy_crfner.corpora.columns.sentences_to_docs`.
    alignment: for JSON lines, see :func:`~spacy_crfner.corpora.jsonl.read_jsonl`.

    Raises CorpusError where the source cannot be read (naming file and line), holds no entity, an option is not
    one of the above, or the target cannot be written.
    """
    source, target = Path(source), Path(target)
    if file_format not in FORMATS:
        raise CorpusError(f"Unknown format {file_format!r}: choose one of {', '.join(FORMATS)}.")
    if target.suffix != ".spacy":
        raise CorpusError(f"{target}: spaCy reads only files whose name ends in .spacy: name the target so.")
    _count(limit, total=1)
    report = ConversionReport()
    if file_format == "auto":
        file_format = guess_format(source)
    if file_format == "jsonl":
        examples, report.skipped_examples = read_jsonl(source, _load_language(language), alignment=alignment)
        examples = examples[: _count(limit, len(examples))]
        report.skipped_spans = sum(example.skipped_spans for example in examples)
        docs = [example.doc for example in examples]
    else:
        vocab = _load_vocab(language)
        sentences = read_columns(
            source,
            token_column=token_column,
            tag_column=tag_column,
            missing_tags=missing_tags,
            comment_prefix=comment_prefix,
        )
        sentences = sentences[: _count(limit, len(sentences))]
        docs = list(sentences_to_docs(sentences, vocab, sentences_per_doc=sentences_per_doc, no_spaces=no_spaces))
    _describe(docs, report)
    if not report.entities and not allow_no_entities:
        where = "the part of the file that the limit takes" if limit is not None else "the file"
        raise CorpusError(
            f"{source}: {where} holds no entity, so nothing can be learned from it: check where its tags or spans "
            "stand, or allow a corpus without entities."
        )
    _write(DocBin(ATTRS, docs=docs), target)
    return report


def guess_format(source: Path) -> str:
    """ "jsonl" or "columns", by the file's name. Raises CorpusError for names of formats that are neither."""
    suffix = Path(source.name.removesuffix(".gz")).suffix
    if suffix in (".json", ".spacy"):
        raise CorpusError(
            f"{source}: {suffix} files are neither columns nor JSON lines: convert the file to one of these, or "
            "name its format if only its name misleads."
        )
    return "jsonl" if suffix == JSONL_SUFFIX else "columns"


def plan_conversions(sources: Iterable[Union[str, Path]], folder: Union[str, Path]) -> List[Tuple[Path, Path]]:
    """Source files and their targets, such as ``train.conll.gz`` and ``<folder>/train.spacy``.

    sources: files, or folders whose train, dev and test files are taken (see SPLITS for their names).
    folder: where the targets stand.

    Raises CorpusError where a source does not exist, a folder holds no such file, or two sources have the same
    target.
    """
    plan: Dict[Path, Path] = {}
    for name, source in _find_files([Path(source) for source in sources]):
        target = Path(folder) / f"{name}.spacy"
        if target in plan:
            raise CorpusError(
                f"{plan[target]} and {source} would both be written to {target}: convert them to different folders."
            )
        plan[target] = source
    return [(source, target) for target, source in plan.items()]


def _find_files(sources: Sequence[Path]) -> List[Tuple[str, Path]]:
    """The name of the target and the source file of each conversion."""
    found: List[Tuple[str, Path]] = []
    for source in sources:
        if not source.exists():
            raise CorpusError(f"{source}: there is no such file or folder: check the path.")
        if not source.is_dir():
            found.append((_stem(source), source))
            continue
        readable = {file for file in source.iterdir() if file.is_file() and not file.name.endswith((".json", ".spacy"))}
        files = [(split, file) for split in SPLITS for file in sorted(readable) if _stem(file) in SPLITS[split]]
        if not files:
            raise CorpusError(
                f"{source}: the folder holds no file named {', '.join(SPLITS)} with one of the endings "
                f"{', '.join((*COLUMN_SUFFIXES, JSONL_SUFFIX))} (or these and .gz): name the files one by one."
            )
        found.extend(files)
    return found


def _stem(source: Path) -> str:
    name = Path(source.name.removesuffix(".gz"))
    # "eng.testa" and "eng.testb" must not both become "eng".
    return name.stem if name.suffix in (*COLUMN_SUFFIXES, JSONL_SUFFIX) else name.name


def _count(limit: Union[int, str, None], total: int) -> int:
    """How many of `total` sentences a limit takes; of any share at least one."""
    if limit is None:
        return total
    text = str(limit)
    try:
        number = Fraction(text.removesuffix("%"))
    except (ValueError, ZeroDivisionError):
        number = Fraction(0)
    is_share = text.endswith("%")
    if number <= 0 or (is_share and number > 100) or (not is_share and number.denominator != 1):
        raise CorpusError(
            f"The limit {limit!r} is neither a number of sentences nor a share such as '10%': correct it."
        )
    return max(1, int(total * number / 100)) if is_share else min(total, int(number))


def _load_vocab(language: str) -> Vocab:
    # Not spacy.blank: some languages' tokenizers need a further package, and columns need no tokenizer.
    try:
        return create_vocab(language, get_lang_class(language).Defaults)
    except ImportError:
        raise CorpusError(f"spaCy knows no language {language!r}: name one such as 'en', or 'xx' for any.") from None


def _load_language(language: str) -> Language:
    _load_vocab(language)
    try:
        return spacy.blank(language)
    except ImportError as error:
        reason = str(error).strip().split("\n")[0]
        raise CorpusError(f"The tokenizer of the language {language!r} cannot be loaded: {reason}") from None


def _describe(docs: Sequence[Doc], report: ConversionReport) -> None:
    labels: Counter = Counter()
    for doc in docs:
        report.sentences += max(1, int((doc.to_array("SENT_START") == 1).sum()))
        report.tokens += len(doc)
        report.unannotated_tokens += int(np.count_nonzero(doc.to_array("ENT_IOB") == 0))
        labels.update(entity.label_ for entity in doc.ents)
    report.documents = len(docs)
    report.entities = dict(sorted(labels.items()))


def _write(doc_bin: DocBin, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(doc_bin.to_bytes())
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise CorpusError(f"{target}: the file cannot be written ({error.strerror or error}).") from None
