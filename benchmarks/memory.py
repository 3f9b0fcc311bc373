"""Run a pipeline over many short documents, each with a word that was never seen, and write how its memory grows.

Documents are handled in memory zones, as spaCy advises for services: what it learned of their words is dropped.

Examples:
    python benchmarks/memory.py --model training/news/model-best --docs 1000000
    python benchmarks/memory.py --model training/news/model-best --docs 1000000 --without bcrf_ner
"""

import argparse
import random
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, Iterable, Iterator, List

import spacy
import torch
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import ROOT, shown_path, write_result
from experiments.workers import memory_mb
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from spacy_crfner.corpora.columns import read_columns

WORDS_A_DOC = 5
DOCS_A_ZONE = 10_000


NEWS = ROOT / "assets" / "news" / "train.conll"

parser = make_parser(__doc__, "name")
parser.add_argument("--model", required=True, type=Path, metavar="PATH", help="a trained pipeline")
parser.add_argument("--text", type=Path, default=NEWS, metavar="PATH", help="where words come from (demo corpus)")
parser.add_argument("--docs", type=int, default=1_000_000, metavar="N", help="documents (default: 1,000,000)")
parser.add_argument("--without", metavar="NAME", help="leave this component out, to see what spaCy itself needs")
parse_args = parser.parse_args


def make_docs(nlp: Language, words: List[str], documents: Iterable[int]) -> Iterator[Doc]:
    """Make documents of consecutive words of a corpus, and a number that no other document has."""
    for document in documents:
        start = random.randrange(len(words) - WORDS_A_DOC)
        yield Doc(nlp.vocab, words=[*words[start : start + WORDS_A_DOC - 1], f"N{document}"])


def measure(nlp: Language, words: List[str], docs: int) -> Dict[str, Any]:
    """Read the memory after each tenth of the documents."""
    memory, start = {"0": memory_mb("VmRSS")}, perf_counter()
    for tenth in range(10):
        first, end = docs * tenth // 10, docs * (tenth + 1) // 10
        for zone in minibatch(range(first, end), DOCS_A_ZONE):
            with nlp.memory_zone():
                deque(nlp.pipe(make_docs(nlp, words, zone)), maxlen=0)
        memory[str(end)] = memory_mb("VmRSS")
        print(f"{end:,} documents: {memory[str(end)]:,.0f} MB", flush=True)
    speed = docs * WORDS_A_DOC / (perf_counter() - start)
    return {"docs": docs, "words": docs * WORDS_A_DOC, "words_per_second": round(speed), "memory_mb": memory}


def run(args: argparse.Namespace) -> Path:
    torch.set_num_threads(1)
    random.seed(0)
    if args.docs < 10:
        raise BenchmarkError(f"--docs must be 10 or more, not {args.docs}.")
    if not args.model.is_dir():
        raise BenchmarkError(f"{args.model}: there is no such pipeline: train one first, or check --model.")
    words = [word for sentence in read_columns(args.text) for word in sentence.words]
    nlp = spacy.load(args.model)
    if args.without is not None:
        if args.without not in nlp.pipe_names:
            raise BenchmarkError(f"{args.model} has no component {args.without!r}: it has {', '.join(nlp.pipe_names)}.")
        nlp.remove_pipe(args.without)
    measured = measure(nlp, words, args.docs)
    name = args.name or ("memory" if args.without is None else f"memory-without-{args.without}")
    return write_result(args, "memory", name, ["without"], model=shown_path(args.model), **measured)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
