"""The accuracy benchmark: what it measures, what it writes, and how it goes on or fails."""

import argparse
import gzip
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Dict, Iterator, List, Set, Tuple

import pytest
import spacy
from spacy.tokens import Doc, DocBin

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import accuracy  # noqa: E402
from experiments import corpora, errors, record, training  # noqa: E402
from experiments.scores import evaluate, format_table, summarize  # noqa: E402

TOK2VEC = "components.bcrf_ner.model.tok2vec"
SMALL = {
    f"{TOK2VEC}.width": "32",
    f"{TOK2VEC}.tok2vec.char_width": "10",
    f"{TOK2VEC}.tok2vec.char_embed_width": "8",
    f"{TOK2VEC}.tok2vec.char_rows": "1100",
    f"{TOK2VEC}.tok2vec.hash_rows": "[300, 300, 300, 300]",
    f"{TOK2VEC}.tok2vec.hash_width": "16",
    "training.max_steps": "20",
    "training.eval_frequency": "10",
    "training.dropout": "0.0",
    "training.optimizer.learn_rate": "0.05",
    "training.optimizer.use_averages": "false",
}
SENTENCES = [
    [("Anna", "B-PER"), ("Kell", "I-PER"), ("met", "O"), ("Bob", "B-PER"), ("in", "O"), ("Paris", "B-LOC")],
    [("Nothing", "O"), ("of", "O"), ("note", "O"), ("happened", "O")],
    [("Bob", "B-PER"), ("left", "O"), ("Rome", "B-LOC"), ("for", "O"), ("New", "B-LOC"), ("York", "I-LOC")],
]


def write_corpus(folder: Path, copies: Dict[str, int]) -> Path:
    """Files `<split>.conll.gz` with the sentences, so many times."""
    folder.mkdir(parents=True)
    text = "".join("".join(f"{word}\t{tag}\n" for word, tag in sentence) + "\n" for sentence in SENTENCES)
    for split, number in copies.items():
        (folder / f"{split}.conll.gz").write_bytes(gzip.compress((text * number).encode("utf8")))
    return folder


def published(benchmark: str) -> Set[str]:
    """The fields of the results that the tables of the pages are made of, but for their commands."""
    results = [json.loads(path.read_text(encoding="utf8")) for path in sorted(record.RESULTS.glob("*.json"))]
    return set(next(result for result in results if result["benchmark"] == benchmark)) - {"command", "commands"}


def command(*arguments: str) -> List[str]:
    settings = [part for setting, value in SMALL.items() for part in (f"--{setting}", value)]
    return [sys.executable, str(BENCHMARKS / "accuracy.py"), *arguments, *settings]


def environment(data: Path) -> Dict[str, str]:
    return {**os.environ, "SPACY_CRFNER_DATA": str(data), "OMP_NUM_THREADS": "1"}


