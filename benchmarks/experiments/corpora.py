"""Corpora that pipelines are measured on: where their files are, their Docs, and longer Docs made of these."""

import argparse
import os
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.vocab import Vocab

from experiments.errors import BenchmarkError
from experiments.record import DATA_VARIABLE, shown_path
from spacy_crfner.corpora.convert import convert_file
from spacy_crfner.corpora.reading import ReadDoc
from spacy_crfner.corpora.writing import describe
from spacy_crfner.files import fingerprint
from spacy_crfner.sentences import sentence_lengths

SPLITS = ("train", "dev", "test")


@dataclass
class CorpusFiles:
    """The files of a corpus while a benchmark runs.

    sources: split -> file as it was named. files: split -> the same in spaCy's format. folder: for temporary files.
    limit_train: how much of the train file is taken.
    """

    sources: Dict[str, Path]
    files: Dict[str, Path]
    folder: Path
    limit_train: Optional[str]

    @property
    def name(self) -> str:
        """Such as `conll2003-en-20`, from the folder of the train file (or its own name) and the limit."""
        train = self.sources["train"]
        stem = train.name.split(".")[0]
        limit = f"-{self.limit_train.replace('%', 'pct')}" if self.limit_train else ""
        return f"{train.absolute().parent.name if stem == 'train' else stem}{limit}"

    def fingerprint(self) -> str:
        """Digest what is read."""
        return fingerprint([sorted(self.sources), self.limit_train], *(self.sources[s] for s in sorted(self.sources)))

    def short(self) -> Dict[str, str]:
        """Name folder and file of each split."""
        return {split: f"{source.parent.name}/{source.name}" for split, source in self.sources.items()}

    def counts(self) -> Dict[str, Dict[str, Any]]:
        """Count docs, sentences, tokens and entities of each split, and say where it comes from."""
        counts = {}
        for split, file in self.files.items():
            report = describe([ReadDoc(doc) for doc in read_docs(file, Vocab())])
            counts[split] = {
                "source": shown_path(self.sources[split]),
                "docs": report.documents,
                "sentences": report.sentences,
                "tokens": report.tokens,
                "entities": sum(report.entities.values()),
                "labels": report.entities,
            }
        return counts


@contextmanager
def open_corpus(
    args: argparse.Namespace,
    needed: Sequence[str] = SPLITS[:2],
    optional: Sequence[str] = (),
    language: Optional[str] = None,
) -> Iterator[CorpusFiles]:
    """Find the files of a corpus and convert them to spaCy's format, in a folder that is there as long as the context.

    args: the options of a corpus, see `options.OPTIONS`; those of files go before those of folders.
    needed, optional: the splits. language: of the tokens, where no `lang` says it (default: en).

    Raises BenchmarkError where a split is not named, or a file or folder is missing; CorpusError for a damaged file.
    """
    options = vars(args)
    sources = _find_sources(options)
    for split in needed:
        if split not in sources:
            where = f"The corpus has no {split}.conll.gz" if options.get("corpus") else f"There is no {split} file"
            raise BenchmarkError(f"{where}: name one with --{split}, or a whole corpus with --corpus.")
    sources = {split: sources[split] for split in SPLITS if split in (*needed, *optional) and split in sources}
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        files = {}
        for split, source in sources.items():
            if not source.is_file():
                raise BenchmarkError(f"{source}: there is no such file: name another for {split}.")
            limit = options.get(f"limit_{split}")
            if source.suffix != ".spacy":
                files[split] = Path(temporary) / f"{split}.spacy"
                convert_file(source, files[split], language=options.get("lang") or language or "en", limit=limit)
            elif limit is None:
                files[split] = source
            else:
                raise BenchmarkError(f"{source}: --limit-{split} takes a part of column and JSON lines files only.")
        yield CorpusFiles(sources, files, Path(temporary), options.get("limit_train"))


def _find_sources(options: Dict[str, Any]) -> Dict[str, Path]:
    sources: Dict[str, Path] = {}
    if options.get("corpus") is not None:
        # Some corpora have no test split, and some a train split elsewhere.
        folder = _folder(options["corpus"])
        sources = {split: file for split in SPLITS if (file := folder / f"{split}.conll.gz").exists()}
    if options.get("train_corpus") is not None:
        sources["train"] = _folder(options["train_corpus"]) / "train.conll.gz"
    named = {split: options.get(f"{split}_file") for split in SPLITS}
    return {**sources, **{split: file for split, file in named.items() if file is not None}}


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


def read_docs(path: Path, vocab: Vocab) -> List[Doc]:
    """Read the Docs of a `.spacy` file. Raises BenchmarkError where it cannot be read."""
    try:
        return list(DocBin().from_disk(path).get_docs(vocab))
    except Exception as error:  # DocBin passes on whatever zlib and msgpack raise.
        raise BenchmarkError(f"{path}: this is no .spacy file that spaCy can read ({error}).") from None


def join_sentences(docs: Iterable[Doc], number: int, vocab: Vocab) -> Iterator[Example]:
    """Make Examples of `number` consecutive sentences each (the last may have fewer), to see what longer Docs cost.

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
            "sent_starts": [index == 0 for sentence in group for index in range(len(sentence))],
        }
        # An empty tag where the annotation is missing.
        tags = [f"{token.ent_iob_}-{token.ent_type_}".removesuffix("-") for token in tokens]
        yield Example(Doc(vocab, **form), Doc(vocab, ents=tags, **form))


def _sentences(doc: Doc) -> Iterator[Span]:
    start = 0
    for length in sentence_lengths(doc):
        yield doc[start : start + length]
        start += length
