"""The `bcrf_ner` pipeline component."""

import warnings
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..crf import LossGradient, Potentials, absent_spans, distillation
from ..tags import LabelledSpan, check_labels
from .annotation import ANNOTATIONS, DocPrediction, own_entities, register_extensions, write_prediction
from .blocks import check_block
from .decoders import Decoder
from .gold import NO_ENTITY, UNKNOWN, EntityRuns, aligned_spans, blocked_tokens, label_places, runs_to_tags
from .losses import LossBlock
from .model import CRFScores
from .pipe import CRFPipe
from .potentials import allowed_tags, build_potentials, mean_gradient
from .prediction import empty_predictions, read_predictions
from .segments import Segments

SAMPLE_DOCS = 10


class CRFEntityRecognizer(CRFPipe):
    """Finds named entities with a linear-chain CRF; every entity comes with its exact probability.

    Arguments and defaults: see `make_bcrf_ner`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], CRFScores],
        name: str = "bcrf_ner",
        *,
        loss: LossBlock,
        decoder: Decoder,
        scheme: str = "BIOES",
        per_sentence: bool = True,
        label_filter: Optional[Sequence[str]] = None,
        spans_key: Optional[str] = None,
        threshold: float = 0.0,
        annotate: Sequence[str] = ("confidence",),
        n_best: int = 5,
        incorrect_spans_key: Optional[str] = None,
        overwrite_ents: bool = False,
        scorer: Optional[Callable] = None,
    ):
        unknown = sorted(set(annotate) - set(ANNOTATIONS))
        if unknown:
            raise ValueError(f"{name!r} cannot annotate {', '.join(unknown)}: choose from {', '.join(ANNOTATIONS)}.")
        check_block(loss, 1, "loss", name)
        check_block(decoder, 2, "decoder", name)
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"The threshold of {name!r} is a probability from 0 to 1, not {threshold}.")
        if label_filter is not None and not label_filter:
            raise ValueError(f"The label_filter of {name!r} is empty: name labels, or give null for all of them.")
        if n_best < 1:
            raise ValueError(f"n_best of {name!r} must be 1 or more, not {n_best}.")
        super().__init__(
            vocab,
            model,
            name,
            {
                "scheme": scheme,
                "per_sentence": per_sentence,
                "label_filter": None if label_filter is None else list(check_labels(label_filter)),
                "spans_key": spans_key,
                "threshold": threshold,
                "annotate": list(annotate),
                "n_best": n_best,
                "incorrect_spans_key": incorrect_spans_key,
                "overwrite_ents": overwrite_ents,
            },
        )
        self.loss = loss
        self.decoder = decoder
        self.scorer = scorer
        self._skipped = 0
        self._unlisted: Set[str] = set()
        register_extensions()

    # Training

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
        if not callable(get_examples):
            validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        if isinstance(labels, (str, bytes)):
            raise ValueError(f"The labels of {self.name!r} must be a list such as ['PER', 'LOC'], not {labels!r}.")
        sample: List[Doc] = []
        found: Dict[str, None] = {}
        n_examples = 0
        for example in get_examples():
            n_examples += 1
            validate_examples([example], f"{type(self).__name__}.initialize")
            if len(sample) < SAMPLE_DOCS and len(example.reference):
                sample.append(example.reference)
            elif len(sample) == SAMPLE_DOCS and labels is not None:
                break
            if labels is None:
                found.update(dict.fromkeys(span.label_ for span in example.reference.ents))
        if not n_examples:
            raise ValueError(
                f"{self.name!r} cannot be initialized: the training corpus holds no examples. Check the path and "
                "that its Docs are not empty."
            )
        wanted = sorted(found) if labels is None else list(labels)
        if self.cfg["label_filter"] is not None:
            absent = [label for label in self.cfg["label_filter"] if label not in wanted]
            if absent:
                warnings.warn(
                    f"The label_filter of {self.name!r} names {', '.join(absent)}, which the training data does not "
                    f"have: its labels are {', '.join(wanted) or 'none'}.",
                    UserWarning,
                    stacklevel=2,
                )
            wanted = list(self.cfg["label_filter"])
        wanted = [*self.labels, *(label for label in wanted if label not in self.labels)]
        if not wanted:
            raise ValueError(
                f"{self.name!r} found no entities in {n_examples} training examples, so it has no labels to learn: "
                "annotate entities in doc.ents, or give the labels in [initialize.components] or with add_label()."
            )
        for label in check_labels(wanted):
            self.vocab.strings.add(label)
        self.cfg["labels"] = list(wanted)
        self._check_score_weights(nlp)
        self._resize()
        self.model.initialize(X=sample)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Learn from a batch. See TrainablePipe.update."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, f"{type(self).__name__}.update")
        if not any(len(example.predicted) for example in examples):
            return losses
        self._require_weights()
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update([example.predicted for example in examples])
        loss, gradient, skipped = self._loss(examples, scores)
        self._count_skipped(skipped)
        self._warn_of_unlisted(examples)
        backprop(gradient)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: Iterable[Example], scores: CRFScores) -> Tuple[float, CRFScores]:
        """The mean loss a sentence, and its gradient by the scores. Nothing is changed.

        Sentences whose gold tags are impossible (an entity across a sentence border, or across an entity that
        was given) are left out; `update` counts them and warns.
        Raises ValueError where the scores are not finite numbers.
        """
        loss, gradient, _ = self._loss(list(examples), scores)
        return loss, gradient

    def _loss(self, examples: Sequence[Example], scores: CRFScores) -> Tuple[float, CRFScores, int]:
        """The mean loss a sentence, its gradient, and how many sentences were left out."""
        docs = [example.predicted for example in examples]
        segments = Segments.build(docs, self.cfg["per_sentence"])
        if not segments.lengths:
            return 0.0, mean_gradient(self.model, scores, segments), 0
        potentials = self._potentials(docs, scores, segments)
        gold, cut = self._gold_tags(examples, segments)
        gold[cut[segments.sequences]] = -1
        packed_gold = potentials.packing.pack(torch.from_numpy(gold).to(potentials.packing.device))
        result = self.loss(self.tag_set)(potentials, packed_gold)
        if self.cfg["incorrect_spans_key"] is not None:
            result = result + self._incorrect_spans_loss(examples, potentials, packed_gold, segments)
        skipped = int((~result.possible).sum()) + int(cut.sum())
        loss = float(result.loss.sum()) / len(segments.lengths)
        if not np.isfinite(loss):
            raise ValueError(f"The loss of {self.name!r} is {loss}: {_DIVERGED}")
        return loss, mean_gradient(self.model, scores, segments, result, potentials), skipped

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
        **config: Any,
    ) -> Dict[str, float]:
        """Pull the model towards what it predicted when `nlp.resume_training()` was called, so that it does not
        forget: the Kullback-Leibler divergence between the two CRFs, over all tag sequences.

        Raises ValueError where the model listens to a shared tok2vec, to which spaCy's rehearsal cannot
        pass a gradient.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        if self._rehearsal_model is None:
            return losses
        if any(hasattr(node, "upstream_name") for node in self.model.walk()):
            raise ValueError(
                f"{self.name!r} listens to a shared tok2vec, which nlp.rehearse() cannot train: give the component "
                "an encoder of its own (nlp.replace_listeners) before rehearsing."
            )
        docs = [example.predicted for example in examples]
        segments = Segments.build(docs, self.cfg["per_sentence"])
        if not segments.lengths:
            return losses
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update(docs)
        student = self._potentials(docs, scores, segments)
        teacher = self._potentials(docs, self._rehearsal_model.predict(docs), segments)
        result = distillation(student, teacher)
        backprop(mean_gradient(self.model, scores, segments, result, student))
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += float(result.loss.sum()) / len(segments.lengths)
        return losses

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> List[DocPrediction]:
        """What the model finds in each Doc; the Docs are not changed.

        Raises ValueError before the component is initialized.
        """
        docs = list(docs)
        segments = Segments.build(docs, self.cfg["per_sentence"])
        if segments.lengths:
            self._require_weights()
            potentials = self._potentials(docs, self.model.predict(docs), segments)
            predictions = read_predictions(
                self.decoder(potentials, self.tag_set),
                self.tag_set,
                segments,
                annotate=self.cfg["annotate"],
                threshold=self.cfg["threshold"],
                n_best=self.cfg["n_best"],
            )
        else:
            predictions = empty_predictions(docs, self.tag_set, self.cfg["annotate"])
        for doc, prediction in zip(docs, predictions, strict=True):
            prediction.keep(self._given(doc), blocked_tokens(doc))
        return predictions

    def set_annotations(self, docs: Iterable[Doc], predictions: Iterable[DocPrediction]) -> None:
        """Write doc.ents, or doc.spans[spans_key], and the confidence of every entity."""
        for doc, prediction in zip(docs, predictions, strict=True):
            write_prediction(doc, prediction, component=self.name, spans_key=self.cfg["spans_key"])

    # Parts

    def _potentials(self, docs: Sequence[Doc], scores: CRFScores, segments: Segments) -> Potentials:
        given = [self._given(doc) for doc in docs]
        allowed = allowed_tags(docs, given, segments, self.tag_set, self.vocab.strings)
        try:
            return build_potentials(self.model, scores, segments, self.tag_set, allowed)
        except FloatingPointError:
            raise ValueError(f"The scores of {self.name!r} are not finite numbers: {_DIVERGED}") from None

    def _given(self, doc: Doc) -> List[LabelledSpan]:
        """The entities of a Doc that stay: those that others have found, unless they are to be overwritten or do
        not matter."""
        if self.cfg["overwrite_ents"] or self.cfg["spans_key"] is not None or not doc.ents:
            return []
        own = own_entities(doc, self.name)
        spans = [(span.start, span.end, span.label_) for span in doc.ents]
        return [span for span in spans if span not in own]

    def _gold_tags(self, examples: Sequence[Example], segments: Segments) -> Tuple[np.ndarray, np.ndarray]:
        unlisted = UNKNOWN if self.cfg["label_filter"] is None else NO_ENTITY
        runs = [EntityRuns.from_example(example) for example in examples]
        places = label_places(self.tag_set, self.vocab.strings)
        return runs_to_tags(runs, places, self.tag_set, segments, unlisted=unlisted)

    def _incorrect_spans_loss(
        self, examples: Sequence[Example], potentials: Potentials, gold: torch.Tensor, segments: Segments
    ) -> LossGradient:
        """The loss of the spans that annotators have marked as no entities."""
        wrong = [example.reference.spans.get(self.cfg["incorrect_spans_key"], []) for example in examples]
        spans = aligned_spans(examples, wrong, self.tag_set, segments)
        packing = potentials.packing
        columns = torch.tensor(spans, dtype=torch.int64, device=packing.device).view(-1, 4)
        sequences, starts, ends, labels = columns.unbind(1)
        return absent_spans(potentials, gold, self.tag_set, packing.packed_sequences(sequences), starts, ends, labels)

    def _count_skipped(self, skipped: int) -> None:
        if skipped and not self._skipped:
            warnings.warn(
                f"{self.name!r} left {skipped} sentence(s) of a batch out of training: their gold entities cross a "
                "sentence border or an entity that was given. The total is in `component.skipped_sentences`.",
                UserWarning,
                stacklevel=3,
            )
        self._skipped += skipped

    def _warn_of_unlisted(self, examples: Sequence[Example]) -> None:
        if self.cfg["label_filter"] is not None:
            return
        found = {span.label_ for example in examples for span in example.reference.ents}
        new = found - set(self.labels) - self._unlisted
        if new:
            warnings.warn(
                f"{self.name!r} does not have the label(s) {', '.join(sorted(new))} of the training data: these "
                "entities count as missing annotation. Add them with add_label() or in the labels of [initialize].",
                UserWarning,
                stacklevel=4,
            )
            self._unlisted |= new

    @property
    def skipped_sentences(self) -> int:
        """Sentences that training has left out so far because their gold tags were impossible."""
        return self._skipped


_DIVERGED = "training has diverged. Lower the learning rate, clip gradients, or check the encoder's features."
