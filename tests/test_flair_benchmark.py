"""What flair finds is scored as what pipelines find. Flair itself is not needed here."""

import sys

import pytest
from samples import ROOT
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

sys.path.insert(0, str(ROOT / "benchmarks"))

from accuracy_flair import score


def test_entities_are_scored_whole_and_by_label(tmp_path):
    doc = Doc(Vocab(), words=["Anna", "Kell", "met", "Bob", "in", "Oslo"])
    doc.set_ents([Span(doc, 0, 2, label="PER"), Span(doc, 3, 4, label="PER"), Span(doc, 5, 6, label="LOC")])
    DocBin(docs=[doc, doc]).to_disk(tmp_path / "dev.spacy")
    right = [[0, 2, "PER"], [3, 4, "PER"], [5, 6, "LOC"]]
    assert score(tmp_path / "dev.spacy", [right, right])["f"] == 1.0
    found = score(tmp_path / "dev.spacy", [right, [[0, 1, "PER"], [5, 6, "ORG"]]])
    assert (found["p"], found["r"]) == (pytest.approx(3 / 5), pytest.approx(3 / 6))
    assert found["per_type"]["LOC"] == {"p": 1.0, "r": 0.5, "f": pytest.approx(2 / 3, abs=1e-5)}
    assert score(tmp_path / "dev.spacy", [[], []])["f"] == 0.0
