"""Files that are whole at any time, and fingerprints."""

import os

import pytest

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
