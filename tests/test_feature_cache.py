"""Features that were computed before: what is kept where, by how many processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.feature_cache import FeatureCache, content_key


def rows(number):
    return np.full((2, 3), number, dtype=np.float16)


def test_cache_in_memory_forgets_the_oldest():
    cache = FeatureCache(None, 3 * rows(0).nbytes / 1e6)
    for number in range(3):
        cache.put({bytes([number]): rows(number)})
    assert cache.get([b"\0"])
    cache.put({b"\3": rows(3)})
    assert sorted(cache.get([b"\0", b"\1", b"\2", b"\3", b"\4"])) == [b"\0", b"\2", b"\3"]


def test_cache_on_disk_keeps_everything(tmp_path):
    first = FeatureCache(tmp_path / "new" / "folder", 0.0)
    first.put({bytes([number]): rows(number) for number in range(5)})
    first.put({b"empty": np.zeros((0, 3), dtype=np.float16)})
    second = FeatureCache(tmp_path / "new" / "folder", 1.0)
    found = second.get([*(bytes([number]) for number in range(7)), b"empty"])
    assert len(found) == 6 and found[b"empty"].shape == (0, 3)
    np.testing.assert_array_equal(found[b"\4"], rows(4))


def test_a_file_that_is_no_cache_is_named(tmp_path):
    (tmp_path / "features.sqlite").write_text("something else, and long enough to be read as a header" * 10)
    with pytest.raises(ValueError, match=r"features\.sqlite: features cannot be kept in this file"):
        FeatureCache(tmp_path, 1.0)


WRITER = """
import sys
import numpy as np
from spacy_crfner.feature_cache import FeatureCache
cache = FeatureCache(sys.argv[1], 1.0)
first = int(sys.argv[2])
for number in range(first, first + int(sys.argv[3])):
    cache.put({number.to_bytes(4, "big"): np.full((50, 100), number % 100, dtype=np.float16)})
"""


def test_processes_write_at_once_and_may_be_killed(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*command, str(first), "40"]) for first in (0, 1000)]
    killed = subprocess.Popen([*command, "5000", "1000000"])
    end = time.monotonic() + 60
    path = tmp_path / "features.sqlite"
    while time.monotonic() < end and not FeatureCache(tmp_path, 0.0).get([(5003).to_bytes(4, "big")]):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    keys = [number.to_bytes(4, "big") for first in (0, 1000) for number in range(first, first + 40)]
    found = FeatureCache(tmp_path, 1.0).get(keys)
    assert len(found) == 80
    assert all((array == int.from_bytes(key, "big") % 100).all() for key, array in found.items())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        lengths = {length for (length,) in connection.execute("SELECT length(data) FROM features")}
    assert lengths == {50 * 100 * 2}
    assert os.path.getsize(path) > 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
def test_arrays_come_back_with_their_type(tmp_path, dtype):
    array = np.arange(6, dtype=dtype).reshape(3, 2)
    FeatureCache(tmp_path, 1.0).put({b"key": array})
    kept = FeatureCache(tmp_path, 1.0).get([b"key"])[b"key"]
    assert kept.dtype == array.dtype
    np.testing.assert_array_equal(kept, array)


@pytest.mark.parametrize("shape", [(), (6,), (1, 2, 3)])
def test_arrays_of_another_shape_are_refused(tmp_path, shape):
    cache = FeatureCache(tmp_path, 1.0)
    with pytest.raises(ValueError, match=r"must have the shape \(n, width\), not \("):
        cache.put({b"good": rows(1), b"bad": np.zeros(shape)})
    assert not cache.get([b"good", b"bad"])


def test_keys_tell_models_and_words_apart():
    keys = [content_key(model, words) for model in ("a", "b") for words in ([], ["x", "y"], ["xy"], ["y", "x"])]
    assert len(set(keys)) == 8 and keys[1] == content_key("a", ("x", "y"))


WORDS = st.lists(st.text(st.sampled_from(["\0", "a", " ", '"', ",", "[", "\\", "\x01"]), max_size=4), max_size=4)


@given(WORDS, WORDS, st.sampled_from(["", "a", "a\0b"]), st.sampled_from(["", "a", "a\0b"]))
def test_other_words_have_another_key(first, second, one, two):
    """Whatever characters they hold: spaCy keeps NUL inside a token."""
    assert (content_key(one, first) == content_key(two, second)) == ((one, first) == (two, second))


def test_words_with_nul_do_not_share_a_key():
    assert content_key("x", ["Anna\0Kell", "met"]) != content_key("x", ["Anna", "Kell\0met"])


def test_what_is_kept_of_a_batch_keeps_no_more_of_it():
    """`memory_mb` would say nothing where a view keeps all of a batch."""
    cache = FeatureCache(None, memory_mb=1.0)
    batch = np.zeros((100, 4), dtype=np.float16)
    cache.put({b"one": batch[:2]})
    (kept,) = cache.get([b"one"]).values()
    assert kept.base is None and np.array_equal(kept, batch[:2])
    # What does not fit is made again once.
    made = []
    for _ in range(2):
        cache.complete([b"one"], [(3, 4)], lambda numbers: made.append(numbers) or [np.ones((3, 4), np.float16)])
    assert made == [[0]]
