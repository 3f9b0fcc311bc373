"""The command lines of benchmarks: options that several of them have, by name, and how a benchmark starts and ends."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from experiments.errors import BenchmarkError, clear_errors
from experiments.record import DATA_VARIABLE, RESULTS, ROOT
from spacy_crfner.corpora import CorpusError


def positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Read a number that is above 0."""

    def read(text: str) -> Any:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"must be more than 0, not {text}.")
        return value

    read.__name__ = kind.__name__
    return read


OPTIONS: Dict[str, Dict[str, Any]] = {
    "corpus": {"metavar": "NAME", "help": f"the files ${DATA_VARIABLE}/NAME/{{train,dev,test}}.conll.gz"},
    "train-corpus": {"metavar": "NAME", "help": "take the train file from this folder instead"},
    "train-file": {"metavar": "PATH", "type": Path, "help": "the train file (.conll, .conll.gz, .jsonl or .spacy)"},
    "dev-file": {"metavar": "PATH", "type": Path, "help": "the dev file"},
    "test-file": {"metavar": "PATH", "type": Path, "help": "the test file"},
    "limit-train": {"metavar": "N|P%", "help": "train on the first N sentences, or P per cent"},
    "limit-test": {"metavar": "N|P%", "help": "measure on the first N sentences, or P per cent"},
    "no-test": {"action": "store_true", "help": "evaluate on dev only, as for tuning"},
    "test": {"action": "store_true", "help": "score on the test split too, which is for the end"},
    "lang": {"metavar": "CODE", "help": "language of corpus and pipeline"},
    "config": {"metavar": "PATH", "type": Path, "default": ROOT / "configs" / "bcrf_ner.cfg"},
    "vectors": {"metavar": "PATH|NAME", "help": "a pipeline with word vectors"},
    "steps": {"metavar": "N", "type": positive(int), "help": "updates of each training"},
    "seeds": {"metavar": "N", "type": int, "nargs": "+", "default": [0], "help": "of the trainings"},
    "seed": {"metavar": "N", "type": int, "default": 0, "help": "of all that is random"},
    "only": {"metavar": "VARIANT", "nargs": "+", "help": "measure these alone (default: all)"},
    "gpu-id": {"metavar": "N", "type": int, "default": -1, "help": "-1 is the CPU"},
    "threads": {"metavar": "N", "type": positive(int), "default": 1, "help": "threads of every system"},
    "rounds": {"metavar": "N", "type": positive(int), "default": 5, "help": "measurements of each"},
    "seconds": {"metavar": "S", "type": positive(float), "default": 20.0, "help": "how long each is measured"},
    "keep": {"metavar": "FOLDER", "type": Path, "help": "keep models as FOLDER/<result name>/<variant>-<seed>"},
    "name": {"help": "stem of the result file"},
    "to": {"metavar": "FOLDER", "type": Path, "default": RESULTS, "help": "where the result is written"},
}
"""The options that benchmarks share. `train-file` is --train, and so are the others."""


def make_parser(
    doc: Optional[str], *names: str, required: Sequence[str] = (), defaults: Optional[Mapping[str, Any]] = None
) -> argparse.ArgumentParser:
    """Make a parser with these of the OPTIONS, and with --to.

    doc: the text of the module, shown by --help. required: names of options that must be given, beside the others.
    defaults: name -> default, where it is another one.
    """
    defaults = defaults or {}
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    for name in dict.fromkeys((*required, *names, *defaults, "to")):
        settings = {**OPTIONS[name], **({"default": defaults[name]} if name in defaults else {})}
        if "default" in settings:
            value = settings["default"]
            text = " ".join(map(str, value)) if isinstance(value, list) else value
            text = text.relative_to(ROOT) if isinstance(text, Path) else text
            settings["help"] = f"{settings.get('help', 'of the pipeline')} (default: {text})"
        if name in required:
            settings["required"] = True
        parser.add_argument(f"--{name.removesuffix('-file')}", dest=name.replace("-", "_"), **settings)
    return parser


def check_only(only: Optional[Sequence[str]], known: Sequence[str]) -> Sequence[str]:
    """Return what is to be measured: all, where nothing is named. Raises BenchmarkError for a name that is unknown."""
    unknown = sorted(set(only or ()) - set(known))
    if unknown:
        raise BenchmarkError(f"There is no variant {', '.join(unknown)}: choose from {'; '.join(known)}.")
    return list(dict.fromkeys(known if only is None else only))


def program(
    parse_args: Callable[[Sequence[str]], argparse.Namespace], run: Callable[[argparse.Namespace], Any]
) -> Callable[..., None]:
    """Make the function that a script calls, with no argument or the script and its arguments.

    parse_args: reads the arguments. run: measures, and returns what is printed last, the path of the result; it finds
        the script and its arguments in `args.command`.
    """

    def main(command: Optional[Sequence[str]] = None) -> None:
        if command is None:
            # However it is stopped, it takes the workers with it and leaves no temporary files.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            command = sys.argv
        try:
            with clear_errors(CorpusError):
                args = parse_args(command[1:])
                args.command = command
                print(run(args))
        except KeyboardInterrupt:
            print("Interrupted: start the same command again; what is measured is kept.", file=sys.stderr)
            sys.exit(130)

    return main
