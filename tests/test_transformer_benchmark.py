"""The benchmark of transformers: what it measures and writes, and that both sides do the same work."""

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import spacy
import torch
from safetensors.torch import load_file
from samples import ROOT
from tiny_transformers import make_transformer, transformer_folder

sys.path.insert(0, str(ROOT / "benchmarks"))

import pretraining
import speed_plain_transformer
import speed_spacy
import speed_transformer
import tables
from experiments import stopwatch, workers
from experiments.corpora import open_corpus
from experiments.stopwatch import Stopwatch
from speed_plain_transformer import PlainTagger
from test_benchmarks import SENTENCES, write_corpus

from spacy_crfner.encoders import transformer as transformer_layer
from spacy_crfner.encoders.transformer_shim import TransformerShim

WORDS = [[word for word, _ in sentence] for sentence in SENTENCES]
OURS, PLAIN = ["float32", "bfloat16"], ["plain loop, float32", "plain loop, bfloat16"]


@pytest.fixture
def command(tmp_path):
    """A command line for a transformer that the shipped configs take, with vectors and a corpus."""
    torch.manual_seed(0)
    make_transformer(tmp_path / "transformer", "bert", num_hidden_layers=4, max_position_embeddings=140)
    nlp = spacy.blank("en")
    nlp.vocab.reset_vectors(width=20)
    for number, word in enumerate(sorted({word for words in WORDS for word in words})):
        nlp.vocab.set_vector(word, np.random.default_rng(number).normal(size=20).astype("f"))
    nlp.to_disk(tmp_path / "vectors")
    corpus = write_corpus(tmp_path / "corpus", {"train": 60, "test": 5})
    files = [f"--{split}={corpus / split}.conll.gz" for split in ("train", "test")]
    folders = [f"--{name}={tmp_path / name}" for name in ("vectors", "transformer")]
    options = ["--seconds", "0.2", "--rounds", "1", "--to", str(tmp_path)]
    return ["benchmarks/speed_transformer.py", *files, *folders, *options]


@pytest.fixture
def asked(monkeypatch):
    """The tasks of the workers, each with its job, which are done in this process, after fewer updates."""
    tasks = []

    def call(task, job, folder, **options):
        tasks.append((task, job))
        module, _, function = task.partition(".")
        return {**getattr(sys.modules[module], function)(job), "peak_memory_mb": 1.0}

    monkeypatch.setattr(workers, "call", call)
    monkeypatch.setattr(speed_transformer, "flair_python", lambda wanted: None)
    monkeypatch.setattr(speed_transformer, "has_fast_bfloat16", lambda device: True)
    monkeypatch.setattr(speed_transformer, "UPDATES", 4)
    monkeypatch.setattr(speed_spacy, "WARM_UP_UPDATES", 2)
    return tasks


def test_all_systems_are_measured_in_turns(command, asked, tmp_path):
    speed_transformer.main(command)
    result = json.loads((tmp_path / "speed-transformer.json").read_text(encoding="utf8"))
    assert {"command", "date", "versions", "machine"} < set(result) and result["benchmark"] == "speed_transformer"
    assert result["transformer"] == "transformer"
    systems, profiles = result["systems"], result["profiles"]
    pairs = [name for pair in zip(OURS, PLAIN, strict=True) for name in pair]
    assert list(systems) == [*pairs, "frozen, kept", "bcrf_ner"]
    order = ["spacy", "plain_transformer"] * 2
    assert [task for task, _ in asked] == [
        *(f"speed_{worker}.train" for worker in [*order, "spacy", "spacy"]),
        *(f"speed_{worker}.predict" for worker in order),
    ]
    assert result["ratios"] == {
        name: pytest.approx(systems[ours][key] / systems[theirs][key], rel=0.02, abs=0.001)
        for name, ours, theirs, key in [
            *((f"train, {o} / plain loop", o, p, "train_words_per_second") for o, p in zip(OURS, PLAIN, strict=True)),
            *(
                (f"predict, {o} / plain loop", o, p, "predict_words_per_second")
                for o, p in zip(OURS, PLAIN, strict=True)
            ),
            ("frozen, kept / bcrf_ner", "frozen, kept", "bcrf_ner", "train_words_per_second"),
        ]
    }
    assert list(profiles) == pairs
    for name, profile in profiles.items():
        parts = {part: found["share"] for part, found in profile.items() if part != "update_ms"}
        own = {"head and CRF"} if name in OURS else set()
        assert set(parts) == {"pieces", "forward", "backward", "optimizer", "rest", *own}
        assert all(share > 0 for share in parts.values()) and sum(parts.values()) == pytest.approx(1, abs=0.01)
    rows = {
        mark: tables.make_table(page, mark, tmp_path).splitlines()[2:]
        for (page, mark), (benchmark, *_) in tables.TABLES.items()
        if benchmark == result["benchmark"]
    }
    assert list(map(len, rows.values())) == [len(systems), len(result["ratios"]), len(profiles)]
    assert not any("|  |" in row for row in rows["transformer updates"] if "plain" not in row)


