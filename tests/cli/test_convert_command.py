"""`python -m spacy crfner convert`; what it calls is tested in tests/corpora/test_convert.py."""

import json

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_crfner.cli import crfner
from spacy_crfner.corpora.convert import split_file
from spacy_crfner.recipes import measure_corpus

JSONL = [
    {"text": "Ada saw", "spans": [{"start": 0, "end": 3, "label": "PER"}]},
    {"text": "and Bonners", "spans": [{"start": 4, "end": 8, "label": "LOC"}]},
]


@pytest.fixture
def jsonl(write):
    return write("train.jsonl", "\n".join(map(json.dumps, JSONL)))


@pytest.fixture
def crfner_convert():
    """Runs the command in this process; returns exit status, stdout and stderr."""

    def run(*arguments):
        result = CliRunner().invoke(crfner, ["convert", *map(str, arguments)])
        return result.exit_code, result.stdout, result.stderr

    return run


def load(path, language="en"):
    return list(DocBin().from_disk(path).get_docs(spacy.blank(language).vocab))


def numbered(count):
    """A column file whose sentences are told apart by their first token."""
    return "\n".join(f"s{i}\tO\nAda\tB-PER\n" for i in range(count))


def first_tokens(folder, name):
    return [doc[0].text for doc in load(folder / f"{name}.spacy")]


def test_converts_files_and_folders(write, crfner_convert, tmp_path):
    write("a/train.conll.gz"), write("a/dev.conll")
    single = write("more.jsonl", json.dumps(JSONL[0]))
    status, out, err = crfner_convert(tmp_path / "a", single, "--to", tmp_path / "out", "--sentences-per-doc", "2")
    assert status == 0 and err.startswith("Next: python -m spacy crfner config bcrf_ner") and err.count("\n") == 1
    assert [line for line in out.splitlines() if not line.startswith("  ")] == [
        f"{tmp_path}/out/train.spacy: sentences 3, docs 2, tokens 6, entities 3 (LOC 2, PER 1)",
        f"{tmp_path}/out/dev.spacy: sentences 3, docs 2, tokens 6, entities 3 (LOC 2, PER 1)",
        f"{tmp_path}/out/more.spacy: sentences 1, docs 1, tokens 2, entities 1 (PER 1)",
    ]


def test_options_reach_the_reader(write, crfner_convert, tmp_path):
    source = write("x.data", "# note\n1 北 B-LOC\n2 京 _\n\n1 a O\n")
    options = "--format columns --lang zh --no-spaces --token-column 1 --tag-column -1 --missing-tag _ --limit 50%"
    status, out, _ = crfner_convert(source, "--to", tmp_path, *options.split(), "--comment-prefix", "# ")
    assert status == 0
    assert "sentences 1, docs 1, tokens 2, entities 1 (LOC 1), unannotated tokens 1" in out
    assert load(tmp_path / "x.data.spacy", "zh")[0].text == "北京"


def test_alignment_and_files_without_entities(jsonl, write, crfner_convert, tmp_path):
    assert crfner_convert(jsonl, "--to", tmp_path, "--alignment", "expand")[0] == 0
    plain = write("plain.conll", "a\tO\n")
    status, out, err = crfner_convert(plain, "--to", tmp_path)
    assert (status, out) == (1, "") and err.startswith(f"{plain}: the file holds no entity")
    assert crfner_convert(plain, "--to", tmp_path, "--allow-no-entities")[0] == 0


def test_splits_one_file(write, crfner_convert, tmp_path):
    source = write("all.conll", numbered(10))
    status, out, err = crfner_convert(source, "--to", tmp_path / "a", "--split", "80,10,10", "--seed", "3")
    assert status == 0 and err.startswith("Next: python -m spacy crfner config bcrf_ner") and err.count("\n") == 1
    assert [line for line in out.splitlines() if not line.startswith("  ")] == [
        f"{tmp_path}/a/train.spacy: sentences 8, docs 8, tokens 16, entities 8 (PER 8)",
        f"{tmp_path}/a/dev.spacy: sentences 1, docs 1, tokens 2, entities 1 (PER 1)",
        f"{tmp_path}/a/test.spacy: sentences 1, docs 1, tokens 2, entities 1 (PER 1)",
    ]
    split_file(source, tmp_path / "b", (80, 10, 10), seed=3)
    assert first_tokens(tmp_path / "a", "train") == first_tokens(tmp_path / "b", "train")


