import json
import os
from pathlib import Path

import pytest
import spacy
from samples import COLUMNS
from spacy.tokens import DocBin
from spacy.training import Corpus

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.convert import convert_file, convert_files, plan_conversions, split_file

DATA = os.environ.get("SPACY_CRFNER_DATA")
JSONL = [
    {"text": "Ada saw", "spans": [{"start": 0, "end": 3, "label": "PER"}]},
    {"text": "New York", "spans": [{"start": 0, "end": 8, "label": "LOC"}]},
    {"text": "never", "spans": [], "answer": "reject"},
    {"text": "and Bonners", "spans": [{"start": 4, "end": 8, "label": "LOC"}]},
]


@pytest.fixture
def columns(write):
    return write("train.conll")


@pytest.fixture
def jsonl(write):
    return write("train.jsonl", "\n".join(map(json.dumps, JSONL)))


def load(path, language="en"):
    return list(DocBin().from_disk(path).get_docs(spacy.blank(language).vocab))


def entities(doc):
    return [(entity.text, entity.label_) for entity in doc.ents]


def test_columns(columns, tmp_path):
    target = tmp_path / "new" / "folder" / "train.spacy"
    report = convert_file(columns, target, sentences_per_doc=2)
    assert (report.documents, report.sentences, report.tokens) == (2, 3, 6)
    assert report.entities == {"LOC": 2, "PER": 1}
    assert list(report.entities) == ["LOC", "PER"]
    docs = load(target)
    assert [entities(doc) for doc in docs] == [[("Ada", "PER"), ("New York", "LOC")], [("Bonn", "LOC")]]
    assert [len(list(doc.sents)) for doc in docs] == [2, 1]


def test_missing_annotation_survives(write, tmp_path):
    report = convert_file(write("a.tsv", "a\tB-X\nb\t?\nc\tO\n"), tmp_path / "a.spacy")
    assert report.unannotated_tokens == 1
    assert [token.ent_iob for token in load(tmp_path / "a.spacy")[0]] == [3, 0, 2]


def test_repaired_tags_are_reported(write, tmp_path):
    source = write("a.conll", "a\tB-PER\nb\tI-ORG\nc\tE-PER\n\nd\tO\ne\tL-X\n")
    report = convert_file(source, tmp_path / "a.spacy", sentences_per_doc=2)
    assert (report.repaired_tags, report.first_repair) == (3, 2)
    first, *rest = str(report).splitlines()
    assert first.endswith("entities 4 (ORG 1, PER 2, X 1), repaired tags 3 (first at line 2)")
    assert rest[0] == "  the tags were read as BILUO"
    assert "repaired" not in str(convert_file(write("b.conll"), tmp_path / "a.spacy"))


def test_jsonl(jsonl, tmp_path):
    target = tmp_path / "train.spacy"
    report = convert_file(jsonl, target, alignment="skip")
    assert (report.documents, report.sentences, report.tokens) == (3, 3, 6)
    assert (report.skipped_examples, report.skipped_spans, report.unannotated_tokens) == (1, 1, 1)
    assert [entities(doc) for doc in load(target)] == [[("Ada", "PER")], [("New York", "LOC")], []]
    assert str(report) == (
        "sentences 3, docs 3, tokens 6, entities 2 (LOC 1, PER 1), unannotated tokens 1, "
        "skipped examples 1 (answer reject or ignore), skipped spans 1"
    )


def test_spacy_trains_on_the_tokens_of_the_file(write, tmp_path):
    """The English tokenizer would split these tokens."""
    source = write("train.conll", "don't\tO\nal-Ain/Dubai\tB-LOC\n10\u00a0km\tO\n")
    convert_file(source, tmp_path / "train.spacy")
    (example,) = Corpus(tmp_path / "train.spacy")(spacy.blank("en"))
    assert [token.text for token in example.predicted] == ["don't", "al-Ain/Dubai", "10\u00a0km"]


def test_text_without_spaces_survives(write, tmp_path):
    source = write("train.conll", "北\tB-LOC\n京\tI-LOC\n。\tO\n")
    convert_file(source, tmp_path / "train.spacy", language="zh", no_spaces=True)
    (doc,) = load(tmp_path / "train.spacy", "zh")
    assert doc.text == "北京。" and entities(doc) == [("北京", "LOC")]


