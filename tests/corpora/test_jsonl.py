import gzip
import json

import pytest
import spacy

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.jsonl import read_jsonl

TEXT = "Ada Lovelace met Babbage in London."
SPANS = [(0, 12, "PER"), (17, 24, "PER"), (28, 34, "LOC")]
OBJECTS = [{"start": start, "end": end, "label": label} for start, end, label in SPANS]


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.fixture
def write(tmp_path):
    def write_file(*records, name="corpus.jsonl"):
        path = tmp_path / name
        lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
        data = "\n".join(lines).encode("utf8")
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


def char_entities(doc):
    return [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents]


def example(text, *spans, **more):
    return {"text": text, "spans": [{"start": s, "end": e, "label": label} for s, e, label in spans], **more}


# Formats

FORMATS = {
    "prodigy": {"spans": OBJECTS},
    "prodigy with token numbers": {"spans": [{**span, "token_start": 0, "token_end": 1} for span in OBJECTS]},
    "doccano label": {"id": 7, "label": [list(span) for span in SPANS], "Comments": []},
    "doccano labels": {"labels": [list(span) for span in SPANS]},
    "doccano entities": {
        "entities": [{"id": 1, "start_offset": s, "end_offset": e, "label": label} for s, e, label in SPANS],
        "relations": [],
    },
    "spacy 2": {"entities": [list(span) for span in SPANS]},
    "any order": {"spans": OBJECTS[::-1]},
}


