import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.vocab import Vocab

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.columns import group_sentences, make_doc, read_columns
from spacy_crfner.corpora.repairs import find_repairs
from spacy_crfner.text_files import MAX_REPORTED
from spacy_crfner.white_space import trim

PREFIXES = {"IOB2": "BIIB", "BIOES": "BIES", "BILUO": "BILU"}


def write_tags(spans, length, scheme):
    """Reference writer: the tags of spans in a scheme, by the scheme's definition."""
    tags = ["O"] * length
    last_end, last_label = -1, None
    for start, end, label in sorted(spans):
        if scheme == "IOB1":
            begin = "B" if (last_end, last_label) == (start, label) else "I"
            tags[start:end] = [f"{begin}-{label}"] + [f"I-{label}"] * (end - start - 1)
        else:
            begin, inside, close, single = PREFIXES[scheme]
            roles = [single] if end - start == 1 else [begin, *inside * (end - start - 2), close]
            tags[start:end] = [f"{role}-{label}" for role in roles]
        last_end, last_label = end, label
    return tags


def entities(doc):
    return [(entity.start, entity.end, entity.label_) for entity in doc.ents]


def read_docs(path, *, sentences_per_doc=1, no_spaces=False, **options):
    groups = group_sentences(read_columns(path, **options), sentences_per_doc)
    vocab = Vocab()
    return [make_doc(group, vocab, no_spaces=no_spaces) for group in groups]


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="corpus.conll"):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode("utf8")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


def error_of(path, **options):
    with pytest.raises(CorpusError) as caught:
        read_columns(path, **options)
    return str(caught.value)


# Reading