def test_columns_need_no_tokenizer(columns, tmp_path):
    """Japanese and Korean tokenizers need packages that need not be there."""
    for language in ("ja", "ko"):
        assert convert_file(columns, tmp_path / "train.spacy", language=language).tokens == 6


def test_column_options_are_passed_on(write, tmp_path):
    source = write("train.conll", "## x\nB-X 1 a\n_ 2 b\n")
    options = {"token_column": 2, "tag_column": 0, "missing_tags": ["_"], "comment_prefix": "##"}
    assert convert_file(source, tmp_path / "train.spacy", **options).unannotated_tokens == 1


@pytest.mark.parametrize(
    "name, file_format, documents",
    [
        ("a.jsonl", "auto", 1),
        ("a.jsonl.gz", "auto", 1),
        ("a.json", "jsonl", 1),
        ("a.conll", "auto", 3),
        ("a.iob.gz", "auto", 3),
        ("eng.testa", "auto", 3),
        ("a.jsonl", "columns", 3),
    ],
)
def test_format_by_name_or_option(write, tmp_path, name, file_format, documents):
    content = COLUMNS if documents == 3 else json.dumps(JSONL[0])
    report = convert_file(write(name, content), tmp_path / "a.spacy", file_format=file_format)
    assert report.documents == documents


@pytest.mark.parametrize(
    "limit, sentences", [(1, 1), ("2", 2), (99, 3), ("34%", 1), ("67%", 2), ("1%", 1), ("100%", 3)]
)
def test_limit(columns, tmp_path, limit, sentences):
    assert convert_file(columns, tmp_path / "a.spacy", limit=limit).sentences == sentences


def test_limit_of_jsonl_counts_only_what_it_takes(jsonl, tmp_path):
    report = convert_file(jsonl, tmp_path / "a.spacy", limit=2, alignment="skip")
    assert (report.documents, report.skipped_spans) == (2, 0)


def test_limit_does_not_hide_errors(write, tmp_path):
    source = write("train.conll", COLUMNS + "\nbad\tX\n")
    with pytest.raises(CorpusError, match=f"{source}:10: "):
        convert_file(source, tmp_path / "a.spacy", limit=1)


# Errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"limit": 0}, "The limit 0 is neither"),
        ({"limit": -3}, "The limit -3 is neither"),
        ({"limit": "101%"}, "The limit '101%' is neither"),
        ({"limit": "0%"}, "The limit '0%' is neither"),
        ({"limit": "1.5"}, "The limit '1.5' is neither"),
        ({"limit": "few"}, "The limit 'few' is neither"),
        ({"limit": "1/0"}, "The limit '1/0' is neither"),
        ({"limit": "1e999999999"}, "The limit '1e999999999' is neither"),
        ({"limit": "9" * 5000}, f"The limit '{'9' * 60}...' is neither"),
        ({"limit": "0." + "1" * 5000 + "%"}, "The limit '0.111"),
        ({"bare_labels": True, "label": "PER"}, "give one of the options"),
        ({"file_format": "xml"}, "Unknown format 'xml': choose one of auto, columns, jsonl"),
        ({"language": "klingon"}, "spaCy knows no language 'klingon'"),
        ({"sentences_per_doc": 0}, "at least one sentence"),
    ],
)
def test_wrong_option(columns, tmp_path, options, message):
    with pytest.raises(CorpusError) as caught:
        convert_file(columns, tmp_path / "a.spacy", **options)
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.conll"]


def test_unloadable_tokenizer_is_explained(jsonl, tmp_path):
    try:
        spacy.blank("ja")
    except ImportError:
        with pytest.raises(CorpusError, match=r"The tokenizer of the language 'ja' cannot be loaded: .+"):
            convert_file(jsonl, tmp_path / "a.spacy", language="ja")
    else:
        pytest.skip("the Japanese tokenizer is installed")


