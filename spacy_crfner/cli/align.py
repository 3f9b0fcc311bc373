"""`python -m spacy crfner align`: parse, call, print."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Optional

from typer import Argument, Option
from wasabi import msg

from . import crfner
from .messages import clear_errors, show


@crfner.command("align")
def align_cli(
    model: Annotated[str, Argument(help="Folder or package of a pipeline with back_attention")],
    text: Annotated[str, Argument(help="Text to translate and draw")],
    output: Annotated[Path, Option("--output", "-o", help="Path of the pictures, without suffix")] = Path("alignment"),
    png: Annotated[Optional[bool], Option(help="Write a PNG too (default: if matplotlib is installed)")] = None,
) -> None:
    """Draw the attention between a text and its translation as a heat map (HTML and PNG)."""
    import spacy

    from ..back_attention.heat_map import align, to_html, write_png
    from ..files import write_file

    with clear_errors():
        if not text.strip():
            raise ValueError("There is no text to draw.")
        base = output.with_suffix("") if output.suffix in (".html", ".png") else output
        if not base.name:
            raise ValueError(f"--output {output} names no file: give a path with a name.")
        sentences = align(spacy.load(model), text)
        for sentence in sentences:
            show(" ".join(sentence.words))
            show(" ".join(sentence.english))
        page = base.with_name(f"{base.name}.html")
        write_file(page, to_html(sentences, text))
        msg.good(f"Wrote {page}")
        if png or (png is None and find_spec("matplotlib") is not None):
            picture = base.with_name(f"{base.name}.png")
            write_png(sentences, picture)
            msg.good(f"Wrote {picture}")
