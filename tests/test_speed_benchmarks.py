"""The benchmarks of speed and of recipes: what they measure and write. How fast we are is not tested."""

import argparse
import json
import re
import sys
from pathlib import Path

import pytest
import spacy
import torch
from spacy.vocab import Vocab

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import crf  # noqa: E402
import long_texts  # noqa: E402
import memory  # noqa: E402
import pipelines  # noqa: E402
import recipe  # noqa: E402
import speed  # noqa: E402
import tables  # noqa: E402
from experiments import workers  # noqa: E402
from experiments.corpora import open_corpus, read_docs  # noqa: E402
from experiments.errors import BenchmarkError  # noqa: E402
from test_benchmarks import SMALL, published, write_corpus  # noqa: E402


def test_crf_ends_with_the_ratios_of_its_first_shape(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(crf, "SHAPES", ((3, 4, 5), (1, 2, 3)))
    crf.main(["benchmarks/crf.py", "--threads", "1", "--rounds", "2", "--to", str(tmp_path)])
    result = json.loads((tmp_path / "crf.json").read_text(encoding="utf8"))
    assert published("crf") <= set(result)
    first = result["shapes"][0]
    assert (first["batch"], first["length"], first["tags"]) == (3, 4, 5)
    for found in (first["loss_and_gradient"], first["decode"]):
        assert found["ratio"] == pytest.approx(found["pytorch_crf_ms"] / found["ours_ms"], rel=0.05, abs=0.02)
    last = capsys.readouterr().out.splitlines()[-1]
    ratios = (first["loss_and_gradient"]["ratio"], first["decode"]["ratio"])
    assert tuple(map(float, re.fullmatch(r"loss\+gradient (\S+) decode (\S+)", last).groups())) == ratios


def test_crf_measures_nothing_where_the_two_differ():
    case = crf.Case(2, 3, 4)
    case.check()
    case.edges[1] = case.edges[1] + torch.eye(4)
    with pytest.raises(BenchmarkError, match="differ"):
        case.check()


def corpus_options(folder, **options):
    """What the options of a benchmark say of a corpus in a folder."""
    files = {f"{split}_file": folder / f"{split}.conll.gz" for split in ("train", "test")}
    return argparse.Namespace(**{**files, **options})


@pytest.fixture
def files(tmp_path):
    """A converted corpus."""
    folder = write_corpus(tmp_path / "corpus", {"train": 20, "test": 5})
    with open_corpus(corpus_options(folder), ("train", "test")) as corpus:
        yield corpus.files


def test_speed_trains_and_runs_a_pipeline_in_other_processes(tmp_path, files):
    overrides = {key: json.loads(value) for key, value in SMALL.items()}
    job = {
        "config": str(ROOT / "configs" / "bcrf_ner.cfg"),
        "overrides": {**overrides, "paths.train": str(files["train"]), "paths.dev": str(files["test"])},
        **{split: str(file) for split, file in files.items()},
        "model": str(tmp_path / "model"),
        "seconds": 0.1,
    }
    trained = workers.call("speed_spacy.train", job, tmp_path, threads=1)
    assert trained["words_per_second"] > 0 and 50 < trained["peak_memory_mb"] < 20_000
    predicted = workers.call("speed_spacy.predict", job, tmp_path, threads=1)
    assert predicted["words_per_second"] > 0 and predicted["entities"] > 10 and predicted["f"] > 90
    one = workers.call("speed_spacy.one_by_one", {**job, "words": [1, 100]}, tmp_path, threads=1)
    assert 0 < one["ms"] <= one["p90_ms"] and one["words_per_second"] > 0
    job["load"] = {"components.bcrf_ner.model.tok2vec.int8": True}
    quantised = workers.call("speed_spacy.predict", job, tmp_path, threads=1)
    assert quantised["f"] == pytest.approx(predicted["f"], abs=5)


def test_latency_is_that_of_each_text(monkeypatch):
    clock = iter([0.0, 0.001, 1.0, 1.003, 2.0, 2.002])
    monkeypatch.setattr(workers, "perf_counter", lambda: next(clock))
    texts = ["a " * 20, "b " * 40, "a " * 20, "c " * 41, "d " * 19, "e " * 30]
    found = workers.latency(lambda text: None, workers.texts_of_length(texts, 20, 40))
    assert found["ms"] == pytest.approx(2.0) and found["p90_ms"] == pytest.approx(2.8)
    assert found["words_per_second"] == pytest.approx(90 / 0.006)
    with pytest.raises(BenchmarkError, match="Fewer than two texts"):
        workers.latency(lambda text: None, ["a " * 20])


def test_speed_says_which_worker_failed(tmp_path):
    job = {"config": "none.cfg", "overrides": {}, "seconds": 1, "model": str(tmp_path / "m")}
    args = argparse.Namespace(threads=1, rounds=1)
    with pytest.raises(BenchmarkError, match=r"speed_spacy\.train failed"):
        workers.time_in_turns("train", {"ours": job}, args, tmp_path)
    with pytest.raises(BenchmarkError, match=r"speed_flair\.train failed"):
        workers.time_in_turns("train", {"flair": {**job, "worker": "speed_flair"}}, args, tmp_path)


def test_speed_measures_all_systems_in_turns(tmp_path, monkeypatch):
    order = []

    def measured(task, job, folder, **options):
        order.append((task, Path(job["model"]).name))
        assert "load" in job or Path(job["config"]).exists()
        times = {"ms": 3.0 * len(order), "p90_ms": 4.0} if "one_by_one" in task else {}
        return {"words_per_second": 10.0 * len(order), "peak_memory_mb": 5.0, **times}

    monkeypatch.setattr(workers, "call", measured)
    monkeypatch.setattr(speed, "flair_python", lambda wanted: None)
    folder = write_corpus(tmp_path / "corpus", {"train": 2, "test": 1})
    files = [f"--{split}={folder / split}.conll.gz" for split in ("train", "test")]
    speed.main(["benchmarks/speed.py", *files, "--vectors", "none", "--rounds", "2", "--to", str(tmp_path)])
    models = ["model-0", "model-1", "model-2"]
    train = [("speed_spacy.train", model) for model in models]
    others = [[(f"speed_spacy.{task}", model) for model in (*models, "model-0")] for task in ("predict", "one_by_one")]
    assert order == [*train * 2, *others[0] * 2, *others[1] * 2]
    result = json.loads((tmp_path / "speed.json").read_text(encoding="utf8"))
    assert published("speed") <= set(result)
    assert list(result["systems"]) == [speed.OURS, speed.ACCURACY, speed.EFFICIENCY, speed.INT8]
    assert result["systems"][speed.OURS] == {
        "train_words_per_second": 25.0,
        "train_peak_memory_mb": 5.0,
        "predict_words_per_second": 90.0,
        "predict_peak_memory_mb": 5.0,
        "one_by_one_words_per_second": 170.0,
        "one_by_one_peak_memory_mb": 5.0,
        "one_by_one_ms": 51.0,
        "one_by_one_p90_ms": 4.0,
    }
    assert result["ratios"]["one text, time of spacy ner, efficiency / ours"] == pytest.approx(57 / 51, abs=0.01)
    assert result["corpus"] == {"train": "corpus/train.conll.gz", "test": "corpus/test.conll.gz"}


def test_speed_ratios_are_ours_against_theirs():
    def system(train, predict):
        return {"train_words_per_second": train, "predict_words_per_second": predict}

    systems = {speed.OURS: system(10, 40), speed.ACCURACY: system(5, 4), speed.EFFICIENCY: system(20, 50)}
    assert speed.make_ratios(systems) == {
        "train / spacy ner, accuracy": 2.0,
        "predict / spacy ner, accuracy": 10.0,
        "train / spacy ner, efficiency": 0.5,
        "predict / spacy ner, efficiency": 0.8,
    }
    systems.update({speed.FLAIR: system(2, 8), speed.SAME_NETWORK: system(12, 80)})
    assert speed.make_ratios(systems)["train / flair, same network"] == 6.0
    systems[speed.INT8] = {"predict_words_per_second": 60}
    assert speed.make_ratios(systems)["predict, 8-bit weights / bcrf_ner"] == 1.5


def test_a_python_without_flair_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="cannot be run"):
        speed.flair_python(str(tmp_path / "python"))


