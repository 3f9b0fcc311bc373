"""Writers that are killed at any time: what is there afterwards loads, or is refused in one sentence; nothing is lost.

A command line runs more: `python tests/test_kills.py 100`.
"""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spacy
from samples import COLUMNS, ROOT, TRAIN
from spacy.tokens import DocBin
from spacy.training import Example
from test_damaged_models import found

from spacy_crfner.back_attention.batches import Batching
from spacy_crfner.back_attention.conv_translator import TRANSLATOR_FILES, ConvTranslator
from spacy_crfner.back_attention.translator_training import TrainingSettings, TranslatorTraining
from spacy_crfner.corpora.convert import convert_file
from spacy_crfner.corpora.vectors import VectorSettings, train_vectors
from spacy_crfner.feature_cache import FeatureCache
from spacy_crfner.files import LEFT, read_files
from spacy_crfner.training_loop import CHECKPOINT, LOG

sys.path.insert(0, str(ROOT / "tests" / "back_attention"))
from test_translators import make_pairs

GOLDEN = ROOT / "tests" / "golden" / "0.1.0"
# Its threads are not there in a process that begins as a copy.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that begin as copies of this one")

LISTENING = {
    "model": {
        "@architectures": "spacy_crfner.CRFTagger.v1",
        "nO": None,
        "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "*"},
    },
    "r_drop": 0.0,
}


def changed(nlp):
    """Change the weights of all components, as training does between two savings."""
    for _, pipe in nlp.pipeline:
        for node in pipe.model.walk() if hasattr(pipe, "model") else ():
            for name in node.param_names:
                if node.has_param(name):
                    node.set_param(name, node.get_param(name) * 1.3 + 0.01)
            for shim in node.shims:
                for weights in shim._model.parameters():
                    weights.data *= 1.3
                shim.version += 1
    return nlp


def listening():
    nlp = spacy.blank("xx")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("bcrf_ner", config=LISTENING)
    examples = [Example.from_dict(nlp.make_doc(text), {"entities": ents}) for text, ents in TRAIN]
    nlp.initialize(lambda: examples)
    nlp.get_pipe("bcrf_ner").cfg["overwrite_ents"] = True
    return nlp


class Pipelines:
    """Two pipelines that are saved over each other by turns."""

    def __init__(self, folder, make):
        self.folder = folder
        self.pair = [make(), changed(make())]
        self.found = [found(nlp) for nlp in self.pair]
        assert self.found[0] != self.found[1]
        self.pair[0].to_disk(folder)

    def write(self):
        while True:
            for nlp in self.pair:
                nlp.to_disk(self.folder)

    def check(self):
        try:
            nlp = spacy.load(self.folder)
        except Exception as error:
            text = str(error)
            if text.startswith("The saved component"):
                assert "\n" not in text and "together" in text, text
                return "refused"
            # Half of a file that spaCy writes itself, in place.
            return "refused by spaCy"
        assert found(nlp) in self.found
        return "loads"


class Conversions:
    """Two corpora that are written over each other by turns."""

    def __init__(self, folder):
        self.target = folder / "train.spacy"
        folder.mkdir()
        self.sources = [folder / "one.conll", folder / "two.conll"]
        for source, count in zip(self.sources, (200, 300), strict=True):
            source.write_text("\n".join([COLUMNS] * count))
        self.counts = set()
        for source in self.sources:
            convert_file(source, self.target)
            self.counts.add(len(DocBin().from_disk(self.target)))

    def write(self):
        while True:
            for source in self.sources:
                convert_file(source, self.target)

    def check(self):
        assert len(DocBin().from_disk(self.target)) in self.counts
        return "loads"


class Translators:
    """A training with checkpoints all the time, which goes on where it was killed."""

    def __init__(self, folder):
        self.folder = folder
        self.pairs = make_pairs(60)
        batching = Batching(size=200, longest=40)
        self.settings = TrainingSettings(
            vocab=280, size=8, width=8, encoder_layers=1, decoder_layers=1, bleu_sentences=2, batching=batching,
            max_updates=10**6, eval_every=3, patience=10**6, checkpoint_minutes=0.0, warmup=5, seed=0,
        )  # fmt: skip
        self.reached = 0
        # What torch imports with the first optimizer takes seconds, which the writers are to have behind them.
        self.training(replace(self.settings, max_updates=1), folder.with_name("warm")).run()

    def training(self, settings, folder=None):
        return TranslatorTraining(folder or self.folder, self.pairs, self.pairs[:5], "es", settings, lambda line: None)

    def write(self):
        self.training(self.settings).run()

    def check(self):
        had = all((self.folder / name).exists() for name in TRANSLATOR_FILES)
        if had:
            ConvTranslator.from_files(read_files(self.folder))
        elif not (self.folder / CHECKPOINT).exists():
            return "nothing yet"
        training = self.training(self.settings)
        assert training.resumes
        training._resume()
        assert training.progress.update >= self.reached
        self.reached = training.progress.update
        assert had or not training.progress.best_update
        for line in (self.folder / LOG).read_text().splitlines() if (self.folder / LOG).exists() else ():
            json.loads(line)
        return "goes on"


