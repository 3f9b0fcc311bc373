"""Entity scores for components that write doc.ents or a span group."""

from typing import Any, Callable, Dict, Iterable, Optional

from spacy.scorer import PRFScore, get_ner_prf
from spacy.training import Example


def make_entity_scorer_v1() -> Callable[..., Dict[str, Any]]:
    """Precision, recall and F1 of entities, in all and by label.

    A component that writes doc.ents gets spaCy's own keys `ents_p`, `ents_r`, `ents_f`, `ents_per_type`. One that
    writes the span group `key` gets `spans_<key>_p`, ..., where its spans are compared with the gold entities.
    """
    return score_entities


def score_entities(
    examples: Iterable[Example], *, spans_key: Optional[str] = None, labels: Iterable[str] = (), **cfg: Any
) -> Dict[str, Any]:
    """Scores of predicted Docs against their references; None where no reference is annotated.

    spans_key: the span group that holds the predictions; None takes doc.ents.
    labels: with spans_key, the gold entities that count; all if empty.
    """
    if spans_key is None:
        return get_ner_prf(examples)
    wanted = set(labels)
    total, per_type, annotated = PRFScore(), {label: PRFScore() for label in sorted(wanted)}, False
    for example in examples:
        if not example.reference.has_annotation("ENT_IOB"):
            continue
        annotated = True
        known = example.get_aligned("ENT_IOB")
        gold = {
            (span.label_, span.start, span.end)
            for span in example.get_aligned_spans_y2x(example.reference.ents)
            if not wanted or span.label_ in wanted
        }
        # As spaCy's own NER score does, predictions on tokens without annotation do not count.
        found = {
            (span.label_, span.start, span.end)
            for span in example.predicted.spans.get(spans_key, [])
            if all(known[i] not in (None, 0) for i in range(span.start, span.end))
        }
        total.score_set(found, gold)
        for label in {span[0] for span in found | gold}:
            score = per_type.setdefault(label, PRFScore())
            score.score_set({s for s in found if s[0] == label}, {s for s in gold if s[0] == label})
    prefix = f"spans_{spans_key}"
    if not annotated:
        return {f"{prefix}_{name}": None for name in ("p", "r", "f", "per_type")}
    return {
        f"{prefix}_p": total.precision,
        f"{prefix}_r": total.recall,
        f"{prefix}_f": total.fscore,
        f"{prefix}_per_type": {label: score.to_dict() for label, score in per_type.items()},
    }
