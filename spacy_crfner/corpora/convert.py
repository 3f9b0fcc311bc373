"""Annotated files -> ``.spacy`` files (DocBin) that spaCy trains on."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple, Union

from ..quoting import quote
from ..raw_text import doc_words
from ..text_files import CorpusError
from .reading import JSONL_SUFFIX, ReadDoc, read_docs, read_number
from .together import write_together
from .writing import ConversionReport, describe, to_bytes

COLUMN_SUFFIXES = (".conll", ".txt", ".iob", ".tsv", ".bio")
SPLITS = {
    "train": ("train", "eng.train", "deu.train", "esp.train", "ned.train"),
    "dev": ("dev", "devel", "valid", "validation", "testa", "eng.testa", "deu.testa", "esp.testa", "ned.testa"),
    "test": ("test", "testb", "eng.testb", "deu.testb", "esp.testb", "ned.testb"),
}
"""Split -> the names, without endings, that its file has in the corpora people download."""

FEW_TO_MEASURE = 100
"""Entities; an F1 on fewer has a 95 % confidence interval wider than ten points to either side of 50 %."""


def convert_file(
    source: Union[str, Path], target: Union[str, Path], *, allow_no_entities: bool = False, **options: Any
) -> ConversionReport:
    """Convert a column or JSON lines file to a ``.spacy`` file, see :func:`convert_files`."""
    reports = convert_files([(Path(source), Path(target))], allow_no_entities=allow_no_entities, **options)
    return reports[Path(target)]


def convert_files(
    plan: Sequence[Tuple[Path, Path]], *, allow_no_entities: bool = False, **options: Any
) -> Dict[Path, ConversionReport]:
    """Convert column or JSON lines files to ``.spacy`` files, which appear together.

    plan: source, plain or ``.gz``, and target of each; folders are made if need be. An error leaves neither half a file
        nor a changed one (see :func:`~spacy_crfner.corpora.together.write_together`).
    allow_no_entities: accept a corpus without any entity.
    options: format, language, limit and more, see :func:`~spacy_crfner.corpora.reading.read_docs`.

    Returns the report for each target, in the order of the plan.
    Raises CorpusError where a source cannot be read (naming file and line), holds no entity, an option has a
    wrong value, or a target cannot be written.
    """
    for _, target in plan:
        if target.suffix != ".spacy":
            raise CorpusError(f"{target}: spaCy reads only files whose name ends in .spacy: name the target so.")
    contents: Dict[Path, bytes] = {}
    reports: Dict[Path, ConversionReport] = {}
    texts: Dict[Path, Set[str]] = {}
    for source, target in plan:
        read = read_docs(source, **options)
        report = describe(read.docs, read.skipped, read.notes)
        if not report.entities and not allow_no_entities:
            where = "the part of the file that the limit takes" if options.get("limit") is not None else "the file"
            raise CorpusError(
                f"{source}: {where} holds no entity, so nothing can be learned from it: check where its tags or spans "
                "stand, or allow a corpus without entities (--allow-no-entities)."
            )
        keys = [text_key(doc) for doc in read.docs]
        report.copies = {other.stem: sum(key in own for key in keys) for other, own in texts.items()}
        texts[target] = set(keys)
        reports[target] = report
        contents[target] = to_bytes(read.docs)
    write_together(contents)
    return reports


def text_key(read: ReadDoc) -> str:
    """Write the words of a Doc with blanks between them, by which copies of a text are known."""
    return " ".join(doc_words(read.doc))


def split_file(
    source: Union[str, Path],
    folder: Union[str, Path],
    shares: Union[str, Sequence[float]],
    *,
    seed: int = 0,
    allow_no_entities: bool = False,
    **options: Any,
) -> Dict[str, ConversionReport]:
    """Convert a column or JSON lines file to ``train.spacy``, ``dev.spacy`` and, with three shares, ``test.spacy``.

    Its Docs (sentences, unless several are joined to a Doc, or examples of JSON lines) are shuffled and then dealt
    out, all copies of a text to the same part. The same source, shares, seed and options give the same files.

    source: the file, plain or ``.gz``.
    folder: where the files are written; it is made if need be. They appear together, see :func:`convert_files`.
    shares: two or three shares of the Docs in per cent, which sum to 100, such as ``(80, 10, 10)`` or "80,10,10".
    seed: of the order.
    allow_no_entities: accept parts without any entity.
    options: format, language, limit and more, see :func:`~spacy_crfner.corpora.reading.read_docs`.

    Returns the report for each part by its name; the skipped examples, which are in no part, and what is unusual in
    the file as a whole stand in the first.
    Raises CorpusError where the source is a folder or cannot be read (naming file and line), a part holds no Doc
    or no entity, an option has a wrong value, or a file cannot be written.
    """
    source = Path(source)
    borders = _borders(shares)
    if source.is_dir():
        raise CorpusError(f"{source}: only a file can be split, but this is a folder: name one file in it.")
    read = read_docs(source, **options)
    files: Dict[Path, bytes] = {}
    reports: Dict[str, ConversionReport] = {}
    for name, part in zip(SPLITS, _deal_out(read.docs, borders, seed), strict=False):
        if not part:
            raise CorpusError(
                f"{source}: nothing is left for {name}, since there are only {len(read.docs)} docs to split, of which "
                f"{len({text_key(doc) for doc in read.docs})} differ: use a larger file or more even shares."
            )
        reports[name] = report = describe(part) if reports else describe(part, read.skipped, read.notes)
        if not report.entities and not allow_no_entities:
            raise CorpusError(
                f"{source}: the part for {name} ({len(part)} docs) would hold no entity: check where the file's tags "
                "or spans stand, choose other shares or another seed (--seed), or allow parts without entities "
                "(--allow-no-entities)."
            )
        if name != "train" and sum(report.entities.values()) < FEW_TO_MEASURE:
            report.notes += (
                f"fewer than {FEW_TO_MEASURE} entities, on which an F1 can be off by ten points: give this part a "
                "larger share (--split)",
            )
        files[Path(folder) / f"{name}.spacy"] = to_bytes(part)
    write_together(files)
    return reports


def _deal_out(docs: Sequence[ReadDoc], borders: Sequence[Fraction], seed: int) -> List[List[ReadDoc]]:
    """Deal Docs out to parts, in random order, but all copies of a text to the part in which their middle falls."""
    by_text: Dict[str, List[ReadDoc]] = {}
    for doc in docs:
        by_text.setdefault(text_key(doc), []).append(doc)
    groups = list(by_text.values())
    random.Random(seed).shuffle(groups)
    ends = [round(len(docs) * border) for border in borders[1:]]
    parts: List[List[ReadDoc]] = [[] for _ in ends]
    dealt = 0
    for group in groups:
        middle = dealt + (len(group) - 1) // 2
        parts[next(number for number, end in enumerate(ends) if middle < end)] += group
        dealt += len(group)
    return parts


def left_over(targets: Iterable[Path]) -> List[Path]:
    """Find the files of an earlier conversion that stand beside the targets, as parts of the same corpus."""
    written = set(targets)
    folders = {target.parent for target in written if target.stem in SPLITS}
    beside = [folder / f"{name}.spacy" for folder in sorted(folders) for name in SPLITS]
    return [path for path in beside if path not in written and path.exists()]


def _borders(shares: Union[str, Sequence[float]]) -> List[Fraction]:
    """Compute where the parts begin and end, from 0 to 1."""
    texts = shares.split(",") if isinstance(shares, str) else map(str, shares)
    numbers = [number or Fraction(0) for number in map(read_number, texts)]
    if not 2 <= len(numbers) <= len(SPLITS) or min(numbers) <= 0 or sum(numbers) != 100:
        raise CorpusError(
            f"The shares {quote(shares)} are not two or three numbers above 0 that sum to 100, such as '80,20' (train "
            "and dev) or '80,10,10' (train, dev and test): correct them."
        )
    return [sum(numbers[:count], Fraction(0)) / 100 for count in range(len(numbers) + 1)]


def plan_conversions(sources: Iterable[Union[str, Path]], folder: Union[str, Path]) -> List[Tuple[Path, Path]]:
    """Pair source files with their targets, such as ``train.conll.gz`` and ``<folder>/train.spacy``.

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
    """Find the source file of each conversion, with the name of its target."""
    named: List[Tuple[str, Path]] = []
    for source in sources:
        if not source.exists():
            raise CorpusError(f"{source}: there is no such file or folder: check the path.")
        if not source.is_dir():
            named.append((_stem(source), source))
            continue
        readable = {file for file in source.iterdir() if file.is_file() and not file.name.endswith((".json", ".spacy"))}
        files = [(split, file) for split in SPLITS for file in sorted(readable) if _stem(file) in SPLITS[split]]
        if not files:
            raise CorpusError(
                f"{source}: the folder holds no file named {', '.join(SPLITS)} with one of the endings "
                f"{', '.join((*COLUMN_SUFFIXES, JSONL_SUFFIX))} (or these and .gz): name the files one by one."
            )
        named.extend(files)
    return named


def _stem(source: Path) -> str:
    name = Path(source.name.removesuffix(".gz"))
    # "eng.testa" and "eng.testb" must not both become "eng".
    return name.stem if name.suffix in (*COLUMN_SUFFIXES, JSONL_SUFFIX) else name.name
