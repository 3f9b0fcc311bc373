"""Pictures of attention: what a reader needs to understand them."""

import re

import numpy as np
import pytest

from spacy_crfner.back_attention.heat_map import Aligned, draw, to_html, write_png

SENTENCES = [
    Aligned(
        ["Anna", "kam", "<an>"], ["PER", "", ""], ["Anna", "came"], ["PER", ""], np.array([[1, 0], [0, 0.6], [0, 0.4]])
    ),
    Aligned(["Ja"], [""], [], [], np.zeros((1, 0))),
]


def test_the_page_has_a_title_the_text_axes_a_legend_and_a_scale():
    page = to_html(SENTENCES, "Anna kam <an>. Ja")
    assert "<title>Attention between a text and its translation</title>" in page
    assert "Anna kam &lt;an&gt;. Ja" in page and "<an>" not in page
    assert page.count(">translation</th>") == page.count(">text</th>") == len(SENTENCES)
    assert "label: <small>PER</small>" in page and 'title="kam - came: 0.600"' in page
    scale = page.split('class="scale"')[1].split("</p>")[0]
    assert [float(value) for value in re.findall(r">([\d.]+)<", scale)] == [0, 0.25, 0.5, 0.75, 1]
    assert "An entity is bold" not in to_html(SENTENCES[1:], "Ja")


def test_the_picture_has_a_title_axes_and_a_scale(tmp_path):
    pytest.importorskip("matplotlib")
    figure = draw(SENTENCES[:1] * 2)
    *panels, scale = figure.axes
    assert figure.get_suptitle() and scale.get_ylabel() == "attention"
    assert [(panel.get_xlabel(), panel.get_ylabel()) for panel in panels] == [("translation", "text")] * 2
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["Anna (PER)", "kam", "<an>"]
    write_png(SENTENCES[:1], tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        write_png([], tmp_path / "none.png")