@pytest.mark.parametrize("name", ["corpus.conll", "corpus.conll.gz"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_reads_every_kind_of_text_file(write, name, line_end, bom, last):
    text = "Ada\tB-PER\nlives\tO\n\nin\tO\nNew\tB-LOC\nYork\tI-LOC" + last
    docs = read_docs(write((bom + text).replace("\n", line_end).encode("utf8"), name))
    assert [[token.text for token in doc] for doc in docs] == [["Ada", "lives"], ["in", "New", "York"]]
    assert [entities(doc) for doc in docs] == [[(0, 1, "PER")], [(1, 3, "LOC")]]


def test_first_row_decides_between_tab_and_spaces(write):
    tabs = read_docs(write("10\u00a0000\tO\n2 3\tO\n\u00a0\tO\n"))
    assert [token.text for token in tabs[0]] == ["10\u00a0000", "2 3", "\u00a0"]
    spaces = read_docs(write("Ada   NNP  B-PER\n\u00a0 NN O \n"))
    assert [token.text for token in spaces[0]] == ["Ada", "\u00a0"]


def test_unicode_line_separators_do_not_end_a_line(write):
    (doc,) = read_docs(write("a\u2028b\tO\nc\u0085\tB-X\n"))
    assert [token.text for token in doc] == ["a\u2028b", "c\u0085"]


def test_columns_can_be_named(write):
    path = write("1 B-PER Ada x\n2 O sings y\n")
    (doc,) = read_docs(path, token_column=2, tag_column=1)
    assert doc[0].text == "Ada" and entities(doc) == [(0, 1, "PER")]
    (same,) = read_docs(path, token_column=-2, tag_column=-3)
    assert same.to_json() == doc.to_json()
    ragged = write("Ada B-PER x\nsings O\n", "ragged.conll")
    assert len(read_docs(ragged, tag_column=1)[0]) == 2


def test_hash_is_a_token_unless_comments_are_asked_for(write):
    path = write("# text = C #\nC O\n# O\n")
    assert f"{path}:1: " in error_of(path) and "name the prefix of comments (--comment-prefix)" in error_of(path)
    assert [token.text for token in read_docs(path, comment_prefix="# text")[0]] == ["C", "#"]


def test_docstart_separates_documents_and_ends_the_sentence(write):
    path = write("-DOCSTART- -X- O\n\na O\n\nb O\n-DOCSTART- -X- O\nc O\n\nd O\n\ne O\n".replace(" -X-", ""))
    sentences = read_columns(path)
    assert [(sentence.words, sentence.document, sentence.line) for sentence in sentences] == [
        (("a",), 0, 3),
        (("b",), 0, 5),
        (("c",), 1, 7),
        (("d",), 1, 9),
        (("e",), 1, 11),
    ]
    docs = read_docs(path, sentences_per_doc=2)
    assert [[token.text for token in doc] for doc in docs] == [["a", "b"], ["c", "d"], ["e"]]


def test_docstart_row_does_not_decide_on_the_columns(write):
    (doc,) = read_docs(write("-DOCSTART- O\n\nAda\tNNP\tB-PER\n"))
    assert entities(doc) == [(0, 1, "PER")]


def test_sentences_know_where_they_begin(write):
    sentences = read_columns(write("\na O\nb O\n\n\nc O\nd O\ne O"))
    assert [sentence.line for sentence in sentences] == [2, 6]


# Tags


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES", "BILUO"])
def test_all_schemes_give_the_same_docs(write, scheme):
    spans = [(0, 1, "PER"), (1, 2, "PER"), (2, 5, "LOC"), (6, 8, "GPE.NAM"), (8, 9, "X-Y")]
    tags = write_tags(spans, 10, scheme)
    (doc,) = read_docs(write("".join(f"w{i}\t{tag}\n" for i, tag in enumerate(tags))))
    assert entities(doc) == spans
    assert all(token.ent_iob for token in doc)


def test_missing_annotation_is_not_outside(write):
    (doc,) = read_docs(write("a\t-\nb\tB-X\nc\t?\nd\tO\ne\tI-X\n"))
    assert [token.ent_iob_ for token in doc] == ["", "B", "", "O", "B"]
    assert entities(doc) == [(1, 2, "X"), (4, 5, "X")]
    (doc,) = read_docs(write("a\t_\nb\tO\n"), missing_tags=["_"])
    assert [token.ent_iob_ for token in doc] == ["", "O"]
    error = error_of(write("a\t-\n"), missing_tags=[])
    assert ":1: '-' is not a tag" in error and "not annotated, name it (--missing-tag)" in error


def test_entities_do_not_cross_sentences_that_share_a_doc(write):
    (doc,) = read_docs(write("a\tI-X\n\nb\tI-X\n"), sentences_per_doc=2)
    assert entities(doc) == [(0, 1, "X"), (1, 2, "X")]


# Repaired tags


@pytest.mark.parametrize(
    "tags, closes, places",
    [
        # Only BIOES and BILUO have no entity that begins with I-.
        ("O I-X I-X O I-Y", False, []),
        ("O I-X I-X O I-Y", True, [1, 4]),
        # IOB1: entities side by side, and B- only after an entity of the same label.
        ("I-X I-Y B-Y I-X", False, []),
        ("B-X I-Y", False, [1]),
        ("I-X B-Y I-X", False, [2]),
        ("B-X I-X I-Y I-Y O I-X", False, [2]),
        ("B-X I-Y I-X", False, [1, 2]),
        ("B-PER I-ORG E-PER", True, [1, 2]),
        ("B-X E-Y", True, [1]),
        ("O E-X L-X", True, [1, 2]),
        ("S-X I-X E-X", True, [1]),
        ("U-X L-X", True, [1]),
        ("E-X", True, [0]),
        # Not closed, but it is clear where they end.
        ("B-X O B-X I-X B-Y S-Y", True, []),
        # The entity may have begun at the token that was not annotated.
        ("B-X ? I-X E-X", True, []),
        ("B-X ? I-Y E-X", True, [3]),
        ("? E-X I-X", True, [2]),
        ("? B-X I-Y", False, []),
    ],
)
def test_repairs(tags, closes, places):
    assert find_repairs(["" if tag == "?" else tag for tag in tags.split()], closes=closes) == places


def test_repaired_lines(write):
    path = write("# x\na B-X\n# x\nb I-Y\nc O\n\nd I-X\ne ?\nf E-X\n\ng S-X\n")
    assert [sentence.repaired_lines for sentence in read_columns(path, comment_prefix="#")] == [(4,), (7,), ()]
    path = write("a I-X\nb S-?\n")
    assert read_columns(path, missing_tags=["S-?"])[0].repaired_lines == ()


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES", "BILUO"])
def test_correct_tags_need_no_repair(write, scheme):
    spans = [(0, 1, "X"), (1, 2, "X"), (2, 4, "Y"), (4, 6, "Y"), (6, 7, "X"), (8, 10, "X")]
    assert find_repairs(write_tags(spans, 11, scheme), closes=scheme in ("BIOES", "BILUO")) == []


# Docs


@pytest.mark.parametrize("n, lengths", [(1, [1, 2, 1]), (2, [3, 1]), (3, [4]), (9, [4])])
def test_sentences_per_doc(write, n, lengths):
    docs = read_docs(write("a\tO\n\nb\tO\nc\tB-X\n\nd\tO\n"), sentences_per_doc=n)
    assert [len(doc) for doc in docs] == lengths
    starts = [token.is_sent_start for doc in docs for token in doc]
    assert starts == [True, True, False, True]
    assert [sent.text for doc in docs for sent in doc.sents] == ["a", "b c", "d"]


def test_spaces(write):
    path = write("北\tB-LOC\n京\tI-LOC\n。\tO\n")
    (doc,) = read_docs(path)
    assert doc.text == "北 京 。" and doc.has_unknown_spaces
    (doc,) = read_docs(path, no_spaces=True)
    assert doc.text == "北京。" and not doc.has_unknown_spaces
    assert doc.ents[0].text == "北京"


def test_a_doc_needs_a_sentence(write):
    with pytest.raises(CorpusError, match="at least one sentence"):
        read_docs(write("a\tO\n"), sentences_per_doc=0)


# Errors


@pytest.mark.parametrize(
    "content, line, message",
    [
        ("a\tNN\tO\nb\tNN\n", 2, "the row has 2 columns, but the file's first row has 3"),
        ("a O\n\nb\n", 3, "the row has 1 column, but the file's first row has 2"),
        ("a O\nb c O\n", 2, "has 3 columns"),
        (
            "a\n",
            1,
            "the row has 1 column, but token and tag need one each: separate columns by TABs or spaces, and not",
        ),
        ("Ada,B-PER\n", 1, "separate columns by TABs or spaces, and not by commas"),
        ("a\tO\n\tB-X\n", 2, "the token is empty"),
        ("a\tO\nb\tQ-X\n", 2, "'Q-X' is not a tag"),
        ("a\tO\nb\tB-\n", 2, "'B-' is not a tag"),
        ("a\tO\nb\t\n", 2, "the tag is empty: write one"),
        ("a\tO\nb\tPER\n", 2, "'PER' is not a tag"),
        ("a\tO\nb\tPER\n", 2, "if the tags are labels without letters, say so (--bare-labels)"),
        ("a\tO\nb\tB\n", 2, "If the tags are letters without labels, name the label (--label)"),
        ("a\tO\nb\tB-PER|B-ORG\n", 2, "'B-PER|B-ORG' holds 2 tags, but entities cannot overlap: keep one"),
        ("a\tO\nb\tB-PER|O\n", 2, "'B-PER|O' holds 2 tags"),
        ("a\tO\nb\tPER-B|ORG-B\n", 2, "'PER-B|ORG-B' holds 2 tags"),
        ("a\tI-PER\nb\tPER-B\n", 2, "Its letter stands behind the label, but in other tags of the file before it"),
        ("a\tO\nb\rc\tO\n", 2, "there is a CR inside the row"),
        ("a\tO\nb\0\tO\n", 2, "the line holds a NUL byte, as UTF-16"),
        ("a O\nb B-PER\tLOC\n", 2, r"'PER\tLOC' cannot be written as a tag"),
        ("a\tO\nb\tB-O\n", 2, "'O' cannot be written as a tag"),
        (b"a\tO\nb\tO\n\ncaf\xe9\tO\n", 4, "the line is not UTF-8 (byte 4 of the line is 0xe9)"),
    ],
)
def test_malformed_row_is_named(write, content, line, message):
    path = write(content)
    error = error_of(path)
    assert error.startswith(f"{path}:{line}: ")
    assert message in error
    assert "\n" not in error


def test_column_out_of_range(write):
    path = write("a\tO\n")
    assert f"{path}:1: the row has 2 columns, so there is no column 3" in error_of(path, tag_column=3)
    assert f"{path}:1: the row has 2 columns, so there is no column -3" in error_of(path, token_column=-3)
    assert "for the token: add the missing column or name another (--token-column)" in error_of(path, token_column=2)
    assert "token and tag are both expected in column 0" in error_of(path, tag_column=0)


@pytest.mark.parametrize("content, separators", [("a\tO\nb O\n", "TABs"), ("a O\nb\tO\n", "spaces")])
def test_row_with_another_separator_than_the_first(write, content, separators):
    error = error_of(write(content), tag_column=1)
    assert f":2: the row has 1 column, but token and tag need one each: separate columns by {separators}, as" in error


def test_all_malformed_rows_are_reported_at_once(write):
    path = write("a\tO\nb\tX\nc\n\n\tO\nd\tO\n")
    summary, *lines = error_of(path).split("\n")
    assert summary.startswith(f"{path}: 3 problems")
    assert [line.split(": ")[0] for line in lines] == [f"{path}:{number}" for number in (2, 3, 5)]


def test_twenty_malformed_rows_are_named_and_the_rest_counted(write):
    path = write("a\tO\n" + "b\tX\n" * 33)
    summary, *lines = error_of(path).split("\n")
    assert "33 problems" in summary and f"first {MAX_REPORTED}" in summary
    assert len(lines) == MAX_REPORTED == 20
    assert lines[-1].startswith(f"{path}:21: ")


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "-DOCSTART-\tO\n\n"])
@pytest.mark.parametrize("name", ["corpus.conll", "corpus.conll.gz"])
def test_empty_file(write, content, name):
    path = write(content, name)
    assert error_of(path).startswith(f"{path}: the file holds no sentence")