def test_target_must_be_a_spacy_file(columns, tmp_path):
    with pytest.raises(CorpusError, match=r"a.docbin: spaCy reads only files whose name ends in .spacy"):
        convert_file(columns, tmp_path / "a.docbin")


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a", "a.conll.gz"])
def test_json_lines_under_another_name(write, jsonl, tmp_path, name):
    """One sentence, not one for each row that has another number of columns."""
    source = write(name, "\n" + jsonl.read_text("utf8"))
    with pytest.raises(CorpusError) as error:
        convert_file(source, tmp_path / "b.spacy")
    assert "--format jsonl" in str(error.value) and str(source) in str(error.value) and "\n" not in str(error.value)
    assert convert_file(source, tmp_path / "b.spacy", file_format="jsonl", alignment="skip").documents == 3


def test_a_column_file_may_begin_with_a_brace(write, tmp_path):
    assert convert_file(write("a.conll", "{\tO\nAda\tB-PER\n}\tO\n"), tmp_path / "b.spacy").tokens == 3


@pytest.mark.parametrize("name", ["a.json", "a.spacy", "a.json.gz"])
def test_formats_that_are_neither(write, tmp_path, name):
    source = write(name)
    with pytest.raises(CorpusError, match=f"{source}: .* files are neither columns nor JSON lines"):
        convert_file(source, tmp_path / "b.spacy")


def test_corpus_without_entities(write, tmp_path):
    source = write("train.conll", "a\tO\n\nb\tB-X\n")
    with pytest.raises(CorpusError, match=f"{source}: the part of the file that the limit takes holds no entity"):
        convert_file(source, tmp_path / "a.spacy", limit=1)
    assert convert_file(source, tmp_path / "a.spacy", limit=1, allow_no_entities=True).entities == {}
    assert entities(load(tmp_path / "a.spacy")[0]) == []
    with pytest.raises(CorpusError, match=r"the file holds no entity.*\(--allow-no-entities\)"):
        convert_file(write("dev.conll", "a\tO\n"), tmp_path / "a.spacy")


# Splits


def numbered(count):
    """A column file whose sentences are told apart by their first token."""
    return "\n".join(f"s{i}\tO\nAda\tB-PER\n" for i in range(count))


def first_tokens(folder, name):
    return [doc[0].text for doc in load(folder / f"{name}.spacy")]


@pytest.mark.parametrize(
    "shares, sizes",
    [
        ("80,20", {"train": 16, "dev": 4}),
        ("80, 10, 10", {"train": 16, "dev": 2, "test": 2}),
        ((70, 15, 15), {"train": 14, "dev": 3, "test": 3}),
        ("33.3,33.3,33.4", {"train": 7, "dev": 6, "test": 7}),
        ([7.5, 92.5], {"train": 2, "dev": 18}),
    ],
)
def test_split_deals_out_every_sentence_once(write, tmp_path, shares, sizes):
    source = write("all.conll", numbered(20))
    reports = split_file(source, tmp_path / "out", shares)
    assert {name: report.sentences for name, report in reports.items()} == sizes
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{name}.spacy" for name in sizes)
    parts = {name: first_tokens(tmp_path / "out", name) for name in sizes}
    assert {name: len(part) for name, part in parts.items()} == sizes
    dealt = [token for part in parts.values() for token in part]
    assert dealt != sorted(dealt, key=lambda token: int(token[1:]))
    assert sorted(dealt) == sorted(f"s{i}" for i in range(20))


def test_split_depends_on_the_seed_only(write, tmp_path):
    source = write("all.conll", numbered(30))
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        split_file(source, tmp_path / folder, "80,20", seed=seed)
    a, b, c = ([(tmp_path / folder / f"{n}.spacy").read_bytes() for n in ("train", "dev")] for folder in "abc")
    assert a == b and a != c


def test_split_of_joined_sentences_keeps_neighbours_together(write, tmp_path):
    reports = split_file(write("all.conll", numbered(8)), tmp_path, "50,50", sentences_per_doc=2, limit=6)
    assert [report.documents for report in reports.values()] == [2, 1]
    docs = [doc for name in reports for doc in load(tmp_path / f"{name}.spacy")]
    assert sorted((doc[0].text, doc[2].text) for doc in docs) == [("s0", "s1"), ("s2", "s3"), ("s4", "s5")]


