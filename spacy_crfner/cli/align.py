"""`python -m spacy crfner align`"""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option
from wasabi import msg

from . import crfner
from .messages import clear_errors


@crfner.command("align")
def align_cli(
    model: Annotated[str, Argument(help="Folder or package of a pipeline with back_attention")],
    text: Annotated[str, Argument(help="Text to translate and draw")],
    output: Annotated[Path, Option("--output", "-o", help="Path of the pictures, without suffix")] = Path("alignment"),
    png: Annotated[bool, Option(help="Write a PNG too, which needs matplotlib")] = True,
) -> None:
    """Draw the attention between a text and its translation as a heat map (HTML and PNG)."""
    import spacy

    from ..back_attention.heat_map import align, to_html, write_png

    with clear_errors():
        sentences = align(spacy.load(model), text)
        for sentence in sentences:
            print(" ".join(sentence.words))
            print(" ".join(sentence.english))
        page = output.with_name(f"{output.name}.html")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(to_html(sentences, text), encoding="utf8")
        msg.good(f"Wrote {page}")
        if png:
            picture = output.with_name(f"{output.name}.png")
            write_png(sentences, picture)
            msg.good(f"Wrote {picture}")
