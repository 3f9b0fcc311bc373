"""The `bcrf_ner` pipeline component."""

import warnings
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate

from ..crf import LossGradient, Potentials, absent_spans, distillation
from ..pipes import DIVERGED
from ..tags import LabelledSpan
from .annotation import DocPrediction, own_entities, register_extensions, write_prediction
from .blocks import check_block
from .decoders import Decoder
from .gold import NO_ENTITY, UNKNOWN, EntityRuns, aligned_spans, blocked_tokens, label_places, runs_to_tags
from .losses import LossBlock
from .model import CRFScores
from .pipe import CRFPipe
from .potentials import allowed_tags, build_potentials, mean_gradient
from .prediction import empty_predictions, read_predictions
from .segments import Segments
from .selection import cut_out, put_together, routed_sequences, training_sequences
from .settings import check_settings


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
        r_drop: float = 0.5,
        router: Optional[str] = None,
        train_on: str = "all",
        predict_on: str = "all",
        label_filter: Union[Sequence[str], str, None] = None,
        spans_key: Optional[str] = None,
        threshold: float = 0.0,
        annotate: Sequence[str] = ("confidence",),
        n_best: int = 5,
        incorrect_spans_key: Optional[str] = None,
        overwrite_ents: bool = False,
        scorer: Optional[Callable] = None,
    ):
        check_block(loss, 1, "loss", name, "spacy_crfner.bernoulli.v1")
        check_block(decoder, 2, "decoder", name, "spacy_crfner.viterbi_decoder.v1")
        super().__init__(
            vocab,
            model,
            name,
            {
                "scheme": scheme,
                "per_sentence": per_sentence,
                "r_drop": r_drop,
                "router": router,
                "train_on": train_on,
                "predict_on": predict_on,
                "label_filter": list(label_filter) if isinstance(label_filter, tuple) else label_filter,
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
        self.check()
        self._warn_of_unlisted(examples)
        chosen = self._chosen(examples)
        if chosen is not None and not self.listens:
            # A listener must see the whole batch; an encoder of its own need not run for nothing.
            examples = [example for example, sequences in zip(examples, chosen, strict=True) if sequences.any()]
            chosen = [sequences for sequences in chosen if sequences.any()]
            if not examples:
                return losses
        set_dropout_rate(self.model, drop)
        twice = self.cfg["r_drop"] > 0 and drop > 0 and not self.listens
        batch = examples * 2 if twice else examples
        scores, backprop = self.model.begin_update([example.predicted for example in batch])
        if twice and chosen is not None:
            chosen = chosen * 2
        loss, gradient, skipped = self._loss(batch, scores, twice=twice, chosen=chosen)
        self._count_skipped(skipped // 2 if twice else skipped)
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

    def _loss(
        self,
        examples: Sequence[Example],
        scores: CRFScores,
        *,
        twice: bool = False,
        chosen: Optional[Sequence[np.ndarray]] = None,
    ) -> Tuple[float, CRFScores, int]:
        """The mean loss a sentence, its gradient, and how many sentences were left out.

        twice: the second half of the examples is the first again, under other dropout, and should be predicted alike.
        chosen: the sequences of each example that count; None takes all.
        """
        docs = [example.predicted for example in examples]
        segments = Segments.build(docs, self.cfg["per_sentence"], chosen)
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
        if twice:
            half = len(docs) // 2
            others = replace(scores, emissions=[*scores.emissions[half:], *scores.emissions[:half]])
            disagreement = distillation(potentials, self._potentials(docs, others, segments))
            result = result + disagreement.times(self.cfg["r_drop"])
        loss = float(result.loss.sum()) / len(segments.lengths)
        if not np.isfinite(loss):
            raise ValueError(f"The loss of {self.name!r} is {loss}: {DIVERGED}")
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
        self._refuse_listeners("nlp.rehearse()")
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

        Raises ValueError before the component is initialized,
        and with `predict_on = "routed"` where no router has read a Doc.
        """
        docs = list(docs)
        self.check()
        router = self.cfg["router"]
        if self.cfg["predict_on"] == "all":
            predictions = self._predict(docs)
        elif self.needs_whole_docs:
            chosen = [routed_sequences(doc, router, self.cfg["per_sentence"]) for doc in docs]
            predictions = empty_predictions(docs, self.tag_set, self.cfg["annotate"])
            places = [place for place, sequences in enumerate(chosen) if sequences.any()]
            found = self._predict([docs[place] for place in places], [chosen[place] for place in places])
            for place, prediction in zip(places, found, strict=True):
                predictions[place] = prediction
        else:
            pieces = cut_out(docs, router, self.cfg["per_sentence"], self.name)
            predictions = empty_predictions(docs, self.tag_set, self.cfg["annotate"])
            put_together(predictions, pieces, self._predict([piece for _, _, piece in pieces]))
        for doc, prediction in zip(docs, predictions, strict=True):
            prediction.keep(self._given(doc), blocked_tokens(doc))
        return predictions

    def _predict(self, docs: List[Doc], chosen: Optional[Sequence[np.ndarray]] = None) -> List[DocPrediction]:
        segments = Segments.build(docs, self.cfg["per_sentence"], chosen)
        if not segments.lengths:
            return empty_predictions(docs, self.tag_set, self.cfg["annotate"])
        self._require_weights()
        potentials = self._potentials(docs, self.model.predict(docs), segments)
        return read_predictions(
            self.decoder(potentials, self.tag_set),
            self.tag_set,
            segments,
            annotate=self.cfg["annotate"],
            threshold=self.cfg["threshold"],
            n_best=self.cfg["n_best"],
        )

    def set_annotations(self, docs: Iterable[Doc], predictions: Iterable[DocPrediction]) -> None:
        """Write doc.ents, or doc.spans[spans_key], and the confidence of every entity."""
        for doc, prediction in zip(docs, predictions, strict=True):
            write_prediction(doc, prediction, component=self.name, spans_key=self.cfg["spans_key"])

    # Parts

    def _check(self, settings: Dict[str, Any]) -> None:
        check_settings(self.name, settings)

    def _potentials(self, docs: Sequence[Doc], scores: CRFScores, segments: Segments) -> Potentials:
        given = [self._given(doc) for doc in docs]
        allowed = allowed_tags(docs, given, segments, self.tag_set, self.vocab.strings)
        try:
            return build_potentials(self.model, scores, segments, self.tag_set, allowed)
        except FloatingPointError:
            raise ValueError(f"The scores of {self.name!r} are not finite numbers: {DIVERGED}") from None

    def _chosen(self, examples: Sequence[Example]) -> Optional[List[np.ndarray]]:
        """The sequences of each example that training takes; None takes all."""
        how = self.cfg["train_on"]
        if how == "all":
            return None
        return training_sequences(examples, how, self.labels, self.cfg["router"], self.cfg["per_sentence"])

    def _given(self, doc: Doc) -> List[LabelledSpan]:
        """The entities of a Doc that stay: those that others have found, unless they are to be overwritten or do
        not matter."""
        if self.cfg["overwrite_ents"] or self.cfg["spans_key"] is not None or not doc.ents:
            return []
        own = own_entities(doc, self.name)
        spans = [(span.start, span.end, span.label_) for span in doc.ents]
        return [span for span in spans if span not in own]

    def _gold_tags(self, examples: Sequence[Example], segments: Segments) -> Tuple[np.ndarray, np.ndarray]:
        unlisted = UNKNOWN if self.label_filter is None else NO_ENTITY
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
        if self.label_filter is not None:
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
