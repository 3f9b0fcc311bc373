"""What the settings of a `bcrf_ner` may be."""

import sys
from typing import Any, Mapping

from ..pipes import within
from ..sentences import STRONG, WEAK
from ..tags import check_labels
from .annotation import ANNOTATIONS
from .selection import SELECTIONS

LABEL_KINDS = (STRONG, WEAK)
"""What `label_filter` may be in the place of a list of labels."""

PREDICTED = ("all", "routed")
"""What `predict_on` may be."""


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the component, for a setting that has no such value."""

    def refuse(what: str) -> None:
        raise ValueError(f"{name!r} {what}.")

    unknown = sorted(set(settings["annotate"]) - set(ANNOTATIONS))
    if unknown:
        refuse(f"cannot annotate {', '.join(unknown)}: choose from {', '.join(ANNOTATIONS)}")
    if not within(settings["threshold"], 0.0, 1.0):
        refuse(f"needs a threshold that is a probability from 0 to 1, not {settings['threshold']!r}")
    if not within(settings["r_drop"], 0.0, sys.float_info.max):
        refuse(f"needs an r_drop that is a number from 0, not {settings['r_drop']!r}")
    if settings["n_best"] < 1:
        refuse(f"needs an n_best of 1 or more, not {settings['n_best']}")
    for setting, doing, known in (("train_on", "train", SELECTIONS), ("predict_on", "predict", PREDICTED)):
        if settings[setting] not in known:
            refuse(f"cannot {doing} on {settings[setting]!r}: choose from {', '.join(known)}")
    _check_labels_of(name, settings)


def _check_labels_of(name: str, settings: Mapping[str, Any]) -> None:
    wanted = settings["label_filter"]
    if wanted is not None and not wanted:
        raise ValueError(f"The label_filter of {name!r} is empty: name labels, or give null for all of them.")
    if isinstance(wanted, str) and wanted not in LABEL_KINDS:
        raise ValueError(f"The label_filter of {name!r} is a list of labels, or one of {', '.join(LABEL_KINDS)}.")
    if wanted is not None and not isinstance(wanted, str):
        check_labels(wanted)
    routed = "routed" in (settings["train_on"], settings["predict_on"])
    if settings["router"] is None and (isinstance(wanted, str) or routed):
        raise ValueError(f"{name!r} asks a router for labels or sentences: name its span group in `router`.")