def test_split_reports_what_stands_in_each_part(write, jsonl, tmp_path):
    source = write("all.conll", "".join(f"a{i}\tB-X\nb\tI-Y\n\n" for i in range(4)))
    reports = split_file(source, tmp_path, "50,50")
    assert [report.repaired_tags for report in reports.values()] == [2, 2]
    assert sorted(report.first_repair for report in reports.values())[0] == 2
    reports = split_file(jsonl, tmp_path, "67,33", alignment="skip", allow_no_entities=True)
    assert [report.skipped_examples for report in reports.values()] == [1, 0]
    assert sum(report.skipped_spans for report in reports.values()) == 1
    assert sum(report.documents for report in reports.values()) == 3


def test_copies_of_a_text_go_to_one_part(write, tmp_path):
    """Else a tagger is scored on what it has learned by heart."""
    source = write("all.conll", "".join(f"s{i % 15}\tO\nAda\tB-PER\n\n" for i in range(90)))
    for seed in range(3):
        reports = split_file(source, tmp_path, "60,20,20", seed=seed)
        parts = [set(first_tokens(tmp_path, name)) for name in reports]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 15
        assert [report.documents for report in reports.values()] == [54, 18, 18]
    few = write("few.conll", "a\tB-X\n\n" * 9)
    with pytest.raises(
        CorpusError, match=r"nothing is left for train, since there are only 9 docs to split, of which 1"
    ):
        split_file(few, tmp_path, "50,50")


def test_copies_of_a_text_in_several_files_are_counted(write, tmp_path):
    plan = [
        (write("train.conll", "a\tB-X\n\nb\tO\n\na\tO\n"), tmp_path / "train.spacy"),
        (write("dev.conll", "a\tB-X\n\nc\tB-X\n\na\tB-X\n"), tmp_path / "dev.spacy"),
        (write("test.jsonl", json.dumps({"text": " c ", "spans": [[1, 2, "X"]]})), tmp_path / "test.spacy"),
    ]
    reports = list(convert_files(plan).values())
    assert [report.copies for report in reports] == [{}, {"train": 2}, {"train": 0, "dev": 1}]
    assert "  docs whose text stands in train too: 2" in str(reports[1]).splitlines()
    assert "train" not in str(reports[2])


# Sentences


def test_a_file_without_blank_lines_is_noticed_and_can_be_cut(write, tmp_path):
    rows = "Dr.\tO\nAda\tB-PER\n.\tI-PER\nInc\tI-PER\nsang\tO\n.\tO\n)\tO\n"
    source = write("all.conll", "Hm\tO\n\n" + rows * 200)
    report = convert_file(source, tmp_path / "a.spacy")
    assert (report.sentences, report.long_sentences, report.longest) == (2, 1, (1400, 3))
    assert "more than 500 tokens: 1 (the longest has 1,400, at line 3)" in str(report)
    assert "--cut-sentences" in str(report)
    report = convert_file(source, tmp_path / "b.spacy", cut=True)
    assert (report.sentences, report.long_sentences, report.tokens) == (201, 0, 1401)
    docs = load(tmp_path / "b.spacy")
    # Entities stay whole, and what stands behind a full stop belongs to it as in spaCy's own.
    assert {len(doc) for doc in docs} == {1, 7} and all(entities(doc) == [("Ada . Inc", "PER")] for doc in docs[1:])


def test_parts_of_a_sentence_know_their_lines(write, tmp_path):
    source = write("all.conll", "a\tB-X\n.\tO\nb\tB-X\nc\tI-Y\n.\tO\n\u00a0\tB-X\nd\tI-X\n.\tO\n\u00a0\tB-Z\n")
    report = convert_file(source, tmp_path / "a.spacy", cut=True, limit=2)
    assert (report.repaired_tags, report.first_repair, report.trimmed_entities) == (1, 4, 0)
    report = convert_file(source, tmp_path / "a.spacy", cut=True)
    assert (report.first_repair, report.first_trimmed, report.first_blank) == (4, 7, 9)


