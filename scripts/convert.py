"""Convert annotated files (CoNLL-style columns or JSON lines) to .spacy files."""

import argparse
import sys
from pathlib import Path

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.columns import MISSING_TAGS
from spacy_crfner.corpora.convert import convert_file, plan_conversions, split_file
from spacy_crfner.corpora.jsonl import ALIGNMENTS
from spacy_crfner.corpora.reading import FORMATS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="file, or folder with train, dev and test files")
    parser.add_argument("--to", required=True, metavar="DIR", help="folder for the .spacy files")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="default: by the file's name")
    parser.add_argument("--lang", default="en", help="spaCy language code (default: en)")
    parser.add_argument("--limit", metavar="N|P%", help="only the first N sentences, or P per cent, of every file")
    parser.add_argument(
        "--split", metavar="P,P[,P]", help="shuffle one file and write P per cent to train, dev and, with three, test"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of --split's order (default: 0)")
    parser.add_argument("--allow-no-entities", action="store_true", help="accept a file without any entity")
    columns = parser.add_argument_group("columns")
    columns.add_argument("--sentences-per-doc", type=int, default=1, metavar="N", help="join N sentences to one Doc")
    columns.add_argument("--no-spaces", action="store_true", help="no spaces between tokens, as in Chinese")
    columns.add_argument("--token-column", type=int, default=0, metavar="N", help="counted from 0; default: first")
    columns.add_argument("--tag-column", type=int, default=-1, metavar="N", help="counted from 0; default: last")
    columns.add_argument(
        "--missing-tag",
        action="append",
        metavar="TAG",
        help=f"tag of tokens that were not annotated; may be repeated (default: {' and '.join(MISSING_TAGS)})",
    )
    columns.add_argument("--comment-prefix", metavar="TEXT", help="leave out lines that start so (default: none)")
    jsonl = parser.add_argument_group("JSON lines")
    jsonl.add_argument(
        "--alignment", choices=ALIGNMENTS, default="strict", help="what to do with spans that cut a token"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    options = {
        "file_format": args.format,
        "language": args.lang,
        "limit": args.limit,
        "allow_no_entities": args.allow_no_entities,
        "sentences_per_doc": args.sentences_per_doc,
        "no_spaces": args.no_spaces,
        "token_column": args.token_column,
        "tag_column": args.tag_column,
        "missing_tags": args.missing_tag or MISSING_TAGS,
        "comment_prefix": args.comment_prefix,
        "alignment": args.alignment,
    }
    try:
        if args.split is not None:
            if len(args.sources) > 1:
                raise CorpusError(f"Only one file can be split (--split), but {len(args.sources)} are named: name one.")
            parts = split_file(args.sources[0], args.to, args.split, seed=args.seed, **options)
            for name, report in parts.items():
                print(f"{Path(args.to) / name}.spacy: {report}")
            return
        for source, target in plan_conversions(args.sources, args.to):
            print(f"{target}: {convert_file(source, target, **options)}")
    except CorpusError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