def test_missing_file_and_folder(tmp_path):
    path = tmp_path / "nowhere.conll"
    assert error_of(path).startswith(f"{path}: there is no such file")
    assert error_of(tmp_path).startswith(f"{tmp_path}: this is a folder")


def test_truncated_gzip(tmp_path):
    rows = "".join(f"token{i}\tO\n\n" for i in range(50_000)).encode("utf8")
    path = tmp_path / "corpus.conll.gz"
    path.write_bytes(gzip.compress(rows)[:-5_000])
    error = error_of(path)
    place, message = error.split(": ", 1)
    line = int(place.removeprefix(f"{path}:"))
    assert 1 < line < 100_000
    assert "damaged or ends early" in message


@pytest.mark.parametrize("damage", [lambda data: b"a\tO\n", lambda data: data[:12] + b"\xff" * 30 + data[42:]])
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "corpus.conll.gz"
    path.write_bytes(damage(gzip.compress(b"".join(b"%d\tO\n" % i for i in range(500)))))
    assert error_of(path).startswith(f"{path}:1: the gzip data is damaged")


# Round trip

words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), min_size=1, max_size=6)
labels = st.sampled_from(["PER", "LOC", "GPE.NAM", "a-b", "E", "ß"])


@st.composite
def annotated_sentences(draw):
    tokens = draw(st.lists(words.filter(lambda word: word.strip(" ")), min_size=1, max_size=8))
    spans, place = [], 0
    while place < len(tokens):
        length = draw(st.integers(0, min(3, len(tokens) - place)))
        if length:
            spans.append((place, place + length, draw(labels)))
        place += length or 1
    return tokens, spans


