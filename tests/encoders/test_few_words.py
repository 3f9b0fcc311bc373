"""Characters of few words in numpy against torch."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_crfner.encoders.word_char import WordChar
from spacy_crfner.packing import Packing

words = st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=9), min_size=1, max_size=9)


def make(*widths):
    blocks = [("char", width) for width in widths]
    return WordChar(blocks=blocks, vector_width=0, char_rows=20, char_embed_width=3)


@given(words, st.integers(1, 3), st.sampled_from([0.3, 1.0, 10.0]))
def test_features_are_those_of_torch(words, layers, scale):
    module = make(*[4] * layers)
    for parameter in module.parameters():
        parameter.data.uniform_(-scale, scale)
    lengths = [len(word) for word in words]
    chars = torch.tensor([char for word in words for char in word])
    packing = Packing.from_lengths(lengths)
    with torch.no_grad():
        expected = module.read(packing.pack(chars), packing, 0.0)
    found = module.for_prediction().few.read(chars.numpy(), np.array(lengths))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_layers_of_several_widths_are_left_to_torch():
    assert make(4, 6).for_prediction().few is None
    assert make().for_prediction().few is None
    assert make(4).few is None
