"""`python -m spacy crfner convert`: parse, call, print."""

from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Dict, List, Mapping, Optional

from typer import Argument, Option

from ..corpora import CorpusError
from ..corpora.char_spans import ALIGNMENTS
from ..corpora.columns import MISSING_TAGS
from ..corpora.convert import SPLITS, convert_files, left_over, plan_conversions, split_file
from ..corpora.reading import FORMATS
from ..corpora.writing import ConversionReport
from . import crfner
from .messages import clear_errors, say, show


@crfner.command("convert")
def convert_cli(
    sources: Annotated[List[Path], Argument(metavar="SOURCE", help="File, or folder with train, dev, test files")],
    to: Annotated[Path, Option(metavar="DIR", help="Folder for the .spacy files")],
    split: Annotated[
        Optional[str],
        Option(metavar="P,P[,P]", help="Shuffle one file and write P per cent to train, dev and, with three, test"),
    ] = None,
    file_format: Annotated[
        str, Option("--format", metavar="|".join(FORMATS), help="Of the files; auto goes by the file's name")
    ] = "auto",
    lang: Annotated[str, Option(help="spaCy language code")] = "en",
    limit: Annotated[
        Optional[str], Option(metavar="N|P%", help="Only the first N sentences, or P per cent, of every file")
    ] = None,
    seed: Annotated[int, Option(help="Seed of --split's order")] = 0,
    allow_no_entities: Annotated[bool, Option("--allow-no-entities", help="Accept a file without any entity")] = False,
    sentences_per_doc: Annotated[int, Option(metavar="N", help="Columns: join N sentences to one Doc")] = 1,
    cut_sentences: Annotated[
        bool, Option("--cut-sentences", help="Columns: cut behind full stops, where blank lines are missing")
    ] = False,
    no_spaces: Annotated[bool, Option("--no-spaces", help="Columns: no spaces between tokens, as in Chinese")] = False,
    token_column: Annotated[int, Option(metavar="N", help="Columns: counted from 0")] = 0,
    tag_column: Annotated[int, Option(metavar="N", help="Columns: counted from 0; -1 is the last")] = -1,
    missing_tag: Annotated[
        Optional[List[str]],
        Option(
            metavar="TAG",
            help=f"Columns: tag of tokens that were not annotated; repeatable (default: {' and '.join(MISSING_TAGS)})",
        ),
    ] = None,
    comment_prefix: Annotated[
        Optional[str],
        Option(metavar="TEXT", help="Columns: leave out lines that start so (default: none)"),
    ] = None,
    bare_labels: Annotated[
        bool, Option("--bare-labels", help="Columns: tags are labels without B- and I-, such as PER")
    ] = False,
    label: Annotated[
        Optional[str], Option(help="Columns: tags are B, I and O without labels; this is the label")
    ] = None,
    alignment: Annotated[
        str,
        Option(metavar="|".join(ALIGNMENTS), help="JSON lines: what to do with spans that cut a token"),
    ] = "strict",
    binary: Annotated[
        bool, Option("--binary", help="JSON lines: each record accepts or rejects one span, as in Prodigy's ner.teach")
    ] = False,
) -> None:
    """Convert annotated files (CoNLL-style columns or JSON lines) to .spacy files."""
    options: Dict[str, Any] = {
        "file_format": file_format,
        "language": lang,
        "limit": limit,
        "allow_no_entities": allow_no_entities,
        "sentences_per_doc": sentences_per_doc,
        "cut": cut_sentences,
        "no_spaces": no_spaces,
        "token_column": token_column,
        "tag_column": tag_column,
        "missing_tags": missing_tag or MISSING_TAGS,
        "comment_prefix": comment_prefix,
        "bare_labels": bare_labels,
        "label": label,
        "alignment": alignment,
        "binary": binary,
    }
    with clear_errors():
        if split is None:
            reports = convert_files(plan_conversions(sources, to), **options)
        elif len(sources) > 1:
            raise CorpusError(f"Only one file can be split (--split), but {len(sources)} are named: name one.")
        else:
            parts = split_file(sources[0], to, split, seed=seed, **options)
            reports = {to / f"{name}.spacy": report for name, report in parts.items()}
        for target, report in reports.items():
            show(f"{target}: {report}")
        for path in left_over(reports):
            advice = "; its texts may stand in the new files too: delete it" if split else ""
            say(f"{path}: this file is of an earlier conversion, and was left as it was{advice}.")
        say_next(reports, lang)


def say_next(reports: Mapping[Path, ConversionReport], lang: str) -> None:
    """Say how to make a config for what was converted, or what is missing to train on it."""
    files = {split: path for path in reports for split in SPLITS if path.stem == split}
    if "train" in files and "dev" in files:
        options = "".join(f" --{split} {quote(str(files[split]))}" for split in ("train", "dev"))
        language = f" --lang {lang}" if lang != "en" else ""
        sentencizer = " --sentencizer" if reports[files["train"]].several_sentences else ""
        say(f"Next: python -m spacy crfner config bcrf_ner{options}{language}{sentencizer} --output bcrf_ner.cfg")
    elif len(reports) == 1 and not files:
        say("Training needs two files, train and dev: to split this one, convert it again with --split 80,20.")
