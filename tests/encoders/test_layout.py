"""The layout grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.encoders.layout import MAX_FEATURES, Feature, parse_layout

WORD, CHAR = Feature("word", None), Feature("char", None)

# (how a layout is written, its features)
atoms = st.builds(
    lambda kind, width: (f"{kind}{width or ''}", [Feature(kind, width)]),
    st.sampled_from(["word", "char"]),
    st.none() | st.integers(1, 300),
)


def combine(layouts):
    groups = layouts.map(lambda layout: (f"({layout[0]})", layout[1]))
    repeated = st.builds(lambda a, n: (f"{a[0]}*{n}", a[1] * n), atoms | groups, st.integers(1, 3))
    pluses = st.sampled_from(["+", " + "])
    sums = st.builds(lambda a, plus, b: (a[0] + plus + b[0], a[1] + b[1]), layouts, pluses, layouts)
    return groups | repeated | sums


@given(st.recursive(atoms, combine, max_leaves=6).filter(lambda layout: len(layout[1]) <= MAX_FEATURES))
def test_features_in_written_order(layout):
    text, features = layout
    assert parse_layout(text) == features


@pytest.mark.parametrize(
    "layout, features",
    [
        ("word", [WORD]),
        ("char*2", [CHAR, CHAR]),
        ("word100+char*2", [Feature("word", 100), CHAR, CHAR]),
        ("char20*2+word", [Feature("char", 20), Feature("char", 20), WORD]),
        ("(word+char)*2", [WORD, CHAR, WORD, CHAR]),
        ("word+char*2+word", [WORD, CHAR, CHAR, WORD]),
        ("((char4))", [Feature("char", 4)]),
        (" word + ( char * 2 ) ", [WORD, CHAR, CHAR]),
    ],
)
def test_layouts(layout, features):
    assert parse_layout(layout) == features


@pytest.mark.parametrize(
    "layout, message",
    [
        ("", "needs 'word', 'char' or '(', but it ends"),
        ("word+", "needs 'word', 'char' or '(', but it ends"),
        ("word+foo", "needs 'word', 'char' or '(', but found 'foo' at character 6"),
        ("Word", "needs 'word', 'char' or '(', but found 'Word' at character 1"),
        ("100word", "needs 'word', 'char' or '(', but found '100' at character 1"),
        ("word100char", "needs '+', '*' or the end, but found 'char' at character 8"),
        ("word)", "needs '+', '*' or the end, but found ')' at character 5"),
        ("(word+char", "needs ')', but it ends"),
        ("()", "needs 'word', 'char' or '(', but found ')' at character 2"),
        ("char*", "needs a count of 1 or more after '*', but it ends"),
        ("char*0", "needs a count of 1 or more after '*', but found '0' at character 6"),
        ("char*-1", "needs a count of 1 or more after '*', but found '-' at character 6"),
        ("char*char", "needs a count of 1 or more after '*', but found 'char' at character 6"),
        ("char0", "needs a width of 1 or more, but found '0' at character 5"),
        ("char*2*2", "needs '+', '*' or the end, but found '*' at character 7"),
        ("char²", "needs '+', '*' or the end, but found '²' at character 5"),
    ],
)
def test_what_breaks_the_grammar_is_named_with_its_place(layout, message):
    with pytest.raises(ValueError) as error:
        parse_layout(layout)
    assert f"The layout {layout!r} {message}" in str(error.value)


def test_a_layout_has_a_largest_size():
    assert len(parse_layout(f"char*{MAX_FEATURES}")) == MAX_FEATURES
    with pytest.raises(ValueError, match=f"has {MAX_FEATURES + 1} features: at most {MAX_FEATURES}"):
        parse_layout(f"char*{MAX_FEATURES}+word")


def test_a_giant_count_is_refused_like_a_large_one():
    with pytest.raises(ValueError, match=f"at most {MAX_FEATURES}"):
        parse_layout("word+char*99999999999999999999")
