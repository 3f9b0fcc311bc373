"""`python -m spacy crfner ...`: reads the command line, calls the package, prints what it says."""

import typer
from spacy.cli._util import app

crfner = typer.Typer(name="crfner", help="Commands of spacy-crfner", no_args_is_help=True)

from . import align, train_translator  # noqa: E402, F401

app.add_typer(crfner)
