"""Files that are whole at any time, and fingerprints."""

import errno
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spacy_crfner import files
from spacy_crfner.files import fingerprint, read_files, readable, replacing, write_file, write_files, write_json


def test_nothing_changes_before_all_is_written(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "deep" / "b.txt"
    write_file(first, "old")
    with pytest.raises(RuntimeError), replacing(first, second) as (one, _):
        one.write_text("new")
        raise RuntimeError
    assert first.read_text() == "old" and not second.exists()
    with replacing(first, second) as unfinished:
        for path in unfinished:
            path.write_text("new")
        assert first.read_text() == "old"
    assert [path.read_text() for path in (first, second)] == ["new", "new"]
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "deep"]


def test_folders_are_replaced_as_a_whole(tmp_path):
    write_files(tmp_path / "model", {"old": b"1", "both": b"1"})
    with replacing(tmp_path / "model") as (new,):
        write_files(new, {"both": b"2"})
    assert read_files(tmp_path / "model") == {"both": b"2"}
    assert os.listdir(tmp_path) == ["model"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "name").mkdir()
    with pytest.raises(OSError, match="a folder has this name"):
        write_file(tmp_path / "name", b"")
    with pytest.raises(OSError, match="a folder has this name"):
        write_files(tmp_path, {"before": b"new", "name": b""})
    assert os.listdir(tmp_path) == ["name"]


def test_links_stay_and_what_they_point_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    write_file(tmp_path / "real" / "a.txt", "old")
    write_files(tmp_path / "real" / "model", {"old": b"1"})
    for name in ("a.txt", "model", "none"):
        (tmp_path / name).symlink_to(Path("real") / name)
    write_file(tmp_path / "a.txt", "new")
    write_file(tmp_path / "none", "new")
    with replacing(tmp_path / "model") as (new,):
        write_files(new, {"new": b"2"})
    assert all((tmp_path / name).is_symlink() for name in ("a.txt", "model", "none"))
    assert read_files(tmp_path / "real") == {"a.txt": b"new", "none": b"new"}
    assert read_files(tmp_path / "real" / "model") == {"new": b"2"}
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "model", "none", "real"]


@pytest.mark.parametrize("linked", [False, True])
def test_pipes_are_written_to_straight(tmp_path, linked):
    os.mkfifo(tmp_path / "pipe")
    target = tmp_path / "pipe"
    if linked:
        target = tmp_path / "link"
        target.symlink_to("pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_file(target, "through")
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    with pytest.raises(RuntimeError), replacing(target):
        raise RuntimeError
    assert stat.S_ISFIFO(os.lstat(tmp_path / "pipe").st_mode) and target.is_symlink() == linked


def test_modes_are_kept(tmp_path):
    for name, mode in (("secret", 0o600), ("script", 0o755)):
        write_file(tmp_path / name, "old")
        (tmp_path / name).chmod(mode)
        write_file(tmp_path / name, "new")
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode and (tmp_path / name).read_text() == "new"


def test_names_may_be_long_and_threads_may_write_at_once(tmp_path):
    path = tmp_path / ("x" * 250)
    with replacing(path) as (first,), replacing(path) as (second,):
        assert first != second and first.parent == second.parent == tmp_path
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and os.listdir(tmp_path) == [path.name]


def test_a_folder_that_cannot_be_renamed_leaves_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    write_files(folder, {"old": b"1"})
    rename = os.replace

    def fail(source, target):
        if Path(target) == folder and Path(source).suffix == ".tmp":
            raise OSError(errno.EIO, "Input/output error", str(source), None, str(target))
        rename(source, target)

    with pytest.raises(OSError) as caught, replacing(folder) as (new,):
        write_files(new, {"new": b"2"})
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
        monkeypatch.setattr(os, "replace", fail)
    assert str(caught.value) == f"[Errno {errno.EIO}] Input/output error: '{folder}'"
    assert read_files(folder) == {"old": b"1"} and os.listdir(tmp_path) == ["model"]


def test_errors_name_the_target(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    write_file(tmp_path / "file", "")
    for name, message in (
        ("folder", "a folder has this name"),
        ("file/deep", "Not a directory"),
        ("file/very/deep", "Not a directory"),
        ("x" * 256, "File name too long"),
        ("loop", "symbolic links"),
    ):
        with pytest.raises(OSError, match=message) as caught:
            write_file(tmp_path / name, b"")
        assert caught.value.filename == str(tmp_path / name)
    with pytest.raises(OSError, match="a file has this name") as caught, replacing(tmp_path / "file") as (new,):
        new.mkdir()
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a", tmp_path / "model") as (_, new):
        (new / "deep" / "b").write_text("")
    assert caught.value.filename == str(tmp_path / "model" / "deep" / "b")
    # Errors of other files are theirs.
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a"):
        (tmp_path / "none").read_text()
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value).endswith(f"No space left on device: '{tmp_path / 'a'}'")
    monkeypatch.chdir(tmp_path / "folder")
    for target in (".", tmp_path):
        with pytest.raises(OSError, match="current folder") as caught, replacing(target):
            pytest.fail("it should say so before")
        assert caught.value.filename == str(target)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "loop"]


def test_no_folder_holds_no_files(tmp_path):
    assert read_files(tmp_path / "none") == {}


