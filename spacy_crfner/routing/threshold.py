"""A callback that finds the router's threshold, and the gates of a vote, on the dev corpus."""

import logging
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Union

from spacy.language import Language
from spacy.training import Corpus, Example

from ..quoting import printable
from ..tagging.scorer import score_entities
from .component import WeakClassRouter
from .scorer import best_threshold_of, collect
from .vote import NERVote

LOGGER = logging.getLogger("spacy")


def make_tune_threshold_v1(
    path: Optional[Union[str, Path]],
    component: str = "weak_class_router",
    beta: float = 1.0,
    vote: Optional[str] = None,
) -> Callable[[Language], Language]:
    """Set the threshold of a router, and the gates of a vote, to those with the best F scores on the dev corpus.

    For `[training.before_to_disk]`: it does so whenever a pipeline is saved. An evaluation in training is one of what
    was tuned at the last save before it, and so is the choice of the best pipeline; the scores in the meta of the saved
    one are those with its own threshold and gates.

    path: the dev corpus, in spaCy's binary format.
    component: the name of the router.
    beta: how many times as much recall counts as precision; 2 flags more sentences than 1.
    vote: the name of an `ner_vote`. Each label gets a gate at the probability that tells sentences apart with the best
        F1, if the vote finds its entities better with it, by their F1 on the dev corpus; the other labels get none, and
        need a flagged sentence. None leaves the gates as they are.
    Raises ValueError for a beta that is not above 0.
    """
    if not beta > 0:
        raise ValueError(f"spacy_crfner.tune_threshold.v1 needs a beta above 0, not {beta}.")
    return partial(tune_threshold, path=path, component=component, beta=beta, vote=vote)


def tune_threshold(
    nlp: Language, *, path: Optional[Union[str, Path]], component: str, beta: float, vote: Optional[str] = None
) -> Language:
    """Set the threshold of a router, and the gates of a vote, on a dev corpus.

    They stay as they are where the corpus holds no weak label.
    Raises ValueError where the pipeline has no such router or vote, or there is no path.
    """
    router = dict(nlp.components).get(component)
    if not isinstance(router, WeakClassRouter):
        raise ValueError(f"spacy_crfner.tune_threshold.v1 finds no weak_class_router named {component!r}.")
    voting = None if vote is None else dict(nlp.components).get(vote)
    if vote is not None and not (isinstance(voting, NERVote) and voting.cfg["router"] == router.cfg["spans_key"]):
        raise ValueError(f"spacy_crfner.tune_threshold.v1 finds no ner_vote {vote!r} that {component!r} gates.")
    if path is None:
        raise ValueError("spacy_crfner.tune_threshold.v1 needs the path of a dev corpus.")
    for name in filter(None, (component, vote)):
        if name not in nlp.pipe_names:
            raise ValueError(f"spacy_crfner.tune_threshold.v1 cannot tune {name!r}, which is disabled: enable it.")
    examples = list(Corpus(path)(nlp))
    after_router = nlp.pipe_names.index(component) + 1
    _annotate(nlp, nlp.pipe_names[:after_router], examples)
    truth, probabilities, _ = collect(examples, spans_key=router.cfg["spans_key"], labels=router.labels)
    if not truth.any():
        LOGGER.warning(
            "spacy_crfner.tune_threshold.v1 leaves %s as it is: no sentence of %s has one of the weak labels %s.",
            component if vote is None else f"{component} and {vote}",
            path,
            printable(", ".join(router.labels)),
        )
        return nlp
    _set(nlp, component, "threshold", best_threshold_of(truth, probabilities, beta)[1])
    last = component
    if isinstance(voting, NERVote) and vote is not None:
        last = vote
        _check_taggers(nlp, voting, vote)
        # From the router on: taggers that read only flagged sentences read others now.
        _annotate(nlp, nlp.pipe_names[after_router - 1 : nlp.pipe_names.index(vote)], examples)
        _set(nlp, vote, "gates", find_gates(examples, voting, best_threshold_of(truth, probabilities)[1]))
    _annotate(nlp, [last], examples)
    _note_scores(nlp, last, examples)
    return nlp


def find_gates(examples: Sequence[Example], vote: NERVote, gate: float) -> Dict[str, float]:
    """Find the labels whose entities the vote finds better with a gate than without, each with the gate.

    examples: annotated by all components before the vote; their entities become those of it.
    """
    labels = {span.label_ for e in examples for key in vote.cfg["gated"] for span in e.predicted.spans[key]}
    kept, scores = vote.cfg["gates"], []
    try:
        for gates in ({}, dict.fromkeys(labels, gate)):
            vote.cfg["gates"] = gates
            for example in examples:
                vote(example.predicted)
            scores.append(score_entities(examples)["ents_per_type"] or {})
    finally:
        vote.cfg["gates"] = kept
    without, with_gate = ({label: prf["f"] for label, prf in by_label.items()} for by_label in scores)
    return {label: gate for label in sorted(labels) if with_gate.get(label, 0.0) > without.get(label, 0.0)}


def _check_taggers(nlp: Language, vote: NERVote, name: str) -> None:
    """Check that the taggers that a vote merges run before it.

    Raises ValueError where one is disabled, or not there.
    """
    before = [pipe for _, pipe in nlp.pipeline[: nlp.pipe_names.index(name)]]
    written = {getattr(pipe, "cfg", {}).get("spans_key") for pipe in before}
    missing = [key for key in vote.cfg["groups"] if key not in written]
    if missing:
        raise ValueError(
            f"spacy_crfner.tune_threshold.v1 cannot tune the gates of {name!r}: no enabled component before it writes "
            f"{', '.join(f'doc.spans[{key!r}]' for key in missing)}."
        )


def _note_scores(nlp: Language, last: str, examples: Sequence[Example]) -> None:
    """Put the scores that the pipeline has now into its meta, in the place of those from before."""
    performance = nlp.meta.get("performance", {})
    for _, pipe in nlp.pipeline[: nlp.pipe_names.index(last) + 1]:
        scores = pipe.score(examples) if hasattr(pipe, "score") else {}
        performance.update({key: value for key, value in scores.items() if key in performance})


def _annotate(nlp: Language, names: Sequence[str], examples: Sequence[Example]) -> None:
    with nlp.select_pipes(enable=list(names)):
        docs = nlp.pipe([example.predicted for example in examples])
        for example, doc in zip(examples, docs, strict=True):
            example.predicted = doc


def _set(nlp: Language, name: str, setting: str, value: Any) -> None:
    """Set it in the component, and in the config too, so that a config given to spacy.load can set another one."""
    pipe: Any = nlp.get_pipe(name)
    pipe.configure(setting, value)
    nlp.get_pipe_config(name)[setting] = value