def test_docs_of_several_sentences_are_counted(write, tmp_path):
    texts = ["Ada sang. Bob left.", "Ada sang.", "Ada!", "Ada? Bob. Ada."]
    lines = [json.dumps({"text": text, "spans": [[0, 3, "PER"]]}) for text in texts]
    report = convert_file(write("a.jsonl", "\n".join(lines)), tmp_path / "a.spacy")
    assert report.several_sentences == 2 and "crfner config NAME --sentencizer" in str(report)
    assert convert_file(write("a.conll"), tmp_path / "a.spacy").several_sentences == 0


def test_a_report_counts_no_more_labels_than_one_can_read(write, tmp_path):
    source = write("a.conll", "".join(f"a\tB-{i:03}\n" for i in range(100)))
    report = convert_file(source, tmp_path / "a.spacy")
    assert len(report.entities) == 100 and "039 1, and 60 other labels)" in str(report)


@pytest.mark.parametrize(
    "shares",
    [
        "80,10",
        "100",
        "100,0",
        "120,-20",
        "25,25,25,25",
        "80;20",
        "80,20%",
        "",
        "a,b",
        "1/0,100",
        (80, 10),
        (),
        "1e999999999,1",
    ],
)
def test_split_shares(write, tmp_path, shares):
    with pytest.raises(CorpusError, match=r"^The shares .* are not two or three numbers above 0 that sum to 100"):
        split_file(write("all.conll", numbered(9)), tmp_path / "out", shares)
    assert not (tmp_path / "out").exists()


