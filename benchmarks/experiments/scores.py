"""Entity scores of a pipeline, and their mean and spread over seeds."""

from statistics import mean, stdev
from typing import Any, Dict, Iterable, List, Optional, Sequence

from spacy.language import Language
from spacy.training import Example

from experiments.errors import BenchmarkError

SCORES = ("p", "r", "f")
"""Precision, recall and F1 as they are named in results; with `ents_` before them, as spaCy names them."""


def evaluate(nlp: Language, examples: Iterable[Example], split: str) -> Dict[str, Any]:
    """Score the entities, from 0 to 1, in all and by label, and measure the words per second.

    split: name for the message of the BenchmarkError that is raised where the pipeline has no entity scores.
    """
    found = nlp.evaluate(list(examples))
    if any(found.get(f"ents_{key}") is None for key in SCORES):
        raise BenchmarkError(
            f"The pipeline ({', '.join(nlp.pipe_names)}) has no entity scores (ents_p, ents_r, ents_f) on {split}: it "
            "needs a component that writes doc.ents and a scorer for it, and the split needs entity annotation."
        )
    return {
        **_rounded({key: found[f"ents_{key}"] for key in SCORES}),
        "per_type": {label: _rounded(scores) for label, scores in sorted(found["ents_per_type"].items())},
        "words_per_second": round(found["speed"]),
    }


def _rounded(scores: Dict[str, float]) -> Dict[str, float]:
    return {key: round(scores[key], 6) for key in SCORES}


def predict(nlp: Language, examples: Sequence[Example]) -> None:
    """Let the pipeline predict into the examples; nlp.evaluate works on copies."""
    for example, doc in zip(examples, nlp.pipe([example.predicted for example in examples]), strict=True):
        example.predicted = doc


def summarize(per_seed: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Take mean and standard deviation over the seeds, for every split, in all and by label."""
    summary = {}
    for split in (key for key, value in per_seed[0].items() if isinstance(value, dict)):
        runs = [result[split] for result in per_seed]
        # A label that the split does not hold is only scored in the runs that predict it.
        labels = [label for label in runs[0]["per_type"] if all(label in run["per_type"] for run in runs)]
        summary[split] = {
            **_spread(runs),
            "per_type": {label: _spread([run["per_type"][label] for run in runs]) for label in labels},
        }
    return summary


def _spread(scores: List[Dict[str, float]]) -> Dict[str, Dict[str, Optional[float]]]:
    columns = {key: [score[key] for score in scores] for key in SCORES}
    return {
        key: {"mean": round(mean(column), 6), "sd": round(stdev(column), 6) if len(column) > 1 else None}
        for key, column in columns.items()
    }


def format_table(summary: Dict[str, Any]) -> str:
    """Write the scores in per cent, a line for each split."""
    width = max(len(split) for split in summary)
    lines = [f"{'':{width}}  {'P':>14}  {'R':>14}  {'F':>14}"]
    for split, scores in summary.items():
        cells = (f"{_percent(scores[key]):>14}" for key in SCORES)
        lines.append("  ".join([f"{split:{width}}", *cells]))
    return "\n".join(lines)


def _percent(spread: Dict[str, Optional[float]]) -> str:
    deviation = "" if spread["sd"] is None else f" ± {100 * spread['sd']:.2f}"
    return f"{100 * (spread['mean'] or 0):.2f}{deviation}"
