"""`python -m spacy crfner ...`: reads the command line, calls the package, prints what it says.

Every module in this folder is imported, so that a command is there as soon as its file is.
"""

from importlib import import_module
from pkgutil import iter_modules

import typer
from spacy.cli._util import app

crfner = typer.Typer(name="crfner", help="Commands of spacy-crfner", no_args_is_help=True)

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")

app.add_typer(crfner)
