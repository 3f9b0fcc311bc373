"""Raw text from files of every kind, as a stream."""

import gzip
import json
from itertools import islice

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_crfner.raw_text import read_texts, read_words, split_words
from spacy_crfner.text_files import CorpusError


@pytest.fixture
def files(tmp_path):
    """Five files, of every kind that there is."""
    lines = [json.dumps({"text": "Ana llegó.\nTarde.", "meta": 1}), "", json.dumps({"text": " "})]
    contents = {
        "a.txt": "\ufeffUn perro.\r\n\n \nDos gatos.",
        "b.es.gz": "Tres  pájaros.\n",
        "c.jsonl": "\n".join(lines),
        "d.jsonl.gz": json.dumps({"text": "Fin."}),
    }
    for name, content in contents.items():
        data = content.encode("utf8")
        (tmp_path / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
    nlp = spacy.blank("es")
    DocBin(docs=[nlp("Uno  dos."), nlp("")]).to_disk(tmp_path / "e.spacy")
    return sorted(tmp_path.iterdir())


def test_texts_of_every_kind_of_file(files):
    expected = ["Un perro.", "Dos gatos.", "Tres  pájaros.", "Ana llegó.\nTarde.", "Fin.", "Uno  dos."]
    assert list(read_texts(files)) == expected
    assert list(read_texts(map(str, files[:1]))) == expected[:2] and list(read_texts([])) == []


def test_words_are_those_of_the_tokenizer_without_white_space(files):
    expected = [
        ["Un", "perro", "."],
        ["Dos", "gatos", "."],
        ["Tres", "pájaros", "."],
        ["Ana", "llegó", ".", "Tarde", "."],
        ["Fin", "."],
        ["Uno", "dos", "."],
    ]
    assert list(read_words(files, "es")) == list(read_words(files, spacy.blank("es"))) == expected


def test_text_that_is_split_already_needs_no_tokenizer(files):
    expected = [["Un", "perro."], ["Dos", "gatos."], ["Tres", "pájaros."], ["Ana", "llegó.", "Tarde."], ["Fin."]]
    assert list(read_words(files, "qu", tokenized=True)) == [*expected, ["Uno", "dos", "."]]


def test_empty_texts_keep_their_places_where_lines_belong_together():
    assert list(split_words(["Un perro.", " ", "Fin."], "es")) == [["Un", "perro", "."], [], ["Fin", "."]]


def test_files_are_read_as_streams(tmp_path):
    """What comes after a damage does not matter to who stops before it."""
    for name, damaged in (("a.txt", b"\xff"), ("a.jsonl", b"{")):
        line = b"Uno." if name.endswith(".txt") else b'{"text": "Uno."}'
        (tmp_path / name).write_bytes(b"\n".join([line] * 3 + [damaged]))
        assert list(islice(read_texts([tmp_path / name]), 3)) == ["Uno."] * 3
        with pytest.raises(CorpusError, match=f"^{tmp_path / name}:4: "):
            list(read_texts([tmp_path / name]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"Uno\nDos \xe9\n", r"a\.txt:2: the line is not UTF-8 \(byte 5 of the line is 0xe9\): save the file"),
        ("a.txt.gz", b"Uno\n", r"a\.txt\.gz:1: the gzip data is damaged or ends early"),
        (
            "a.txt.gz",
            gzip.compress(b"Uno\n" * 99, mtime=0)[:-9],
            r"a\.txt\.gz:\d+: the gzip data is damaged or ends early",
        ),
        ("a.jsonl", b'{"text": "Uno"}\n{"words": []}', r'a\.jsonl:2: the JSON object has no "text"'),
        ("a.jsonl", b'{"text": 1}', r'a\.jsonl:1: the JSON object has no "text"'),
        ("a.jsonl", b"[]", r"a\.jsonl:1: the line is a JSON list, not an object"),
        ("a.jsonl", b'{"text": "a\\ud83d"}', r"a\.jsonl:1: the line holds half of a surrogate pair"),
        ("a.jsonl", b'{"text": ', r"a\.jsonl:1: the line is not valid JSON"),
        ("a.spacy", b"Uno", r"a\.spacy: this is not spaCy's binary format, or damaged"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for read in (read_texts, lambda paths: read_words(paths, "es")):
        with pytest.raises(CorpusError, match=message) as caught:
            list(read([tmp_path / name]))
        assert "\n" not in str(caught.value)


def test_what_is_missing_is_said_at_once(files, tmp_path):
    with pytest.raises(CorpusError, match=r"none\.txt: there is no such file"):
        read_texts([*files, tmp_path / "none.txt"])
    (tmp_path / "train.conll.gz").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"train\.conll\.gz: these are columns, .* `python -m spacy crfner convert`"):
        read_words([*files, tmp_path / "train.conll.gz"], "es")
    with pytest.raises(CorpusError, match="this is a folder"):
        read_words([*files, tmp_path], "es")
    with pytest.raises(CorpusError, match=r"no language 'xx_none'.* choose 'xx'"):
        read_words(files, "xx_none")


def test_texts_that_are_too_long_for_spacy_are_named(tmp_path):
    nlp = spacy.blank("es")
    nlp.max_length = 10
    (tmp_path / "a.txt").write_text("Uno.\nDos gatos negros.\n", encoding="utf8")
    with pytest.raises(CorpusError, match=r"a\.txt:2: the text has 17 characters, but spaCy takes 10"):
        list(read_words([tmp_path / "a.txt"], nlp))
    assert len(list(read_texts([tmp_path / "a.txt"]))) == 2