class Finished:
    """A run of two seeds that was interrupted after the first, and the same run when it was started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        write_corpus(self.data / "tiny", {"train": 2, "dev": 2, "test": 5})
        write_corpus(self.data / "tiny-more", {"train": 6})
        self.results = folder / "results"
        self.keep = folder / "models"
        self.arguments = command(
            *("--corpus", "tiny", "--train-corpus", "tiny-more", "--seeds", "0", "1", "--join", "10"),
            *("--to", str(self.results), "--keep", str(self.keep)),
        )
        self.code_when_interrupted, self.left_by_interruption = self.interrupt()
        self.again = self.run()
        self.json = self.results / "tiny-more-bcrf_ner.json"
        self.result = json.loads(self.json.read_text(encoding="utf8"))

    def interrupt(self) -> Tuple[int, List[str]]:
        process = subprocess.Popen(
            self.arguments, env=environment(self.data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 120
        while not list(self.results.glob("*.json")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        return process.returncode, sorted(path.name for path in self.results.iterdir())

    def run(self) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.arguments, env=environment(self.data), capture_output=True, encoding="utf8", check=False
        )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("benchmark"))


def test_an_interrupted_run_goes_on_after_the_last_finished_seed(finished: Finished) -> None:
    assert finished.code_when_interrupted == 130
    assert finished.left_by_interruption == [finished.json.name]
    assert finished.again.returncode == 0, finished.again.stderr
    assert "bcrf_ner, seed 0: is measured already." in finished.again.stdout
    assert "bcrf_ner, seed 1: is measured already." not in finished.again.stdout
    assert [path.name for path in finished.results.iterdir()] == [finished.json.name]


def test_the_result_says_what_was_measured(finished: Finished) -> None:
    result = finished.result
    assert set(result) == published("accuracy") | {"command", "fingerprint", "settings_fingerprint"}
    assert result["benchmark"] == "accuracy"
    assert result["name"] == "tiny-more-bcrf_ner"
    assert result["config"] == "configs/bcrf_ner.cfg"
    assert result["overrides"]["training.max_steps"] == 20
    assert result["overrides"][f"{TOK2VEC}.tok2vec.hash_rows"] == [300] * 4
    assert set(result["versions"]) == {"python", "spacy", "thinc", "torch", "numpy", "spacy_crfner"}
    assert result["versions"]["spacy"] == spacy.__version__
    assert result["machine"]["cores"] == os.cpu_count()
    assert result["machine"]["torch_threads"] == 1
    assert result["date"].endswith("+00:00")
    assert result["corpus"]["train"] == {
        "source": "$SPACY_CRFNER_DATA/tiny-more/train.conll.gz",
        "docs": 18,
        "sentences": 18,
        "tokens": 96,
        "entities": 36,
        "labels": {"LOC": 18, "PER": 18},
    }
    assert result["corpus"]["test"]["source"] == "$SPACY_CRFNER_DATA/tiny/test.conll.gz"
    assert result["corpus"]["test"]["sentences"] == 15


def test_every_seed_has_its_scores(finished: Finished) -> None:
    result = finished.result
    assert [run["seed"] for run in result["per_seed"]] == result["seeds"] == [0, 1]
    for run in result["per_seed"]:
        assert run["best_step"] in (0, 10, 20)
        assert run["training_seconds"] > 0
        for split in ("dev", "test", "test_joined_10"):
            scores = run[split]
            assert 0 < scores["f"] <= 1
            total = scores["p"] + scores["r"]
            assert scores["f"] == pytest.approx(2 * scores["p"] * scores["r"] / total, abs=1e-5)
            assert set(scores["per_type"]) == {"LOC", "PER"}
            assert scores["words_per_second"] > 0


def test_mean_and_spread_are_those_of_the_seeds(finished: Finished) -> None:
    runs, summary = finished.result["per_seed"], finished.result["summary"]
    assert list(summary) == ["dev", "test", "test_joined_10"]
    for split, scores in summary.items():
        for key in ("p", "r", "f"):
            column = [run[split][key] for run in runs]
            assert scores[key]["mean"] == pytest.approx(mean(column), abs=1e-6)
            assert scores[key]["sd"] == pytest.approx(stdev(column), abs=1e-6)
            column = [run[split]["per_type"]["LOC"][key] for run in runs]
            assert scores["per_type"]["LOC"][key]["mean"] == pytest.approx(mean(column), abs=1e-6)
    shown = finished.again.stdout.splitlines()
    assert shown[-1] == str(finished.json)
    assert shown[-5:-1] == format_table(summary).splitlines()


def test_no_path_of_the_machine_and_no_text_of_the_corpus_is_written(finished: Finished) -> None:
    text = finished.json.read_text(encoding="utf8")
    assert str(finished.folder) not in text
    assert str(ROOT) not in text
    assert str(Path.home()) + os.sep not in text
    assert "Paris" not in text
    words = shlex.split(finished.result["command"])
    assert words[:2] == ["python", "benchmarks/accuracy.py"]
    assert words[words.index("--to") + 1] == "$SPACY_CRFNER_DATA/../results"
    assert words[-2:] == ["--training.optimizer.use_averages", "false"]
    assert not any(word.startswith("/") for word in words)


def test_models_are_kept_as_the_config_made_them(finished: Finished) -> None:
    folder = finished.keep / "tiny-more-bcrf_ner"
    assert sorted(path.name for path in folder.iterdir()) == ["bcrf_ner-0", "bcrf_ner-1"]
    nlp = spacy.load(folder / "bcrf_ner-1")
    assert nlp.config["training"]["logger"] == {"@loggers": "spacy.ConsoleLogger.v1"}
    assert nlp.config.interpolate()["training"]["seed"] == 1
    with corpora.open_corpus(argparse.Namespace(dev_file=finished.data / "tiny" / "dev.conll.gz"), ["dev"]) as corpus:
        again = training.evaluate_splits(nlp, corpus.files)["dev"]
    assert again["f"] == pytest.approx(finished.result["per_seed"][1]["dev"]["f"], abs=1e-5)


# Joined Docs


def annotated_docs() -> Iterator[Doc]:
    vocab = spacy.blank("en").vocab
    for sentence in SENTENCES:
        words, tags = zip(*sentence, strict=True)
        yield Doc(vocab, words=words, ents=list(tags))


def test_joined_docs_have_sentence_boundaries_and_only_the_reference_has_entities() -> None:
    vocab = spacy.blank("en").vocab
    first, second = corpora.join_sentences(annotated_docs(), 2, vocab)
    assert [len(sentence) for sentence in first.predicted.sents] == [6, 4]
    assert [len(sentence) for sentence in second.predicted.sents] == [6]
    assert first.predicted.vocab is vocab
    assert not first.predicted.has_annotation("ENT_IOB")
    assert [(ent.text, ent.label_) for ent in first.reference.ents] == [
        ("Anna Kell", "PER"),
        ("Bob", "PER"),
        ("Paris", "LOC"),
    ]
    assert [(ent.start, ent.end) for ent in second.reference.ents] == [(0, 1), (2, 3), (4, 6)]


def test_joined_docs_are_made_of_the_sentences_of_longer_docs() -> None:
    vocab = spacy.blank("en").vocab
    joined = [example.reference for example in corpora.join_sentences(annotated_docs(), 3, vocab)]
    examples = corpora.join_sentences(joined, 2, vocab)
    assert [[len(s) for s in example.predicted.sents] for example in examples] == [[6, 4], [6]]


def test_joining_keeps_missing_annotation_missing() -> None:
    vocab = spacy.blank("en").vocab
    docs = [Doc(vocab, words=["Bob", "left"], ents=["B-PER", ""]), Doc(vocab, words=["Rome"], ents=["O"])]
    (example,) = corpora.join_sentences(docs, 2, vocab)
    assert [token.ent_iob_ for token in example.reference] == ["B", "", "O"]


def test_the_pipeline_sees_the_sentence_boundaries_of_joined_docs() -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PER", "pattern": [{"TEXT": "Bob", "IS_SENT_START": True}]}])
    found = evaluate(nlp, corpora.join_sentences(annotated_docs(), 3, nlp.vocab), "test_joined_3")
    # Of three persons the one at the beginning of the third sentence is found.
    assert found["per_type"]["PER"] == {"p": 1.0, "r": round(1 / 3, 6), "f": 0.5}


# Errors


def fails(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The one line that the script prints when it is run with bad arguments."""
    with pytest.raises(SystemExit) as stop:
        accuracy.main(["benchmarks/accuracy.py", *arguments])
    assert stop.value.code == 1
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    return message


