"""Train flair's BiLSTM-CRF on a corpus and write how well it finds entities, as accuracy.py does for configs.

Flair has an environment of its own, without spaCy and this package. Its SequenceTagger reads the word vectors of a
pipeline and a character BiLSTM, and is trained by its ModelTrainer with the settings that are flair's defaults.

Example:
    python benchmarks/accuracy_flair.py --corpus conll2003-en --train-corpus conll2003-en-20 \
        --vectors en_core_web_md --flair-python flair/bin/python --seeds 0 --name conll2003-en-20-flair
"""

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Dict, List

from accuracy import read_seeds, write_seeds
from experiments.corpora import CorpusFiles, open_corpus, read_docs
from experiments.fingerprints import code_fingerprint, model_fingerprint
from experiments.options import make_parser, positive, program
from experiments.record import shown_path
from experiments.results import ResultFile, Run
from experiments.scores import SCORES, format_table, summarize
from experiments.workers import call
from spacy.scorer import Scorer
from spacy.tokens import Span
from spacy.training import Example
from spacy.vocab import Vocab
from speed import flair_files, flair_python

from spacy_crfner.files import fingerprint

VARIANT = "flair"
OPTIONS = ("corpus", "train-corpus", "train-file", "dev-file", "test-file", "no-test", "seeds", "threads", "name")
parser = make_parser(__doc__, *OPTIONS, required=["vectors"])
parser.add_argument("--flair-python", metavar="PATH", required=True, help="a Python that has flair")
parser.add_argument("--epochs", type=positive(int), default=150, help="passes over the train split, at most")
parse_args = parser.parse_args


@dataclass
class Flair:
    """What the tagger is made of."""

    vectors: str
    epochs: int

    def fingerprint(self) -> str:
        code = code_fingerprint("", Path(__file__), Path(__file__).with_name("speed_flair.py"))
        return fingerprint(VARIANT, self.epochs, model_fingerprint(self.vectors), code)[:16]


def score(file: Path, found: List[List[Any]]) -> Dict[str, Any]:
    """Score entities, (start, end, label) for each Doc of a `.spacy` file, as `experiments.scores.evaluate` does."""
    examples = []
    for doc, entities in zip(read_docs(file, Vocab()), found, strict=True):
        predicted = doc.copy()
        predicted.set_ents([Span(predicted, start, end, label=label) for start, end, label in entities])
        examples.append(Example(predicted, doc))
    scores = Scorer.score_spans(examples, "ents")
    return {
        **{key: round(scores[f"ents_{key}"], 6) for key in SCORES},
        "per_type": {
            label: {key: round(of_label[key], 6) for key in SCORES}
            for label, of_label in sorted(scores["ents_per_type"].items())
        },
    }


def measure(variant: Flair, corpus: CorpusFiles, seed: int, folder: Path, *, args: argparse.Namespace) -> Run:
    job = {"seed": seed, "epochs": variant.epochs, "folder": str(folder / "model")}
    job.update(flair_files(corpus.files, variant.vectors, folder))
    python = flair_python(args.flair_python)
    assert python is not None
    found = call("speed_flair.train_to_the_end", job, folder, python=python, threads=args.threads)
    splits = [split for split in ("dev", "test") if split in corpus.files]
    return {
        **{key: found[key] for key in ("best_epoch", "training_seconds")},
        **{split: score(corpus.files[split], found["entities"][split]) for split in splits},
    }


def run(args: argparse.Namespace) -> Path:
    """Measure the seeds that are not measured yet."""
    from experiments.training import measure_variants

    flair_python(args.flair_python)
    with open_corpus(args, optional=() if args.no_test else ("test",)) as corpus:
        key = {"config": VARIANT, "epochs": args.epochs, "vectors": shown_path(args.vectors)}
        key.update(corpus=corpus.counts(), fingerprint=corpus.fingerprint())
        name = args.name or f"{corpus.name}-{VARIANT}"
        result = ResultFile(args, "accuracy", name, key, partial(read_seeds, variant=VARIANT), write_seeds)
        needed = [split for split in ("dev", "test") if split in corpus.files]
        make, work = (lambda _: Flair(args.vectors, args.epochs)), partial(measure, args=args)
        measure_variants(result, corpus, [VARIANT], make, needed, work)
    print(format_table(summarize(write_seeds(result.rows())["per_seed"])))
    return result.path


main = program(parse_args, run)

if __name__ == "__main__":
    main()
