"""What every component with CRF heads has in common: it is a list of tasks over one model."""

import warnings
from typing import Any, Callable, Collection, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..components.falling_rate import check_falling_rate
from ..components.requirements import note_requirements
from ..components.settings import check_label_list
from ..components.span_groups import check_span_groups
from ..components.trainable import TrainableComponent
from ..components.weights import doc_weights
from ..files import fingerprint
from ..portions import TOKENS_AT_ONCE, portions
from ..quoting import printable
from .annotation import DocPrediction, register_extensions
from .excerpts import Assembly, cut_out
from .head import CRFScores, clear_head, head_size, is_initialized
from .model import HEADS, heads_of
from .score_weights import choose_score_weights
from .sentence_selection import Chosen, SentenceSelection, check_selection
from .task import CRFTask, TaskLoss


class CRFPipe(TrainableComponent):
    """A trainable pipe whose model scores the tags of one or more tasks.

    The model names its heads in its attr HEADS, and gives a list of CRFScores, one for each. A class with another form
    of output overrides `split_scores` and `join_gradients`. A subclass sets `tasks`, one for each head, in their order.

    sentences: which sentences are learned from and read; None takes all.
    state: what training finds out, see `ConfiguredComponent.keep_settings`; that of tasks with settings of their own
        stands in `cfg["tasks"]`.
    """

    tasks: Sequence[CRFTask] = ()

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], Any],
        name: str,
        settings: Mapping[str, Any],
        sentences: Optional[SentenceSelection] = None,
        state: Optional[Dict[str, Any]] = None,
    ):
        if HEADS not in model.attrs:
            raise ValueError(f"The model of {name!r} is not one of a tagger: choose spacy_crfner.CRFTagger.v1.")
        check_selection(sentences, name)
        super().__init__(vocab, model, name, settings, {**(state or {}), "identity": None})
        self.sentences = sentences
        self._skipped = 0
        self._unlisted: set = set()
        register_extensions()

    def split_scores(self, scores: Any) -> List[CRFScores]:
        """Take the scores of each task out of what the model gives."""
        return list(scores)

    def join_gradients(self, gradients: List[CRFScores]) -> Any:
        """Put the gradients of the tasks into the form of what the model gives."""
        return gradients

    # Labels

    @property
    def labels(self) -> Tuple[str, ...]:
        """The entity labels of all tasks, in tag order."""
        return tuple(dict.fromkeys(label for task in self.tasks for label in task.labels))

    @property
    def label_data(self) -> Any:
        """What `spacy init labels` stores and `initialize(labels=...)` takes."""
        return {task.key: list(task.labels) for task in self.tasks}

    def add_label(self, label: str) -> int:
        """Add an entity label to the first task; a trained model keeps what it knows. Returns 1, or 0 if it was there.

        Raises ValueError for a label that no tag can hold or that `label_filter` leaves out.
        """
        added = self.tasks[0].add_label(label)
        self._resize()
        self._is_finite = False
        return added

    # Initialization

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Union[Sequence[str], Dict[str, Sequence[str]], None] = None,
    ) -> None:
        """Set the labels and make the model's weights.

        get_examples: gives the training examples, from which a sample of Docs and, without `labels`, all labels
            are taken.
        labels: the entity labels, as `spacy init labels` writes them.
        Raises ValueError where there are no examples, or no labels, or a label that no tag can hold.
        """
        check_label_list(labels, self.name, "['PER', 'LOC']")
        sample = self.look_at(get_examples, count=labels is None)
        selected = None if self.sentences is None else self.sentences.prepare(nlp, self.name)
        for task in self.tasks:
            given = self._labels_of(task, labels)
            known = sorted(sample.labels) if given is None else list(given)
            absent = task.set_labels(known, selected)
            if absent:
                missing, there = (printable(", ".join(names)) for names in (absent, known))
                warnings.warn(
                    f"The label_filter of {task.name!r} names {missing}, which the training data does not have: its "
                    f"labels are {there or 'none'}.",
                    UserWarning,
                    stacklevel=2,
                )
            if not task.labels:
                raise ValueError(
                    f"{task.name!r} found no entities in {sample.n_examples} training examples, so it has no labels to "
                    "learn: annotate entities in doc.ents, or give the labels in [initialize.components] or with "
                    "add_label()."
                )
        self._check_tasks()
        if nlp is not None:
            check_span_groups(nlp, self.name)
            note_requirements(nlp)
            check_falling_rate(nlp)
            choose_score_weights(nlp, self.name, [task.cfg["spans_key"] for task in self.tasks])
        if self.cfg.get("r_drop") and self.listens:
            warnings.warn(
                f"{self.name!r} listens to a shared tok2vec, for which R-Drop is left out: set r_drop = 0.0 in its "
                "config, or give it an encoder of its own.",
                UserWarning,
                stacklevel=2,
            )
        self._resize()
        self.model.initialize(X=sample.docs)
        self._identify(self.labels, self.cfg["configured"], sample.digest)
        self.begin_anew()

    def _identify(self, *facts: Any) -> None:
        """Choose what tells the component from others of its name: a digest of its first weights and these facts.

        A copy is the same component, also when it learns more.
        """
        parts = [self.model.ops.to_numpy(head.get_ref("output_layer").get_param("W")) for head in heads_of(self.model)]
        self.cfg["identity"] = fingerprint(*(part.tobytes() for part in parts), list(facts))[:16]

    def _labels_of(self, task: CRFTask, labels: Any) -> Any:
        if not isinstance(labels, dict):
            return labels
        if task.key not in labels:
            raise ValueError(
                f"The labels of {self.name!r} have no entry {task.key!r}, only {', '.join(map(str, labels))}."
            )
        return labels[task.key]

    def check(self) -> None:
        """Check the settings of the component and of its tasks. Raises ValueError."""
        super().check()
        for task in self.tasks:
            if task.key is not None:
                task.check()

    @property
    def span_groups(self) -> List[str]:
        """See ConfiguredComponent."""
        return [task.cfg["spans_key"] or task.name for task in self.tasks]

    def _check_tasks(self) -> None:
        """Check that only one task writes doc.ents: two would erase each other's entities. Raises ValueError."""
        writing = [task.name for task in self.tasks if task.cfg["spans_key"] is None]
        if len(writing) > 1:
            raise ValueError(f"{' and '.join(writing)} would all write doc.ents: give all but one a spans_key.")

    def _resize(self) -> None:
        for model in (self.model, self._rehearsal_model):
            if model is not None:
                for task, head in zip(self.tasks, heads_of(model), strict=True):
                    task.resize(head)

    # Training

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch. See TrainablePipe.update.

        Updates without an optimizer add up to one batch, whose gradient is that of the mean over all its sentences.
        """
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if not any(len(example.predicted) for example in examples):
            return self.add_loss(losses)
        self._require_weights()
        self.check()
        self._meet_labels(examples)
        chosen = self._choose_for_training(examples)
        if not self.listens:
            # A listener must see the whole batch; an encoder of its own need not run for nothing.
            examples, chosen = self._that_count(examples, chosen)
            if not examples:
                return self.add_loss(losses)
        set_dropout_rate(self.model, drop)
        r_drop = self.cfg.get("r_drop", 0.0) if drop > 0 and not self.listens else 0.0
        if r_drop:
            examples, chosen = examples * 2, None if chosen is None else chosen * 2
        scores, backprop = self.model.begin_update([example.predicted for example in examples])
        results = self._compute_losses(examples, scores, chosen=chosen, r_drop=r_drop)
        skipped = sum(result.skipped for result in results)
        self._count_skipped(skipped // 2 if r_drop else skipped)
        # What several listeners teach one encoder must not depend on how large the first part is for each.
        size = 0.0 if self.listens else sum(result.size for result in results)
        share = self._accumulation.share_of(size)
        backprop(self.join_gradients([result.gradient.times(share) for result in results]))
        self._accumulation.add(size)
        loss = sum(result.loss for result in results)
        self.watch(loss, sum(result.chance for result in results))
        return self.add_loss(losses, loss, sgd)

    def get_loss(self, examples: Iterable[Example], scores: Any) -> Tuple[float, Any]:
        """Compute the mean loss a sentence, and its gradient by the scores. Nothing is changed.

        Sentences whose gold tags are impossible (an entity across a sentence border) are left out; `update` counts them
        and warns. A sentence counts as much as its weight says, see
        `spacy_crfner.user_data_keys`.
        Raises ValueError where the scores are not finite numbers.
        """
        results = self._compute_losses(list(examples), scores)
        return sum(result.loss for result in results), self.join_gradients([result.gradient for result in results])

    def _that_count(self, examples: List[Example], chosen: Chosen) -> Tuple[List[Example], Chosen]:
        """Leave out the examples that have no weight, or of which no sentence is chosen."""
        weights = doc_weights(examples)
        if chosen is None and weights is None:
            return examples, None
        counts = [weight > 0 for weight in (np.ones(len(examples)) if weights is None else weights)]
        if chosen is not None:
            counts = [own and bool(sequences.any()) for own, sequences in zip(counts, chosen, strict=True)]
            chosen = [sequences for own, sequences in zip(counts, chosen, strict=True) if own]
        return [example for own, example in zip(counts, examples, strict=True) if own], chosen

    def _compute_losses(self, examples: Sequence[Example], scores: Any, **options: Any) -> List[TaskLoss]:
        pairs = zip(self.tasks, self.split_scores(scores), strict=True)
        return [task.compute_loss(examples, own, **options) for task, own in pairs]

    def _choose_for_training(self, examples: Sequence[Example]) -> Chosen:
        if self.sentences is None:
            return None
        return self.sentences.for_training(examples, self.labels, self.tasks[0].cfg["per_sentence"])

    def compute_divergence(self, docs: Sequence[Doc], scores: Any, taught: Any) -> Tuple[float, Any]:
        """Compute the divergence between the CRFs, over all tag sequences. See TrainableComponent."""
        triples = zip(self.tasks, self.split_scores(scores), self.split_scores(taught), strict=True)
        results = [task.compute_divergence(docs, own, goal) for task, own, goal in triples]
        return sum(result.loss for result in results), self.join_gradients([result.gradient for result in results])

    def _count_skipped(self, skipped: int) -> None:
        if skipped and not self._skipped:
            warnings.warn(
                f"{self.name!r} left {skipped} sentence(s) of a batch out of training: their gold entities cross a "
                "sentence border. The total is in `component.skipped_sentences`.",
                UserWarning,
                stacklevel=3,
            )
        self._skipped += skipped

    @property
    def skipped_sentences(self) -> int:
        """Sentences that training has left out so far because their gold tags were impossible."""
        return self._skipped

    def _meet_labels(self, examples: Sequence[Example]) -> None:
        """Take up the labels that training data bring later: a stream, or those of a pipeline that is trained on.

        With several tasks, whose they are is not known: they are named, and count as missing annotation.
        """
        new = sorted(set.intersection(*(task.unlisted_labels(examples) for task in self.tasks)) - self._unlisted)
        if not new:
            return
        names = f"the label(s) {printable(', '.join(new))} of the training data"
        if len(self.tasks) == 1:
            for label in new:
                self.add_label(label)
            message = f"{self.name!r} learns {names} from now on, which it did not have before."
        else:
            self._unlisted.update(new)
            message = (
                f"No task of {self.name!r} has {names}: these entities count as missing annotation. Name them in the "
                "labels of [initialize]."
            )
        warnings.warn(message, UserWarning, stacklevel=4)

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> List[Any]:
        """Find what the model sees in each Doc: a list with a prediction for each task. The Docs are not changed.

        Raises ValueError before the component is initialized,
        and where a selection of sentences cannot choose from a Doc.
        """
        return [list(of_tasks) for of_tasks in zip(*self.predict_tasks(list(docs)), strict=True)]

    def predict_tasks(self, docs: List[Doc]) -> List[List[DocPrediction]]:
        """Find the entities: for each task, its prediction for each Doc."""
        self.check()
        self._check_tasks()
        per_sentence = self.tasks[0].cfg["per_sentence"]
        chosen = None if self.sentences is None else self.sentences.for_prediction(docs, per_sentence)
        predictions = self._decode(docs) if chosen is None else self._decode_chosen(docs, chosen, per_sentence)
        for task, of_docs in zip(self.tasks, predictions, strict=True):
            for doc, prediction in zip(docs, of_docs, strict=True):
                task.keep_given(doc, prediction)
        return predictions

    def _decode_chosen(self, docs: List[Doc], chosen: Sequence[Any], per_sentence: bool) -> List[List[DocPrediction]]:
        predictions = [task.find_nothing(docs) for task in self.tasks]
        if self.needs_whole_docs:
            numbers = [number for number, sequences in enumerate(chosen) if sequences.any()]
            parts = self._decode([docs[number] for number in numbers], [chosen[number] for number in numbers])
            for whole, of_docs in zip(predictions, parts, strict=True):
                for number, prediction in zip(numbers, of_docs, strict=True):
                    whole[number] = prediction
            return predictions
        excerpts = cut_out(docs, chosen, per_sentence, [task.signature for task in self.tasks])
        parts = self._decode([excerpt for _, _, excerpt in excerpts])
        for whole, of_excerpts in zip(predictions, parts, strict=True):
            assembly = Assembly(whole)
            for (number, first, _), part in zip(excerpts, of_excerpts, strict=True):
                assembly.add(number, first, part)
            assembly.finish()
        return predictions

    def _decode(self, docs: List[Doc], chosen: Chosen = None) -> List[List[DocPrediction]]:
        runs = portions([len(doc) for doc in docs], TOKENS_AT_ONCE)
        if len(runs) > 1:
            parts = [self._decode(docs[run], None if chosen is None else chosen[run]) for run in runs]
            return [[found for part in of_task for found in part] for of_task in zip(*parts, strict=True)]
        if not any(len(doc) for doc in docs):
            return [task.find_nothing(docs) for task in self.tasks]
        self._require_sound_weights()
        pairs = zip(self.tasks, self.split_scores(self.model.predict(docs)), strict=True)
        return [task.decode(docs, scores, chosen) for task, scores in pairs]

    def set_annotations(self, docs: Iterable[Doc], predictions: Iterable[Any]) -> None:
        """Write what each task has found, and the confidence of every entity."""
        for doc, of_tasks in zip(docs, predictions, strict=True):
            for task, prediction in zip(self.tasks, of_tasks, strict=True):
                task.annotate(doc, prediction)

    def compute_scores(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score each task with the component's scorer. See TrainableComponent."""
        if getattr(self, "scorer", None) is None:
            return {}
        examples = list(examples)
        scores: Dict[str, Any] = {}
        for task in self.tasks:
            settings = {**task.cfg, "labels": task.labels, "label_filter": task.label_filter}
            scores.update(self.scorer(examples, **{**settings, **kwargs}))
        return scores

    # Loading

    def companions(self) -> Optional[Collection[str]]:
        """See ConfiguredComponent: also the router that chooses sentences."""
        names = super().companions()
        router = getattr(self.sentences, "router", None)
        return names if names is None or router is None else {*names, router}

    def remember(self, exclude: Iterable[str]) -> Callable[[], None]:
        """See ConfiguredComponent."""
        restore_component = super().remember(exclude)
        kept = [(task, task._configured, task._checked) for task in self.tasks if task.key is not None]

        def restore() -> None:
            restore_component()
            for task, configured, checked in kept:
                task._configured, task._checked = configured, checked

        return restore

    def before_loading(self, exclude: Iterable[str]) -> None:
        """See ConfiguredComponent."""
        if "cfg" not in exclude:
            self.cfg["identity"] = None
        # The model that comes may have another number of tags.
        if "model" not in exclude:
            for head in heads_of(self.model):
                clear_head(head)

    def after_loading(self) -> None:
        """See ConfiguredComponent."""
        super().after_loading()
        for task in self.tasks:
            if task.key is not None:
                task.merge_saved()
            task.forget_selection(self.sentences)
        for task, head in zip(self.tasks, heads_of(self.model), strict=True):
            task.check_head(head)
            task.intern_labels()
        if self.cfg["identity"] is None and all(is_initialized(head) for head in heads_of(self.model)):
            self._identify(self.labels)

    def _require_weights(self) -> None:
        for task, head in zip(self.tasks, heads_of(self.model), strict=True):
            if not is_initialized(head):
                raise ValueError(Errors.E109.format(name=self.name))
            if head_size(head) != len(task.tag_set):
                raise ValueError(
                    f"{task.name!r} was trained with another scheme or other labels than its cfg has now "
                    f"({task.cfg['scheme']}; {', '.join(task.labels)}): change labels with add_label(), and train it "
                    "again for another scheme."
                )

    def _require_sound_weights(self) -> None:
        self._require_weights()
        self.check_weights()