class Features:
    """Features of sentences, into a file that all writers share."""

    def __init__(self, folder):
        self.folder = folder
        self.kept = set()

    @staticmethod
    def array(number):
        return np.full((20, 50), number % 100, dtype=np.float16)

    def write(self):
        cache = FeatureCache(self.folder, 0.0)
        for number in range(10**6):
            cache.put({number.to_bytes(4, "big"): self.array(number)})

    def check(self):
        cache = FeatureCache(self.folder, 0.0)
        keys = [number.to_bytes(4, "big") for number in range(2000)]
        features = cache.get(keys)
        assert self.kept <= features.keys()
        self.kept |= features.keys()
        for key, array in features.items():
            np.testing.assert_array_equal(array, self.array(int.from_bytes(key, "big")))
        return "loads"


class Vectors:
    """Two sets of vectors that are written over each other by turns."""

    def __init__(self, folder):
        folder.mkdir()
        self.text, self.output = folder / "text.txt", folder / "vectors"
        self.text.write_text("\n".join(["Anna Kell met Bob in Paris .", "Bob left ."] * 30))
        self.settings = [VectorSettings(width=width, epochs=1, rows=100) for width in (4, 6)]
        train_vectors(self.output, "en", [self.text], [], self.settings[0], lambda line: None)

    def write(self):
        while True:
            for settings in self.settings:
                train_vectors(self.output, "en", [self.text], [], settings, lambda line: None)

    def check(self):
        nlp = spacy.load(self.output)
        assert nlp.vocab.vectors_length in (4, 6)
        assert nlp.vocab.vectors.data.shape == (100, nlp.vocab.vectors_length)
        return "loads"


WRITERS = {
    "routed": lambda folder: Pipelines(folder, lambda: spacy.load(GOLDEN / "routed")),
    "back_attention": lambda folder: Pipelines(folder, lambda: spacy.load(GOLDEN / "back_attention")),
    "listening": lambda folder: Pipelines(folder, listening),
    "convert": Conversions,
    "translator": Translators,
    "features": Features,
    "vectors": Vectors,
}


def kill(write, seconds):
    """Let a process of its own write, and kill it after so many seconds."""
    process = os.fork()
    if not process:
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            write()
        finally:
            os._exit(3)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), f"the writer has ended by itself: {status}"


def count_kills(name, folder, kills, longest=1.0, seed=0):
    """Kill a writer so many times, and look at what is there after each. Returns how often it was what.

    longest: seconds that a writer has.
    """
    state = random.Random(seed)
    writer = WRITERS[name](folder / name)
    outcomes = Counter()
    for _ in range(kills):
        kill(writer.write, state.uniform(0.05, longest))
        outcomes[writer.check()] += 1
    return outcomes


def left_in(folder):
    return [path.name for path in folder.rglob(".*") if LEFT.fullmatch(path.name)]


@pytest.mark.parametrize("name", ["listening", "routed"])
def test_what_a_killed_writer_leaves_is_whole(name, tmp_path):
    assert sum(count_kills(name, tmp_path, 4, longest=0.6, seed=len(name)).values()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_what_100_killed_writers_leave_is_whole(name, tmp_path):
    """Fifteen of each kind."""
    if name == "vectors":
        pytest.importorskip("floret")
    assert sum(count_kills(name, tmp_path, 15, longest=4.0 if name == "translator" else 2.0).values()) == 15


def test_a_model_last_of_two_savings_is_refused(tmp_path):
    """Wherever between two files the kill has come; also between a tok2vec and the tagger that listens to it."""
    for name, make in (("listening", listening), ("routed", lambda: spacy.load(GOLDEN / "routed"))):
        first, second = make(), changed(make())
        (tmp_path / name).mkdir()
        first.to_disk(tmp_path / name / "first")
        second.to_disk(tmp_path / name / "second")
        order = [pipe for pipe in second.pipe_names if (tmp_path / name / "second" / pipe).is_dir()]
        for pipe in order[:-1]:
            mixed = tmp_path / name / "mixed"
            shutil.copytree(tmp_path / name / "first", mixed)
            for written in order[: order.index(pipe) + 1]:
                shutil.copytree(tmp_path / name / "second" / written, mixed / written, dirs_exist_ok=True)
            with pytest.raises(ValueError, match=r"(it was saved together with another|not saved together)"):
                spacy.load(mixed)
            shutil.rmtree(mixed)
        for pipe in order:
            for file in ("cfg", "model"):
                if not (tmp_path / name / "first" / pipe / file).exists() or pipe in ("tok2vec", "sentencizer"):
                    continue
                mixed = tmp_path / name / "mixed"
                shutil.copytree(tmp_path / name / "first", mixed)
                shutil.copy(tmp_path / name / "second" / pipe / file, mixed / pipe / file)
                same = (mixed / pipe / "cfg").read_bytes() == (tmp_path / name / "first" / pipe / "cfg").read_bytes()
                if file == "cfg" and same:
                    shutil.rmtree(mixed)
                    continue
                with pytest.raises(ValueError, match=re.escape("together with")):
                    spacy.load(mixed)
                shutil.rmtree(mixed)


if __name__ == "__main__":
    import tempfile

    each = -(-int(sys.argv[1]) // len(WRITERS))
    for chosen in sys.argv[2:] or WRITERS:
        with tempfile.TemporaryDirectory() as temporary:
            outcomes = count_kills(chosen, Path(temporary), each, longest=4.0 if chosen == "translator" else 2.0)
            print(chosen, dict(outcomes), left_in(Path(temporary)), flush=True)