@pytest.fixture
def jobs(command, asked):
    """The jobs of all systems, whose files are there as long as the test runs."""
    args = speed_transformer.parse_args(command[1:])
    with open_corpus(args, needed=("train", "test")) as corpus:
        shared = {"seconds": 0.01, **{split: str(file) for split, file in corpus.files.items()}}
        fine_tuned = speed_transformer.fine_tuned_jobs(args, corpus, shared)
        yield {**fine_tuned, **speed_transformer.frozen_jobs(args, shared)}


def test_both_sides_learn_from_the_same_batches_with_as_many_tags(jobs, monkeypatch):
    seen = []

    def note(update, batches, job, watch):
        seen.append([[[token.text for token in example.reference] for example in b] for b in islice(batches, 4)])
        return {}

    for module in (speed_spacy, speed_plain_transformer):
        monkeypatch.setattr(module, "time_updates", note)
    for module, system in ((speed_spacy, "float32"), (speed_plain_transformer, "plain loop, float32")):
        assert module.train(jobs[system]) == {}
    assert seen[0] == seen[1] and len(set(map(str, seen[0]))) == 4
    assert all(400 <= sum(map(len, batch)) <= 600 for batch in seen[0])
    (task,) = spacy.load(jobs["float32"]["model"]).get_pipe("bcrf_ner").tasks
    plain = PlainTagger(jobs["plain loop, float32"]["model"], bfloat16=False)
    assert tuple(plain.model.config.id2label.values()) == task.tag_set.names


@pytest.mark.parametrize("module, system", [(speed_spacy, "float32"), (speed_plain_transformer, "plain loop, float32")])
def test_what_is_saved_has_learned_and_later_rounds_leave_it(module, system, jobs, monkeypatch):
    made, batches_of = [], speed_spacy.batches_of
    monkeypatch.setattr(module, "batches_of", lambda *a: (made.append(1) or batch for batch in batches_of(*a)))
    job = {**jobs[system], "updates": 12}
    module.train(job)
    assert len(made) >= 12
    before = {path: path.stat().st_mtime_ns for path in Path(job["model"]).rglob("*")}
    module.train({**job, "updates": 12})
    assert before == {path: path.stat().st_mtime_ns for path in Path(job["model"]).rglob("*")}


def test_the_plain_loop_learns(jobs, monkeypatch):
    monkeypatch.setattr(speed_plain_transformer, "LEARN_RATE", 3e-3)
    job = {**jobs["plain loop, float32"], "updates": 40}
    assert speed_plain_transformer.train(job)["words_per_second"] > 0
    found = speed_plain_transformer.predict(job)
    assert found["f"] > 80 and found["entities"] > 10


def test_ours_learns(jobs):
    """As `spacy train` does, whose learning rate rises from 0."""
    job = {**jobs["float32"], "updates": 40}
    job["overrides"] = {**job["overrides"], "training.optimizer.learn_rate.initial_rate": 0.02}
    assert speed_spacy.train(job)["words_per_second"] > 0
    found = speed_spacy.predict(job)
    assert found["f"] > 80 and found["entities"] > 10


def test_the_frozen_transformer_has_read_all_before_it_is_timed(jobs, monkeypatch):
    read, timed = [], []
    predict, time_updates = TransformerShim.predict, speed_spacy.time_updates
    monkeypatch.setattr(TransformerShim, "predict", lambda *a: read.append(len(timed)) or predict(*a))
    monkeypatch.setattr(speed_spacy, "time_updates", lambda *a: timed.append(1) or time_updates(*a))
    speed_spacy.train(jobs["frozen, kept"])
    assert read and not any(read) and timed


def test_nothing_of_the_package_stays_wrapped(jobs):
    before = transformer_layer._inputs
    found = speed_spacy.train({**jobs["float32"], "seconds": 0.01})
    assert transformer_layer._inputs is before and found["forward_ms"] < found["update_ms"]


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_the_plain_loop_tags_words_by_their_first_pieces(kind):
    tagger = PlainTagger(transformer_folder(kind), bfloat16=False, tags=("O", "S-X", "B-X", "E-X", "I-X"))
    tagger.model.eval()
    sentences = [["Anna", "unremarkablemoved", "Oslo"], ["Bob"], ["Harlow"] * 40, ["\u200b", "met", "Kell"]]
    pieces, firsts = tagger.read(sentences)
    pairs = firsts[0]
    assert [word for _, word in pairs] == [0, 1, 2] and pairs[0][0] < pairs[1][0] < pairs[2][0] - 1
    assert len(pieces["input_ids"]) == 4 and pieces["input_ids"].shape[1] <= tagger.longest
    together = tagger.tag(sentences)
    assert list(map(len, together)) == list(map(len, sentences))
    assert together == [tagger.tag([sentence])[0] for sentence in sentences]
    assert len({tag for own in together for tag in own}) > 1


