"""Convert annotated files (CoNLL-style columns or JSON lines) to .spacy files."""

import argparse
import sys

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.columns import MISSING_TAGS
from spacy_crfner.corpora.convert import FORMATS, convert_file, plan_conversions
from spacy_crfner.corpora.jsonl import ALIGNMENTS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="file, or folder with train, dev and test files")
    parser.add_argument("--to", required=True, metavar="DIR", help="folder for the .spacy files")
    parser.add_argument("--format", choices=FORMATS, default="auto", help="default: by the file's name")
    parser.add_argument("--lang", default="en", help="spaCy language code (default: en)")
    parser.add_argument("--limit", metavar="N|P%", help="only the first N sentences, or P per cent, of every file")
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
    try:
        for source, target in plan_conversions(args.sources, args.to):
            report = convert_file(
                source,
                target,
                file_format=args.format,
                language=args.lang,
                limit=args.limit,
                allow_no_entities=args.allow_no_entities,
                sentences_per_doc=args.sentences_per_doc,
                no_spaces=args.no_spaces,
                token_column=args.token_column,
                tag_column=args.tag_column,
                missing_tags=args.missing_tag or MISSING_TAGS,
                comment_prefix=args.comment_prefix,
                alignment=args.alignment,
            )
            print(f"{target}: {report}")
    except CorpusError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
