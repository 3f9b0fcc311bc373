"""What every component with a CRF over entity labels has in common: labels and the model's size."""

import warnings
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..pipes import SettingsPipe, check_label_list
from ..sentences import WEAK
from ..tags import TagSet, check_labels
from .model import CRFScores, clear_head, is_initialized, resize_output
from .settings import LABEL_KINDS


class CRFPipe(SettingsPipe):
    """A trainable pipe whose model gives CRF scores.

    settings: what the config says, kept in `cfg` beside the labels and saved with the pipe; `scheme`, `spans_key`,
        `label_filter` and `r_drop` are among them.
    """

    def __init__(self, vocab: Vocab, model: Model[List[Doc], CRFScores], name: str, settings: Dict[str, Any]):
        if "resize_output" not in model.attrs:
            raise ValueError(f"The model of {name!r} is not one of a tagger: choose spacy_crfner.CRFTagger.v1.")
        super().__init__(vocab, model, name, settings, {"labels": [], "filtered": None}, fixed=("scheme",))
        self._tag_set = TagSet((), settings["scheme"])

    @property
    def labels(self) -> Tuple[str, ...]:
        """The entity labels, in tag order."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> List[str]:
        """What `spacy init labels` stores and `initialize(labels=...)` takes."""
        return list(self.labels)

    @property
    def tag_set(self) -> TagSet:
        """The tags of the labels in the component's scheme."""
        if self._tag_set.labels != self.labels or self._tag_set.scheme != self.cfg["scheme"]:
            self._tag_set = TagSet(self.labels, self.cfg["scheme"])
        return self._tag_set

    @property
    def tags(self) -> Tuple[str, ...]:
        """Tag names, in the order of emissions and marginals."""
        return self.tag_set.names

    @property
    def label_filter(self) -> Optional[List[str]]:
        """The only labels that count, once they are known; None for all."""
        return self.cfg["filtered"] if self.cfg["label_filter"] in LABEL_KINDS else self.cfg["label_filter"]

    def add_label(self, label: str) -> int:
        """Add an entity label; a trained model keeps what it knows. Returns 1, or 0 if the label was there.

        Raises ValueError for a label that no tag can hold or that `label_filter` leaves out.
        """
        if label in self.labels:
            return 0
        check_labels([*self.labels, label])
        if self.cfg["label_filter"] in LABEL_KINDS:
            self.cfg["filtered"] = [*(self.cfg["filtered"] or ()), label]
        elif self.label_filter is not None and label not in self.label_filter:
            raise ValueError(
                f"{self.name!r} has the label_filter {self.label_filter}: it cannot add {label!r}, unless you add it "
                "to cfg['label_filter'] first."
            )
        self.vocab.strings.add(label)
        self.cfg["labels"] = [*self.labels, label]
        self._resize()
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Sequence[str]] = None,
    ) -> None:
        """Set the labels and make the model's weights.

        get_examples: gives the training examples, from which a sample of Docs and, without `labels`, all labels
            are taken.
        labels: the entity labels, as `spacy init labels` writes them.
        Raises ValueError where there are no examples, or no labels, or a label that no tag can hold.
        """
        check_label_list(labels, self.name, "['PER', 'LOC']")
        seen = self._look_at(get_examples, count=labels is None)
        wanted = sorted(seen.labels) if labels is None else list(labels)
        self._filter_by_router(nlp)
        if self.label_filter is not None:
            absent = [label for label in self.label_filter if label not in wanted]
            if absent:
                warnings.warn(
                    f"The label_filter of {self.name!r} names {', '.join(absent)}, which the training data does not "
                    f"have: its labels are {', '.join(wanted) or 'none'}.",
                    UserWarning,
                    stacklevel=2,
                )
            wanted = list(self.label_filter)
        if self.label_filter is not None:
            # A second initialization may find other labels weak.
            self.cfg["labels"] = [label for label in self.labels if label in self.label_filter]
        wanted = [*self.labels, *(label for label in wanted if label not in self.labels)]
        if not wanted:
            raise ValueError(
                f"{self.name!r} found no entities in {seen.n_examples} training examples, so it has no labels to learn"
                ": annotate entities in doc.ents, or give the labels in [initialize.components] or with add_label()."
            )
        for label in check_labels(wanted):
            self.vocab.strings.add(label)
        self.cfg["labels"] = list(wanted)
        self._check_score_weights(nlp)
        if self.cfg["r_drop"] and self.listens:
            warnings.warn(
                f"{self.name!r} listens to a shared tok2vec, for which R-Drop is left out: set r_drop = 0.0 in its "
                "config, or give it an encoder of its own.",
                UserWarning,
                stacklevel=2,
            )
        self._resize()
        self.model.initialize(X=seen.docs)

    def _filter_by_router(self, nlp: Optional[Language]) -> None:
        """Put the labels in the place of a `label_filter` that says which kind of label a router is to tell.

        Raises ValueError where there is no such router, and warns where there is none to ask for sentences.
        """
        kind, key = self.cfg["label_filter"], self.cfg["router"]
        pipes: List[Any] = [] if nlp is None else [pipe for _, pipe in nlp.pipeline]
        before = pipes[: pipes.index(self)] if self in pipes else pipes
        routers = [pipe for pipe in before if hasattr(pipe, "weak_labels") and pipe.cfg["spans_key"] == key]
        problem = f"the router {key!r}, but no weak_class_router before it writes this span group: put one in front"
        if not routers and self in pipes and "routed" in (self.cfg.get("train_on"), self.cfg.get("predict_on")):
            warnings.warn(f"{self.name!r} takes its sentences from {problem}.", UserWarning, stacklevel=3)
        if kind not in LABEL_KINDS:
            return
        if not routers:
            raise ValueError(f"{self.name!r} takes its labels from {problem}, or name the labels in label_filter.")
        found = list(routers[-1].weak_labels if kind == WEAK else routers[-1].strong_labels)
        if not found:
            raise ValueError(f"{self.name!r} has no labels: the router {key!r} takes none of the labels as {kind}.")
        self.cfg["filtered"] = found

    def _check_score_weights(self, nlp: Optional[Language]) -> None:
        """A score that no component returns counts as 0, and spaCy would choose between models at random."""
        key = self.cfg["spans_key"]
        if nlp is None or key is None or any(_writes_ents(nlp, name) for name in nlp.pipe_names):
            return
        weights = nlp.config["training"].get("score_weights", {})
        if weights.get("ents_f") and not weights.get(f"spans_{key}_f"):
            warnings.warn(
                f"{self.name!r} writes doc.spans[{key!r}], but [training.score_weights] has no weight for "
                f"spans_{key}_f: set it to 1.0 and ents_f to null, or the best model is not found.",
                UserWarning,
                stacklevel=3,
            )

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """See TrainablePipe.score."""
        return super().score(examples, label_filter=self.label_filter, **kwargs)

    def _resize(self) -> None:
        for model in (self.model, self._rehearsal_model):
            if model is not None:
                resize_output(model, len(self.tag_set))

    def _before_loading(self, exclude: Iterable[str]) -> None:
        # The model that comes may have another number of tags.
        if "model" not in exclude:
            clear_head(self.model)

    def _after_loading(self) -> None:
        super()._after_loading()
        if is_initialized(self.model) and self.model.get_ref("output_layer").get_dim("nO") != len(self.tag_set):
            raise ValueError(f"its model is not one for the labels {', '.join(self.labels) or 'none'}")
        for label in self.labels:
            self.vocab.strings.add(label)

    def _require_weights(self) -> None:
        if not is_initialized(self.model):
            raise ValueError(Errors.E109.format(name=self.name))


def _writes_ents(nlp: Language, name: str) -> bool:
    settings = getattr(nlp.get_pipe(name), "cfg", {})
    return "doc.ents" in nlp.get_pipe_meta(name).assigns and settings.get("spans_key") is None
