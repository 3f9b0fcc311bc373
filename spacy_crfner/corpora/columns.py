"""CoNLL-style columns, one token a line and a blank line after each sentence -> sentences -> Docs."""

import re
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..tags import check_labels, iob_to_spans
from ..text_files import CorpusError, Problems, read_lines
from .repairs import CLOSING_PREFIXES, find_repairs

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
    repaired_lines: lines whose tags contradict those before them (see
        :func:`~spacy_crfner.corpora.repairs.find_repairs`), and so begin an entity in `tags`.
    """

    words: Tuple[str, ...]
    tags: Tuple[str, ...]
    line: int
    document: int
    repaired_lines: Tuple[int, ...] = ()


@dataclass
class _Draft:
    """A sentence while its file is read: tokens, tags as written, the line of each, and its document."""

    document: int
    words: List[str] = field(default_factory=list)
    tags: List[str] = field(default_factory=list)
    lines: List[int] = field(default_factory=list)


def read_columns(
    path: Union[str, Path],
    *,
    token_column: int = 0,
    tag_column: int = -1,
    missing_tags: Collection[str] = MISSING_TAGS,
    comment_prefix: Optional[str] = None,
) -> List[Sentence]:
    """Read the sentences of a column file, plain or ``.gz``, in UTF-8.

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
    drafts = [_Draft(document=0)]
    for number, line in read_lines(path, problems):
        draft = drafts[-1]
        if comment_prefix and line.startswith(comment_prefix):
            continue
        if not line.strip(" \t"):
            if draft.words:
                drafts.append(_Draft(draft.document))
        elif re.split("[ \t]", line, maxsplit=1)[0] == DOCUMENT_START:
            drafts.append(_Draft(draft.document + 1))
        else:
            try:
                word, tag = rows.parse(line)
            except ValueError as error:
                problems.add(number, str(error))
                continue
            draft.words.append(word)
            draft.tags.append(tag)
            draft.lines.append(number)
    problems.check()
    sentences = _finish(drafts, rows)
    if not sentences:
        raise CorpusError(f"{path}: the file holds no sentence: expected one token a line, with its tag.")
    return sentences


class _Rows:
    """The rows of one file -> token and tag; the first row decides on separator and width."""

    def __init__(self, token_column: int, tag_column: int, missing_tags: Collection[str]) -> None:
        self.token_column = token_column
        self.tag_column = tag_column
        self.missing_tags = missing_tags
        self.tag_faults: Dict[str, str] = {}
        self.split: Optional[Callable[[str], List[str]]] = None
        self.width = 0

    def parse(self, line: str) -> Tuple[str, str]:
        """Take token and tag out of a row. Raises ValueError that says what is wrong."""
        if self.split is None:
            self.split = _split_tabs if "\t" in line else _split_spaces
            self.width = len(self.split(line))
        cells = self.split(line)
        # Counted from the end, a row that lost a cell would pass off another column as the tag.
        if min(self.token_column, self.tag_column) < 0 and len(cells) != self.width:
            separator = "a TAB" if self.split is _split_tabs else "spaces"
            raise ValueError(
                f"the row has {_columns(len(cells))}, but the file's first row has {self.width}, separated by "
                f"{separator}: add the missing column, count columns from the left (--token-column, --tag-column), or "
                "name the prefix of comments (--comment-prefix)."
            )
        if len(cells) == 1:
            separators = "TABs or spaces" if self.width == 1 else "TABs" if self.split is _split_tabs else "spaces"
            where = "" if self.width == 1 else ", as in the file's first row"
            raise ValueError(
                "the row has 1 column, but token and tag need one each: separate columns by "
                f"{separators}{where}, and not by commas or other characters."
            )
        token, tag = self._cell(cells, self.token_column, "token"), self._cell(cells, self.tag_column, "tag")
        if self.token_column % len(cells) == self.tag_column % len(cells):
            raise ValueError(
                f"the row has {_columns(len(cells))}, and token and tag are both expected in column "
                f"{self.token_column % len(cells)} (counted from 0): add the missing column or name others "
                "(--token-column, --tag-column)."
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
                f"the {role}: add the missing column or name another (--{role}-column)."
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
        spans = iob_to_spans([tag])
    except ValueError as error:
        return f"{error} If it marks tokens that were not annotated, name it (--missing-tag)."
    try:
        check_labels(label for _, _, label in spans)
    except ValueError as error:
        return str(error)
    return ""


def _finish(drafts: Sequence[_Draft], rows: "_Rows") -> List[Sentence]:
    closes = any(tag.startswith(CLOSING_PREFIXES) for tag in rows.tag_faults if tag not in rows.missing_tags)
    sentences: List[Sentence] = []
    documents: Dict[int, int] = {}
    for draft in drafts:
        if draft.words:
            written = ["" if tag in rows.missing_tags else tag for tag in draft.tags]
            document = documents.setdefault(draft.document, len(documents))
            repaired = tuple(draft.lines[index] for index in find_repairs(written, closes=closes))
            sentences.append(Sentence(tuple(draft.words), _to_iob2(written), draft.lines[0], document, repaired))
    return sentences


def _to_iob2(tags: Sequence[str]) -> Tuple[str, ...]:
    result = ["O" if tag else "" for tag in tags]
    for start, end, label in iob_to_spans([tag or "O" for tag in tags]):
        result[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tuple(result)


def group_sentences(sentences: Iterable[Sentence], sentences_per_doc: int = 1) -> Iterator[List[Sentence]]:
    """Group sentences into those of each Doc.

    sentences: in file order.
    sentences_per_doc: how many sentences a Doc joins; the last Doc of a document may have fewer, since no Doc
        crosses the border of a document.

    Raises CorpusError where `sentences_per_doc` is below 1.
    """
    if sentences_per_doc < 1:
        raise CorpusError(f"A Doc must hold at least one sentence, but sentences_per_doc is {sentences_per_doc}.")
    for _, group in groupby(sentences, key=lambda sentence: sentence.document):
        document = list(group)
        for first in range(0, len(document), sentences_per_doc):
            yield document[first : first + sentences_per_doc]


def make_doc(sentences: Sequence[Sentence], vocab: Vocab, *, no_spaces: bool = False) -> Doc:
    """Make a Doc of sentences, with their entities and borders.

    vocab: the Doc's vocabulary.
    no_spaces: the text has no spaces between tokens, as in Chinese. Otherwise one follows every token but the
        last; the real spacing is not known, and the Doc says so (``has_unknown_spaces``), for which reason
        spaCy trains and evaluates on these tokens instead of tokenising the text again.
    """
    words = [word for sentence in sentences for word in sentence.words]
    doc = Doc(
        vocab,
        words=words,
        spaces=[False] * len(words) if no_spaces else [True] * (len(words) - 1) + [False],
        ents=[tag for sentence in sentences for tag in sentence.tags],
        sent_starts=[index == 0 for sentence in sentences for index in range(len(sentence.words))],
    )
    doc.has_unknown_spaces = not no_spaces
    return doc
