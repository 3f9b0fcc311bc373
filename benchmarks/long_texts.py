"""Measure memory and time of long texts, each case in a process of its own, at half its size and at its whole size.

The pipelines have learned from the demo corpus for a few updates; the texts are made of its sentences.

Example:
    python benchmarks/long_texts.py --only "max-F decoder"
"""

import argparse
import random
import tempfile
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any, Dict, List, Optional

import spacy
from experiments.options import check_only, make_parser, positive, program
from experiments.record import ROOT, write_result
from experiments.workers import call, memory_mb
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_crfner.corpora.columns import Sentence, read_columns

NEWS = ROOT / "assets" / "news" / "train.conll"
UPDATES = 60
DOCS_A_BATCH = 32
MANY = 150

ALL = {"annotate": ["confidence", "marginals", "n_best"], "n_best": 5}
MAX_F = {"decoder": {"@misc": "spacy_crfner.max_f_decoder.v1", "threshold": 0.45, "max_length": 12}}
SELECTION = {"@misc": "spacy_crfner.select_sentences.v1", "predict": "routed", "router": "weak_class_router"}
ROUTED = {"sentences": {**SELECTION, "train": "all", "labels": None}, "spans_key": "weak"}


@dataclass(frozen=True)
class Case:
    """What is measured.

    tokens: of all Docs, of which there are `docs`.
    sentence: tokens of each sentence; None leaves a Doc whole. long: the first half of a Doc is one sentence.
    labels: of the tagger; None takes those of the corpus.
    pipe, config: the tagger, and what differs from its defaults.
    task: what is timed: prediction, one update, or the probabilities of sentences (`look up`) of so many spans.
    """

    tokens: int
    sentence: Optional[int] = None
    docs: int = 1
    long: bool = False
    labels: Optional[int] = None
    pipe: str = "bcrf_ner"
    config: Dict[str, Any] = field(default_factory=dict)
    task: str = "predict"
    spans: int = 1_000


CASES: Dict[str, Case] = {
    "a sentence of half the tokens, the others of one": Case(200_000, 1, long=True),
    "150 labels, sentences of 5": Case(20_000, 5, labels=MANY),
    "150 labels, 1,000 docs": Case(10_000, docs=1_000, labels=MANY),
    "max-F decoder": Case(100_000, config=MAX_F),
    "all annotations": Case(200_000, config=ALL),
    "all annotations, 150 labels, sentences of 25": Case(4_000, 25, labels=MANY, config=ALL),
    "1,000 docs of 200": Case(200_000, 20, docs=1_000),
    "all sentences flagged": Case(50_000, 20, config=ROUTED),
    "probabilities of the sentences of 1,000 entities": Case(50_000, 20, config=ROUTED, task="look up"),
    "training": Case(50_000, task="update"),
    "training, sentences of 20": Case(50_000, 20, task="update"),
    "training, spaCy's ner": Case(50_000, pipe="ner", task="update"),
}


def make_pipeline(job: Dict[str, Any]) -> Dict[str, Any]:
    """Train the pipeline of a case and save it."""
    case = Case(**job["case"])
    fix_random_seed(job["seed"])
    nlp = spacy.blank("en")
    routed = "sentences" in case.config
    if routed:
        nlp.add_pipe("weak_class_router", config={"weak_labels": ["PER"], "threshold": 0.0})
    nlp.add_pipe(case.pipe, config=case.config)
    examples = []
    for number, sentence in enumerate(read_columns(NEWS)):
        suffix = "" if case.labels is None else f"-{number % case.labels}"
        tags = [
            tag if tag == "O" else tag[:2] + (tag[2:] if case.labels is None else f"L{suffix}") for tag in sentence.tags
        ]
        reference = Doc(nlp.vocab, words=sentence.words, ents=tags)
        examples.append(Example(Doc(nlp.vocab, words=sentence.words), reference))
    optimizer = nlp.initialize(lambda: examples)
    draw = random.Random(job["seed"])
    for _ in range(UPDATES):
        batch = draw.sample(examples, DOCS_A_BATCH)
        nlp.update(batch, sgd=optimizer, drop=0.2, annotates=["weak_class_router"] if routed else [])
    nlp.to_disk(job["model"])
    return {}