@pytest.fixture
def variants(tmp_path, monkeypatch):
    """A file of variants that a test may write to."""
    path = tmp_path / "variants.json"
    small = {key: json.loads(value) for key, value in SMALL.items() if not key.startswith("training.max")}
    small.pop("training.eval_frequency")
    path.write_text(json.dumps({"small": small, "smaller": {**small, "training.dropout": 0.1}}), encoding="utf8")
    monkeypatch.setattr(recipe, "VARIANTS", path)
    return path


def test_recipe_measures_each_variant_once(tmp_path, variants, capsys, monkeypatch):
    write_corpus(tmp_path / "tiny", {"train": 10, "dev": 3})
    monkeypatch.setenv("SPACY_CRFNER_DATA", str(tmp_path))
    command = ["benchmarks/recipe.py", "--corpus", "tiny", "--steps", "8", "--to", str(tmp_path)]
    recipe.main([*command, "--only", "small"])
    assert "small, seed 0: dev" in capsys.readouterr().out
    recipe.main(command)
    printed = capsys.readouterr().out
    assert "smaller, seed 0: dev" in printed and "small, seed 0: dev" not in printed
    result = json.loads((tmp_path / "recipe-tiny.json").read_text(encoding="utf8"))
    assert published("recipe") <= set(result)
    assert set(result["variants"]) == {"small", "smaller"}
    assert all(0 <= found["dev"]["f"] <= 1 for found in result["variants"].values())


