"""Splits of a corpus appear together, whatever happens on the way."""

import os
from pathlib import Path

import pytest

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.convert import convert_files, left_over, split_file
from spacy_crfner.corpora.together import write_together

NAMES = ("train.spacy", "dev.spacy", "test.spacy")
STEPS = 2 * len(NAMES)
"""Renames of a conversion in the place of another: each old file moves aside, then each new one takes its name."""


def files(folder, content):
    return {folder / name: content for name in NAMES}


def there(folder):
    return {name: (folder / name).read_bytes() for name in NAMES if (folder / name).exists()}


def renaming(monkeypatch, step, end):
    """Call `end` instead of the rename with this number, counted from 0."""
    done = []
    rename = os.replace

    def replace(old, new):
        done.append(new)
        if len(done) == step + 1:
            end()
        rename(old, new)

    monkeypatch.setattr(os, "replace", replace)
    return done


def fail():
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("step", range(STEPS))
def test_an_error_leaves_all_old_files(tmp_path, monkeypatch, step):
    write_together(files(tmp_path, b"old"))
    (tmp_path / "dev.spacy").chmod(0o640)
    renaming(monkeypatch, step, fail)
    with pytest.raises(CorpusError, match=r"\.spacy: the file cannot be written \(Input/output error\)"):
        write_together(files(tmp_path, b"new"))
    assert there(tmp_path) == dict.fromkeys(NAMES, b"old") and len(list(tmp_path.iterdir())) == len(NAMES)
    assert (tmp_path / "dev.spacy").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", range(len(NAMES)))
def test_an_error_leaves_none_where_none_was(tmp_path, monkeypatch, step):
    renaming(monkeypatch, step, fail)
    with pytest.raises(CorpusError):
        write_together(files(tmp_path, b"new"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("step", range(STEPS))
def test_a_kill_never_leaves_new_files_beside_old_ones(tmp_path, monkeypatch, step):
    """What is missing is seen by every reader, and the next conversion writes it."""
    write_together(files(tmp_path, b"old"))
    child = os.fork()
    if not child:
        renaming(monkeypatch, step, lambda: os._exit(9))
        write_together(files(tmp_path, b"new"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    found = there(tmp_path)
    assert len(set(found.values())) <= 1 and (not step or len(found) < len(NAMES))
    monkeypatch.undo()
    write_together(files(tmp_path, b"next"))
    assert there(tmp_path) == dict.fromkeys(NAMES, b"next")
    assert not list(tmp_path.glob(".*.aside"))


def test_all_is_as_told_after_a_conversion(tmp_path, monkeypatch):
    write_together(files(tmp_path, b"old"))
    link = tmp_path / "dev.spacy"
    link.rename(tmp_path / "elsewhere")
    link.symlink_to("elsewhere")
    (tmp_path / "elsewhere").chmod(0o600)
    done = renaming(monkeypatch, STEPS, fail)
    write_together(files(tmp_path, b"new"))
    assert there(tmp_path) == dict.fromkeys(NAMES, b"new") and len(done) == STEPS
    assert link.is_symlink() and (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == len(NAMES) + 1


def test_a_fault_in_one_file_of_a_corpus_leaves_all_as_they_were(write, tmp_path):
    train, dev = write("a/train.conll"), write("a/dev.conll")
    plan = [(train, tmp_path / "out" / "train.spacy"), (dev, tmp_path / "out" / "dev.spacy")]
    convert_files(plan)
    before = [target.read_bytes() for _, target in plan]
    write("a/train.conll", "Bob\tB-PER\n")
    write("a/dev.conll", "Bob\tX\n")
    with pytest.raises(CorpusError, match=f"{dev}:1: "):
        convert_files(plan)
    assert [target.read_bytes() for _, target in plan] == before


def test_files_of_an_earlier_conversion_are_named(write, tmp_path):
    source = write("all.conll", "".join(f"a{i}\tB-X\n\n" for i in range(30)))
    split_file(source, tmp_path, "80,10,10")
    train, dev, test = (Path(tmp_path, name) for name in NAMES)
    assert left_over([train, dev]) == [test] and left_over([train, dev, test]) == []
    assert left_over([tmp_path / "other.spacy"]) == []
