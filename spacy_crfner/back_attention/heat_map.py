"""Pictures of what a translator's attention aligns with what."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, List, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..extras import require
from ..files import replacing
from .component import BackAttention

CELL = 0.45
"""Inches of a cell."""

SOURCE, TRANSLATION, WEIGHT = "text", "translation", "attention"
"""The names of the axes, and of the colour scale."""

SCALE = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Attentions whose colours the page shows."""


@dataclass(frozen=True, eq=False)
class Aligned:
    """A sentence beside its translation.

    words: m words; labels: for each its entity label, or "". english, english_labels: the same of its n English words.
    attention: (m, n).
    """

    words: List[str]
    labels: List[str]
    english: List[str]
    english_labels: List[str]
    attention: np.ndarray


def align(nlp: Language, text: str) -> List[Aligned]:
    """Align every sentence of a text as the pipeline's `back_attention` does, with the entities of both languages.

    Raises ValueError where the pipeline has no such component.
    """
    pipes = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, BackAttention)]
    if not pipes:
        raise ValueError(f"The pipeline ({', '.join(nlp.pipe_names) or 'empty'}) has no back_attention.")
    pipe, doc, aligned = pipes[0], nlp(text), []
    for tokens in pipe.sentences(doc):
        words = [doc[token].text for token in tokens]
        if not words:
            continue
        (translation,) = pipe.translate([words])
        assert pipe.english is not None
        english = pipe.english.entities(translation.words)
        labels = [doc[token].ent_type_ for token in tokens]
        aligned.append(Aligned(words, labels, translation.words, _labels(english), translation.attention))
    return aligned


def _labels(doc: Doc) -> List[str]:
    return [token.ent_type_ for token in doc]


TITLE = "Attention between a text and its translation"
MEANING = "Each column shows where in the text the translator looked when it wrote that word of the translation"


def to_html(sentences: Sequence[Aligned], text: str) -> str:
    """Make a page with a table for each sentence: English words above, words of the source at the side."""
    tables = "\n".join(_table(sentence) for sentence in sentences)
    labels = sorted({label for s in sentences for label in (*s.labels, *s.english_labels) if label})
    named = ", ".join(f"<small>{escape(label)}</small>" for label in labels)
    legend = f"<p>An entity is bold, with its label: {named}.</p>" if labels else ""
    scale = "".join(f'<span style="background: {_color(value)}">{value:g}</span>' for value in SCALE)
    return _PAGE.format(title=TITLE, meaning=MEANING, text=escape(text), tables=tables, scale=scale, legend=legend)


def _color(weight: float) -> str:
    return f"rgba(31, 119, 180, {weight:.2f})"


def _table(sentence: Aligned) -> str:
    header = "".join(
        f'<th class="above">{_named(word, label)}</th>'
        for word, label in zip(sentence.english, sentence.english_labels, strict=True)
    )
    rows = []
    for place, (word, label, weights) in enumerate(
        zip(sentence.words, sentence.labels, sentence.attention, strict=True)
    ):
        cells = "".join(
            f'<td style="background: {_color(weight)}" title="{escape(word)} - {escape(other)}: {weight:.3f}"></td>'
            for other, weight in zip(sentence.english, np.clip(weights, 0.0, 1.0), strict=True)
        )
        side = f'<th class="side" rowspan="{len(sentence.words)}">{SOURCE}</th>' if not place else ""
        rows.append(f'<tr>{side}<th class="beside">{_named(word, label)}</th>{cells}</tr>')
    top = f'<tr><th></th><th></th><th class="top" colspan="{max(1, len(sentence.english))}">{TRANSLATION}</th></tr>'
    return f"<table>\n{top}\n<tr><th></th><th></th>{header}</tr>\n" + "\n".join(rows) + "\n</table>"


def _named(word: str, label: str) -> str:
    return f"<b>{escape(word)}</b> <small>{escape(label)}</small>" if label else escape(word)


def write_png(sentences: Sequence[Aligned], path: Path) -> None:
    """Draw a picture with a panel for each sentence. Needs matplotlib.

    Raises ImportError without it, and ValueError where there is no sentence.
    """
    figure = draw(sentences)
    with replacing(path) as (unfinished,):
        figure.savefig(unfinished, format="png", dpi=120)


def draw(sentences: Sequence[Aligned]) -> Any:
    """Draw a matplotlib figure with a panel for each sentence, and one colour scale. Raises as `write_png`."""
    if not sentences:
        raise ValueError("The text has no words, so there is nothing to draw.")
    require("matplotlib", "plots", "A heat map as PNG")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [max(2.0, CELL * len(sentence.words)) for sentence in sentences]
    width = max(CELL * max(len(sentence.english) for sentence in sentences) + 3.5, 5.0)
    figure = Figure(figsize=(width, sum(heights) + 1.8 * len(heights) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sentences), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, sentence in zip(panels, sentences, strict=True):
        attention = sentence.attention.reshape(len(sentence.words), -1)
        image = panel.imshow(attention, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        _ticks(panel.set_xticks, sentence.english, sentence.english_labels, rotation=60, ha="left")
        _ticks(panel.set_yticks, sentence.words, sentence.labels)
        panel.xaxis.tick_top()
        panel.xaxis.set_label_position("top")
        panel.set(xlabel=TRANSLATION, ylabel=SOURCE)
    figure.suptitle(TITLE)
    figure.colorbar(image, ax=panels.tolist(), label=WEIGHT, shrink=min(1.0, 4.0 / sum(heights)))
    return figure


def _ticks(set_ticks: Any, words: Sequence[str], labels: Sequence[str], **style: Any) -> None:
    # A dollar sign would begin a formula.
    texts = [f"{word} ({label})" if label else word for word, label in zip(words, labels, strict=True)]
    set_ticks(range(len(words)), [text.replace("$", r"\$") for text in texts], **style)


_PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 2em; }}
h1 {{ font-size: 1.4em; margin: 0 0 0.3em; }}
p {{ margin: 0.4em 0; max-width: 50em; }}
blockquote {{ margin: 0.6em 0; padding-left: 0.8em; border-left: 3px solid #ccc; }}
.scale span {{ display: inline-block; width: 3.2em; text-align: center; font-size: 0.85em; border: 1px solid #eee; }}
table {{ border-collapse: collapse; margin: 1.5em 0; }}
th {{ font-weight: normal; padding: 0.2em 0.4em; }}
th.above {{ writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }}
th.beside {{ text-align: right; }}
th.side, th.top {{ color: #777; font-style: italic; }}
th.side {{ writing-mode: vertical-rl; transform: rotate(180deg); }}
td {{ width: 1.6em; height: 1.6em; border: 1px solid #eee; }}
b + small, p small {{ color: #a33; }}
</style>
</head>
<body>
<h1>{title}</h1>
<blockquote>{text}</blockquote>
<p>{meaning}. Point at a cell to read its value.</p>
{legend}
<p class="scale">Attention: {scale}</p>
{tables}
</body>
</html>
"""