def test_errors_about_the_corpus_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPACY_CRFNER_DATA", raising=False)
    assert "SPACY_CRFNER_DATA is not set" in fails(capsys, "--corpus", "tiny")
    assert "--train" in fails(capsys)
    monkeypatch.setenv("SPACY_CRFNER_DATA", str(tmp_path))
    assert "there is no such folder" in fails(capsys, "--corpus", "tiny")
    tiny = write_corpus(tmp_path / "tiny", {"train": 1, "test": 1})
    assert "no dev.conll.gz" in fails(capsys, "--corpus", "tiny")
    write_corpus(tmp_path / "only-dev", {"dev": 1})
    message = fails(capsys, "--corpus", "tiny", "--train-corpus", "only-dev", "--dev", str(tiny / "train.conll.gz"))
    assert message.startswith(str(tmp_path / "only-dev" / "train.conll.gz"))
    bad = tmp_path / "bad.conll"
    bad.write_text("Bob\tB-PER\nleft\tnowhere\n", encoding="utf8")
    assert f"{bad}:2:" in fails(capsys, "--corpus", "tiny", "--dev", str(bad), "--to", str(tmp_path))
    bad = tmp_path / "bad.spacy"
    bad.write_text("Bob", encoding="utf8")
    assert str(bad) in fails(capsys, "--corpus", "tiny", "--dev", str(bad), "--to", str(tmp_path))


def test_errors_about_settings_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "some.spacy"
    DocBin(docs=annotated_docs()).to_disk(file)
    data = ["--train", str(file), "--dev", str(file), "--to", str(tmp_path)]
    assert "no such config" in fails(capsys, *data, "--config", "none.cfg")
    config = tmp_path / "bare.cfg"
    config.write_text('[nlp]\nlang = "en"\n', encoding="utf8")
    assert "paths.train" in fails(capsys, *data, "--config", str(config))
    config.write_text("nonsense", encoding="utf8")
    assert str(config) in fails(capsys, *data, "--config", str(config))
    assert "training.speed.limit" in fails(capsys, *data, "--training.speed.limit", "1")
    assert "--seeds" in fails(capsys, *data, "--training.seed", "1")
    assert "--seed:" in fails(capsys, *data, "--seed", "1")
    assert "none" in fails(capsys, *data, "--vectors", "none")
    assert "init vectors" in fails(capsys, *data, "--vectors", str(file))
    assert "test split" in fails(capsys, *data, "--join", "10")
    assert "test split" in fails(capsys, *data, "--test", str(file), "--no-test", "--join", "10")
    assert "--limit-train" in fails(capsys, *data, "--limit-train", "10%")
    assert "slashes" in fails(capsys, *data, "--name", "a/b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.cfg", "some.spacy"]


def test_a_pipeline_without_entity_scores_is_refused() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    examples = list(corpora.join_sentences(annotated_docs(), 2, nlp.vocab))
    with pytest.raises(errors.BenchmarkError, match=r"sentencizer.*no entity scores.*on dev"):
        evaluate(nlp, examples, "dev")


# Parts


def test_one_seed_has_no_spread() -> None:
    scores = {"p": 0.5, "r": 0.25, "f": 1 / 3}
    summary = summarize([{"seed": 0, "best_step": 0, "dev": {**scores, "per_type": {"PER": scores}}}])
    assert list(summary) == ["dev"]
    assert summary["dev"]["p"] == summary["dev"]["per_type"]["PER"]["p"] == {"mean": 0.5, "sd": None}
    assert format_table(summary).splitlines()[1].split() == ["dev", "50.00", "25.00", "33.33"]


def test_of_equal_scores_the_last_step_is_the_best() -> None:
    log = [json.dumps({"step": step, "score": score}) for step, score in ((0, 0.1), (10, 0.5), (20, 0.5), (30, 0.4))]
    assert training.best_step(log) == 20
