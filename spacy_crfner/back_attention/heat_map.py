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


def to_html(sentences: Sequence[Aligned], title: str) -> str:
    """Make a page with a table for each sentence: English words above, words of the source at the side."""
    tables = "\n".join(_table(sentence) for sentence in sentences)
    return _PAGE.format(title=escape(title), tables=tables)


def _table(sentence: Aligned) -> str:
    header = "".join(
        f'<th class="above">{_named(word, label)}</th>'
        for word, label in zip(sentence.english, sentence.english_labels, strict=True)
    )
    rows = []
    for word, label, weights in zip(sentence.words, sentence.labels, sentence.attention, strict=True):
        cells = "".join(
            f'<td style="background: rgba(31, 119, 180, {weight:.2f})" title="{weight:.3f}"></td>'
            for weight in np.clip(weights, 0.0, 1.0)
        )
        rows.append(f'<tr><th class="beside">{_named(word, label)}</th>{cells}</tr>')
    return f"<table>\n<tr><th></th>{header}</tr>\n" + "\n".join(rows) + "\n</table>"


def _named(word: str, label: str) -> str:
    return f"<b>{escape(word)}</b> <small>{escape(label)}</small>" if label else escape(word)


def write_png(sentences: Sequence[Aligned], path: Path) -> None:
    """Draw a picture with a panel for each sentence. Needs matplotlib.

    Raises ImportError without it, and ValueError where there is no sentence.
    """
    if not sentences:
        raise ValueError("The text has no words, so there is nothing to draw.")
    require("matplotlib", "plots", "A heat map as PNG")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [max(2.0, CELL * len(sentence.words)) for sentence in sentences]
    width = max(CELL * max(len(sentence.english) for sentence in sentences) + 2.5, 4.0)
    figure = Figure(figsize=(width, sum(heights) + 1.8 * len(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(sentences), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, sentence in zip(panels, sentences, strict=True):
        attention = sentence.attention.reshape(len(sentence.words), -1)
        panel.imshow(attention, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        _ticks(panel.set_xticks, sentence.english, sentence.english_labels, rotation=60, ha="left")
        _ticks(panel.set_yticks, sentence.words, sentence.labels)
        panel.xaxis.tick_top()
    with replacing(path) as (unfinished,):
        figure.savefig(unfinished, format="png", dpi=120)


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
body {{ font-family: sans-serif; }}
table {{ border-collapse: collapse; margin: 2em 1em; }}
th {{ font-weight: normal; padding: 0.2em 0.4em; }}
th.above {{ writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }}
th.beside {{ text-align: right; }}
td {{ width: 1.6em; height: 1.6em; border: 1px solid #eee; }}
b + small {{ color: #a33; }}
</style>
</head>
<body>
{tables}
</body>
</html>
"""