@pytest.mark.parametrize(
    "sources, shares, message",
    [
        (["a.conll", "b.conll"], "80,20", "Only one file can be split (--split), but 2 are named: name one."),
        (["."], "80,20", "only a file can be split, but this is a folder"),
        (["nowhere.conll"], "80,20", "there is no such file"),
        (["a.conll"], "", "The shares '' are not two or three numbers"),
    ],
)
def test_split_errors_are_one_sentence(write, crfner_convert, tmp_path, sources, shares, message):
    write("a.conll"), write("b.conll")
    status, out, err = crfner_convert(*(tmp_path / name for name in sources), "--to", tmp_path / "o", "--split", shares)
    assert (status, out) == (1, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_options_for_other_forms_of_tags(write, crfner_convert, tmp_path):
    for name, content, option in (
        ("a.conll", "Ada\tB\nsang\tO\n", ["--label", "PER"]),
        ("b.conll", "Ada\tPER\nsang\tO\n", ["--bare-labels"]),
        ("c.conll", "Ada\tB-PER\nsang\tO\n.\tO\nBob\tB-LOC\n", ["--cut-sentences"]),
    ):
        status, out, _ = crfner_convert(write(name, content), "--to", tmp_path, *option)
        assert status == 0 and "PER 1" in out and ("sentences 2" in out) == (name == "c.conll")
    answer = {"text": "Ada", "spans": [[0, 3, "PER"]], "answer": "accept"}
    status, out, _ = crfner_convert(write("d.jsonl", json.dumps(answer)), "--to", tmp_path, "--binary")
    assert status == 0 and "answers to one span each" in out


def test_control_characters_do_not_reach_the_terminal(write, crfner_convert, tmp_path):
    source = write("a\x1b[2J.conll", "Ada\tB-P\x1b[31mER\n")
    status, out, err = crfner_convert(source, "--to", tmp_path / "out")
    assert status == 0 and "\x1b" not in out and "(P\\x1b[31mER 1)" in out
    status, out, err = crfner_convert(write("b\x1b[2J.conll", "Ada\t\x1b[31m\n"), "--to", tmp_path / "out")
    assert status == 1 and "\x1b" not in err and "'\\x1b[31m' is not a tag" in err


def test_files_of_an_earlier_conversion_are_named(write, crfner_convert, tmp_path):
    source = write("all.conll", numbered(30))
    assert crfner_convert(source, "--to", tmp_path, "--split", "80,10,10")[2].startswith("Next: ")
    _, _, err = crfner_convert(source, "--to", tmp_path, "--split", "80,20")
    earlier = f"{tmp_path}/test.spacy: this file is of an earlier conversion, and was left as it was"
    assert err.startswith(f"{earlier}; its texts may stand in the new files too: delete it.\nNext: ")
    write("part/train.conll"), write("part/dev.conll")
    assert crfner_convert(tmp_path / "part", "--to", tmp_path)[2].startswith(f"{earlier}.\nNext: ")


def test_a_part_too_small_to_measure_on_is_named(write, crfner_convert, tmp_path):
    _, out, _ = crfner_convert(write("all.conll", numbered(300)), "--to", tmp_path, "--split", "60,35,5")
    lines = out.splitlines()
    assert len(lines) == 4 and lines[2].startswith(f"{tmp_path}/test.spacy: sentences 15,")
    assert "fewer than 100 entities" in lines[3] and "--split" in lines[3]


def test_says_how_to_go_on_from_one_file(write, crfner_convert, tmp_path):
    _, _, err = crfner_convert(write("annotated.jsonl", json.dumps(JSONL[0])), "--to", tmp_path / "a")
    assert "--split 80,20" in err and err.count("\n") == 1
    # Its dev file may be converted next.
    assert crfner_convert(write("train.jsonl", json.dumps(JSONL[0])), "--to", tmp_path / "b")[2] == ""


@pytest.mark.parametrize("second, told", [("", False), ('"', False), (" It rained. It snowed.", True)])
def test_the_next_command_finds_sentences_where_texts_hold_several(write, crfner_convert, tmp_path, second, told):
    records = [{"text": f"Ada saw {i}.{second}", "spans": [{"start": 0, "end": 3, "label": "PER"}]} for i in range(10)]
    source = write("all.jsonl", "\n".join(map(json.dumps, records)))
    _, out, err = crfner_convert(source, "--to", tmp_path, "--split", "80,20")
    assert (" --sentencizer --output" in err) == ("--sentencizer" in out) == told
    assert f"train.spacy: sentences {24 if told else 8}, docs 8" in out
    # `config` counts alike.
    assert measure_corpus(tmp_path / "train.spacy").several_sentences == (8 if told else 0)


def test_prints_errors_without_a_traceback(write, crfner_convert, tmp_path):
    source = write("train.conll", "a\tX\nb\tO\nc\n")
    status, out, err = crfner_convert(source, "--to", tmp_path / "out")
    assert (status, out) == (1, "")
    lines = err.strip().split("\n")
    assert lines[0].startswith(f"{source}: 2 problems")
    assert [line.split(": ")[0] for line in lines[1:]] == [f"{source}:1", f"{source}:3"]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there(crfner_convert, tmp_path):
    status, out, err = crfner_convert(tmp_path / "nowhere", "--to", tmp_path / "out")
    assert (status, out) == (1, "")
    assert err == f"{tmp_path}/nowhere: there is no such file or folder: check the path.\n"


@pytest.mark.parametrize("corpus", ["conll2003", "gmb"])
def test_missing_corpus_is_one_readable_sentence(crfner_convert, tmp_path, corpus):
    status, out, err = crfner_convert(tmp_path / corpus, "--to", tmp_path / "corpus")
    assert (status, out) == (1, "") and str(tmp_path / corpus) in err and err.count("\n") == 1


@pytest.mark.parametrize("language", ["eng", "esp"])
def test_own_copy_of_conll_under_its_official_names(write, crfner_convert, tmp_path, language):
    for name in (f"{language}.train", f"{language}.testa", f"{language}.testb"):
        write(f"own/{name}", "-DOCSTART- -X- O O\n\nRome NNP I-NP I-LOC\nwins VBZ I-VP O\n\n")
    status, _, err = crfner_convert(tmp_path / "own", "--to", tmp_path / "out")
    assert status == 0, err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev.spacy", "test.spacy", "train.spacy"]


@pytest.mark.parametrize(
    "option, message", [("--format", "Unknown format 'x'"), ("--alignment", "Unknown alignment 'x'")]
)
def test_choices_are_named(jsonl, crfner_convert, tmp_path, option, message):
    status, _, err = crfner_convert(jsonl, "--to", tmp_path, option, "x")
    assert status == 1 and message in err and "choose one of" in err
