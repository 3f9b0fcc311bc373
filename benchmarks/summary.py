"""Mean and spread of entity scores over seeds."""

from statistics import mean, stdev
from typing import Any, Dict, List, Optional

SCORES = ("p", "r", "f")
"""Precision, recall and F1 as they are named in results; with `ents_` before them, as spaCy names them."""


def summarize(per_seed: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Mean and standard deviation over the seeds, for every split, in all and by label."""
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
    """The scores in per cent, a line for each split."""
    width = max(len(split) for split in summary)
    lines = [f"{'':{width}}  {'P':>14}  {'R':>14}  {'F':>14}"]
    for split, scores in summary.items():
        cells = (f"{_percent(scores[key]):>14}" for key in SCORES)
        lines.append("  ".join([f"{split:{width}}", *cells]))
    return "\n".join(lines)


def _percent(spread: Dict[str, Optional[float]]) -> str:
    deviation = "" if spread["sd"] is None else f" ± {100 * spread['sd']:.2f}"
    return f"{100 * (spread['mean'] or 0):.2f}{deviation}"
