"""Annotated files -> ``.spacy`` files (DocBin) that spaCy trains on."""

import random
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Tuple, Union

from ..text_files import CorpusError
from .reading import JSONL_SUFFIX, ReadDoc, read_docs
from .writing import ConversionReport, describe, write_all

COLUMN_SUFFIXES = (".conll", ".txt", ".iob", ".tsv", ".bio")
SPLITS = {
    "train": ("train", "eng.train", "deu.train", "esp.train", "ned.train"),
    "dev": ("dev", "devel", "valid", "validation", "testa", "eng.testa", "deu.testa", "esp.testa", "ned.testa"),
    "test": ("test", "testb", "eng.testb", "deu.testb", "esp.testb", "ned.testb"),
}
"""Split -> the names, without endings, that its file has in the corpora people download."""


def convert_file(
    source: Union[str, Path], target: Union[str, Path], *, allow_no_entities: bool = False, **options: Any
) -> ConversionReport:
    """Convert a column or JSON lines file to a ``.spacy`` file.

    source: the file, plain or ``.gz``.
    target: the file to write; its folder is made if need be. It is written under another name and renamed when
        complete, so that an error leaves neither half a file nor a changed one.
    allow_no_entities: accept a corpus without any entity.
    options: format, language, limit and more, see :func:`~spacy_crfner.corpora.reading.read_docs`.

    Raises CorpusError where the source cannot be read (naming file and line), holds no entity, an option has a
    wrong value, or the target cannot be written.
    """
    target = Path(target)
    if target.suffix != ".spacy":
        raise CorpusError(f"{target}: spaCy reads only files whose name ends in .spacy: name the target so.")
    docs, skipped = read_docs(source, **options)
    report = describe(docs, skipped)
    if not report.entities and not allow_no_entities:
        where = "the part of the file that the limit takes" if options.get("limit") is not None else "the file"
        raise CorpusError(
            f"{source}: {where} holds no entity, so nothing can be learned from it: check where its tags or spans "
            "stand, or allow a corpus without entities (--allow-no-entities)."
        )
    write_all({target: docs})
    return report


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
    out. The same source, shares, seed and options give the same files.

    source: the file, plain or ``.gz``.
    folder: where the files are written; it is made if need be. They are renamed when all are complete, so that an
        error leaves neither half a file nor a changed one.
    shares: two or three shares of the Docs in per cent, which sum to 100, such as ``(80, 10, 10)`` or "80,10,10".
    seed: of the order.
    allow_no_entities: accept parts without any entity.
    options: format, language, limit and more, see :func:`~spacy_crfner.corpora.reading.read_docs`.

    Returns the report for each part by its name; the skipped examples, which are in no part, stand in the first.
    Raises CorpusError where the source is a folder or cannot be read (naming file and line), a part holds no Doc
    or no entity, an option has a wrong value, or a file cannot be written.
    """
    source = Path(source)
    borders = _borders(shares)
    if source.is_dir():
        raise CorpusError(f"{source}: only a file can be split, but this is a folder: name one file in it.")
    docs, skipped = read_docs(source, **options)
    random.Random(seed).shuffle(docs)
    files: Dict[Path, List[ReadDoc]] = {}
    reports: Dict[str, ConversionReport] = {}
    for name, start, end in zip(SPLITS, borders, borders[1:], strict=False):
        part = docs[round(len(docs) * start) : round(len(docs) * end)]
        if not part:
            raise CorpusError(
                f"{source}: nothing is left for {name}, since there are only {len(docs)} docs to split: use a larger "
                "file or more even shares."
            )
        reports[name] = describe(part, 0 if reports else skipped)
        if not reports[name].entities and not allow_no_entities:
            raise CorpusError(
                f"{source}: the part for {name} ({len(part)} docs) would hold no entity: check where the file's tags "
                "or spans stand, choose other shares or another seed (--seed), or allow parts without entities "
                "(--allow-no-entities)."
            )
        files[Path(folder) / f"{name}.spacy"] = part
    write_all(files)
    return reports


def _borders(shares: Union[str, Sequence[float]]) -> List[Fraction]:
    """Compute where the parts begin and end, from 0 to 1."""
    texts = shares.split(",") if isinstance(shares, str) else map(str, shares)
    try:
        numbers = [Fraction(text) for text in texts]
    except (ValueError, ZeroDivisionError):
        numbers = []
    if not 2 <= len(numbers) <= len(SPLITS) or min(numbers) <= 0 or sum(numbers) != 100:
        raise CorpusError(
            f"The shares {shares!r} are not two or three numbers above 0 that sum to 100, such as '80,20' (train and "
            "dev) or '80,10,10' (train, dev and test): correct them."
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
