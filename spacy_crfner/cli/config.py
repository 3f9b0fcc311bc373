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
) -> None:
    """Write a shipped config, for `spacy train`."""
    from ..shipped_configs import describe_configs, read_config, training_command, write_config

    with clear_errors():
        if name is None:
            for known, purpose in describe_configs().items():
                print(f"{known:<18} {purpose}")
            say("Write one with: python -m spacy crfner config NAME --output my.cfg")
        elif output == "-":
            print(read_config(name, sentencizer=sentencizer), end="")
        else:
            write_config(name, Path(output), sentencizer=sentencizer, overwrite=force)
            say(f"Wrote {output}. Train with: {training_command(name, output)}")
