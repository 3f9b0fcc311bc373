"""What benchmarks share: results that grow, fingerprints, shown paths and commands."""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List

import example_benchmark
import pytest
import spacy
from samples import TRAIN
from spacy.training import Example
from test_benchmarks import BENCHMARKS, ROOT, write_corpus

sys.path.insert(0, str(BENCHMARKS))

from experiments import fingerprints, options, record, results, training, workers
from experiments.corpora import open_corpus
from experiments.errors import BenchmarkError
from experiments.scores import summarize

from spacy_crfner.training_loop import LOG


def test_paths_are_shown_without_the_folders_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "corpora"
    data.mkdir()
    monkeypatch.setenv("SPACY_CRFNER_DATA", str(data))
    monkeypatch.chdir(data)
    assert record.shown(str(data / "a" / "train.conll.gz")) == "$SPACY_CRFNER_DATA/a/train.conll.gz"
    assert record.shown(str(data)) == "$SPACY_CRFNER_DATA"
    assert record.shown(f"--vectors={tmp_path}/vectors/en") == "--vectors=$SPACY_CRFNER_DATA/../vectors/en"
    assert record.shown("../vectors") == "$SPACY_CRFNER_DATA/../vectors"
    assert record.shown(str(ROOT / "configs")) == "configs"
    (data / "x.cfg").touch()
    assert record.shown("x.cfg") == "$SPACY_CRFNER_DATA/x.cfg"
    assert record.shown("y.cfg") == "y.cfg"
    assert record.shown("/somewhere/else/x.cfg") == ".../x.cfg"
    assert record.shown({"a": [f"{data}/x", 1, None, "and/or"]}) == {"a": ["$SPACY_CRFNER_DATA/x", 1, None, "and/or"]}
    assert record.shown(f'["{data}/x", "/y/z"]') == '["$SPACY_CRFNER_DATA/x", ".../z"]'
    assert record.shown("spacy_crfner.bernoulli.v1") == "spacy_crfner.bernoulli.v1"
    script = str(BENCHMARKS / "accuracy.py")
    assert record.shown_command([script, "--keep", str(data), "--a.b", "[1, 2]"]) == (
        "python benchmarks/accuracy.py --keep $SPACY_CRFNER_DATA --a.b '[1, 2]'"
    )
    monkeypatch.setenv("SPACY_CRFNER_DATA", "/corpora")
    assert record.shown("/home/user/x.cfg") == ".../x.cfg"


def test_published_results_have_all_fields_and_commands_that_run() -> None:
    for path in record.RESULTS.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf8"))
        assert set(record.COMMON_FIELDS) <= set(result), path
        assert result["name"] == path.stem, path
        for command in record.commands_of(result):
            check_command(command)
        if result["benchmark"] == "accuracy":
            assert [run["seed"] for run in result["per_seed"]] == result["seeds"], path
            assert result["summary"] == summarize(result["per_seed"]), path


def check_command(command: str) -> None:
    """It is one of this project, with arguments that the benchmark takes and no path of a machine."""
    python, script, *arguments = shlex.split(command)
    assert python == "python" and not any(word.startswith("/") for word in arguments), command
    import_module(Path(script).stem).parse_args(arguments)


# Results that grow


class Grown:
    """The benchmark of example_benchmark.py on the demo corpus."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture):
        self.capsys = capsys
        news = ROOT / "assets" / "news"
        self.command = ["tests/example_benchmark.py", "--train", str(news / "train.conll"), "--limit-train", "20"]
        self.command += ["--dev", str(news / "dev.conll"), "--to", str(folder)]
        self.path = folder / "r-drop-news-20.json"

    def run(self, *options: str) -> List[str]:
        """The runs that were measured."""
        example_benchmark.main([*self.command, *options])
        return re.findall(r"^(.*): dev [\d.]+$", self.capsys.readouterr().out, re.MULTILINE)

    def refused(self, *options: str) -> str:
        with pytest.raises(SystemExit) as stop:
            self.run(*options)
        assert stop.value.code == 1
        return self.capsys.readouterr().err

    def result(self) -> Dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf8"))


@pytest.fixture
def example(tmp_path: Path, capsys: pytest.CaptureFixture) -> Grown:
    return Grown(tmp_path / "results", capsys)


def test_a_benchmark_is_short_and_its_result_grows(example: Grown, tmp_path: Path) -> None:
    assert len((ROOT / "tests" / "example_benchmark.py").read_text(encoding="utf8").splitlines()) < 60
    assert example.run("--only", "no R-Drop", "--keep", str(tmp_path / "kept")) == ["no R-Drop, seed 0"]
    assert spacy.load(tmp_path / "kept" / example.path.stem / "no R-Drop-0").pipe_names == ["bcrf_ner"]
    first = example.result()
    assert first["command"] == (
        "python tests/example_benchmark.py --train assets/news/train.conll --limit-train 20 --dev "
        "assets/news/dev.conll --to .../results --only 'no R-Drop' --keep .../kept"
    )
    assert example.run("--seeds", "0", "1") == ["default, seed 0", "default, seed 1", "no R-Drop, seed 1"]
    result = example.result()
    assert list(result["variants"]) == ["default", "no R-Drop"]
    for found in result["variants"].values():
        assert list(found["dev"]) == list(found["training_seconds"]) == ["0", "1"]
    assert result["variants"]["no R-Drop"]["dev"]["0"] == first["variants"]["no R-Drop"]["dev"]["0"]
    # Those that were run, and none that nobody has run.
    assert "command" not in result and result["commands"][0] == first["command"]
    assert [command.partition("results ")[2] for command in result["commands"][1:]] == ["--seeds 0 1"]
    before = example.path.read_bytes()
    assert example.run("--seeds", "1", "0") == [] and example.path.read_bytes() == before


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs find the same, without training."""
    found = {"dev": {"f": 0.5}, "training_seconds": 1.0}
    monkeypatch.setattr(training, "train_and_score", lambda *arguments, **options: found)


