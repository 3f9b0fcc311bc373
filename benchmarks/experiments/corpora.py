"""Corpora that pipelines are measured on: where their files are, their Docs, and longer Docs made of these."""

import argparse
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

from spacy.tokens import Doc, DocBin, Span, Token
from spacy.training import Example
from spacy.vocab import Vocab

from experiments.errors import BenchmarkError
from experiments.record import DATA_VARIABLE, shown_path
from spacy_crfner.corpora.convert import convert_file
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
        """Describe each split: where it comes from, and numbers, see `count`."""
        return {
            split: {"source": shown_path(self.sources[split]), **count(read_docs(file, Vocab()))}
            for split, file in self.files.items()
        }


@contextmanager
def open_corpus(
    args: argparse.Namespace,
    needed: Sequence[str] = SPLITS[:2],
    optional: Sequence[str] = (),
    language: Optional[str] = None,
) -> Iterator[CorpusFiles]:
    """Find the files of a corpus and convert them to spaCy's format, in a folder that is there as long as the block.

    args: what the options of a corpus have found: `corpus` (folder below that of corpora, with
        `{train,dev,test}.conll.gz`), `train_corpus` (folder whose train file is taken instead), `<split>_file` (goes
        first), `limit_train`, `limit_test` (sentences, or per cent: `10%`), `lang`.
    needed, optional: the splits. language: of the tokens, where no `lang` says it (default: en).

    Raises BenchmarkError where a split is not named, or a file or folder is missing; CorpusError for a damaged file.
    """
    options = vars(args)
    sources = find_sources(options, needed)
    sources = {split: sources[split] for split in SPLITS if split in (*needed, *optional) and split in sources}
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        files = {}
        for split, source in sources.items():
            limit = options.get(f"limit_{split}")
            if source.suffix != ".spacy":
                files[split] = Path(temporary) / f"{split}.spacy"
                language = options.get("lang") or language or "en"
                convert_file(source, files[split], language=language, limit=limit)
            elif limit is None:
                files[split] = source
            else:
                raise BenchmarkError(f"{source}: --limit-{split} takes a part of column and JSON lines files only.")
        yield CorpusFiles(sources, files, Path(temporary), options.get("limit_train"))


def find_sources(options: Dict[str, Any], needed: Sequence[str] = SPLITS[:2]) -> Dict[str, Path]:
    """Find the file of each split, see `open_corpus`."""
    sources: Dict[str, Path] = {}
    corpus, train_corpus = options.get("corpus"), options.get("train_corpus")
    if corpus is not None:
        files = {split: _folder(corpus) / f"{split}.conll.gz" for split in SPLITS}
        # Some corpora have no test split, and some a train split elsewhere.
        sources.update({split: file for split, file in files.items() if file.exists()})
    if train_corpus is not None:
        sources["train"] = _folder(train_corpus) / "train.conll.gz"
    sources.update({split: options[f"{split}_file"] for split in SPLITS if options.get(f"{split}_file") is not None})
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


def read_docs(path: Path, vocab: Vocab) -> List[Doc]:
    """Read the Docs of a `.spacy` file. Raises BenchmarkError where it cannot be read."""
    try:
        return list(DocBin().from_disk(path).get_docs(vocab))
    except Exception as error:  # DocBin passes on whatever zlib and msgpack raise.
        raise BenchmarkError(f"{path}: this is no .spacy file that spaCy can read ({error}).") from None


def count(docs: Iterable[Doc]) -> Dict[str, Any]:
    """Count docs, sentences, tokens and entities, and of entities by label."""
    labels: Counter = Counter()
    counts = {"docs": 0, "sentences": 0, "tokens": 0}
    for doc in docs:
        counts["docs"] += 1
        counts["sentences"] += len(sentence_lengths(doc))
        counts["tokens"] += len(doc)
        labels.update(entity.label_ for entity in doc.ents)
    return {**counts, "entities": labels.total(), "labels": dict(sorted(labels.items()))}


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
        yield Example(Doc(vocab, **form), Doc(vocab, ents=iob_tags(tokens), **form))


def _sentences(doc: Doc) -> Iterator[Span]:
    start = 0
    for length in sentence_lengths(doc):
        yield doc[start : start + length]
        start += length


def iob_tags(tokens: Iterable[Token]) -> List[str]:
    """Write IOB2 tags; an empty one where a token is not annotated."""
    return [f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else token.ent_iob_ for token in tokens]