def test_fingerprints_tell_contents_apart(tmp_path):
    write_json(tmp_path / "one", {"a": 1})
    write_json(tmp_path / "two", {"a": 1})
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two") != fingerprint(b"")
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    before = fingerprint(tmp_path)
    (tmp_path / "one").rename(tmp_path / "other")
    assert fingerprint(tmp_path) != before
    with pytest.raises(TypeError):
        fingerprint({1, 2})


def test_damage_is_one_sentence():
    with (
        pytest.raises(ValueError, match=r"^its weights cannot be read \(KeyError: 'x'\): the files are damaged"),
        readable("its weights"),
    ):
        {}["x"]


# Names that come from data


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../evil", "a/b", "/tmp/evil", "a\\b", "..\\evil", "C:evil", "C:\\evil", "a\0b", 1, None]
)
def test_names_that_lead_out_of_a_folder_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="is no name of a file: it must stand in the folder itself"):
        files.inside(tmp_path / "folder", name)
    with pytest.raises(ValueError, match="is no name of a file"):
        write_files(tmp_path / "folder", {"good": b"", name: b"evil"})
    assert not list(tmp_path.iterdir())


def test_plain_names_stand_in_the_folder(tmp_path):
    for name in ("model", ".hidden", "weights.safetensors", "a b", "né.json", "a..b"):
        assert files.inside(tmp_path, name).parent == tmp_path


JOINS = re.compile(r"(?:/ |joinpath\()(?:name|path|key|file|file_name|filename)\b(?!\.)")


def test_names_are_joined_to_folders_where_they_are_known(root):
    """Each of these lines joins a name that the package itself has chosen; others go through `inside`."""
    found = {
        f"{path.name}: {line.strip()}"
        for path in (root / "spacy_crfner").rglob("*.py")
        for line in path.read_text(encoding="utf8").splitlines()
        if JOINS.search(line)
    }
    known = {"files.py", "configured.py", "conv_translator.py", "training_loop.py", "convert.py", "model_files.py"}
    assert {line.split(":")[0] for line in found} <= known, found


# What killed writers have left


def left(path, age_days=0.0, process=None, machine=None, ending="tmp", token="0123abcd"):
    """Make a file or folder that a writer has left."""
    target = path / f".{token}.{machine or files._machine()}.{process or dead_process()}.{ending}"
    if ending == "old":
        target.mkdir()
        (target / "inner").write_text("old")
    else:
        target.write_text("left")
    for file in (*target.glob("*"), target):
        os.utime(file, (time.time() - age_days * 86400,) * 2)
    return target


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_dead_writers_have_left_is_removed_by_the_next(tmp_path):
    gone = [left(tmp_path), left(tmp_path, age_days=8, machine="ffffffff", token="11111111")]
    stay = [
        left(tmp_path, process=os.getpid(), token="22222222"),
        left(tmp_path, age_days=100, process=1, token="33333333"),
        left(tmp_path, age_days=5, machine="ffffffff", token="44444444"),
        tmp_path / ".notes.tmp",
    ]
    stay[-1].write_text("of somebody")
    write_file(tmp_path / "new", "1")
    assert not any(path.exists() for path in gone) and all(path.exists() for path in stay)


def test_a_folder_that_was_moved_aside_is_put_back_where_nothing_has_taken_its_place(tmp_path):
    token = files._short_digest("model")
    left(tmp_path, ending="old", token=token)
    with pytest.raises(RuntimeError), replacing(tmp_path / "other"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == [left_name(tmp_path)]
    with pytest.raises(RuntimeError), replacing(tmp_path / "model"):
        raise RuntimeError
    assert read_files(tmp_path / "model") == {"inner": b"old"} and len(os.listdir(tmp_path)) == 1
    left(tmp_path, ending="old", token=token)
    write_file(tmp_path / "model" / "x", "")
    with replacing(tmp_path / "model") as (new,):
        write_files(new, {"new": b"2"})
    assert read_files(tmp_path / "model") == {"new": b"2"} and os.listdir(tmp_path) == ["model"]


def left_name(folder):
    return next(path.name for path in folder.iterdir() if files.LEFT.fullmatch(path.name))


def test_a_folder_is_replaced_without_a_moment_in_which_there_is_none(tmp_path, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("only Linux can exchange two folders")
    write_files(tmp_path / "model", {"old": b"1"})
    monkeypatch.setattr(os, "replace", lambda *paths: pytest.fail("renamed"))
    with replacing(tmp_path / "model") as (new,):
        write_files_plainly(new, {"new": b"2"})
    assert read_files(tmp_path / "model") == {"new": b"2"} and os.listdir(tmp_path) == ["model"]


def write_files_plainly(folder, content):
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)


def test_fingerprints_tell_a_folder_from_what_it_holds(tmp_path):
    for number, content in enumerate(({"bytes": b"1"}, {"file": b"1"}, {"json": b"1"}, {"a": b"1", "b": b"2"})):
        write_files(tmp_path / str(number), content)
    one, two = tmp_path / "3" / "a", tmp_path / "3" / "b"
    prints = [fingerprint(tmp_path / str(number)) for number in range(4)]
    prints += [fingerprint(b"1"), fingerprint(one), fingerprint(1), fingerprint(one, two), fingerprint(b"1", b"2")]
    prints += [fingerprint([1], 2), fingerprint(1, [2]), fingerprint("1", "2"), fingerprint(["1", "2"])]
    assert len(set(prints)) == len(prints)
