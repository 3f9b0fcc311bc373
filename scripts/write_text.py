"""Write the text of annotated files, a sentence a line, as a translator is trained on it."""

import argparse
import sys
from pathlib import Path

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.reading import read_docs


def write_text(source: Path, folder: Path, lang: str) -> Path:
    """Write `<folder>/<name of the source without its last suffix>.txt`, words with spaces between them."""
    docs = read_docs(source, language=lang).docs
    target = folder / f"{source.stem}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (" ".join(token.text for token in read.doc) for read in docs)
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf8")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="column or JSON lines files")
    parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="folder for the text files")
    parser.add_argument("--lang", default="en", help="spaCy language code (default: en)")
    args = parser.parse_args()
    try:
        for source in args.sources:
            print(write_text(source, args.to, args.lang))
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
