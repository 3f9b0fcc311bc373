"""The benchmark of a few sentences: what it samples, measures and writes, and the tables made of it."""

import json
import sys

import pytest
from samples import ROOT
from spacy.tokens import DocBin
from spacy.vocab import Vocab

sys.path.insert(0, str(ROOT / "benchmarks"))

import small
import tables
from experiments.errors import BenchmarkError
from test_benchmarks import SMALL, write_corpus

TINY = {setting: json.loads(value) for setting, value in SMALL.items() if "learn_rate" not in setting}


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    write_corpus(tmp_path / "data" / "tiny", {"train": 20, "dev": 10})
    monkeypatch.setenv("SPACY_CRFNER_DATA", str(tmp_path / "data"))
    return "tiny"


def test_recipes_are_measured_on_a_few_sentences(corpus, tmp_path, monkeypatch):
    recipes = {"default": TINY, "falls": {**TINY, "fall": {"steps": 20, "rate": 0.05, "evaluations": 5}}}
    (tmp_path / "recipes.json").write_text(json.dumps(recipes))
    monkeypatch.setattr(small, "RECIPES", tmp_path / "recipes.json")
    options = ("--corpus", corpus, "--sentences", "8", "--dev-sentences", "12", "--to", str(tmp_path / "results"))
    small.main(["benchmarks/small.py", *options])
    result = json.loads((tmp_path / "results" / "small-tiny-8.json").read_text(encoding="utf8"))
    assert [result["corpus"][split]["docs"] for split in ("train", "dev")] == [8, 12]
    falls = result["variants"]["falls"]
    assert list(falls["curve"]["0"]) == ["0", "4", "8", "12", "16", "20"] and falls["steps"]["0"] == 20
    assert falls["dev"]["0"]["f"] == pytest.approx(max(falls["curve"]["0"].values()), abs=1e-3)
    table = tables.make_table("docs/measurements.md", "small", tmp_path / "results")
    assert "| small-tiny-8 |" in table and len(table.splitlines()) == 4


def test_train_sentences_have_entities_and_are_the_same_each_time(corpus, tmp_path):
    args = small.parse_args(["--corpus", corpus])
    with small.open_corpus(args) as whole:
        first, again = (small.take_samples(whole, 9, 12).files["train"].read_bytes() for _ in range(2))
        docs = list(DocBin().from_bytes(first).get_docs(Vocab()))
        assert first == again and len(docs) == 9 and all(doc.ents for doc in docs)
        with pytest.raises(BenchmarkError, match="only 40 sentences"):
            small.take_samples(whole, 41, 12)


def test_links_of_tables_lead_from_the_page_to_the_result():
    for page in ("README.md", "docs/measurements.md"):
        (row, *_) = tables.read_results(tables.RESULTS, "accuracy", page)
        assert ((ROOT / page).parent / row["link"]).is_file()


def test_a_recipe_is_compared_with_the_default_by_equal_seeds():
    scores = {"default": {"0": 0.8, "1": 0.4}, "short": {"1": 0.3}}
    variants = {
        name: {"dev": {seed: {"f": f} for seed, f in runs.items()}, "steps": dict.fromkeys(runs, 90)}
        for name, runs in scores.items()
    }
    rows = tables.small_rows([{"variants": variants, "corpus": {"train": {"tokens": 5}}}])
    assert [row["part"] for row in rows] == [1.0, pytest.approx(0.75)] and rows[1]["updates"] == 90