def test_recipe_names_unknown_variants(variants, capsys, tmp_path, monkeypatch):
    write_corpus(tmp_path / "tiny", {"train": 1, "dev": 1})
    monkeypatch.setenv("SPACY_CRFNER_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        recipe.main(["benchmarks/recipe.py", "--corpus", "tiny", "--only", "other", "--to", str(tmp_path)])
    assert "There is no variant other: choose from small; smaller." in capsys.readouterr().err


def test_memory_is_read_after_each_tenth_of_the_documents(small_nlp, tmp_path, capsys):
    small_nlp.to_disk(tmp_path / "model")
    command = ["benchmarks/memory.py", "--model", str(tmp_path / "model"), "--docs", "40", "--to", str(tmp_path)]
    memory.main(command)
    memory.main([*command, "--without", "bcrf_ner"])
    for name, without in (("memory", None), ("memory-without-bcrf_ner", "bcrf_ner")):
        result = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf8"))
        assert published("memory") <= set(result)
        assert list(map(int, result["memory_mb"])) == list(range(0, 41, 4)) and result["without"] == without
        assert all(50 < megabytes < 20_000 for megabytes in result["memory_mb"].values())
    with pytest.raises(SystemExit):
        memory.main([*command, "--without", "tagger"])
    assert "has no component 'tagger': it has bcrf_ner" in capsys.readouterr().err


def test_long_texts_are_measured_at_half_and_at_their_whole_size(tmp_path, capsys, monkeypatch):
    def call(task, job, folder, threads):
        return {**getattr(long_texts, task.removeprefix("long_texts."))(job), "peak_memory_mb": 1.0}

    monkeypatch.setattr(long_texts, "call", call)
    monkeypatch.setattr(long_texts, "UPDATES", 1)
    names = [
        "150 labels, sentences of 5",
        "probabilities of the sentences of 1,000 entities",
        "training, sentences of 20",
    ]
    long_texts.main(
        ["benchmarks/long_texts.py", "--to", str(tmp_path), "--scale", "0.008", "--only", *names],
    )
    result = json.loads((tmp_path / "long-texts.json").read_text(encoding="utf8"))
    assert published("long_texts") <= set(result) and list(result["cases"]) == names
    for name, case in result["cases"].items():
        half, whole = case["half"], case["whole"]
        assert half["tokens"] == whole["tokens"] // 2 == round(0.004 * long_texts.CASES[name].tokens)
        assert all(size["seconds"] > 0 and 0 <= size["added_mb"] < 20_000 for size in (half, whole))
    (table,) = (tables.make_table(*key, tmp_path) for key in tables.TABLES if key[1] == "long texts")
    assert [line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:]] == names


def test_long_texts_are_as_their_case_says():
    nlp = spacy.blank("en")
    case = long_texts.Case(40, 5, docs=2, long=True, task="update")
    docs = long_texts.make_docs(nlp, case, 40)
    assert [len(doc) for doc in docs] == [20, 20]
    for doc in docs:
        assert [len(sentence) for sentence in doc.sents] == [10, 5, 5]
        assert doc.ents and all(ent.sent.start <= ent.start and ent.end <= ent.sent.end for ent in doc.ents)
    (whole,) = long_texts.make_docs(nlp, long_texts.Case(40), 40)
    assert len(whole) == 40 and not whole.has_annotation("SENT_START")


def test_pipelines_are_measured_beside_the_first(small_nlp, tmp_path, capsys, monkeypatch):
    for name in ("one", "other"):
        small_nlp.to_disk(tmp_path / name)
    corpus = write_corpus(tmp_path / "corpus", {"train": 5, "test": 5})
    command = ["benchmarks/pipelines.py", "--rounds", "2", "--limit-test", "3", "--to", str(tmp_path)]
    command += [part for split in ("train", "test") for part in (f"--{split}", str(corpus / f"{split}.conll.gz"))]
    timed, call = [], workers.call

    def count_and_call(task, job, **options):
        timed.append(len(read_docs(job["test"], Vocab())))
        return call(task, job, **options)

    monkeypatch.setattr(workers, "call", count_and_call)
    pipelines.main([*command, "--models", f"first={tmp_path / 'one'}", f"second={tmp_path / 'other'}"])
    assert timed == [3] * 4
    result = json.loads((tmp_path / "pipelines.json").read_text(encoding="utf8"))
    assert published("pipelines") <= set(result)
    first, second = result["pipelines"].values()
    assert first["ratio"] == 1.0 and 0 < first["slowest"] <= first["words_per_second"] <= first["fastest"]
    assert second["ratio"] == pytest.approx(second["words_per_second"] / first["words_per_second"], rel=0.05)
    with open_corpus(corpus_options(corpus), ("train", "test")) as converted:
        taken = corpus_options(corpus, test_file=converted.files["test"], limit_test="3")
        with pytest.raises(BenchmarkError, match="--limit-test takes a part of column"), open_corpus(taken, ["test"]):
            pass
    for models, message in ([f"a={tmp_path}"], "no pipeline in this folder"), ([str(tmp_path)], "a name of its own"):
        with pytest.raises(SystemExit):
            pipelines.main([*command, "--models", *models])
        assert message in capsys.readouterr().err
