"""Damaged files of every kind: read right, or refused in one sentence that names the file."""

import gzip
import json
import re
from collections import Counter

import pytest
import spacy
from mutations import mutations
from samples import TRAIN
from spacy.tokens import DocBin

from spacy_crfner.back_attention.parallel_text import read_pairs
from spacy_crfner.back_attention.precomputed import read_precomputed
from spacy_crfner.corpora.convert import convert_file
from spacy_crfner.corpora.jsonl import read_jsonl
from spacy_crfner.corpora.reading import read_docs
from spacy_crfner.quoting import LONGEST
from spacy_crfner.raw_text import read_texts, read_words
from spacy_crfner.text_files import MAX_REPORTED, CorpusError

NLP = spacy.blank("en")
FEW = [pytest.param(30, id="30"), pytest.param(600, id="600", marks=pytest.mark.slow)]
"""Damaged copies of each file."""


def columns(separator="\t", extra=()):
    lines = []
    for text, spans in TRAIN:
        doc = NLP(text)
        doc.set_ents([doc.char_span(start, end, label=label) for start, end, label in spans])
        for token in doc:
            tag = f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else "O"
            lines.append(separator.join([token.text, *extra, tag]))
        lines.append("")
    return "\n".join(lines).encode()


def jsonl(**more):
    records = [
        {"text": text, "spans": [{"start": s, "end": e, "label": label} for s, e, label in spans], **more}
        for text, spans in TRAIN
    ]
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()


def binary():
    records = [
        {"text": text, "spans": [{"start": s, "end": e, "label": label}], "answer": answer, "_view_id": "ner"}
        for text, spans in TRAIN
        for (s, e, label), answer in zip(spans, ("accept", "reject", "ignore"), strict=False)
    ]
    return "\n".join(map(json.dumps, records)).encode()


CORPORA = {
    "tabs.conll": columns(),
    "spaces.conll": columns(" ", ["NN"]),
    "windows.conll": columns().replace(b"\n", b"\r\n"),
    "mac.conll": columns().replace(b"\n", b"\r"),
    "a.conll.gz": gzip.compress(columns(), mtime=0),
    "a.jsonl": jsonl(),
    "answers.jsonl": jsonl(answer="accept"),
    "binary.jsonl": binary(),
    "a.jsonl.gz": gzip.compress(jsonl(), mtime=0),
}
TEXTS = {
    "a.txt": "\n".join(text for text, _ in TRAIN).encode(),
    "a.txt.gz": gzip.compress("\n".join(text for text, _ in TRAIN).encode(), mtime=0),
    "a.jsonl": jsonl(),
    "a.spacy": DocBin(docs=[NLP(text) for text, _ in TRAIN]).to_bytes(),
}
TRANSLATIONS = "\n".join(
    json.dumps({"words": text.split(), "translation": text.split()[:2], **how})
    for number, (text, _) in enumerate(TRAIN)
    for how in [{"alignment": "0-0 1-1"} if number % 2 else {"attention": [[0.5, 0.5]] * len(text.split())}]
).encode()


def check_sentence(error, path):
    """A message is a sentence, or a line for each problem, which begins with the file and ends as sentences do."""
    lines = str(error).split("\n")
    assert len(lines) <= MAX_REPORTED + 1 and all(line.startswith(str(path)) for line in lines), lines
    assert all(len(line) < len(str(path)) + 600 and line[-1] in ".:" for line in lines), lines


