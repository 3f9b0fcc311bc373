"""Entity scores for components that write doc.ents or a span group."""

from collections import defaultdict
from typing import Any, Callable, Dict, Iterable, Optional, Set

from spacy.scorer import PRFScore
from spacy.training import Example

from ..white_space import entities, trim


def make_entity_scorer_v1() -> Callable[..., Dict[str, Any]]:
    """Compute precision, recall and F1 of entities, in all and by label.

    A component that writes doc.ents gets spaCy's own keys `ents_p`, `ents_r`, `ents_f`, `ents_per_type`. One that
    writes the span group `key` gets `spans_<key>_p`, ..., where its spans are compared with the gold entities. With a
    `label_filter`, only entities of these labels count.
    """
    return score_entities


def make_average_scorer_v1() -> Callable[..., Dict[str, Any]]:
    """Score as `spacy_crfner.entity_scorer.v1`, with two more averages over the labels, for corpora with rare ones.

    `ents_macro_f`: the mean F1 of the labels, each with the same weight; `ents_weighted_f`: each with the number of its
    gold entities as weight. Labels without gold entities do not count; `ents_f` counts every entity alike.
    """
    return score_averages


def score_averages(
    examples: Iterable[Example],
    *,
    spans_key: Optional[str] = None,
    label_filter: Optional[Iterable[str]] = None,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score as `score_entities` does, with the macro and the weighted average; None where nothing is annotated."""
    examples = list(examples)
    scores = score_entities(examples, spans_key=spans_key, label_filter=label_filter)
    counts = _count(examples, spans_key, None if label_filter is None else set(label_filter)) or {}
    weights = {label: count.tp + count.fn for label, count in counts.items() if count.tp + count.fn}
    prefix = "ents" if spans_key is None else f"spans_{spans_key}"
    f_scores = {label: counts[label].fscore for label in weights}
    total = sum(weights.values())
    weighted = sum(weights[label] * f for label, f in f_scores.items())
    scores[f"{prefix}_macro_f"] = sum(f_scores.values()) / len(f_scores) if f_scores else None
    scores[f"{prefix}_weighted_f"] = weighted / total if total else None
    return scores


def score_entities(
    examples: Iterable[Example],
    *,
    spans_key: Optional[str] = None,
    label_filter: Optional[Iterable[str]] = None,
    **cfg: Any,
) -> Dict[str, Any]:
    """Score predicted Docs against their references; None where no reference is annotated.

    White space at the ends of entities does not count, and entities of white space alone are none, in predictions and
    references alike: components neither learn nor find it.

    spans_key: the span group that holds the predictions; None takes doc.ents.
    label_filter: the labels that the component was made for: other entities do not count.
    """
    counts = _count(examples, spans_key, None if label_filter is None else set(label_filter))
    prefix = "ents" if spans_key is None else f"spans_{spans_key}"
    # As in spaCy's own score, None where there is nothing to score.
    if counts is None or not (counts or spans_key or label_filter):
        return {f"{prefix}_{name}": None for name in ("p", "r", "f", "per_type")}
    total = sum(counts.values(), PRFScore())
    return {
        f"{prefix}_p": total.precision,
        f"{prefix}_r": total.recall,
        f"{prefix}_f": total.fscore,
        f"{prefix}_per_type": {label: counts[label].to_dict() for label in sorted(counts)},
    }


def _count(
    examples: Iterable[Example], spans_key: Optional[str], wanted: Optional[Set[str]]
) -> Optional[Dict[str, PRFScore]]:
    """Count the hits and misses of each label; None where no reference is annotated."""
    counts: Dict[str, PRFScore] = defaultdict(PRFScore)
    annotated = False
    for example in examples:
        if not example.reference.has_annotation("ENT_IOB"):
            continue
        annotated = True
        reference, to_reference = example.reference, example.alignment.x2y
        gold = set(entities(reference.ents))
        predicted = set()
        spans = example.predicted.ents if spans_key is None else example.predicted.spans.get(spans_key, [])
        for span in spans:
            tokens = to_reference[span.start : span.end]
            if not len(tokens):
                continue
            start, end = trim(reference, int(tokens[0]), int(tokens[-1]) + 1)
            # As in spaCy's own score, predictions on tokens without annotation do not count.
            if start < end and all(token.ent_iob or token.text.isspace() for token in reference[start:end]):
                predicted.add((start, end, span.label_))
        for label in {span[2] for span in predicted | gold}:
            if wanted is None or label in wanted:
                counts[label].score_set({s for s in predicted if s[2] == label}, {s for s in gold if s[2] == label})
    return counts if annotated else None
