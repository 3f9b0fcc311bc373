"""What messages show of the input."""

import pytest

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.columns import read_columns
from spacy_crfner.quoting import LONGEST, printable, quote
from spacy_crfner.tags import TagSet, check_labels, iob_to_spans

HUGE = "x" * 5_000_000


@pytest.mark.parametrize("value", [HUGE, 10**4000, [HUGE] * 3, {HUGE: [HUGE]}, list(range(100_000)), None, True])
def test_what_is_quoted_is_short(value):
    assert len(quote(value)) < 10 * LONGEST


def test_short_texts_are_quoted_whole():
    assert quote("a\t'b'") == repr("a\t'b'") and quote("x" * LONGEST) == repr("x" * LONGEST)
    assert quote("x" * (LONGEST + 1)) == repr("x" * LONGEST + "...")


def test_deep_values_are_quoted():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert quote(deep) == "[[[[...]]]]"


def test_control_characters_are_escaped():
    assert printable("a\x1b[31mb\x07\x9b\u202ec\td\ne") == "a\\x1b[31mb\\x07\\x9b\\u202ec\\td\ne"
    # Letters of any script, and what joins them, stay.
    kept = "北京 zoë می\u200cکنم 👩\u200d🔬"
    assert printable(kept) == kept


@pytest.mark.parametrize(
    "call",
    [
        lambda: check_labels([f"a\t{HUGE}"]),
        lambda: check_labels([HUGE, HUGE]),
        lambda: iob_to_spans([HUGE]),
        lambda: TagSet(("A",)).spans_to_tags([(0, 1, HUGE)], 1),
    ],
)
def test_messages_about_huge_labels_are_short(call):
    with pytest.raises(ValueError) as caught:
        call()
    assert len(str(caught.value)) < 500


def test_a_huge_tag_gives_a_short_message(write):
    path = write("a.conll", f"a\tO\nb\t{HUGE}\n")
    with pytest.raises(CorpusError) as caught:
        read_columns(path)
    assert str(caught.value).startswith(f"{path}:2: 'xxx") and len(str(caught.value)) < 600 + len(str(path))
