"""The settings of taggers."""

from typing import Dict, List, Optional

from ..components.settings import Setting, labels_or_null, name_or_null, number, one_of, some_of, whole_number
from ..tags import SCHEMES
from .annotation import ANNOTATIONS

MOST_SEQUENCES = 10_000
"""Of `n_best`. Time and memory grow with it, at every token."""

TASK_SETTINGS: Dict[str, Setting] = {
    "scheme": Setting(str, "BIOES", 'tag scheme, or `"BIO"`', one_of(*SCHEMES), fixed=True),
    "per_sentence": Setting(
        bool,
        True,
        "run the CRF on each sentence by itself where `doc.sents` is set, in training by a component in front, see "
        "[Sentences](training.md#sentences); `false` always takes the whole Doc",
    ),
    "label_filter": Setting(
        Optional[List[str]],
        None,
        "the only labels that are learned and found; entities of others count as none",
        labels_or_null,
    ),
    "spans_key": Setting(Optional[str], None, "write `doc.spans[spans_key]` and leave `doc.ents` alone", name_or_null),
    "threshold": Setting(
        float,
        0.0,
        "drop entities whose probability is below this; works with `spacy find-threshold`",
        number(0.0, 1.0),
    ),
    "annotate": Setting(
        List[str],
        ["confidence"],
        "what is kept beside the entities: `confidence`, `marginals`, `n_best`",
        some_of(*ANNOTATIONS),
    ),
    "n_best": Setting(
        int, 5, "tag sequences a sentence, if `annotate` holds `n_best`", whole_number(1, MOST_SEQUENCES)
    ),
    "incorrect_spans_key": Setting(
        Optional[str],
        None,
        "span group of the training Docs with spans that are known to be no entities; one without a label is no "
        "entity of any label",
        name_or_null,
    ),
    "overwrite_ents": Setting(
        bool,
        False,
        "`false` keeps the entities that earlier components found and finds others around them",
    ),
}
"""Of one tag set."""

BCRF_NER_SETTINGS: Dict[str, Setting] = {
    **TASK_SETTINGS,
    "r_drop": Setting(
        float,
        0.5,
        "weight of R-Drop (Liang et al. 2021, https://arxiv.org/abs/2106.14448): each batch is seen twice, and two "
        "predictions for a sentence under different dropout should agree; left out behind a shared tok2vec",
        number(0.0),
    ),
}
