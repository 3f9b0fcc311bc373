"""Saved pipelines whose files were damaged: loading says so in one sentence, or they find what they found before.

A command line runs more: `python tests/test_damaged_models.py 2000`.
"""

import contextlib
import random
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import spacy
from samples import ROOT, TRAIN

from spacy_crfner.back_attention.conv_translator import ConvTranslator
from spacy_crfner.back_attention.convs2s import ConvS2S
from spacy_crfner.back_attention.pieces import Pieces

GOLDEN = ROOT / "tests" / "golden" / "0.1.0"
TEXTS = [text for text, _ in TRAIN[:5]]
SEED = 7


def pipelines(folder):
    """Save a pipeline of every component as this version does. Returns their folders."""
    for name in ("bcrf_ner", "max_f", "routed", "back_attention"):
        nlp = spacy.load(GOLDEN / name)
        nlp.to_disk(folder / name)
    pipe = nlp.get_pipe("back_attention")
    pieces = Pieces.train([[*"abcdefghijklmnopqrstuvwxyz"]], 300)
    network = ConvS2S(len(pieces), size=8, width=8, encoder_layers=1, decoder_layers=1).without_norms()
    translator = ConvTranslator(network, pieces, ["Kell"], "xx", {"beams": 1})
    pipe.initialize(lambda: [], translator=translator)
    nlp.to_disk(folder / "translated")
    return sorted(path for path in folder.iterdir())


def found(nlp):
    written = []
    for doc in nlp.pipe(TEXTS):
        written.append([(ent.start, ent.end, ent.label_) for ent in doc.ents])
        for key, group in sorted(doc.spans.items()):
            written.append((key, [(span.start, span.end, span.label_) for span in group]))
            written += [
                np.asarray(group.attrs[name]).tolist() for name in ("scores", "features") if name in group.attrs
            ]
    return written


def damage(data, state):
    """Change a file: bits flipped, bytes in other places, a piece cut out, zeros, or others in their place."""
    data = bytearray(data)
    kind = state.choice(["flip", "flip", "flip", "cut", "zero", "swap", "text", "empty", "grow"])
    at = state.randrange(len(data)) if data else 0
    size = state.choice([1, 4, 30, 400])
    if kind == "flip" and data:
        for _ in range(state.choice([1, 1, 3])):
            data[state.randrange(len(data))] ^= 1 << state.randrange(8)
    elif kind == "cut":
        del data[at : at + size if state.random() < 0.5 else len(data)]
    elif kind == "zero":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif kind == "swap":
        other = state.randrange(len(data) or 1)
        data[at : at + size], data[other : other + size] = data[other : other + size], data[at : at + size]
    elif kind == "text":
        data[at : at + 1] = state.choice([b"NaN", b"1e999", b"[" * 200, b'"', b"-1", b"999999999", b"\xff"])
    elif kind == "empty":
        data.clear()
    else:
        data += state.randbytes(size)
    return bytes(data)


def files_of(folder):
    """Name each component, with a file of it; what spaCy writes itself, it reads itself."""
    names = spacy.util.load_config(folder / "config.cfg")["nlp"]["pipeline"]
    ours = [name for name in names if name != "sentencizer"]
    return [(name, path) for name in ours for path in sorted((folder / name).rglob("*")) if path.is_file()]


def damaged(saved, count, state):
    """Damage a file so many times. Gives the pipeline's folder, the component, and what the file and its damage are."""
    files = {path: files_of(path) for path in saved}
    for number in range(count):
        path = saved[number % len(saved)]
        name, file = state.choice(files[path])
        changed = whole = file.read_bytes()
        while changed == whole:
            changed = damage(whole, state)
        file.write_bytes(changed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield path, name, f"{number}: {file.relative_to(path.parent)}, {len(whole)} bytes"
        finally:
            file.write_bytes(whole)


def refusal(load, where):
    """Try to load; "loads", or "refused" where that is said in one sentence."""
    try:
        load()
    except ValueError as error:
        text = str(error)
        assert "\n" not in text and len(text) < 1500, f"{where}: {text}"
        assert text.startswith("The saved component") and "train it again" in text, f"{where}: {text}"
        return "refused"
    except Exception as error:
        raise AssertionError(f"{where}: {error!r}") from error
    return "loads"


def count_outcomes(folder, count, seed=SEED):
    """Damage files of this version so many times. Returns how often what came of it; raises where it was wrong.

    A pipeline into which a damaged component is loaded must find what it found before, whether it was refused or not;
    one in twenty is loaded as a whole.
    """
    saved = pipelines(folder)
    loaded = {path: spacy.load(path) for path in saved}
    expected = {path: found(nlp) for path, nlp in loaded.items()}
    outcomes = Counter()
    for path, name, where in damaged(saved, count, random.Random(seed)):
        pipe = loaded[path].get_pipe(name)
        outcome = refusal(lambda pipe=pipe, path=path, name=name: pipe.from_disk(path / name, exclude=["vocab"]), where)
        outcomes[outcome] += 1
        whole = sum(outcomes.values()) % 20 == 0
        if whole or outcome == "loads":
            assert found(loaded[path]) == expected[path], f"{where}: finds something else"
        if whole:
            assert refusal(lambda path=path: spacy.load(path), where) == outcome
    for path, nlp in loaded.items():
        assert found(nlp) == expected[path]
    return outcomes


def test_damaged_files_are_refused_or_change_nothing(tmp_path):
    outcomes = count_outcomes(tmp_path, 60)
    assert outcomes["refused"] > 50


@pytest.mark.slow
def test_2000_damaged_files_are_refused_or_change_nothing(tmp_path):
    outcomes = count_outcomes(tmp_path, 2000, seed=1)
    assert sum(outcomes.values()) == 2000 and outcomes["refused"] > 1900


def count_unsigned(folder, count, seed=SEED):
    """As `count_outcomes`, for models that an earlier version has saved: they load, or are refused in one sentence."""
    copies = [folder / name for name in ("bcrf_ner", "routed", "back_attention")]
    for path in copies:
        shutil.copytree(GOLDEN / path.name, path)
    loaded = {path: spacy.load(path) for path in copies}
    expected = {path: found(nlp) for path, nlp in loaded.items()}
    outcomes = Counter()
    for path, name, where in damaged(copies, count, random.Random(seed)):
        pipe = loaded[path].get_pipe(name)
        outcome = refusal(lambda pipe=pipe, path=path, name=name: pipe.from_disk(path / name, exclude=["vocab"]), where)
        outcomes[outcome] += 1
        if outcome == "loads":
            with contextlib.suppress(ValueError):
                found(loaded[path])
            pipe.from_disk(GOLDEN / path.name / name, exclude=["vocab"])
        if sum(outcomes.values()) % 20 == 0:
            assert found(loaded[path]) == expected[path], where
    return outcomes


def test_damaged_files_of_earlier_versions_raise_clear_errors(tmp_path):
    outcomes = count_unsigned(tmp_path, 60)
    assert outcomes["refused"] > 20


@pytest.mark.slow
def test_1000_damaged_files_of_earlier_versions_raise_clear_errors(tmp_path):
    assert sum(count_unsigned(tmp_path, 1000, seed=1).values()) == 1000


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        for name, run in (("of this version", count_outcomes), ("of earlier versions", count_unsigned)):
            (Path(temporary) / name).mkdir()
            print(name, dict(run(Path(temporary) / name, int(sys.argv[1]), seed=int((sys.argv[2:] or [1])[0]))))