def test_what_cannot_stand_beside_a_result_is_refused(example: Grown, untrained: None) -> None:
    example.run("--only", "default")
    before = example.path.read_bytes()
    assert "There is no variant nothing: choose from default; no R-Drop." in example.refused("--only", "nothing")
    assert "is of another steps" in example.refused("--steps", "2", "--seeds", "1")
    assert "is of another fingerprint" in example.refused("--dev", str(ROOT / "assets" / "news" / "train.conll"))
    assert "cannot be that of a file" in example.refused("--name", "a/b")
    assert example.path.read_bytes() == before
    example.path.write_text("{", encoding="utf8")
    assert "the file is damaged: delete it" in example.refused()


def test_code_that_does_something_else_ends_what_a_result_can_take(
    example: Grown, untrained: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "spacy_crfner"
    shutil.copytree(fingerprints.PACKAGE, package)
    monkeypatch.setattr(fingerprints, "PACKAGE", package)
    module = package / "crf" / "losses.py"
    assert example.run("--only", "default") == ["default, seed 0"]
    text = module.read_text(encoding="utf8")
    assert '"""' in text
    module.write_text(text.replace('"""', '"""More words. ', 1) + "\n\n# A comment.\n", encoding="utf8")
    assert example.run("--only", "default", "--seeds", "1") == ["default, seed 1"]
    # Nor does code that the variant has no use for.
    with (package / "routing" / "model.py").open("a", encoding="utf8") as other:
        other.write("\n\nMORE = 1\n")
    assert example.run("--only", "default", "--seeds", "2") == ["default, seed 2"]
    module.write_text(f"{text}\n\nMORE = 1\n", encoding="utf8")
    measured = example.result()["variants"]["default"]
    assert "'default' was measured with another config, code" in example.refused("--only", "default", "--seeds", "3")
    # What was not measured yet is measured with the code of today, beside what stays.
    assert example.run("--only", "no R-Drop") == ["no R-Drop, seed 0"]
    variants = example.result()["variants"]
    assert variants["default"] == measured and variants["no R-Drop"]["fingerprint"] != measured["fingerprint"]


def test_several_runs_fill_one_file(example: Grown, untrained: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with variants that a run does not know; but no seed of a variant that was measured with something else."""
    example.run("--only", "default")
    train = training.train_and_score
    added = {"fingerprint": "1", "dev": {"0": {"f": 0.5}}}

    def train_while_another_run_adds(variant: str) -> Any:
        def both(*arguments: Any, **options: Any) -> Any:
            result = example.result()
            result["variants"][variant] = added
            example.path.write_text(json.dumps(result), encoding="utf8")
            return train(*arguments, **options)

        return both

    monkeypatch.setattr(training, "train_and_score", train_while_another_run_adds("of the future"))
    example.run("--only", "default", "--seeds", "1")
    kept = example.result()["variants"]
    assert kept["of the future"] == added and set(kept["default"]["dev"]) == {"0", "1"}
    monkeypatch.setattr(training, "train_and_score", train_while_another_run_adds("no R-Drop"))
    assert "'no R-Drop' was measured with another" in example.refused("--only", "no R-Drop")
    assert example.result()["variants"]["no R-Drop"] == added


def test_older_results_are_read() -> None:
    """Their fingerprint had another name."""
    found = {"made_of": "a", "dev": {"0": {"f": 0.5}, "1": {"f": 0.6}}, "test": {"0": {"f": 0.7}}}
    rows = results.read_variants({"variants": {"some": found}})
    assert rows == {
        "some": {"fingerprint": "a", "runs": {"0": {"dev": {"f": 0.5}, "test": {"f": 0.7}}, "1": {"dev": {"f": 0.6}}}}
    }
    assert results.write_variants(rows)["variants"]["some"] == {
        "fingerprint": "a",
        "dev": found["dev"],
        "test": found["test"],
    }


# Fingerprints


def test_contents_of_used_models_change_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    (tmp_path / "vectors" / "strings.json").write_text("[]")

    def fingerprint(**settings: Any) -> str:
        overrides = {"paths.vectors": str(tmp_path / "vectors"), **settings}
        return training.Variant(training.read_config(ROOT / "configs" / "bcrf_ner.cfg", overrides)).fingerprint()

    seen = [fingerprint(), fingerprint(**{"nlp.lang": "de"}), fingerprint(**{"training.dropout": 0.1})]
    assert fingerprint(**{"paths.train": "other"}) == seen[0]
    # Contents count, the name of the folder does not.
    shutil.copytree(tmp_path / "vectors", tmp_path / "copy")
    assert fingerprint(**{"paths.vectors": str(tmp_path / "copy")}) == seen[0]
    (tmp_path / "vectors" / "strings.json").write_text("[1]")
    assert len({*seen, fingerprint()}) == 4
    before = fingerprint()
    (tmp_path / "vectors" / LOG).write_text("left by training")
    assert fingerprint() == before


@pytest.mark.parametrize("name, elsewhere", [("bcrf_ner", "routing"), ("weak_class", "back_attention")])
def test_the_code_of_a_config_is_what_runs_with_it(name: str, elsewhere: str) -> None:
    """No function of another module is called; what it does not need may change."""
    config = training.read_config(ROOT / "configs" / f"{name}.cfg", {})
    if "routing" in config:
        config["routing"]["weak_labels"] = ["ORG"]
    needed = {str(path) for path in fingerprints.needed_modules(config.to_str(interpolate=False))}
    called = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code.co_filename.startswith(str(fingerprints.PACKAGE)):
            called.add(frame.f_code.co_filename)

    def use() -> None:
        nlp = spacy.util.load_model_from_config(config.interpolate(), auto_fill=True)
        examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN[:4]]
        nlp.initialize(lambda: examples)
        nlp.update(examples, drop=0.1, annotates=[pipe for pipe in nlp.pipe_names if pipe == "weak_class_router"])
        nlp.evaluate(examples)

    use()  # spaCy imports what other components need too
    sys.setprofile(note)
    try:
        use()
    finally:
        sys.setprofile(None)
    assert called and called <= needed
    assert not any(f"{os.sep}{elsewhere}{os.sep}" in path for path in needed)


def test_corpus_and_limit_change_the_fingerprint(tmp_path: Path) -> None:
    tiny = write_corpus(tmp_path / "tiny", {"train": 1, "dev": 2})

    def fingerprint(**options: Any) -> str:
        files = {f"{split}_file": tiny / f"{split}.conll.gz" for split in ("train", "dev")}
        with open_corpus(argparse.Namespace(**{**files, **options})) as corpus:
            return corpus.fingerprint()

    assert fingerprint(lang="de") == fingerprint()
    assert len({fingerprint(), fingerprint(limit_train="2"), fingerprint(dev_file=tiny / "train.conll.gz")}) == 3


# Processes and turns


def test_functions_in_a_process_of_their_own(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    module = tmp_path / "threads.py"
    with pytest.raises(BenchmarkError, match=r"speed_spacy\.predict failed, for the reason above \(exit code 1\)"):
        workers.call("speed_spacy.predict", {"model": str(module)}, tmp_path)
    assert "Can't find model" in capfd.readouterr().err


def test_systems_are_measured_in_turns() -> None:
    order: List[str] = []

    def measure(name: str, speed: float) -> Any:
        return lambda: order.append(name) or {"words_per_second": speed * len(order)}

    found = workers.in_turns({"a": measure("a", 100), "b": measure("b", 50)}, 3)
    assert order == ["a", "b"] * 3
    assert workers.speeds(found) == {
        "a": {"words_per_second": 300, "slowest": 100, "fastest": 500, "ratio": 1.0},
        "b": {"words_per_second": 200, "slowest": 100, "fastest": 300, "ratio": 0.667},
    }
    assert workers.medians([{"x": 1.0, "y": 4}, {"x": 3.0, "y": 2}]) == {"x": 2.0, "y": 3.0}


@pytest.mark.parametrize("value", ["0", "-1", "x"])
def test_numbers_are_checked(value: str, capsys: pytest.CaptureFixture) -> None:
    parser = options.make_parser("Doc.", "threads", "steps", required=["corpus"])
    assert parser.parse_args(["--corpus", "a"]).threads == 1
    with pytest.raises(SystemExit):
        parser.parse_args(["--corpus", "a", "--steps", value])
    assert "--steps" in capsys.readouterr().err


def test_workers_need_neither_spacy_nor_this_package() -> None:
    """Other systems are measured in environments of their own."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['spacy', 'thinc', 'torch', 'spacy_crfner']))"
    code = f"{blocked}; sys.path.insert(0, {str(BENCHMARKS)!r}); import experiments.workers"
    subprocess.run([sys.executable, "-c", code], check=True)
