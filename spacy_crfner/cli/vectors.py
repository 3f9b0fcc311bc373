"""`python -m spacy crfner vectors`: parse, call, print."""

from pathlib import Path
from typing import Annotated, List, Optional

from typer import Argument, Option

from . import crfner
from .messages import clear_errors, say


@crfner.command("vectors")
def vectors_cli(
    output: Annotated[Path, Argument(help="Folder for the pipeline with the vectors, for --paths.vectors")],
    lang: Annotated[str, Option(metavar="CODE", help="spaCy language code")],
    text: Annotated[
        Optional[List[Path]], Option(help="Text to learn from, a sentence a line (.gz or plain); repeatable")
    ] = None,
    annotated: Annotated[
        Optional[List[Path]], Option(help="Columns, JSON lines or .spacy to learn from; repeatable")
    ] = None,
    width: Annotated[int, Option(min=1, help="Features of a word")] = 100,
    rows: Annotated[int, Option(min=1, help="Rows of the table")] = 20000,
    least: Annotated[int, Option(min=1, help="Times a word must occur to be learned from")] = 5,
    epochs: Annotated[int, Option(min=1, help="Passes over the text")] = 10,
    threads: Annotated[int, Option(min=1, help="With one, the same text gives the same vectors")] = 1,
) -> None:
    """Train word vectors on the text at hand, for a language that has none.

    They are floret vectors, which hash the parts of words, so that there is one for every word. Needs floret:
    pip install 'spacy-crfner[vectors]'.
    """
    from ..corpora.vectors import VectorSettings, train_vectors

    settings = VectorSettings(width=width, rows=rows, least=least, epochs=epochs, threads=threads)
    with clear_errors():
        train_vectors(output, lang, text or [], annotated or [], settings, tell=say)
    say(f"Wrote {output}. Use it with: python -m spacy train ... --nlp.lang {lang} --paths.vectors {output}")
