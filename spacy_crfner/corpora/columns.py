"""CoNLL-style columns, one token a line and a blank line after each sentence -> sentences -> Docs."""

import re
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Collection, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from spacy.pipeline import Sentencizer
from spacy.tokens import Doc
from spacy.vocab import Vocab

from ..tags import iob_to_spans
from ..text_files import CorpusError, Notes, Problems, read_lines
from ..white_space import trim
from .repairs import find_repairs
from .rows import Rows
from .tag_forms import TagForms, read_forms

MISSING_TAGS = ("-", "?")
"""Tags that say that a token was not annotated."""

DOCUMENT_START = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """A sentence of a column file.

    words: its tokens.
    tags: one for each token, in IOB2; an empty string where the token was not annotated.
    lines: where each token stands in the file, counted from 1.
    document: number of the document that it stands in, counted from 0.
    repaired_lines: lines whose tags contradict those before them (see
        :func:`~spacy_crfner.corpora.repairs.find_repairs`), and so begin an entity in `tags`.
    trimmed_lines: where entities begin that had white space at an end, which is outside of them in `tags`.
    blank_lines: where entities of white space alone began, which are none in `tags`.
    """

    words: Tuple[str, ...]
    tags: Tuple[str, ...]
    lines: Tuple[int, ...]
    document: int
    repaired_lines: Tuple[int, ...] = ()
    trimmed_lines: Tuple[int, ...] = ()
    blank_lines: Tuple[int, ...] = ()

    @property
    def line(self) -> int:
        """Where it begins in the file, counted from 1."""
        return self.lines[0]

    def part(self, start: int, end: int) -> "Sentence":
        """Cut a part out, from one token to another (exclusive)."""
        lines = self.lines[start:end]
        noted = (self.repaired_lines, self.trimmed_lines, self.blank_lines)
        kept = (tuple(line for line in some if lines[0] <= line <= lines[-1]) for some in noted)
        return Sentence(self.words[start:end], self.tags[start:end], lines, self.document, *kept)


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
    bare_labels: bool = False,
    label: Optional[str] = None,
    notes: Optional[Notes] = None,
) -> List[Sentence]:
    """Read the sentences of a column file, plain or ``.gz``, in UTF-8.

    Columns are separated by a TAB if the first row holds one, and otherwise by spaces; a separator at the end of a row
    is left out. Tags are IOB1, IOB2, BIOES, BILUO, BMES or BMEWO, or have their letters behind the labels, as in
    ``PER-B``. ``-DOCSTART-`` rows end a document and are left out.

    path: the file.
    token_column, tag_column: counted from 0, or from the end of the row if negative.
    missing_tags: tags which say that the token was not annotated; it is then neither an entity nor ``O``.
    comment_prefix: lines that start with it are left out. None: there are no comments ("#" may be a token).
    bare_labels: tags are labels without letters; neighbours with the same one are one entity.
    label: tags are letters without labels, and this is the label of them all.
    notes: takes what is unusual in the file as a whole.

    Raises CorpusError, naming file and line, where the file cannot be read, holds no sentence, or has rows
    without the columns, with an empty token or with a tag that is none.
    """
    if bare_labels and label is not None:
        raise CorpusError("Tags are either labels without letters or letters without labels: give one of the options.")
    path = Path(path)
    problems = Problems(path)
    notes = notes or Notes()
    # An empty cell at the end can be a tag.
    rows = Rows(token_column, tag_column, trim_ends="" not in missing_tags, notes=notes)
    drafts = [_Draft(document=0)]
    for number, line in read_lines(path, problems, notes):
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
                word, tag = rows.parse(line, number)
            except ValueError as error:
                problems.add(number, str(error))
                continue
            draft.words.append(word)
            draft.tags.append(tag)
            draft.lines.append(number)
    written = {tag for draft in drafts for tag in draft.tags}
    forms = read_forms(written, missing_tags, bare_labels=bare_labels, label=label)
    if forms.faults:
        for draft in drafts:
            for tag, line_number in zip(draft.tags, draft.lines, strict=True):
                if tag in forms.faults:
                    problems.add(line_number, forms.faults[tag])
    problems.check()
    sentences = _finish(drafts, forms)
    if not sentences:
        raise CorpusError(f"{path}: the file holds no sentence: expected one token a line, with its tag.")
    for remark in forms.remarks():
        notes.say(remark)
    return sentences


def _finish(drafts: Sequence[_Draft], forms: TagForms) -> List[Sentence]:
    sentences: List[Sentence] = []
    documents: Dict[int, int] = {}
    for draft in drafts:
        if draft.words:
            tags = [forms.tags[tag] for tag in draft.tags]
            document = documents.setdefault(draft.document, len(documents))
            repaired = tuple(draft.lines[index] for index in find_repairs(tags, closes=forms.closes))
            result = ["O" if tag else "" for tag in tags]
            trimmed, blank = [], []
            for first, last, label in iob_to_spans([tag or "O" for tag in tags]):
                start, end = trim(draft.words, first, last)
                result[first:last] = ["O"] * (last - first)
                if start == end:
                    blank.append(draft.lines[first])
                    continue
                if (start, end) != (first, last):
                    trimmed.append(draft.lines[start])
                result[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
            sentences.append(
                Sentence(
                    tuple(draft.words),
                    tuple(result),
                    tuple(draft.lines),
                    document,
                    repaired,
                    tuple(trimmed),
                    tuple(blank),
                )
            )
    return sentences


def cut_sentences(sentences: Iterable[Sentence], vocab: Vocab) -> List[Sentence]:
    """Cut sentences behind full stops and the like, as spaCy's sentencizer does, but never in an entity.

    vocab: of a language, which knows what is punctuation.
    """
    sentencizer = Sentencizer()
    cut: List[Sentence] = []
    for sentence in sentences:
        (begins,) = sentencizer.predict([Doc(vocab, words=list(sentence.words))])
        inside = [tag.startswith("I-") for tag in sentence.tags]
        starts = [index for index in range(1, len(inside)) if begins[index] and not inside[index]]
        cut += [sentence.part(*borders) for borders in pairwise([0, *starts, len(inside)])]
    return cut


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
