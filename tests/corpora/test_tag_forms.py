"""Tags as people write them."""

import pytest

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.columns import read_columns
from spacy_crfner.tags import iob_to_spans
from spacy_crfner.text_files import Notes

SPANS = [(0, 1, "PER"), (1, 4, "E-mail"), (5, 7, "PER")]
WRITTEN = {
    "IOB2": "B-PER B-E-mail I-E-mail I-E-mail O B-PER I-PER",
    "BIOES": "S-PER B-E-mail I-E-mail E-E-mail O B-PER E-PER",
    "BILUO": "U-PER B-E-mail I-E-mail L-E-mail O B-PER L-PER",
    "BMES": "S-PER B-E-mail M-E-mail E-E-mail O B-PER E-PER",
    "BMEWO": "W-PER B-E-mail M-E-mail E-E-mail O B-PER E-PER",
    "behind": "PER-B E-mail-B E-mail-I E-mail-I O PER-B PER-I",
    "BMEWO behind": "PER-W E-mail-B E-mail-M E-mail-E O PER-B PER-E",
    "bare labels": "PER E-mail E-mail E-mail O PER PER",
}
REMARKS = {
    "BIOES": ["the tags were read as BIOES"],
    "BILUO": ["the tags were read as BILUO"],
    "BMES": ["the tags were read as BMES"],
    "BMEWO": ["the tags were read as BMEWO"],
    "behind": ["the letters of the tags stand behind the labels, as in PER-B"],
    "BMEWO behind": ["the tags were read as BMEWO", "the letters of the tags stand behind the labels, as in PER-B"],
}


def rows(tags, separator="\t", end="\n"):
    return "".join(f"w{i}{separator}{tag}{end}" for i, tag in enumerate(tags.split()))


def spans(path, **options):
    """The entities of the only sentence of a file, and the notes on it."""
    notes = Notes()
    (sentence,) = read_columns(path, notes=notes, **options)
    assert not sentence.repaired_lines
    return iob_to_spans([tag or "O" for tag in sentence.tags]), notes.lines()


@pytest.mark.parametrize("form", WRITTEN)
def test_every_form_gives_the_same_entities(write, form):
    found, notes = spans(write("a.conll", rows(WRITTEN[form])), bare_labels=form == "bare labels")
    assert found == SPANS and notes == REMARKS.get(form, [])


def test_bare_labels_are_never_guessed(write):
    path = write("a.conll", rows("E-mail E-mail O PER"))
    with pytest.raises(CorpusError, match=r":4: 'PER' is not a tag.* \(--bare-labels\)\.$"):
        read_columns(path)
    assert spans(path, bare_labels=True)[0] == [(0, 2, "E-mail"), (3, 4, "PER")]
    with pytest.raises(CorpusError, match=r":2: 'E-mail' would go on .* none begins.*\(--bare-labels\)\.$"):
        read_columns(write("d.conll", rows("O E-mail O")))
    # A letter and a hyphen are the beginning of some labels.
    assert spans(write("b.conll", rows("B-cell B-cell O I-beam")), bare_labels=True)[0][0] == (0, 2, "B-cell")
    for tags in ("B-PER I-PER O", "B I O"):
        with pytest.raises(CorpusError, match=r"the tags have letters, .*: leave --bare-labels out"):
            read_columns(write("c.conll", rows(tags)), bare_labels=True)


@pytest.mark.parametrize("tags", ["B B I I O B I", "S B I E O B E", "U B I L O B L", "W B M E O B E"])
def test_letters_alone_get_a_label(write, tags):
    found, _ = spans(write("a.conll", rows(tags)), label="PER")
    assert found == [(0, 1, "PER"), (1, 4, "PER"), (5, 7, "PER")]


def test_letters_alone_need_a_label(write):
    with pytest.raises(CorpusError, match=r":1: 'B' is not a tag.*name the label \(--label\)\.$"):
        read_columns(write("a.conll", rows("B O")))
    with pytest.raises(CorpusError, match=r":2: the tag 'B-PER' is none of the letters .*: leave --label out"):
        read_columns(write("a.conll", rows("B B-PER")), label="PER")
    with pytest.raises(CorpusError, match="The entity label 'O' cannot"):
        read_columns(write("a.conll", rows("B O")), label="O")


def test_tags_that_can_be_read_either_way_follow_the_file(write):
    assert spans(write("a.conll", rows("B-I I-I O B-PER")))[0] == [(0, 2, "I"), (3, 4, "PER")]
    assert spans(write("a.conll", rows("I-B I-I O PER-B")))[0] == [(0, 2, "I"), (3, 4, "PER")]


@pytest.mark.parametrize("ending", ["\t", "\t\t", " ", "\t "])
@pytest.mark.parametrize("where", ["everywhere", "later", "first"])
def test_separators_at_the_end_of_rows(write, ending, where):
    """Some tools end a row as they end a cell; the tag is none the less before it."""
    lines = rows("B-PER I-PER O O").splitlines()
    ended = {"everywhere": lines, "later": lines[1:], "first": lines[:1]}[where]
    found, notes = spans(write("a.conll", "\n".join(line + ending * (line in ended) for line in lines)))
    assert found == [(0, 2, "PER")]
    place = 2 if where == "later" else 1
    assert notes == [f"rows with a separator at the end, which was left out: {len(ended)} (first at line {place})"]


def test_an_empty_tag_can_mean_missing_annotation(write):
    (sentence,) = read_columns(write("a.conll", "a\t\nb\tB-X\n"), missing_tags=[""])
    assert sentence.tags == ("", "B-X")


def test_byte_order_marks_of_files_that_were_put_together(write):
    """`cat a.conll b.conll` leaves the mark of the second in the middle."""
    found, notes = spans(write("a.conll", "\ufeffw0\tB-PER\n\ufeffw1\tI-PER\n\ufeffw2\tO\n"))
    assert found == [(0, 2, "PER")]
    assert notes == ["byte order marks inside the file, which were left out: 2 (first at line 2)"]


@pytest.mark.parametrize("name", ["a.conll", "a.conll.gz"])
def test_lines_that_end_in_cr(write, name):
    notes = Notes()
    content = (rows("B-PER I-PER O") + "\n").replace("\n", "\r") * 5_000
    sentences = read_columns(write(name, content), notes=notes)
    assert len(sentences) == 5_000 and sentences[-1].line == 19_997
    assert {(sentence.words, sentence.tags) for sentence in sentences} == {
        (("w0", "w1", "w2"), ("B-PER", "I-PER", "O"))
    }
    assert notes.lines() == ["the lines end in CR, as on old Macs"]
