"""The settings of router and vote."""

from typing import Any, Dict, List, Optional

from ..components.settings import Setting, a_name, is_number, labels_or_null, name_or_null, names, number, one_of

ROUTER_SETTINGS: Dict[str, Setting] = {
    "weak_labels": Setting(
        Optional[List[str]], None, "the weak labels; `null` takes the rare ones and says so", labels_or_null
    ),
    "rare": Setting(
        float,
        0.02,
        "without `weak_labels`, a label is weak where less than this share of all entities has it",
        number(0.0, 1.0),
    ),
    "threshold": Setting(
        float,
        0.5,
        "a sentence is flagged where its probability reaches this; `spacy_crfner.tune_threshold.v1` finds it",
        number(0.0, 1.0),
    ),
    "penalty": Setting(
        float,
        0.0,
        "weight of the overlap of attentions (Lin et al. 2017), for `spacy_crfner.StructuredSelfAttention.v1`, which "
        "goes without at 0",
        number(0.0),
    ),
    "spans_key": Setting(str, "weak_class_router", "the span group that is written", a_name),
}

RULES = ("span", "word")


def _gates(value: Any) -> Optional[str]:
    if not isinstance(value, dict) or not all(is_number(probability, 0.0, 1.0) for probability in value.values()):
        return "a probability from 0 to 1 for each label"
    return None


VOTE_SETTINGS: Dict[str, Setting] = {
    "groups": Setting(List[str], ["strong", "weak"], "the span groups of the taggers, of any number", names),
    "rule": Setting(
        str,
        "span",
        '`"span"`: the more probable entity wins; `"word"`: at every word a tag beats O, and the more probable tag '
        "wins (Saarland report 2020, eqs. 8-9), for which the taggers annotate `marginals`",
        one_of(*RULES),
    ),
    "router": Setting(Optional[str], None, "the span group of a router", name_or_null),
    "gated": Setting(List[str], [], "groups that have a vote only in sentences which the router flags", names),
    "gates": Setting(
        Dict[str, float],
        {},
        "label and probability: entities of gated groups with this label need a sentence that the router finds at "
        "least so probable, flagged or not; `spacy_crfner.tune_threshold.v1` finds them",
        _gates,
    ),
    "overwrite_ents": Setting(bool, False, "`false` keeps entities that are in `doc.ents` already"),
}
