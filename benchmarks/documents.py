"""Corpora that a pipeline is measured on: where their files are, their Docs, and longer Docs made of these."""

import os
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

from record import DATA_VARIABLE, BenchmarkError
from spacy.tokens import Doc, DocBin, Span, Token
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_crfner.corpora.convert import convert_file
from spacy_crfner.sentences import sentence_lengths

SPLITS = ("train", "dev", "test")


def find_sources(
    corpus: Optional[str],
    train_corpus: Optional[str],
    named: Dict[str, Optional[Path]],
    needed: Sequence[str] = SPLITS[:2],
) -> Dict[str, Path]:
    """The file of each split.

    corpus: folder below the folder of corpora, which has `{train,dev,test}.conll.gz`.
    train_corpus: folder whose train file is taken instead.
    named: files that are named one by one, by split; None for those that are not. They go first.
    needed: the splits that must be there.

    Raises BenchmarkError where one of these is not named, or a file or folder is missing.
    """
    sources: Dict[str, Path] = {}
    if corpus is not None:
        files = {split: _folder(corpus) / f"{split}.conll.gz" for split in SPLITS}
        # Some corpora have no test split, and some a train split elsewhere.
        sources.update({split: file for split, file in files.items() if file.exists()})
    if train_corpus is not None:
        sources["train"] = _folder(train_corpus) / "train.conll.gz"
    sources.update({split: file for split, file in named.items() if file is not None})
    for split in needed:
        if split not in sources:
            where = f"The corpus has no {split}.conll.gz" if corpus else f"There is no {split} file"
            raise BenchmarkError(f"{where}: name one with --{split}, or a whole corpus with --corpus.")
    for split, file in sources.items():
        if not file.is_file():
            raise BenchmarkError(f"{file}: there is no such file: name another for {split}.")
    return sources


def _folder(corpus: str) -> Path:
    data = os.environ.get(DATA_VARIABLE)
    if not data:
        raise BenchmarkError(
            f"The environment variable {DATA_VARIABLE} is not set: let it name the folder of corpora, or name files "
            "with --train, --dev and --test."
        )
    folder = Path(data) / corpus
    if not folder.is_dir():
        raise BenchmarkError(f"{folder}: there is no such folder: check {DATA_VARIABLE} and the name of the corpus.")
    return folder


def convert_corpus(
    sources: Dict[str, Path],
    folder: Path,
    language: str,
    limit_train: Optional[str] = None,
    limit_test: Optional[str] = None,
) -> Dict[str, Path]:
    """The split's files in spaCy's format; those of another are converted into the folder.

    limit_train, limit_test: so many sentences of these splits, or per cent (`10%`); None takes all.
    """
    limits = {"train": limit_train, "test": limit_test}
    files = {}
    for split, source in sources.items():
        limit = limits.get(split)
        if source.suffix != ".spacy":
            files[split] = folder / f"{split}.spacy"
            convert_file(source, files[split], language=language, limit=limit)
        elif limit is None:
            files[split] = source
        else:
            raise BenchmarkError(f"{source}: --limit-{split} takes a part of column and JSON lines files only.")
    return files


def read_docs(path: Path, vocab: Vocab) -> List[Doc]:
    """The Docs of a `.spacy` file. Raises BenchmarkError where it cannot be read."""
    try:
        return list(DocBin().from_disk(path).get_docs(vocab))
    except Exception as error:  # DocBin passes on whatever zlib and msgpack raise.
        raise BenchmarkError(f"{path}: this is no .spacy file that spaCy can read ({error}).") from None


def count(docs: Iterable[Doc]) -> Dict[str, Any]:
    """Numbers of docs, sentences, tokens and entities, and of entities by label."""
    labels: Counter = Counter()
    counts = {"docs": 0, "sentences": 0, "tokens": 0}
    for doc in docs:
        counts["docs"] += 1
        counts["sentences"] += len(sentence_lengths(doc))
        counts["tokens"] += len(doc)
        labels.update(entity.label_ for entity in doc.ents)
    return {**counts, "entities": labels.total(), "labels": dict(sorted(labels.items()))}


def join_sentences(docs: Iterable[Doc], number: int, vocab: Vocab) -> Iterator[Example]:
    """Examples of `number` consecutive sentences each (the last may have fewer), to see what longer Docs cost.

    docs: annotated; their sentence boundaries are kept, and a Doc without any is one sentence.
    vocab: of the pipeline that will be given the Examples.

    The predicted Docs have the sentence boundaries and no entities, the references have both.
    """
    sentences = (sentence for doc in docs for sentence in _sentences(doc))
    while group := list(islice(sentences, number)):
        tokens = [token for sentence in group for token in sentence]
        form: Dict[str, Any] = {
            "words": [token.text for token in tokens],
            "spaces": [bool(token.whitespace_) for token in tokens],
            "sent_starts": [place == 0 for sentence in group for place in range(len(sentence))],
        }
        yield Example(Doc(vocab, **form), Doc(vocab, ents=iob_tags(tokens), **form))


def _sentences(doc: Doc) -> Iterator[Span]:
    start = 0
    for length in sentence_lengths(doc):
        yield doc[start : start + length]
        start += length


def iob_tags(tokens: Iterable[Token]) -> List[str]:
    """IOB2 tags; an empty one where a token is not annotated."""
    return [f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else token.ent_iob_ for token in tokens]
