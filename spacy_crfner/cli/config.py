"""`python -m spacy crfner config`: parse, call, print."""

from pathlib import Path
from typing import Annotated, Optional

from typer import Argument, Option

from . import crfner
from .messages import clear_errors, say


@crfner.command("config")
def config_cli(
    name: Annotated[Optional[str], Argument(help="Which config; without a name, all are listed")] = None,
    output: Annotated[str, Option("--output", "-o", help="File to write; - prints the config")] = "-",
    sentencizer: Annotated[
        bool, Option("--sentencizer", help="Find sentences first: for training Docs that hold several")
    ] = False,
    force: Annotated[bool, Option("--force", "-f", help="Overwrite a file that is there")] = False,
    train: Annotated[
        Optional[str], Option(metavar="FILE", help=".spacy file to train on; the training settings follow its size")
    ] = None,
    dev: Annotated[Optional[str], Option(metavar="FILE", help=".spacy file to evaluate on")] = None,
    vectors: Annotated[Optional[str], Option(metavar="NAME|DIR", help="Pipeline with word vectors")] = None,
    transformer: Annotated[
        Optional[str], Option(metavar="NAME|DIR", help="Model for a config with a transformer: of the hub, or a folder")
    ] = None,
    lang: Annotated[Optional[str], Option(metavar="CODE", help="spaCy language code of the text")] = None,
    minutes: Annotated[
        Optional[float], Option(metavar="N", min=0, help="Train about so long on two cores; needs --train")
    ] = None,
) -> None:
    """Write a shipped config for `spacy train`; with --train, its settings follow the size of the data."""
    from ..recipes import tailored
    from ..shipped_configs import describe_configs, read_config, training_command, write_text

    with clear_errors():
        if name is None:
            if any([train, dev, vectors, transformer, lang, minutes is not None, sentencizer, force, output != "-"]):
                raise ValueError("Which config? Name one: python -m spacy crfner config bcrf_ner, and these options.")
            purposes = describe_configs()
            for known, purpose in purposes.items():
                print(f"{known:<{max(map(len, purposes))}}  {purpose}")
            say("Write one with: python -m spacy crfner config NAME --train FILE --dev FILE --output my.cfg")
            return
        paths = {"train": train, "dev": dev, "vectors": vectors, "transformer": transformer}
        shipped = read_config(name, sentencizer=sentencizer)
        text, remarks = tailored(shipped, paths=paths, lang=lang, minutes=minutes)
        for remark in remarks:
            say(remark)
        if output == "-":
            print(text, end="")
        else:
            write_text(text, Path(output), overwrite=force)
            given = [f"paths.{key}" for key, value in paths.items() if value] + ["nlp.lang"] * (lang is not None)
            say(f"Wrote {output}. Train with: {training_command(name, output, given)}")
