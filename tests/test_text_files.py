"""Lines of text files, and one message for all that is wrong with a file."""

import gzip

import pytest

from spacy_crfner import corpora, text_files
from spacy_crfner.text_files import MAX_REPORTED, CorpusError, Notes, Problems, read_lines


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_lines_are_numbered_and_keep_their_spaces(tmp_path, name):
    data = "\ufeff a \r\n\nb\u2028c\u0085".encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert list(read_lines(tmp_path / name)) == [(1, " a "), (2, ""), (3, "b\u2028c\u0085")]


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize(
    "data, lines, remarks",
    [
        (b"a\rb\r\rc", ["a", "b", "", "c"], ["the lines end in CR, as on old Macs"]),
        (b"a\rb\r" + b"c\r" * 99_999 + b"d\n\r\n", ["a", "b", *"c" * 99_999, "d", ""], ["the lines end in CR,"]),
        # Other lines end in LF, so that this is a sign in a line.
        (b"a\rb\nc\r\n", ["a\rb", "c"], []),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "b"], ["byte order marks inside the file"]),
        (b"\xef\xbb\xbf" * 2, [""], []),
        (b"", [], []),
    ],
)
def test_line_ends_and_byte_order_marks(tmp_path, name, data, lines, remarks):
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    notes = Notes()
    assert [line for _, line in read_lines(tmp_path / name, notes=notes)] == lines
    assert len(notes.lines()) == len(remarks)
    assert all(note.startswith(remark) for note, remark in zip(notes.lines(), remarks, strict=True))


def test_utf_16_is_not_taken_for_text(tmp_path):
    """Without its mark, UTF-16 of English is valid UTF-8 with NUL bytes."""
    (tmp_path / "a.txt").write_bytes("Ada sang\n".encode("utf-16-le"))
    with pytest.raises(CorpusError, match=r"a\.txt:1: the line holds a NUL byte, as UTF-16 and binary files do"):
        list(read_lines(tmp_path / "a.txt"))


def test_problems_are_named_by_line_in_whatever_order_they_are_found(tmp_path):
    problems = Problems(tmp_path)
    for line in (*range(50, 20, -1), 3):
        problems.add(line, "bad")
    found = [int(message.split(":")[1]) for message in problems.messages]
    assert found == [3, *range(21, 20 + MAX_REPORTED)]
    assert problems.count == 31


def test_problems_are_collected_or_raised(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n\xff\nthree\n\xfe\n")
    problems = Problems(path)
    assert list(read_lines(path, problems)) == [(1, "one"), (3, "three")] and problems.count == 2
    with pytest.raises(CorpusError, match=f"^{path}: 2 problems must be corrected .*:\n{path}:2: .*\n{path}:4: "):
        problems.check()
    lines = read_lines(path)
    assert next(lines) == (1, "one")
    with pytest.raises(CorpusError, match=rf"^{path}:2: the line is not UTF-8 \(byte 1 of the line is 0xff\)"):
        next(lines)


def test_damaged_gzip_ends_the_file(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n")[:-4])
    problems = Problems(path)
    list(read_lines(path, problems))
    assert problems.count == 1 and "the gzip data is damaged or ends early" in problems.messages[0]
    with pytest.raises(CorpusError, match=r":\d+: the gzip data is damaged or ends early"):
        list(read_lines(path))


def test_a_message_names_no_more_than_one_can_read(tmp_path):
    problems = Problems(tmp_path)
    problems.check()
    for line in range(1, MAX_REPORTED + 6):
        problems.add(line, "bad")
    with pytest.raises(CorpusError, match=f": 25 problems .*, the first {MAX_REPORTED} of them:\n") as caught:
        problems.check()
    assert len(str(caught.value).splitlines()) == MAX_REPORTED + 1


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(CorpusError, match=f"^{tmp_path}: this is a folder: name a file in it"):
        next(read_lines(tmp_path))
    with pytest.raises(CorpusError, match="none: there is no such file: check the path"):
        next(read_lines(str(tmp_path / "none")))


def test_the_error_is_that_of_corpora():
    assert corpora.CorpusError is CorpusError


@pytest.mark.parametrize("name", ["long.txt", "long.txt.gz"])
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_line_that_fits_into_no_memory_is_not_read_to_its_end(name, end, write, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    fits = write(f"fits-{name}", f"short{end}{'x' * 999}{end}last")
    assert [len(line) for _, line in read_lines(fits)] == [5, 999, 4]
    lines = read_lines(write(name, f"short{end}{'x' * 10**6}{end}last"))
    assert next(lines) == (1, "short")
    with pytest.raises(CorpusError, match=f"{name}:2: the line has more than 1,000 bytes"):
        next(lines)