@settings(deadline=None, max_examples=150)
@given(
    sentences=st.lists(annotated_sentences(), min_size=1, max_size=4),
    scheme=st.sampled_from(["IOB1", "IOB2", "BIOES", "BILUO"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    zipped=st.booleans(),
    extra=st.integers(0, 2),
)
def test_what_is_written_is_read_again(tmp_path_factory, sentences, scheme, line_end, bom, zipped, extra):
    lines = []
    for tokens, spans in sentences:
        tags = write_tags(spans, len(tokens), scheme)
        lines += ["\t".join([token, *["x"] * extra, tag]) for token, tag in zip(tokens, tags, strict=True)] + [""]
    data = line_end.join(lines).encode("utf-8-sig" if bom else "utf8")
    path = tmp_path_factory.mktemp("columns") / ("corpus.conll.gz" if zipped else "corpus.conll")
    path.write_bytes(gzip.compress(data) if zipped else data)
    assert not any(sentence.repaired_lines for sentence in read_columns(path))
    docs = read_docs(path)
    # A token may be white space, such as a no-break space: then it ends no entity.
    trimmed = [
        (tokens, [(*ends, label) for start, end, label in spans if (ends := trim(tokens, start, end))[0] < ends[1]])
        for tokens, spans in sentences
    ]
    assert [([token.text for token in doc], entities(doc)) for doc in docs] == trimmed
