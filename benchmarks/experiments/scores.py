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
    by_label = sorted(found["ents_per_type"].items())
    return {
        **{key: round(found[f"ents_{key}"], 6) for key in SCORES},
        "per_type": {label: {key: round(scores[key], 6) for key in SCORES} for label, scores in by_label},
        "words_per_second": round(found["speed"]),
    }


def predict(nlp: Language, examples: Sequence[Example]) -> None:
    """Let the pipeline predict into the examples; nlp.evaluate works on copies."""
    for example, doc in zip(examples, nlp.pipe([example.predicted for example in examples]), strict=True):
        example.predicted = doc


def summarize(per_seed: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Take mean and standard deviation over the seeds, for every split, in all and by label."""
    summary = {}
    for split in (key for key, value in per_seed[0].items() if isinstance(value, dict)):
        runs = [run[split] for run in per_seed]
        # A label that the split does not hold is only scored in the runs that predict it.
        labels = [label for label in runs[0]["per_type"] if all(label in run["per_type"] for run in runs)]
        summary[split] = {
            **_spread(runs),
            "per_type": {label: _spread([run["per_type"][label] for run in runs]) for label in labels},
        }
    return summary


def _spread(scores: List[Dict[str, float]]) -> Dict[str, Dict[str, Any]]:
    spread = {}
    for key in SCORES:
        column = [score[key] for score in scores]
        spread[key] = {"mean": round(mean(column), 6), "sd": round(stdev(column), 6) if len(column) > 1 else None}
    return spread


def format_table(summary: Dict[str, Any]) -> str:
    """Write the scores in per cent, a line for each split."""
    lines = [["", "P", "R", "F"]]
    lines += [[split, *(percent(**scores[key]) for key in SCORES)] for split, scores in summary.items()]
    width = max(map(len, summary))
    return "\n".join("  ".join([f"{split:{width}}", *(f"{cell:>14}" for cell in cells)]) for split, *cells in lines)


def percent(mean: float, sd: Optional[float], sign: str = "-") -> str:
    return f"{100 * mean:{sign}.2f}" + ("" if sd is None else f" ± {100 * sd:.2f}")