@pytest.mark.parametrize("annotation", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_every_format_gives_the_same_entities(write, nlp, annotation, name):
    ((read,), skipped) = read_jsonl(write({"text": TEXT, **annotation}, name=name), nlp)
    assert read.doc.text == TEXT and not read.doc.has_unknown_spaces
    assert char_entities(read.doc) == SPANS
    assert [token.ent_iob_ for token in read.doc] == ["B", "I", "O", "B", "O", "B", "O"]
    assert (skipped, read.line, read.skipped_spans) == (0, 1, 0)


def test_answers(write, nlp):
    path = write(
        example("Ada", (0, 3, "PER"), answer="accept"),
        "",
        example("no", answer="reject"),
        example("what", answer="ignore"),
        {"text": "Nobody was marked here", "answer": "accept"},
        # What is skipped need not be correct.
        {"text": "x", "spans": [{"start": 5}], "answer": "reject"},
        example("plain"),
    )
    examples, skipped = read_jsonl(path, nlp)
    assert [(read.line, len(read.doc.ents)) for read in examples] == [(1, 1), (5, 0), (7, 0)]
    assert all(token.ent_iob_ == "O" for token in examples[1].doc)
    assert skipped == 3


def test_only_skipped_examples_is_an_error(write, nlp):
    path = write(example("no", answer="reject"))
    with pytest.raises(CorpusError, match=r"holds no sentence to convert .the 1 in it have the answer"):
        read_jsonl(path, nlp)


def test_white_space_at_the_ends_of_a_span_is_trimmed(write, nlp):
    (read,), _ = read_jsonl(write(example("go to  New York \n now", (5, 18, "LOC"))), nlp)
    assert [(entity.text, entity.label_) for entity in read.doc.ents] == [("New York", "LOC")]


def test_identical_spans_are_one(write, nlp):
    (read,), _ = read_jsonl(write(example("Ada met Bob", (8, 11, "X"), (0, 3, "X"), (0, 4, "X"), (0, 3, "X"))), nlp)
    assert char_entities(read.doc) == [(0, 3, "X"), (8, 11, "X")]
    (read,), _ = read_jsonl(write(example("Yorkers", (0, 3, "X"), (0, 3, "X"))), nlp, alignment="skip")
    assert read.skipped_spans == 1


def test_characters_are_code_points(write, nlp):
    text = "😀 Zoë lebt\u2028hier"
    (read,), _ = read_jsonl(write(json.dumps(example(text, (2, 5, "PER")), ensure_ascii=False)), nlp)
    assert read.doc.ents[0].text == "Zoë"


# Tokens


def tokens_of(text, *borders):
    return [{"text": text[s:e], "start": s, "end": e, "id": i} for i, (s, e) in enumerate(borders)]


def test_given_tokens_replace_the_tokenizer(write, nlp):
    text = "anti-EU talk,  \nshe  said"
    tokens = tokens_of(text, (0, 5), (5, 7), (8, 13), (16, 19), (21, 25))
    (read,), _ = read_jsonl(write(example(text, (5, 7, "ORG"), tokens=tokens)), nlp)
    assert read.doc.text == text
    words = [token.text for token in read.doc if not token.is_space]
    assert words == ["anti-", "EU", "talk,", "she", "said"]
    assert read.doc.ents[0].text == "EU"


def test_white_space_is_tokenised_as_by_spacy(write, nlp):
    text = " a  b\n\nc "
    borders = [(1, 2), (4, 5), (7, 8)]
    (read,), _ = read_jsonl(write(example(text, tokens=tokens_of(text, *borders))), nlp)
    expected = [(token.text, token.whitespace_) for token in nlp(text)]
    assert [(token.text, token.whitespace_) for token in read.doc] == expected


@pytest.mark.parametrize(
    "tokens, message",
    [
        (tokens_of("ab cd", (0, 2)), "leave out text before 5-5"),
        (tokens_of("ab cd", (0, 4), (3, 5)), "'tokens' overlap or leave out text before 3-5 'cd'"),
        (tokens_of("ab cd", (0, 2), (3, 9)), "the token 3-9 does not lie in the text, which has 5 characters"),
        ([{"text": "ab"}], "has no 'start' and 'end'"),
        ("ab cd", "'tokens' is not a list"),
    ],
)
def test_wrong_tokens(write, nlp, tokens, message):
    path = write(example("ab cd", tokens=tokens))
    with pytest.raises(CorpusError) as caught:
        read_jsonl(path, nlp)
    assert str(caught.value).startswith(f"{path}:1: ") and message in str(caught.value)


# Alignment

CUT = example("Ada saw the New-Yorkers in Bonn", (0, 3, "PER"), (12, 20, "LOC"), (27, 31, "LOC"))


def test_misaligned_span_is_an_error_by_default(write, nlp):
    path = write(example("fine"), CUT)
    with pytest.raises(CorpusError) as caught:
        read_jsonl(path, nlp)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: the span 12-20 'New-York' (LOC) does not begin and end with a token")
    assert "'New-Yorkers'" in message
    assert "choose another alignment (--alignment)" in message
    assert all(f'"{mode}"' in message for mode in ("contract", "expand", "skip"))


@pytest.mark.parametrize(
    "mode, texts, missing, skipped",
    [
        ("contract", ["Ada", "New-", "Bonn"], [], 0),
        ("expand", ["Ada", "New-Yorkers", "Bonn"], [], 0),
        ("skip", ["Ada", "Bonn"], ["New", "-", "Yorkers"], 1),
    ],
)
def test_alignment_modes(write, nlp, mode, texts, missing, skipped):
    (read,), _ = read_jsonl(write(CUT), nlp, alignment=mode)
    assert [entity.text for entity in read.doc.ents] == texts
    assert [token.text for token in read.doc if token.ent_iob == 0] == missing
    assert read.skipped_spans == skipped


def test_contracted_to_nothing_is_an_error(write, nlp):
    with pytest.raises(CorpusError, match=r':1: the span 1-3 .* covers no whole token .* "expand", "skip"'):
        read_jsonl(write(example("Yorkers", (1, 3, "X"))), nlp, alignment="contract")


def test_spans_in_one_token(write, nlp):
    path = write(example("Yorkers sing", (0, 3, "X"), (3, 6, "Y")))
    with pytest.raises(CorpusError, match=r":1: the spans 0-3 'Yor' \(X\) and 3-6 'ker' \(Y\) overlap when expanded"):
        read_jsonl(path, nlp, alignment="expand")
    (read,), _ = read_jsonl(path, nlp, alignment="skip")
    assert read.skipped_spans == 2 and [token.ent_iob_ for token in read.doc] == ["", "O"]


def test_unknown_alignment(write, nlp):
    with pytest.raises(CorpusError, match=r"'loose': choose one of strict, contract, expand, skip"):
        read_jsonl(write(CUT), nlp, alignment="loose")


# Errors


@pytest.mark.parametrize(
    "record, message",
    [
        ('{"text": "a", "spans": [}', "not valid JSON (Expecting value at character 25)"),
        ('{"text": "a"', "not valid JSON"),
        ('{"text": "a', "not valid JSON (Unterminated string at character 10)"),
        ('[{"text": "a", "spans": []}]', "a JSON list, not an object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"text": "\\ud83d", "spans": []}', "half of a surrogate pair"),
        ({"spans": []}, "there is no 'text'"),
        ({"text": 3, "spans": []}, "not a string"),
        ({"text": " \n", "spans": []}, "the text is empty"),
        ({"text": "a"}, "there is no list of spans"),
        ({"text": "a", "spans": None, "answer": "accept"}, "there is no list of spans"),
        ({"text": "a", "label": "PER"}, "there is no list of spans"),
        ({"text": "a", "spans": [], "entities": []}, "both 'spans' and 'entities'"),
        ({"text": "a", "spans": [], "answer": "perhaps"}, "the answer is 'perhaps'"),
        ({"text": "a", "spans": [[0, 1]]}, "neither an object nor a list"),
        ({"text": "a", "spans": [{"start": 0, "label": "X"}]}, "has no 'start' and 'end'"),
        ({"text": "a", "spans": [{"start": 0, "end": 1}]}, "the span 0-1 'a' has no 'label'"),
        ({"text": "a", "spans": [{"start": "0", "end": 1, "label": "X"}]}, "offsets must be whole numbers"),
        ({"text": "a", "spans": [[0, True, "X"]]}, "offsets must be whole numbers"),
        (example("abc", (1, 4, "X")), "the span 1-4 does not lie in the text, which has 3 characters"),
        (example("abc", (-1, 2, "X")), "the span -1-2 does not lie in the text"),
        (example("abc", (2, 1, "X")), "the span 2-1 does not lie in the text"),
        (example("abc", (1, 1, "X")), "the span 1-1 (X) covers no text"),
        (example("a", (10**50, 10**50, "X")), "does not lie in the text"),
        ('{"text": "a", "spans": [[0, ' + "1" * 5000 + ', "X"]]}', "the number 1111111111... has 5,000 digits"),
        (
            '{"text": "a", "spans": ' + "[" * 900 + "]" * 900 + "}",
            "the span [[[[...]]]] is neither an object nor a list",
        ),
        ('{"text": "a", "text": "b", "spans": []}', "the key 'text' stands twice in an object"),
        (
            '{"text": "a", "spans": [{"start": 0, "end": 1, "label": "X", "label": "Y"}]}',
            "the key 'label' stands twice",
        ),
        (example("a b", (0, 1, "X\tY")), r"'X\tY' cannot be written as a tag"),
        (example("a b", (0, 1, "")), "'' cannot be written as a tag"),
        (example("a b", (0, 1, None)), "must be strings"),
        (
            example("Ada Lovelace", (0, 12, "PER"), (4, 12, "X")),
            "'Ada Lovelace' (PER) and 4-12 'Lovelace' (X) overlap: keep",
        ),
        (example("a b", (0, 1, "Y"), (0, 1, "X")), "the spans 0-1 'a' (X) and 0-1 'a' (Y) overlap: keep"),
    ],
)
def test_malformed_line_is_named(write, nlp, record, message):
    path = write(example("fine"), "", record)
    with pytest.raises(CorpusError) as caught:
        read_jsonl(path, nlp)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)


def test_long_text(write):
    nlp = spacy.blank("en")
    nlp.max_length = 10
    with pytest.raises(CorpusError, match=":1: the text has 11 characters, but spaCy takes 10"):
        read_jsonl(write(example("a" * 11)), nlp)


def test_not_utf8(tmp_path, nlp):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b'{"text": "a", "spans": []}\n{"text": "caf\xe9", "spans": []}\n')
    with pytest.raises(CorpusError, match=f"{path}:2: the line is not UTF-8"):
        read_jsonl(path, nlp)


def test_all_malformed_lines_are_reported_at_once(write, nlp):
    path = write("{", example("fine"), CUT, example("a", (0, 2, "X")))
    with pytest.raises(CorpusError) as caught:
        read_jsonl(path, nlp)
    summary, *lines = str(caught.value).split("\n")
    assert "3 problems" in summary
    assert [line.split(": ")[0] for line in lines] == [f"{path}:{number}" for number in (1, 3, 4)]


def test_empty_missing_and_truncated_file(write, tmp_path, nlp):
    empty = write("", "")
    with pytest.raises(CorpusError, match=f"{empty}: the file holds no sentence"):
        read_jsonl(empty, nlp)
    nowhere = tmp_path / "nowhere.jsonl"
    with pytest.raises(CorpusError, match=f"{nowhere}: there is no such file"):
        read_jsonl(nowhere, nlp)
    whole = write(*[example(f"line {i}") for i in range(50)], name="corpus.jsonl.gz")
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(CorpusError, match=rf"{whole}:\d+: the gzip data is damaged or ends early"):
        read_jsonl(whole, nlp)