def test_sixteen_bits_are_left_out_where_they_are_slow(command, asked, monkeypatch, tmp_path):
    def note(task, jobs, *others, **options):
        return {name: [{"words_per_second": 1.0}] for name in jobs}

    monkeypatch.setattr(speed_transformer, "time_in_turns", note)
    monkeypatch.setattr(speed_transformer, "has_fast_bfloat16", lambda device: False)
    speed_transformer.main(command)
    result = json.loads((tmp_path / "speed-transformer.json").read_text(encoding="utf8"))
    assert list(result["systems"]) == ["float32", "plain loop, float32", "frozen, kept", "bcrf_ner"]
    assert not any("bfloat16" in name for name in result["ratios"])


def test_flair_predicts_after_it_was_made(command, asked, monkeypatch, tmp_path):
    turns = []

    def note(task, jobs, *others, **options):
        turns.append((task, list(jobs), jobs.get("flair")))
        return {name: [{"words_per_second": 30.0 if name == "flair" else 90.0}] for name in jobs}

    def make(task, job, folder, **options):
        assert task == "speed_flair_transformer.make" and options["python"] == "python"
        words = [own for own, _ in json.loads(Path(job["train"]).read_text(encoding="utf8"))]
        assert words[: len(WORDS)] == WORDS and job["updates"] == 4
        return {"libraries": {"flair": "1"}}

    monkeypatch.setattr(speed_transformer, "time_in_turns", note)
    monkeypatch.setattr(speed_transformer, "call", make)
    monkeypatch.setattr(speed_transformer, "flair_python", lambda wanted: "python")
    speed_transformer.main(command)
    result = json.loads((tmp_path / "speed-transformer.json").read_text(encoding="utf8"))
    assert [(task, "flair" in names) for task, names, _ in turns] == [
        ("train", False),
        ("train", False),
        ("predict", True),
    ]
    assert turns[-1][-1]["worker"] == "speed_flair_transformer" and turns[-1][-1]["python"] == "python"
    assert result["ratios"]["predict / flair"] == 3.0 and result["libraries"]["flair, flair"] == "1"


def test_a_folder_without_a_model_is_refused(command, capsys, tmp_path):
    with pytest.raises(SystemExit):
        speed_transformer.main([*command, f"--transformer={tmp_path}"])
    assert "there is no model in this folder: check --transformer" in capsys.readouterr().err


def test_a_part_inside_of_another_is_not_counted_in_it(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 4.0, 6.0, 7.0, 10.0])
    monkeypatch.setattr(stopwatch, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    inner = watch.part("inner")(lambda: None)
    with watch.part("outer"):
        inner()
        with pytest.raises(ValueError), watch.part("inner"):
            raise ValueError
    assert watch.seconds == {"outer": 1.0 + 0.0 + 1.0, "inner": 3.0 + 2.0}


def test_pretraining_is_measured_and_read_again(tmp_path, capfd):
    text = tmp_path / "toy.txt"
    text.write_text("\n".join(f"Anna met Bob {number} times in Paris." for number in range(300)), encoding="utf8")
    sizes = ["--layers", "1", "--size", "16", "--heads", "2", "--vocab", "300"]
    length = ["--max-updates", "4", "--eval-every", "2", "--batch-pieces", "64", "--block", "16", "--dev-share", "0.1"]
    own = ["--folder", str(tmp_path / "model"), "--to", str(tmp_path)]
    command = ["benchmarks/pretraining.py", *own, "--text", str(text), "--from-scratch", *sizes, *length]
    pretraining.main(command)
    result = json.loads((tmp_path / "pretraining-model.json").read_text(encoding="utf8"))
    assert result["model"]["layers"] == 1 and result["model"]["width"] == 16
    state = load_file(tmp_path / "model" / "model.safetensors")
    assert result["model"]["weights"] == sum(values.numel() for values in state.values())
    assert [line["update"] for line in result["training"]] == [2, 4] and result["updates"] == 4
    assert result["after"] == result["training"][-1]["dev_perplexity"] < result["before"]
    assert "--from-scratch" in result["command"] and str(tmp_path) not in result["command"]
    (tmp_path / "pretraining-model.json").unlink()
    pretraining.main(command)
    again = json.loads((tmp_path / "pretraining-model.json").read_text(encoding="utf8"))
    assert {**again, "date": ""} == {**result, "date": ""}
    with pytest.raises(SystemExit):
        pretraining.main([*command, "--seed", "1"])
    assert "The training has failed" in capfd.readouterr().err