def words_in_rows(data):
    """Count the words of a column file, as plainly as it can be done: what stands before the first separator."""
    text = data.decode()
    lines = [line.lstrip("\ufeff") for line in re.split("\r\n|\r|\n" if "\n" not in text else "\r?\n", text)]
    rows = [line for line in lines if line.strip(" \t") and not re.match("-DOCSTART-([ \t]|$)", line)]
    separator = "\t" if "\t" in rows[0].rstrip(" \t") else " "
    return Counter(row.lstrip(" ").split(separator)[0] if separator == " " else row.split("\t")[0] for row in rows)


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("name", CORPORA)
def test_damaged_corpora(name, count, tmp_path):
    path = tmp_path / name
    read = 0
    for data in mutations(CORPORA[name], count):
        path.write_bytes(data)
        try:
            if ".conll" in name:
                found = [read.doc for read in read_docs(path).docs]
            else:
                examples, _ = read_jsonl(path, NLP, alignment="expand")
                found = [example.doc for example in examples]
        except CorpusError as error:
            check_sentence(error, path)
            continue
        read += 1
        plain = gzip.decompress(data) if name.endswith(".gz") else data
        if ".conll" in name:
            assert Counter(token.text for doc in found for token in doc) == words_in_rows(plain)
            continue
        records = [json.loads(line) for line in plain.decode("utf-8-sig").split("\n") if line.strip()]
        used = [record for record in records if record.get("answer", "accept") == "accept"]
        if name != "binary.jsonl":
            assert [doc.text for doc in found] == [record["text"] for record in used]
            given = [len({(s["start"], s["end"], s["label"]) for s in record.get("spans", [])}) for record in used]
            blank = [example.blank_spans for example in examples]
            assert [len(doc.ents) + left_out for doc, left_out in zip(found, blank, strict=True)] == given
    # Damages that nobody can see are rare in compressed files.
    assert read or name.endswith(".gz")


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("name", TEXTS)
def test_damaged_texts(name, count, tmp_path):
    path = tmp_path / name
    for data in mutations(TEXTS[name], count, seed=1):
        path.write_bytes(data)
        for read in (read_texts, lambda paths: read_words(paths, NLP)):
            try:
                texts = list(read([path]))
            except CorpusError as error:
                check_sentence(error, path)
            else:
                if name == "a.txt" and read is read_texts and b"\r" not in data:
                    lines = [line.lstrip("\ufeff") for line in data.decode().split("\n")]
                    assert texts == [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("name", ["a.es", "a.es.gz"])
def test_damaged_parallel_text(name, count, tmp_path):
    plain = TEXTS["a.txt"]
    path, other = tmp_path / name, tmp_path / "a.en"
    other.write_bytes(plain)
    for data in mutations(gzip.compress(plain, mtime=0) if name.endswith(".gz") else plain, count, seed=2):
        path.write_bytes(data)
        try:
            pairs = read_pairs(path, other, "es", tokenized=True)
        except CorpusError as error:
            check_sentence(error, path)
        else:
            assert [english for _, english in pairs if english] == [
                text.split() for (text, _), line in zip(TRAIN, lines_of(path), strict=True) if line.strip()
            ]


def lines_of(path):
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [line.lstrip("\ufeff") for line in text.removesuffix("\n").split("\n")]


@pytest.mark.parametrize("count", FEW)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_damaged_translations(name, count, tmp_path):
    path = tmp_path / name
    packed = name.endswith(".gz")
    for data in mutations(gzip.compress(TRANSLATIONS, mtime=0) if packed else TRANSLATIONS, count, seed=3):
        path.write_bytes(data)
        try:
            translator = read_precomputed(path)
        except ValueError as error:
            check_sentence(error, path)
        else:
            for words, translation in translator.translations.items():
                assert translation.attention.shape == (len(words), len(translation.words))


def test_nothing_is_written_for_a_damaged_file(tmp_path):
    path, target = tmp_path / "a.conll", tmp_path / "out" / "a.spacy"
    for data in mutations(CORPORA["tabs.conll"], 40, seed=4):
        path.write_bytes(data)
        try:
            report = convert_file(path, target)
        except CorpusError:
            assert not target.exists()
        else:
            docs = list(DocBin().from_disk(target).get_docs(NLP.vocab))
            assert sum(map(len, docs)) == report.tokens == sum(words_in_rows(data).values())
            assert Counter(ent.label_ for doc in docs for ent in doc.ents) == report.entities
            # Labels of any length are shown in part.
            assert all(len(word) <= LONGEST + 3 for word in str(report).split())
            target.unlink()