def test_split_errors_write_nothing(write, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(CorpusError, match=f"^{tmp_path}: only a file can be split"):
        split_file(tmp_path, out, "80,20")
    few = write("few.conll", numbered(2))
    with pytest.raises(CorpusError, match=f"^{few}: nothing is left for dev, since there are only 2 docs"):
        split_file(few, out, "90,10", allow_no_entities=True)
    rare = write("rare.conll", "a\tB-X\n\n" + "b\tO\n\n" * 19)
    message = rf"^{rare}: the part for (train|dev) .* no entity.*\(--seed\).*\(--allow-no-entities\)\.$"
    with pytest.raises(CorpusError, match=message):
        split_file(rare, out, "50,50")
    with pytest.raises(CorpusError, match=":1: "):
        split_file(write("bad.conll", "a\tX\n"), out, "50,50")
    assert not out.exists()
    assert [len(report.entities) for report in split_file(rare, out, "50,50", allow_no_entities=True).values()] in (
        [1, 0],
        [0, 1],
    )


def test_split_keeps_all_old_files_if_one_cannot_be_written(write, tmp_path):
    out = tmp_path / "out"
    split_file(write("all.conll", numbered(9)), out, "50,50")
    before = (out / "train.spacy").read_bytes()
    (out / "dev.spacy").unlink()
    (out / "dev.spacy").mkdir()
    with pytest.raises(CorpusError, match=rf"^{out}/dev.spacy: the file cannot be written \(a folder has this name"):
        split_file(write("all.conll", numbered(20)), out, "50,50")
    assert (out / "train.spacy").read_bytes() == before
    assert sorted(path.name for path in out.iterdir()) == ["dev.spacy", "train.spacy"]


# Nothing half-written


def test_an_error_leaves_no_file(write, tmp_path):
    source = write("train.conll", COLUMNS + "bad\n")
    with pytest.raises(CorpusError):
        convert_file(source, tmp_path / "out" / "train.spacy")
    assert not (tmp_path / "out").exists()


def test_an_error_leaves_the_old_target(write, tmp_path):
    target = tmp_path / "out" / "train.spacy"
    convert_file(write("train.conll"), target)
    before = target.read_bytes()
    with pytest.raises(CorpusError):
        convert_file(write("train.conll", COLUMNS + "bad\n"), target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["train.spacy"]


def test_a_failure_while_writing_leaves_the_old_target(columns, tmp_path, monkeypatch):
    target = tmp_path / "out" / "train.spacy"
    convert_file(columns, target)
    before = target.read_bytes()

    def write_half(path, data):
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(CorpusError, match=f"{target}: the file cannot be written .No space left on device"):
        convert_file(columns, target, limit=1)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["train.spacy"]


def test_a_file_in_the_way_of_the_folder(columns):
    with pytest.raises(CorpusError, match="the file cannot be written"):
        convert_file(columns, columns / "train.spacy")


def test_a_folder_in_the_way_of_the_target(columns, tmp_path):
    target = tmp_path / "out" / "train.spacy"
    target.mkdir(parents=True)
    with pytest.raises(CorpusError, match="the file cannot be written"):
        convert_file(columns, target)
    assert [path.name for path in target.parent.iterdir()] == ["train.spacy"]


# Sources and targets


def test_plan(write, tmp_path):
    names = ["a/train.conll.gz", "a/dev.jsonl", "a/test.txt", "a/train.spacy", "a/README.txt", "a/other.conll"]
    for name in [*names, "b/x.v2.tsv", "b/eng.testa", "b/eng.testb"]:
        write(name)
    plan = plan_conversions([tmp_path / "a", *sorted((tmp_path / "b").iterdir())], tmp_path / "out")
    assert [(source.name, str(target.relative_to(tmp_path / "out"))) for source, target in plan] == [
        ("train.conll.gz", "train.spacy"),
        ("dev.jsonl", "dev.spacy"),
        ("test.txt", "test.spacy"),
        ("eng.testa", "eng.testa.spacy"),
        ("eng.testb", "eng.testb.spacy"),
        ("x.v2.tsv", "x.v2.spacy"),
    ]


def test_plan_errors(write, tmp_path):
    with pytest.raises(CorpusError, match=f"{tmp_path}/nowhere: there is no such file or folder"):
        plan_conversions([tmp_path / "nowhere"], tmp_path)
    write("empty/notes.md")
    with pytest.raises(CorpusError, match=f"{tmp_path}/empty: the folder holds no file named train, dev, test"):
        plan_conversions([tmp_path / "empty"], tmp_path)
    both = [write("a/train.conll"), write("b/train.txt.gz")]
    with pytest.raises(CorpusError, match=f"{both[0]} and {both[1]} would both be written to {tmp_path}/train.spacy"):
        plan_conversions(both, tmp_path)


# Real corpora

CONLL_EN = {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}
CONLL_EN_TEST = {"LOC": 1668, "MISC": 702, "ORG": 1661, "PER": 1617}
GMB_DEV = {"art": 69, "eve": 43, "geo": 5621, "gpe": 2387, "nat": 25, "org": 3106, "per": 2622, "tim": 3089}
GMB = {"art": 279, "eve": 227, "geo": 26357, "gpe": 11104, "nat": 147, "org": 14005, "per": 11838, "tim": 14279}
WEIBO = {
    "GPE.NAM": 205,
    "GPE.NOM": 8,
    "LOC.NAM": 56,
    "LOC.NOM": 51,
    "ORG.NAM": 183,
    "ORG.NOM": 42,
    "PER.NAM": 578,
    "PER.NOM": 772,
}


@pytest.mark.skipif(not DATA, reason="SPACY_CRFNER_DATA does not name a folder of corpora")
@pytest.mark.parametrize(
    "corpus, split, sentences, tokens, by_label",
    [
        ("conll2003-en", "train", 14_041, 203_621, CONLL_EN),
        ("conll2003-en", "test", 3_453, 46_435, CONLL_EN_TEST),
        ("gmb", "train", 33_571, 733_309, GMB),
        ("gmb", "dev", 7_194, 157_979, GMB_DEV),
        ("weibo", "train", 1_350, 73_778, WEIBO),
    ],
)
def test_real_corpora(corpus, split, sentences, tokens, by_label, tmp_path):
    source = Path(DATA) / corpus / f"{split}.conll.gz"
    language, no_spaces = ("zh", True) if corpus == "weibo" else ("en", False)
    report = convert_file(source, tmp_path / "a.spacy", language=language, no_spaces=no_spaces)
    assert (report.sentences, report.tokens, report.entities) == (sentences, tokens, by_label)
    docs = load(tmp_path / "a.spacy", language)
    assert sum(len(doc) for doc in docs) == tokens
    assert sum(len(doc.ents) for doc in docs) == sum(by_label.values())
