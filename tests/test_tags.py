"""Tag schemes: spans <-> tags, which sequences are legal, and written tags of every scheme."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.tags import SCHEMES, TagSet, check_labels, iob_to_spans

LABELS = ("PER", "GPE-NAM", "GPE.NAM", "WORK OF ART")
schemes = pytest.mark.parametrize("scheme", sorted(SCHEMES))

# (tokens before the entity, tokens of the entity, label) of each entity, and the tokens after the last one
sentences = st.tuples(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(LABELS)), max_size=5), st.integers(0, 2)
)


def lay_out(sentence):
    """The spans and the length of a sentence."""
    entities, rest = sentence
    spans, end = [], 0
    for gap, size, label in entities:
        spans.append((end + gap, end + gap + size, label))
        end += gap + size
    return spans, end + rest


def all_span_sets(length, labels, start=0):
    """Every set of non-overlapping labelled spans of a sentence."""
    if start == length:
        yield []
        return
    yield from all_span_sets(length, labels, start + 1)
    for end in range(start + 1, length + 1):
        for rest in all_span_sets(length, labels, end):
            yield from ([(start, end, label), *rest] for label in labels)


def is_legal(tag_set, tags):
    opening, follows, closing = tag_set.legal
    return bool(opening[tags[0]] and closing[tags[-1]] and all(follows[a, b] for a, b in itertools.pairwise(tags)))


def test_tags_are_numbered_label_by_label():
    assert TagSet(("PER", "LOC")).names == (
        *("O", "B-PER", "I-PER", "E-PER", "S-PER"),
        *("B-LOC", "I-LOC", "E-LOC", "S-LOC"),
    )
    assert TagSet(("PER", "LOC"), "BIO").names == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def test_an_entity_is_written_as_its_scheme_says():
    spans = [(0, 1, "PER"), (1, 3, "PER"), (4, 7, "PER")]
    assert [TagSet(("PER",)).names[tag] for tag in TagSet(("PER",)).spans_to_tags(spans, 8)] == [
        *("S-PER", "B-PER", "E-PER", "O", "B-PER", "I-PER", "E-PER", "O")
    ]
    bio = TagSet(("PER",), "BIO")
    assert [bio.names[tag] for tag in bio.spans_to_tags(spans, 8)] == [
        *("B-PER", "B-PER", "I-PER", "O", "B-PER", "I-PER", "I-PER", "O")
    ]


@schemes
@given(sentence=sentences)
def test_spans_and_tags_round_trip(scheme, sentence):
    spans, length = lay_out(sentence)
    tag_set = TagSet(LABELS, scheme)
    tags = tag_set.spans_to_tags(spans, length)
    assert len(tags) == length
    assert tag_set.tags_to_spans(tags) == spans
    assert tag_set.tags_to_spans(np.array(tags, dtype=np.int64)) == spans
    assert tag_set.spans_to_tags(reversed(spans), length) == tags


@schemes
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_legal_sequences_are_those_of_spans(scheme, length):
    tag_set = TagSet(("A", "B"), scheme)
    of_spans = [tuple(tag_set.spans_to_tags(spans, length)) for spans in all_span_sets(length, tag_set.labels)]
    legal = [tags for tags in itertools.product(range(len(tag_set)), repeat=length) if is_legal(tag_set, tags)]
    assert len(set(of_spans)) == len(of_spans)
    assert set(legal) == set(of_spans)


@schemes
def test_the_parts_of_a_tag_set_agree_with_its_names(scheme):
    tag_set = TagSet(LABELS, scheme)
    assert len(tag_set) == len(tag_set.names) == len(set(tag_set.names))
    for name, tag in tag_set.index.items():
        assert tag_set.names[tag] == name
        label = tag_set.tag_labels[tag]
        assert name == "O" if label < 0 else name.endswith(f"-{tag_set.labels[label]}")
    for role in "BIES":
        prefix = role if role in tag_set.prefixes else {"E": "I", "S": "B"}[role]
        assert [tag_set.names[tag] for tag in tag_set.role(role)] == [f"{prefix}-{label}" for label in LABELS]
    assert [tag_set.label_index[label] for label in LABELS] == [0, 1, 2, 3]


@schemes
def test_a_new_label_only_appends_tags(scheme):
    before, after = TagSet(LABELS, scheme), TagSet((*LABELS, "NEW"), scheme)
    n = len(before)
    assert len(after) > n and after.names[:n] == before.names
    for old, new in zip(before.legal, after.legal, strict=True):
        assert (old == new[tuple(slice(n) for _ in new.shape)]).all()


@schemes
def test_no_labels_leave_only_o(scheme):
    tag_set = TagSet((), scheme)
    assert tag_set.names == ("O",)
    assert tag_set.spans_to_tags([], 3) == [0, 0, 0]
    assert tag_set.tags_to_spans([0, 0, 0]) == []
    assert is_legal(tag_set, (0, 0))
    assert len(tag_set.role("B")) == 0


def test_labels_may_come_as_a_list():
    assert TagSet(["PER", "LOC"]).labels == ("PER", "LOC")


def test_unknown_scheme():
    with pytest.raises(ValueError, match="Unknown tag scheme 'BILUO': choose one of BIOES, BIO"):
        TagSet(("PER",), "BILUO")


def test_labels_must_be_distinct():
    with pytest.raises(ValueError, match="more than once: LOC, PER"):
        TagSet(("PER", "LOC", "ORG", "PER", "LOC"))


@pytest.mark.parametrize("label", ["", " ", "O", "A  B", " A", "A ", "A\tB", "PER\n", "A\u00a0B", 3, None])
def test_labels_that_no_tag_can_hold(label):
    with pytest.raises(ValueError, match=r"[Rr]ename it"):
        check_labels(["PER", label])
    with pytest.raises(ValueError, match=r"[Rr]ename it"):
        TagSet(("PER", label))


@schemes
@pytest.mark.parametrize("start, end", [(-1, 1), (1, 1), (2, 1), (0, 4), (3, 4)])
def test_spans_outside_the_sentence(scheme, start, end):
    with pytest.raises(ValueError, match="does not fit into 3 tokens"):
        TagSet(LABELS, scheme).spans_to_tags([(start, end, "PER")], 3)


@schemes
@pytest.mark.parametrize("other", [(0, 2), (1, 3), (2, 5), (3, 4), (1, 4)])
def test_overlapping_spans(scheme, other):
    with pytest.raises(ValueError, match="overlap"):
        TagSet(LABELS, scheme).spans_to_tags([(1, 4, "PER"), (*other, "GPE.NAM")], 5)


@schemes
@pytest.mark.parametrize("label", ["LOC", "per", "B-PER"])
def test_spans_of_an_unknown_label(scheme, label):
    with pytest.raises(ValueError, match=rf"\(0, 1, '{label}'\) has a label that is not one of"):
        TagSet(LABELS, scheme).spans_to_tags([(0, 1, label)], 3)


@given(sentences)
def test_written_tags_of_every_scheme_give_the_spans(sentence):
    spans, length = lay_out(sentence)
    bioes, bio = ([t.names[tag] for tag in t.spans_to_tags(spans, length)] for t in map(TagSet, (LABELS,) * 2, SCHEMES))
    biluo = [{"E": "L", "S": "U"}.get(tag[0], tag[0]) + tag[1:] for tag in bioes]
    # IOB1 writes B- only where an entity directly follows another of its label.
    iob1 = list(bio)
    for i, tag in enumerate(bio):
        if tag[0] == "B" and (i == 0 or bio[i - 1][2:] != tag[2:]):
            iob1[i] = f"I{tag[1:]}"
    for tags in (bioes, bio, biluo, iob1):
        assert iob_to_spans(tags) == spans


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("", []),
        ("O O", []),
        ("I-X I-Y", [(0, 1, "X"), (1, 2, "Y")]),
        ("B-X I-Y O", [(0, 1, "X"), (1, 2, "Y")]),
        ("B-X E-Y", [(0, 1, "X"), (1, 2, "Y")]),
        ("B-X O I-X", [(0, 1, "X"), (2, 3, "X")]),
        ("B-X B-X E-X", [(0, 1, "X"), (1, 3, "X")]),
        ("B-X S-X", [(0, 1, "X"), (1, 2, "X")]),
        ("I-X U-X I-X", [(0, 1, "X"), (1, 2, "X"), (2, 3, "X")]),
        ("O E-X", [(1, 2, "X")]),
        ("L-X I-X L-X", [(0, 1, "X"), (1, 3, "X")]),
        ("E-X E-X", [(0, 1, "X"), (1, 2, "X")]),
        ("B-GPE-NAM I-GPE-NAM I-GPE.NAM", [(0, 2, "GPE-NAM"), (2, 3, "GPE.NAM")]),
    ],
)
def test_malformed_tags_have_one_reading(tags, spans):
    assert iob_to_spans(tags.split()) == spans


@given(st.lists(st.just("O") | st.builds("{}-{}".format, st.sampled_from("BIESLU"), st.sampled_from("XY")), max_size=8))
def test_every_tagged_token_belongs_to_one_span_of_its_label(tags):
    spans = iob_to_spans(tags)
    assert spans == sorted(spans)
    labels = ["O"] * len(tags)
    for start, end, label in spans:
        assert start < end and labels[start:end] == ["O"] * (end - start)
        labels[start:end] = [label] * (end - start)
    assert labels == [tag.split("-")[-1] for tag in tags]


@pytest.mark.parametrize("tag", ["PER", "B", "B-", "-PER", "X-PER", "BI-PER", "", "o", "O-PER", "b-PER", "B_PER", "-"])
def test_what_is_not_a_tag(tag):
    with pytest.raises(ValueError, match=f"'{tag}' is not a tag"):
        iob_to_spans(["O", "B-PER", tag])
