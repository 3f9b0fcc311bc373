"""CoNLL-style columns, one token a line and a blank line after each sentence -> sentences -> Docs."""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..tags import check_labels, iob_to_spans
from . import CorpusError, Problems, read_lines

MISSING_TAGS = ("-", "?")
"""Tags that say that a token was not annotated."""

DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """A sentence of a column file.

    words: its tokens.
    tags: one for each token, in IOB2; an empty string where the token was not annotated.
    line: where it begins in the file, counted from 1.
    document: number of the document that it stands in, counted from 0.
    """

    words: Tuple[str, ...]
    tags: Tuple[str, ...]
    line: int
    document: int


def read_columns(
    path: Union[str, Path],
    *,
    token_column: int = 0,
    tag_column: int = -1,
    missing_tags: Collection[str] = MISSING_TAGS,
    comment_prefix: Optional[str] = None,
) -> List[Sentence]:
    """The sentences of a column file, plain or ``.gz``, in UTF-8.

    Columns are separated by a TAB if the first row holds one, and otherwise by spaces. Tags are IOB1, IOB2,
    BIOES or BILUO. ``-DOCSTART-`` rows end a document and are left out.

    path: the file.
    token_column, tag_column: counted from 0, or from the end of the row if negative.
    missing_tags: tags which say that the token was not annotated; it is then neither an entity nor ``O``.
    comment_prefix: lines that start with it are left out. None: there are no comments ("#" may be a token).

    Raises CorpusError, naming file and line, where the file cannot be read, holds no sentence, or has rows
    without the columns, with an empty token or with a tag that is none.
    """
    path = Path(path)
    problems = Problems(path)
    rows = _Rows(token_column, tag_column, frozenset(missing_tags))
    sentences: List[Sentence] = []
    words: List[str] = []
    tags: List[str] = []
    document = first_line = 0
    in_document = False

    def close_sentence() -> None:
        if words:
            sentences.append(Sentence(tuple(words), _to_iob2(tags, rows.missing_tags), first_line, document))
            words.clear()
            tags.clear()

    for number, line in read_lines(path, problems):
        if comment_prefix and line.startswith(comment_prefix):
            continue
        if not line.strip(" \t"):
            close_sentence()
        elif re.split("[ \t]", line, maxsplit=1)[0] == DOCUMENT_START:
            close_sentence()
            document += in_document
            in_document = False
        else:
            in_document = True
            try:
                word, tag = rows.parse(line)
            except ValueError as error:
                problems.add(number, str(error))
                continue
            first_line = first_line if words else number
            words.append(word)
            tags.append(tag)
    close_sentence()
    problems.check()
    if not sentences:
        raise CorpusError(f"{path}: the file holds no sentence: expected one token a line, with its tag.")
    return sentences


class _Rows:
    """Takes token and tag out of the rows of one file, whose first row decides on separator and width."""

    def __init__(self, token_column: int, tag_column: int, missing_tags: Collection[str]) -> None:
        self.token_column = token_column
        self.tag_column = tag_column
        self.missing_tags = missing_tags
        self.tag_faults: Dict[str, str] = {}
        self.split: Optional[Callable[[str], List[str]]] = None
        self.width = 0

    def parse(self, line: str) -> Tuple[str, str]:
        """Token and tag. Raises ValueError that says what is wrong."""
        if self.split is None:
            self.split = _split_tabs if "\t" in line else _split_spaces
            self.width = len(self.split(line))
        cells = self.split(line)
        # Counted from the end, a row that lost a cell would pass off another column as the tag.
        if min(self.token_column, self.tag_column) < 0 and len(cells) != self.width:
            separator = "a TAB" if self.split is _split_tabs else "spaces"
            raise ValueError(
                f"the row has {_columns(len(cells))}, but the file's first row has {self.width}, separated by "
                f"{separator}: add the missing column, count columns from the left, or name the prefix of comments."
            )
        token, tag = self._cell(cells, self.token_column, "token"), self._cell(cells, self.tag_column, "tag")
        if self.token_column % len(cells) == self.tag_column % len(cells):
            raise ValueError(
                f"the row has {_columns(len(cells))}, and token and tag are both expected in column "
                f"{self.token_column % len(cells)} (counted from 0): add the missing column or name others."
            )
        if not token.strip(" "):
            raise ValueError("the token is empty: write the token, or nothing at all to end a sentence.")
        if tag not in self.tag_faults:
            self.tag_faults[tag] = "" if tag in self.missing_tags else _tag_fault(tag)
        if self.tag_faults[tag]:
            raise ValueError(self.tag_faults[tag])
        return token, tag

    @staticmethod
    def _cell(cells: Sequence[str], column: int, role: str) -> str:
        if not -len(cells) <= column < len(cells):
            raise ValueError(
                f"the row has {_columns(len(cells))}, so there is no column {column} (counted from 0) for "
                f"the {role}: add the missing column or name another."
            )
        return cells[column]


def _split_tabs(line: str) -> List[str]:
    return line.split("\t")


def _split_spaces(line: str) -> List[str]:
    # Not str.split(): a token can hold, or be, a no-break space.
    return re.split(" +", line.strip(" "))


def _columns(number: int) -> str:
    return f"{number} column" + "s" * (number != 1)


def _tag_fault(tag: str) -> str:
    try:
        check_labels(label for _, _, label in iob_to_spans([tag]))
    except ValueError as error:
        return str(error)
    return ""


def _to_iob2(tags: Sequence[str], missing_tags: Collection[str]) -> Tuple[str, ...]:
    result = ["" if tag in missing_tags else "O" for tag in tags]
    for start, end, label in iob_to_spans(["O" if tag in missing_tags else tag for tag in tags]):
        result[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tuple(result)


def sentences_to_docs(
    sentences: Iterable[Sentence], vocab: Vocab, *, sentences_per_doc: int = 1, no_spaces: bool = False
) -> Iterator[Doc]:
    """Docs with the entities and sentence borders of sentences.

    sentences: in file order.
    vocab: the Docs' vocabulary.
    sentences_per_doc: how many sentences a Doc joins; the last Doc of a document may have fewer, since no Doc
        crosses the border of a document.
    no_spaces: the text has no spaces between tokens, as in Chinese. Otherwise one follows every token but the
        last; the real spacing is not known, and the Doc says so (``has_unknown_spaces``), for which reason
        spaCy trains and evaluates on these tokens instead of tokenising the text again.

    Raises CorpusError where `sentences_per_doc` is below 1.
    """
    if sentences_per_doc < 1:
        raise CorpusError(f"A Doc must hold at least one sentence, but sentences_per_doc is {sentences_per_doc}.")
    for _, group in groupby(sentences, key=lambda sentence: sentence.document):
        document = list(group)
        for first in range(0, len(document), sentences_per_doc):
            yield _make_doc(document[first : first + sentences_per_doc], vocab, no_spaces)


def _make_doc(sentences: Sequence[Sentence], vocab: Vocab, no_spaces: bool) -> Doc:
    words = [word for sentence in sentences for word in sentence.words]
    doc = Doc(
        vocab,
        words=words,
        spaces=[False] * len(words) if no_spaces else [True] * (len(words) - 1) + [False],
        ents=[tag for sentence in sentences for tag in sentence.tags],
        sent_starts=[place == 0 for sentence in sentences for place in range(len(sentence.words))],
    )
    doc.has_unknown_spaces = not no_spaces
    return doc
