"""Raw text, without labels, as a stream from any number of files."""

from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Tuple, Union

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .quoting import quote
from .text_files import CorpusError, check_file, parse_object, read_lines

COLUMNS = (".conll", ".conllu", ".iob", ".bio")
"""How names of files with a word a line end."""

Paths = Iterable[Union[str, Path]]


def read_texts(paths: Paths) -> Iterator[str]:
    """Read the texts of files, one after the other, without those that hold nothing but white space.

    paths: JSON lines with the key "text" (``.jsonl``, ``.jsonl.gz``); Docs (``.spacy``); whatever else their names end
        in, plain text with a text a line, or ``.gz`` of that. None but Docs is held in memory as a whole.
    Raises CorpusError: at once where a file does not exist, or its name is that of columns; on the way, naming file and
        line, where one is not UTF-8, its gzip data is damaged, or a line of JSON has no text.
    """
    return _texts(_checked(paths))


def read_words(paths: Paths, nlp: Union[Language, str], tokenized: bool = False) -> Iterator[List[str]]:
    """Read the words of every text of files, without white space, and without the texts that have none.

    paths: see `read_texts`; Docs keep the words that they have.
    nlp: its tokenizer splits the text, or that of the language with this code.
    tokenized: the text has spaces between its words, and nothing else is split.
    Raises CorpusError, see `read_texts`; where spaCy has no such language; and, naming file and line, where a text is
        longer than `nlp.max_length`.
    """
    if isinstance(nlp, str) and not tokenized:
        nlp = load_tokenizer(nlp)
    return _words(_checked(paths), nlp, tokenized)


def split_words(texts: Iterable[str], nlp: Union[Language, str], tokenized: bool = False) -> Iterator[List[str]]:
    """Split each text into its words, without white space; an empty list for a text without any.

    nlp, tokenized: see `read_words`. Raises CorpusError where spaCy has no such language.
    """
    if tokenized:
        return map(str.split, texts)
    return map(doc_words, map((load_tokenizer(nlp) if isinstance(nlp, str) else nlp).make_doc, texts))


def doc_words(doc: Doc) -> List[str]:
    """List the words of a Doc, without white space."""
    return [token.text for token in doc if not token.text.isspace()]


def load_tokenizer(language: str) -> Language:
    """Load the tokenizer of a language, as a pipeline without components. Raises CorpusError where there is none."""
    try:
        return spacy.blank(language)
    except ImportError as error:
        raise CorpusError(
            f"spaCy has no language {quote(language)}, or needs a package for it: choose 'xx', which is for any, or "
            f"split the words yourself ({str(error).strip().splitlines()[0]})."
        ) from None


def _checked(paths: Paths) -> List[Path]:
    """Check that all files exist: nobody should wait for hours to learn that the last one is missing."""
    checked = [Path(path) for path in paths]
    for path in checked:
        check_file(path)
        if set(COLUMNS) & set(path.suffixes):
            raise CorpusError(
                f"{path}: these are columns, whose lines are words and not texts: make a .spacy file of it with "
                "`python -m spacy crfner convert`, whose text can be read."
            )
    return checked


def _texts(paths: List[Path]) -> Iterator[str]:
    for path in paths:
        texts = (doc.text for doc in _docs(path)) if _holds_docs(path) else (text for _, text in _lines(path))
        for text in texts:
            if text and not text.isspace():
                yield text


def _words(paths: List[Path], nlp: Union[Language, str], tokenized: bool) -> Iterator[List[str]]:
    for path in paths:
        if _holds_docs(path):
            sentences: Iterator[List[str]] = map(doc_words, _docs(path))
        else:
            splitter = None if tokenized or isinstance(nlp, str) else nlp
            texts = (check_length(text, splitter, path, line) for line, text in _lines(path))
            sentences = split_words(texts, nlp, tokenized)
        for words in sentences:
            if words:
                yield words


def _holds_docs(path: Path) -> bool:
    return path.suffix == ".spacy"


def _lines(path: Path) -> Iterator[Tuple[int, str]]:
    """Read the texts of a file, with the numbers of their lines."""
    is_json = path.name.removesuffix(".gz").endswith(".jsonl")
    for number, line in read_lines(path):
        if not is_json:
            yield number, line.strip()
        elif line.strip():
            yield number, _text_of(line, f"{path}:{number}")


def _text_of(line: str, where: str) -> str:
    try:
        text = parse_object(line).get("text")
    except ValueError as error:
        raise CorpusError(f"{where}: {error}") from None
    if not isinstance(text, str):
        raise CorpusError(f'{where}: the JSON object has no "text": write one such as {{"text": "..."}}.')
    return text


def check_length(text: str, nlp: Optional[Language], path: Union[str, Path], line: int) -> str:
    """Give the text back. Raises CorpusError, naming file and line, where it is longer than `nlp`, if any, takes."""
    if nlp is not None and len(text) > nlp.max_length:
        raise CorpusError(
            f"{path}:{line}: the text has {len(text):,} characters, but spaCy takes {nlp.max_length:,}: cut it into "
            "lines."
        )
    return text


def _docs(path: Path) -> Iterator[Doc]:
    try:
        yield from DocBin().from_disk(path).get_docs(Vocab())
    # The libraries that read it raise exceptions of many kinds.
    except Exception as error:
        raise CorpusError(
            f"{path}: this is not spaCy's binary format, or damaged ({type(error).__name__}): make the file again."
        ) from None
