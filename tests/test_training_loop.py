"""The loop of every training: it may be stopped at any time, and says what is wrong."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spacy_crfner import training_loop
from spacy_crfner.checkpoints import read_checkpoint, write_checkpoint
from spacy_crfner.trainee import LoopSettings, Trainee
from spacy_crfner.training_loop import CHECKPOINT, LOG, TrainingLoop

SETTINGS = LoopSettings(learn_rate=0.02, warmup=4, max_updates=30, eval_every=5, checkpoint_minutes=1e6)


class Line(Trainee):
    """Learns a line from points, with dropout, noise of its own, and weights that two layers share."""

    product = ("line.json",)

    def __init__(self, slope=2.0, dev=None, fail_at=None):
        torch.manual_seed(0)
        first, second = nn.Linear(4, 4), nn.Linear(4, 4)
        second.weight = first.weight
        self.module = nn.Sequential(nn.Linear(1, 4), first, second, nn.Dropout(0.2), nn.Linear(4, 1))
        self.slope = slope
        self.dev = iter(dev) if dev else None
        self.fail_at = fail_at
        self.batch_count = 0

    def contents(self):
        return [self.slope]

    def batches(self, epoch, random_state):
        for _ in range(7):
            points = torch.tensor([[random_state.uniform(-1, 1)] for _ in range(8)])
            yield points, self.slope * points

    def loss(self, batch):
        assert self.module.training
        self.batch_count += 1
        if self.batch_count == self.fail_at:
            raise KeyboardInterrupt
        return nn.functional.mse_loss(self.module(batch[0]), batch[1])

    def evaluate(self):
        assert not self.module.training and not torch.is_grad_enabled()
        points = torch.linspace(-1, 1, 20)[:, None]
        loss = nn.functional.mse_loss(self.module(points), self.slope * points).item()
        return {"dev_loss": next(self.dev) if self.dev else loss, "dev_points": len(points)}

    def files(self):
        weights = [weight.tolist() for weight in self.module.parameters()]
        return {"line.json": json.dumps(weights).encode()}


class Momentum(Line):
    """With an optimizer that keeps other things, and groups of their own rates."""

    def make_optimizer(self, learn_rate):
        front, *rest = self.module.parameters()
        groups = [{"params": [front], "lr": learn_rate / 2}, {"params": rest, "momentum": 0.5}]
        return torch.optim.SGD(groups, lr=learn_rate)

    def schedule(self, update, settings):
        return 1.0 / update


def run(folder, trainee=None, settings=SETTINGS, **others):
    loop = TrainingLoop(folder, trainee or Line(), settings, **others)
    return loop, loop.run()


def read_log(folder):
    return [json.loads(line) for line in (folder / LOG).read_text(encoding="utf8").splitlines()]


def without_minutes(evaluations):
    return [{**evaluation, "minutes": 0} for evaluation in evaluations]


def test_what_is_learned_is_kept(tmp_path):
    reported = []
    loop, progress = run(
        tmp_path / "new" / "folder", settings=replace(SETTINGS, max_updates=300), report=reported.append
    )
    log = read_log(loop.folder)
    assert log == reported and [line["update"] for line in log] == list(range(5, 301, 5))[: len(log)]
    assert list(log[0]) == ["update", "epoch", "minutes", "train_loss", "dev_loss", "dev_points", "best"]
    assert log[-1]["dev_loss"] < log[0]["dev_loss"] / 5
    assert progress.best_update == max(line["update"] for line in log if line["best"])
    assert sorted(os.listdir(loop.folder)) == [CHECKPOINT, "line.json", LOG]


@pytest.mark.parametrize("make", [Line, Momentum])
def test_a_killed_training_ends_as_one_without_a_break(tmp_path, make):
    """Wherever it is killed, with checkpoints at evaluations alone or all the time."""
    whole, progress = run(tmp_path / "whole", make())
    for fail_at in (1, 4, 6, 8, 16):
        for minutes in (1e6, 0.0):
            folder = tmp_path / f"{fail_at} {minutes}"
            settings = replace(SETTINGS, checkpoint_minutes=minutes)
            with pytest.raises(KeyboardInterrupt):
                run(folder, make(fail_at=fail_at), settings)
            again, ended = run(folder, make(), settings)
            for first, second in zip(whole.trainee.module.parameters(), again.trainee.module.parameters(), strict=True):
                assert torch.equal(first, second)
            assert replace(ended, seconds=0) == replace(progress, seconds=0)
            assert without_minutes(read_log(folder)) == without_minutes(read_log(whole.folder))
            assert (folder / "line.json").read_bytes() == (whole.folder / "line.json").read_bytes()


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from dataclasses import replace
from test_training_loop import SETTINGS, run
run(Path(sys.argv[1]), settings=replace(SETTINGS, max_updates=10**9, patience=10**9, checkpoint_minutes=0.0))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
@pytest.mark.parametrize("slope", [2.0, 3.0])
def test_two_trainings_do_not_share_a_folder(tmp_path, slope):
    run(tmp_path / "alone")

    class Rival(Line):
        def loss(self, batch):
            if self.batch_count in (0, 20):
                with torch.random.fork_rng(), pytest.raises(ValueError, match="another process trains"):
                    run(tmp_path / "shared", Line(slope), overwrite=True)
            return super().loss(batch)

    run(tmp_path / "shared", Rival())
    assert (tmp_path / "shared" / "line.json").read_bytes() == (tmp_path / "alone" / "line.json").read_bytes()
    run(tmp_path / "shared", Line(slope), overwrite=True)


def test_a_process_that_is_killed_leaves_what_goes_on(tmp_path):
    here = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "killed"), here])
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "killed" / "line.json").exists() and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # As long as the killed one, which has ended beyond 5 updates, or longer.
    reached = json.loads(read_checkpoint(tmp_path / "killed" / CHECKPOINT).header["progress"])["update"]
    assert reached >= 4
    settings = replace(SETTINGS, max_updates=reached + 3, patience=10**9)
    again, _ = run(tmp_path / "killed", settings=settings)
    whole, _ = run(tmp_path / "whole", settings=settings)
    first, second = (load_file(loop.folder / CHECKPOINT) for loop in (again, whole))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_ends_when_dev_gets_no_better(tmp_path):
    trainee = Line(dev=[3.0, 2.0, 2.5, 2.0, 1.9, 5.0, 5.0, 5.0, 0.0])
    settings = replace(SETTINGS, max_updates=1000, patience=3)
    loop, progress = run(tmp_path, trainee, settings)
    assert (progress.update, progress.best_update, progress.best) == (40, 25, 1.9)
    assert [line["update"] for line in read_log(tmp_path) if line["best"]] == [5, 10, 25]
    best = json.loads((tmp_path / "line.json").read_bytes())
    assert best != json.loads(loop.trainee.files()["line.json"])
    # It is over, unless somebody has more patience.
    assert run(tmp_path, Line(), settings)[1].update == 40
    assert run(tmp_path, Line(dev=[6.0, 6.0]), replace(settings, patience=5))[1].update == 50


def test_an_evaluation_stands_in_the_log_once(tmp_path):
    """Though it was made again after a kill between log and checkpoint; whoever listens is told again."""

    class Killed(TrainingLoop):
        def _save_checkpoint(self):
            if self.progress.update == 10:
                raise KeyboardInterrupt
            super()._save_checkpoint()

    with pytest.raises(KeyboardInterrupt):
        Killed(tmp_path, Line(), SETTINGS).run()
    assert [line["update"] for line in read_log(tmp_path)] == [5, 10]
    reported = []
    run(tmp_path, report=reported.append)
    assert [line["update"] for line in read_log(tmp_path)] == [5, 10, 15, 20, 25, 30]
    assert [line["update"] for line in reported] == [10, 15, 20, 25, 30]


def test_more_updates_and_patience_do_not_make_another_training(tmp_path):
    run(tmp_path, settings=replace(SETTINGS, max_updates=7))
    assert [line["update"] for line in read_log(tmp_path)] == [5, 7]
    again, _ = run(tmp_path, settings=replace(SETTINGS, patience=9, checkpoint_minutes=2.0))
    assert [line["update"] for line in read_log(tmp_path)] == [5, 7, 10, 15, 20, 25, 30]
    whole, _ = run(tmp_path / "whole")
    for first, second in zip(whole.trainee.module.parameters(), again.trainee.module.parameters(), strict=True):
        assert torch.equal(first, second)


@dataclass(frozen=True)
class OwnSettings(LoopSettings):
    width: int = 4


@pytest.mark.parametrize(
    ("settings", "slope"),
    [
        (replace(SETTINGS, seed=1), 2.0),
        (replace(SETTINGS, learn_rate=0.03), 2.0),
        (SETTINGS, 3.0),
        (OwnSettings(**vars(SETTINGS)), 2.0),
    ],
)
def test_another_training_is_refused_or_overwritten(tmp_path, settings, slope):
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"holds a training with other settings or other text: choose .*--overwrite"):
        run(tmp_path, Line(slope), settings)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    brief = replace(settings, max_updates=2)
    loop = TrainingLoop(tmp_path, Line(slope), brief, overwrite=True)
    assert loop.resumes and loop.run().update == 2
    assert [line["update"] for line in read_log(tmp_path)] == [2]
    # With the same settings, it goes on all the same.
    assert run(tmp_path, Line(slope), replace(settings, max_updates=4), overwrite=True)[1].update == 4
    assert [line["update"] for line in read_log(tmp_path)] == [2, 4]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("gone", [[CHECKPOINT], [CHECKPOINT, LOG], [CHECKPOINT, "line.json"]])
def test_what_a_training_has_left_is_refused_or_overwritten(tmp_path, gone):
    run(tmp_path)
    for name in gone:
        (tmp_path / name).unlink()
    (tmp_path / "notes.txt").write_text("of somebody")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"but no checkpoint.safetensors to go on from: choose .*--overwrite"):
        run(tmp_path)
    assert contents(tmp_path) == before
    run(tmp_path, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == [CHECKPOINT, "line.json", LOG, "notes.txt"]


def test_the_old_product_stays_until_training_works_and_never_beside_a_new_checkpoint(tmp_path):
    run(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="lower the learning rate"):
        run(tmp_path, Line(math.nan), overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(3.0, fail_at=1), overwrite=True)
    assert contents(tmp_path) == before
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(3.0, fail_at=2), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == [CHECKPOINT, "replaced"]
    assert contents(tmp_path / "replaced") == before
    # A second one that comes to nothing leaves what the user had; one that works removes it.
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(4.0, fail_at=2), overwrite=True)
    assert contents(tmp_path / "replaced") == before
    run(tmp_path, Line(5.0), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == [CHECKPOINT, "line.json", LOG]


def test_the_first_update_takes_the_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(fail_at=2))
    assert json.loads(read_checkpoint(tmp_path / CHECKPOINT).header["progress"])["update"] == 0
    with pytest.raises(ValueError, match="holds a training with other settings"):
        run(tmp_path, Line(3.0))


def test_a_training_whose_product_is_gone_does_not_go_on(tmp_path):
    whole, _ = run(tmp_path / "whole")
    run(tmp_path / "other")
    (tmp_path / "other" / "line.json").unlink()
    with pytest.raises(ValueError, match=r"what it wrote is gone \(line.json\): choose .*--overwrite"):
        run(tmp_path / "other")
    run(tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "line.json").read_bytes() == (whole.folder / "line.json").read_bytes()


def test_a_product_that_is_damaged_does_not_go_on(tmp_path):
    class Checked(Line):
        def check_files(self, files):
            json.loads(files["line.json"])

    run(tmp_path, Checked())
    (tmp_path / "line.json").write_text("[[")
    with pytest.raises(ValueError, match=r"wrote is damaged .*: choose .*--overwrite"):
        run(tmp_path, Checked())


@pytest.mark.parametrize("torn", ['{"update": 1', "", "[]", "\xff"])
def test_a_torn_line_of_the_log_does_not_stop_it(tmp_path, torn):
    run(tmp_path / "torn", settings=replace(SETTINGS, max_updates=10))
    path = tmp_path / "torn" / LOG
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(first + (torn or "{").encode("latin-1"))
    run(tmp_path / "torn")
    assert [line["update"] for line in read_log(tmp_path / "torn")] == [5, 15, 20, 25, 30]


def test_a_training_that_diverges_says_so(tmp_path):
    with pytest.warns(UserWarning, match=r"^The loss of a training has grown from .* has diverged: lower the learning"):
        run(tmp_path / "diverged", settings=replace(SETTINGS, learn_rate=30.0, warmup=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path / "sound")


@pytest.mark.parametrize("slope", [math.nan, math.inf])
def test_losses_that_are_not_finite_end_it(tmp_path, slope):
    with pytest.raises(ValueError, match=r"^The loss of update 1 is (nan|inf): lower the learning rate\.$"):
        run(tmp_path, Line(slope))
    assert not os.listdir(tmp_path)
    with pytest.raises(ValueError, match="loss on dev of update 10 is nan: lower the learning rate"):
        run(tmp_path, Line(dev=[1.0, math.nan]))
    assert json.loads(read_checkpoint(tmp_path / CHECKPOINT).header["progress"])["update"] == 5


def test_data_without_batches_say_so(tmp_path):
    trainee = Line()
    trainee.batches = lambda epoch, random_state: iter(())
    with pytest.raises(ValueError, match="nothing to learn from"):
        run(tmp_path, trainee)


def test_a_training_that_is_past_its_new_end_has_something_to_show(tmp_path):
    long = replace(SETTINGS, max_updates=40, eval_every=30, checkpoint_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Line(fail_at=10), long)
    _, progress = run(tmp_path, settings=replace(long, max_updates=5))
    assert progress.update == progress.best_update == 9 and math.isfinite(progress.best)
    assert [line["update"] for line in read_log(tmp_path)] == [9]
    assert (tmp_path / "line.json").exists()
    # And goes on from there.
    assert run(tmp_path, settings=replace(long, max_updates=12))[1].update == 12


def test_how_far_it_is_is_said_from_time_to_time(tmp_path, monkeypatch):
    said = []
    run(tmp_path / "a", settings=replace(SETTINGS, max_updates=3), tell=said.append)
    assert not said
    monkeypatch.setattr(training_loop, "TELL_SECONDS", -1.0)
    run(tmp_path / "b", settings=replace(SETTINGS, max_updates=3), tell=said.append)
    assert len(said) == 3 and re.fullmatch(r"2 of at most 3 updates, loss [\d.]+, at most 1 min left", said[1])


def test_a_damaged_checkpoint_says_so(tmp_path):
    trained, _ = run(tmp_path)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"the checkpoint is damaged .*: choose .*--overwrite"):
        run(tmp_path)
    path.write_bytes(whole)
    loop = TrainingLoop(tmp_path, Line(), SETTINGS)
    small = nn.Linear(2, 2)
    write_checkpoint(path, loop.fingerprint, {}, small, torch.optim.Adam(small.parameters()))
    with pytest.raises(ValueError, match=r"the checkpoint is damaged .*: choose .*--overwrite") as caught:
        loop.run()
    assert "\n" not in str(caught.value)
    # As a training that was never there, though a part of the weights may have been read.
    with torch.no_grad():
        loop.trainee.module[0].weight.fill_(9.0)
    write_checkpoint(path, loop.fingerprint, {}, loop.trainee.module[:1], torch.optim.Adam(small.parameters()))
    assert torch.equal(run(tmp_path, overwrite=True)[0].trainee.module[0].weight, trained.trainee.module[0].weight)


def test_a_checkpoint_of_an_earlier_version_says_so(tmp_path):
    small = nn.Linear(2, 2)
    write_checkpoint(tmp_path / CHECKPOINT, "", {}, small, torch.optim.Adam(small.parameters()))
    with pytest.raises(ValueError, match=r"holds a training of an earlier version: choose .*--overwrite"):
        run(tmp_path)
    assert run(tmp_path, overwrite=True)[1].update == 30


def test_the_learning_rate_rises_and_falls(tmp_path):
    rates = []

    class Noted(Line):
        def loss(self, batch):
            rates.append([group["lr"] for group in loop.optimizer.param_groups])
            return super().loss(batch)

    loop = TrainingLoop(tmp_path, Noted(), replace(SETTINGS, max_updates=16))
    loop.run()
    shares = [rate / 0.02 for (rate,) in rates]
    assert shares[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0]) and shares[15] == pytest.approx(0.5)
    assert max(shares) == shares[3]


def test_groups_keep_their_share_of_the_rate(tmp_path):
    loop, _ = run(tmp_path, Momentum(), replace(SETTINGS, max_updates=4))
    assert [group["lr"] for group in loop.optimizer.param_groups] == pytest.approx([0.0025, 0.005])


def test_gradients_are_clipped(tmp_path):
    """The step of plain gradient descent is no longer than clip and rate allow."""

    class Plain(Line):
        def make_optimizer(self, learn_rate):
            return torch.optim.SGD(self.module.parameters(), lr=learn_rate)

    steps = {}
    for clip in (0.0, 0.1):
        before = torch.cat([weight.detach().flatten() for weight in Line().module.parameters()])
        settings = replace(SETTINGS, max_updates=1, warmup=1, clip=clip)
        loop, _ = run(tmp_path / str(clip), Plain(slope=100.0), settings)
        after = torch.cat([weight.detach().flatten() for weight in loop.trainee.module.parameters()])
        steps[clip] = (after - before).norm().item()
    assert steps[0.1] == pytest.approx(0.1 * 0.02, rel=1e-3) and steps[0.0] > 10 * steps[0.1]


@pytest.mark.parametrize(
    "settings",
    [
        {"max_updates": 0},
        {"warmup": 0},
        {"eval_every": 0},
        {"patience": 0},
        {"learn_rate": 0.0},
        {"learn_rate": math.nan},
        {"clip": -1.0},
        {"checkpoint_minutes": -1.0},
    ],
)
def test_numbers_that_training_cannot_work_with(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"^{name} of a training must be "):
        replace(SETTINGS, **settings)
