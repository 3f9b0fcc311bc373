"""Train word vectors on the text at hand, for a language that has none.

They are floret vectors, which hash the parts of words, so that there is one for every word, in a spaCy pipeline that
holds nothing else. With one thread, the same text gives the same vectors.

Needs floret (pip install 'spacy-crfner[vectors]').
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterator, List

import spacy
from spacy.tokens import DocBin

from spacy_crfner.corpora import CorpusError
from spacy_crfner.corpora.reading import read_docs
from spacy_crfner.extras import require
from spacy_crfner.raw_text import read_words


def sentences(text: List[Path], annotated: List[Path], lang: str) -> Iterator[List[str]]:
    """The words of every sentence of text files (.gz or plain, a sentence a line) and of annotated ones."""
    nlp = spacy.blank(lang)
    yield from read_words(text, nlp)
    for path in annotated:
        if path.suffix == ".spacy":
            docs = DocBin().from_disk(path).get_docs(nlp.vocab)
        else:
            docs = (read.doc for read in read_docs(path, language=lang)[0])
        for doc in docs:
            yield [token.text for token in doc if not token.is_space]


def train_vectors(args: argparse.Namespace) -> None:
    floret = require("floret", "vectors", "Training word vectors")
    with TemporaryDirectory(prefix="spacy-crfner-") as folder:
        words, table = Path(folder) / "words.txt", Path(folder) / "vectors.floret"
        count = 0
        with words.open("w", encoding="utf8") as file:
            for sentence in sentences(args.text, args.annotated, args.lang):
                count += len(sentence)
                file.write(" ".join(sentence) + "\n")
        if not count:
            raise CorpusError("There are no words to learn from: give --text or --annotated files that hold some.")
        print(f"{count:,} words", flush=True)
        model = floret.train_unsupervised(
            str(words),
            model="skipgram",
            mode="floret",
            hashCount=2,
            bucket=args.rows,
            dim=args.width,
            minn=3,
            maxn=5,
            minCount=args.least,
            epoch=args.epochs,
            thread=args.threads,
            verbose=0,
        )
        model.save_floret_vectors(str(table))
        init = [sys.executable, "-m", "spacy", "init", "vectors", "--mode", "floret"]
        subprocess.run([*init, args.lang, str(table), str(args.to)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="+", type=Path, default=[], metavar="FILE", help="text, a sentence a line")
    parser.add_argument("--annotated", nargs="+", type=Path, default=[], metavar="FILE", help="columns, JSONL, .spacy")
    parser.add_argument("--lang", required=True, metavar="CODE", help="spaCy language code")
    parser.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="for the pipeline with the vectors")
    parser.add_argument("--width", type=int, default=100, metavar="N", help="features of a word (default: 100)")
    parser.add_argument("--rows", type=int, default=20000, metavar="N", help="rows of the table (default: 20000)")
    parser.add_argument("--least", type=int, default=5, metavar="N", help="times a word must occur (default: 5)")
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="default: 10")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    args = parser.parse_args()
    try:
        train_vectors(args)
    except (CorpusError, ImportError, OSError, ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
