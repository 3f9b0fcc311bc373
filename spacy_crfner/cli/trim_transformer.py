"""`python -m spacy crfner trim-transformer`: parse, call, print."""

from pathlib import Path
from typing import Annotated, List, Optional

from typer import Argument, Option

from . import crfner
from .messages import clear_errors, say


@crfner.command("trim-transformer")
def trim_transformer_cli(
    output: Annotated[Path, Argument(help="Folder for the smaller model, for --model and --transformer")],
    model: Annotated[str, Option(metavar="DIR|NAME", help="Transformer to trim: a folder, or a name on the hub")],
    text: Annotated[
        Optional[List[Path]],
        Option(help="Text to keep pieces for: a text a line, .jsonl, or .spacy; .gz too; repeatable"),
    ] = None,
    annotated: Annotated[
        Optional[List[Path]], Option(help="Columns, JSON lines or .spacy to keep pieces for; repeatable")
    ] = None,
    lang: Annotated[str, Option(metavar="CODE", help="spaCy language code, whose tokenizer splits text")] = "xx",
    overwrite: Annotated[bool, Option(help="Replace a model that is in the folder")] = False,
) -> None:
    """Leave out the pieces of a transformer's vocabulary that the text at hand does not need.

    The texts are read as before, with a smaller model that takes less memory and trains faster. Other texts are read in
    shorter pieces. Needs transformers: pip install 'spacy-crfner[transformers]'.
    """
    from ..transfer.trimming import trim_transformer

    with clear_errors():
        report = trim_transformer(output, model, text or [], annotated or [], lang, overwrite)
    say(
        f"Wrote {output}: {report.pieces:,} of {report.pieces_before:,} pieces, {report.weights / 1e6:,.1f} of "
        f"{report.weights_before / 1e6:,.1f} million weights."
    )
