"""A callback that finds the router's threshold on the dev corpus."""

from functools import partial
from pathlib import Path
from typing import Callable, Optional, Union

from spacy.language import Language
from spacy.training import Corpus

from .component import WeakClassRouter
from .scorer import best_threshold_of, collect


def make_tune_threshold_v1(
    path: Optional[Union[str, Path]], component: str = "weak_class_router", beta: float = 1.0
) -> Callable[[Language], Language]:
    """For `[training.before_to_disk]`: whenever a pipeline is saved, set the threshold of its router to the one
    with the best F score on the dev corpus.

    The scores of an evaluation in training are those of the threshold that was tuned at the last save before it.

    path: the dev corpus, in spaCy's binary format.
    component: the name of the router.
    beta: how many times as much recall counts as precision; 2 flags more sentences than 1.
    Raises ValueError for a beta that is not above 0.
    """
    if beta <= 0:
        raise ValueError(f"spacy_crfner.tune_threshold.v1 needs a beta above 0, not {beta}.")
    return partial(tune_threshold, path=path, component=component, beta=beta)


def tune_threshold(nlp: Language, *, path: Optional[Union[str, Path]], component: str, beta: float) -> Language:
    """Set the threshold of a router on a dev corpus; it stays as it is where the corpus holds no weak label.

    Raises ValueError where the pipeline has no such router or there is no path.
    """
    router = dict(nlp.components).get(component)
    if not isinstance(router, WeakClassRouter):
        raise ValueError(f"spacy_crfner.tune_threshold.v1 finds no weak_class_router named {component!r}.")
    if path is None:
        raise ValueError("spacy_crfner.tune_threshold.v1 needs the path of a dev corpus.")
    if component not in nlp.pipe_names:
        raise ValueError(f"spacy_crfner.tune_threshold.v1 cannot tune {component!r}, which is disabled: enable it.")
    names = nlp.pipe_names[: nlp.pipe_names.index(component) + 1]
    examples = list(Corpus(path)(nlp))
    with nlp.select_pipes(enable=names):
        docs = nlp.pipe([example.predicted for example in examples])
        for example, doc in zip(examples, docs, strict=True):
            example.predicted = doc
    truth, probabilities, _ = collect(examples, spans_key=router.cfg["spans_key"], labels=router.labels)
    if truth.any():
        threshold = best_threshold_of(truth, probabilities, beta)[1]
        # In the config too, so that a config given to spacy.load can set another one.
        router.configure("threshold", threshold)
        nlp.get_pipe_config(component)["threshold"] = threshold
    return nlp