def make_docs(nlp: Language, case: Case, tokens: int) -> List[Doc]:
    """Make Docs of so many tokens in all."""
    sentences: List[Sentence] = read_columns(NEWS)
    pairs = [pair for sentence in sentences for pair in zip(sentence.words, sentence.tags, strict=True)]
    size = tokens // case.docs
    stream = cycle(pairs)
    docs = []
    for _ in range(case.docs):
        words, tags = zip(*islice(stream, size), strict=True)
        starts = None
        if case.sentence is not None:
            first = size // 2 if case.long else 0
            starts = [k == 0 or (k >= first and (k - first) % case.sentence == 0) for k in range(size)]
            # An entity must not cross a border.
        docs.append((words, tags, starts))
    return [
        Doc(nlp.vocab, words=words, sent_starts=starts, ents=_inside(tags, starts) if case.task == "update" else None)
        for words, tags, starts in docs
    ]


def _inside(tags: Any, starts: Optional[List[bool]]) -> List[str]:
    """Let an entity begin anew where a sentence, or the text, does."""
    begins = [k == 0 if starts is None else starts[k] for k in range(len(tags))]
    return [f"B-{tag[2:]}" if begin and tag != "O" else tag for tag, begin in zip(tags, begins, strict=True)]


def measure(job: Dict[str, Any]) -> Dict[str, Any]:
    """Do the task of a case on a text of `tokens`; `added_mb` is what it needed at most beside what was there."""
    case = Case(**job["case"])
    nlp = spacy.load(job["model"])
    small = make_docs(nlp, Case(**{**job["case"], "docs": 1}), 200)
    docs = make_docs(nlp, case, job["tokens"])
    if case.task == "update":
        optimizer = nlp.resume_training()
        nlp.update([Example(doc.copy(), doc) for doc in small], sgd=optimizer, drop=0.2)
        examples = [Example(Doc(nlp.vocab, words=[t.text for t in doc], sent_starts=_starts(doc)), doc) for doc in docs]
    else:
        list(nlp.pipe(small))
    if case.task == "look up":
        docs = list(nlp.pipe(docs))
    # The peak counts from here on.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory_mb("VmRSS")
    start = perf_counter()
    if case.task == "update":
        nlp.update(examples, sgd=optimizer, drop=0.2)
    elif case.task == "look up":
        (doc,) = docs
        for k in range(case.spans):
            assert doc[len(doc) - 1 - k % 100 : len(doc) - k % 100]._.weak_probability is not None
    else:
        list(nlp.pipe(docs))
    seconds = perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "before_mb": before,
        "added_mb": round(max(0.0, memory_mb("VmHWM") - before), 1),
    }


def _starts(doc: Doc) -> Optional[List[bool]]:
    return [bool(token.is_sent_start) for token in doc] if doc.has_annotation("SENT_START") else None


parser = make_parser(__doc__, "only", "seed", defaults={"threads": 1, "name": "long-texts"})
parser.add_argument("--scale", type=positive(float), default=1.0, metavar="X", help="times as many tokens (default: 1)")
parse_args = parser.parse_args


def run(args: argparse.Namespace) -> Path:
    cases: Dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in check_only(args.only, list(CASES)):
            case, model = CASES[name], Path(folder) / name.replace(" ", "-").replace(",", "")
            job = {"case": asdict(case), "model": str(model), "seed": args.seed}
            call("long_texts.make_pipeline", job, Path(folder), threads=args.threads)
            whole = max(2 * case.docs, round(case.tokens * args.scale))
            sizes: List[Dict[str, Any]] = []
            for tokens in (whole // 2, whole):
                found = call("long_texts.measure", {**job, "tokens": tokens}, Path(folder), threads=args.threads)
                sizes.append({"tokens": tokens, **found})
                print(f"{name}, {tokens:,} tokens: {found['added_mb']:,.0f} MB, {found['seconds']:.1f} s", flush=True)
            cases[name] = {**asdict(case), "half": sizes[0], "whole": sizes[1]}
            target = write_result(args, "long_texts", args.name, ("seed", "threads", "scale"), cases=cases)
    return target


main = program(parse_args, run)

if __name__ == "__main__":
    main()
