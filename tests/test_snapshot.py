"""What users rely on is what tests/snapshot.json says: names, arguments, defaults, commands, keys."""

import copy
import json
import subprocess
import sys

from samples import ROOT, declared
from snapshot import SNAPSHOT, differences, message


def test_what_users_rely_on_is_unchanged():
    """In a process of its own, in which nobody else has registered anything."""
    command = [sys.executable, str(ROOT / "tests" / "snapshot.py")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_everything_is_in_it():
    taken = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    for name in declared():
        assert name in json.dumps(taken), name
    assert set(taken["written"]) == set(taken["saved"]) == set(taken["factories"])
    assert {"confidence", "weak_probability"} <= set(taken["extensions"]["Span"])
    assert taken["commands"]["crfner"]


def test_a_change_is_said_in_one_sentence():
    old = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert list(differences(old, copy.deepcopy(old))) == []
    new = copy.deepcopy(old)
    new["registered"]["spacy_misc"]["spacy_crfner.focal.v1"]["gamma"] = 2.0
    del new["commands"]["crfner"]["align"]
    new["factories"]["ner_vote"]["default_config"]["margin"] = 0.5
    assert list(differences(old, new)) == [
        "registered > spacy_misc > spacy_crfner.focal.v1 > gamma was 1.0 and is 2.0",
        "factories > ner_vote > default_config > margin is new",
        "commands > crfner > align is gone",
    ]
    text = message(["commands > crfner > align is gone"])
    assert "align is gone" in text and "python tests/snapshot.py --update" in text and text.count("\n") == 0


def test_the_order_of_arguments_counts():
    old = {"path": 0, "names": 1}
    assert list(differences({"f": old}, {"f": {"names": 1, "path": 0}})) == ["the order of f is now names, path"]
