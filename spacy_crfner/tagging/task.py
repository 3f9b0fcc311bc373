"""What one tag set needs: labels, gold, loss, decoding and annotation. A component has a task for each of its heads.

`bcrf_ner` is one task on `doc.ents`; a component with several heads is a list of them.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Dict, Iterable, List, Mapping, Optional, Protocol, Sequence, Set, Tuple

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab

from ..components.kept_settings import KeptSettings
from ..components.settings import Settings, check_function
from ..components.trainable import DIVERGED
from ..components.weights import doc_weights
from ..crf import CRFLoss, LossGradient, Potentials, distillation, incorrect_spans
from ..tags import LabelledSpan, TagSet, check_labels
from ..torch_state import in_usual_torch
from ..white_space import entities
from .annotation import DocPrediction, entities_of_others, write_prediction
from .decoders import Decoder, viterbi_decoder
from .excerpts import Assembly
from .gold import NO_ENTITY, UNKNOWN, EntityRuns, aligned_spans, blocked_tokens, label_numbers, runs_to_tags
from .head import CRFScores, Head, head_size, is_initialized, resize_head
from .pieces import fits, pieces
from .potentials import allowed_tags, build_potentials, no_gradient, score_gradient
from .prediction import empty_predictions, read_predictions
from .sentence_selection import Chosen, SentenceSelection
from .sequences import TokenSequences
from .settings import TASK_SETTINGS
from .short_texts import read_short_text


def new_task_state() -> Dict[str, Any]:
    """Make what training finds out about a task: its labels, and those that a selection of sentences has chosen."""
    return {"labels": [], "selected_labels": None}


class TaskOwner(Protocol):
    """The component that a task belongs to. cfg: holds settings and labels of its tasks."""

    name: str
    vocab: Vocab
    cfg: Dict[str, Any]


@dataclass(frozen=True, eq=False)
class TaskLoss:
    """The loss of a task over a batch.

    loss: the mean of a sentence. gradient: of that, by the scores. skipped: sentences whose gold is impossible.
    chance: about what the loss is where all tags have the same scores. size: sentences, each times its weight.
    """

    loss: float
    gradient: CRFScores
    skipped: int = 0
    chance: float = 0.0
    size: float = 0.0


class CRFTask(KeptSettings):
    """Finds the entities of one tag set.

    owner: the component.
    key: names the task among several, whose settings and labels stand in `owner.cfg["tasks"]`; None where the component
        has this task alone, so that its settings are those of the component.
    settings: of a task with a key, see TASK_SETTINGS.
    loss, decoder: registered functions.
    """

    declared: ClassVar[Settings] = TASK_SETTINGS

    def __init__(
        self,
        owner: TaskOwner,
        key: Optional[str] = None,
        settings: Optional[Mapping[str, Any]] = None,
        *,
        loss: CRFLoss,
        decoder: Decoder,
    ):
        check_function(loss, ("potentials", "gold", "weights"), "loss", owner.name, "spacy_crfner.bernoulli.v1")
        check_function(decoder, ("potentials", "tag_set"), "decoder", owner.name, "spacy_crfner.viterbi_decoder.v1")
        self.owner = owner
        self.key = key
        self.loss = loss
        self.decoder = decoder
        if key is not None:
            self.keep_settings(settings or {}, new_task_state())
        self._tag_set = TagSet((), self.cfg["scheme"])

    @property
    def cfg(self) -> Dict[str, Any]:  # type: ignore[override]
        """Settings and labels, which the component saves."""
        return self.owner.cfg if self.key is None else self.owner.cfg["tasks"][self.key]

    @cfg.setter
    def cfg(self, value: Dict[str, Any]) -> None:
        self.owner.cfg.setdefault("tasks", {})[self.key] = value

    @property
    def name(self) -> str:  # type: ignore[override]
        """The span group of its confidences, and what messages call it."""
        return self.owner.name if self.key is None else f"{self.owner.name}.{self.key}"

    @property
    def signature(self) -> str:
        """What its entities are known by: its name, and which training made the component."""
        return f"{self.name}/{self.owner.cfg['identity']}"

    # Labels

    @property
    def labels(self) -> Tuple[str, ...]:
        """The entity labels, in tag order."""
        return tuple(self.cfg["labels"])

    @property
    def label_filter(self) -> Optional[List[str]]:
        """The only labels that count; None for all."""
        selected = self.cfg["selected_labels"]
        return self.cfg["label_filter"] if selected is None else selected

    @property
    def tag_set(self) -> TagSet:
        """The tags of the labels in the scheme."""
        if self._tag_set.labels != self.labels or self._tag_set.scheme != self.cfg["scheme"]:
            self._tag_set = TagSet(self.labels, self.cfg["scheme"])
        return self._tag_set

    def set_labels(self, labels: Sequence[str], selected: Optional[Sequence[str]] = None) -> List[str]:
        """Take labels of the training data, after those that were added before; a filter leaves some out.

        selected: the only labels to learn, by a selection of sentences.
        Returns those that the filter names and the data does not have. Raises ValueError for a label that no tag can
        hold, and for a selection beside a filter.
        """
        if selected is not None:
            self._check_no_filter()
        self.cfg["selected_labels"] = None if selected is None else list(selected)
        wanted = self.label_filter
        known = [label for label in self.labels if wanted is None or label in wanted]
        chosen = list(labels) if wanted is None else list(wanted)
        self.cfg["labels"] = list(check_labels([*known, *(label for label in chosen if label not in known)]))
        self.intern_labels()
        return [label for label in chosen if label not in labels]

    def forget_selection(self, sentences: Optional[SentenceSelection]) -> None:
        """Forget the labels that a selection had chosen where the component does not leave them to it any more.

        Raises ValueError where it does, beside a filter.
        """
        if sentences is None or not sentences.chooses_labels:
            self.cfg["selected_labels"] = None
        else:
            self._check_no_filter()

    def _check_no_filter(self) -> None:
        if self.cfg["label_filter"] is not None:
            raise ValueError(f"The labels of {self.name!r} come from its sentences: leave out its label_filter.")

    def add_label(self, label: str) -> int:
        """Add an entity label. Returns 1, or 0 if the label was there.

        Raises ValueError for a label that no tag can hold or that `label_filter` leaves out.
        """
        if label in self.labels:
            return 0
        check_labels([*self.labels, label])
        if self.cfg["selected_labels"] is not None:
            self.cfg["selected_labels"] = [*self.cfg["selected_labels"], label]
        elif self.label_filter is not None and label not in self.label_filter:
            raise ValueError(
                f"{self.name!r} has the label_filter {self.label_filter}: it cannot add {label!r}, unless you add it "
                "to cfg['label_filter'] first."
            )
        self.cfg["labels"] = [*self.labels, label]
        self.intern_labels()
        return 1

    def intern_labels(self) -> None:
        """Make the labels known to the vocab."""
        for label in self.labels:
            self.owner.vocab.strings.add(label)

    def unlisted_labels(self, examples: Iterable[Example]) -> Set[str]:
        """Find the labels of examples that the task does not have and does not leave out on purpose."""
        if self.label_filter is not None:
            return set()
        found = {label for example in examples for _, _, label in entities(example.reference.ents)}
        return found - set(self.labels)

    # The head

    def resize(self, head: Head) -> None:
        """Give a head as many tags as there are."""
        resize_head(head, len(self.tag_set))

    def check_head(self, head: Head) -> None:
        """Check that a head, if it has weights, scores as many tags as there are.

        Raises ValueError where it scores another number.
        """
        if is_initialized(head) and head_size(head) != len(self.tag_set):
            raise ValueError(f"its model is not one for the labels {', '.join(self.labels) or 'none'}")

    # Training

    @in_usual_torch
    def compute_loss(
        self, examples: Sequence[Example], scores: CRFScores, *, chosen: Chosen = None, r_drop: float = 0.0
    ) -> TaskLoss:
        """Compute the mean loss a sentence, its gradient, and how many sentences were left out. Nothing is changed.

        chosen: the sentences of each example that count; None takes all.
        r_drop: above 0, the second half of the examples is the first again, under other dropout, and this is the weight
            of the divergence between the two predictions for a sentence.
        The gold entities are those of the references, whatever entities the predicted Docs hold.
        Raises ValueError where the scores are not finite numbers.
        """
        docs = [example.predicted for example in examples]
        sequences = TokenSequences.build(docs, self.cfg["per_sentence"], chosen)
        if not sequences.lengths:
            return TaskLoss(0.0, no_gradient(scores))
        potentials = self.potentials(scores, sequences)
        packing = potentials.packing
        gold, cut = self._gold_tags(examples, sequences)
        gold[cut[sequences.owners]] = -1
        packed_gold = packing.pack(torch.from_numpy(gold).to(packing.device))
        of_docs = doc_weights(examples)
        weights = None
        if of_docs is not None:
            weights = torch.from_numpy(of_docs[sequences.docs]).to(packing.device)[packing.order]
        result = self.loss(potentials, packed_gold, weights)
        if self.cfg["incorrect_spans_key"] is not None:
            result = result + self._incorrect_spans_loss(examples, potentials, packed_gold, sequences, weights)
        skipped = int((~result.possible).sum()) + int(cut.sum())
        if r_drop:
            half = len(docs) // 2
            swapped = replace(scores, emissions=[*scores.emissions[half:], *scores.emissions[:half]])
            disagreement = distillation(potentials, self.potentials(swapped, sequences), weights)
            result = result + disagreement.times(r_drop)
        return self._mean(result, weights, scores, sequences, potentials, skipped)

    @in_usual_torch
    def compute_divergence(self, docs: Sequence[Doc], scores: CRFScores, taught: CRFScores) -> TaskLoss:
        """Compute the Kullback-Leibler divergence from what another model has predicted, over all tag sequences."""
        sequences = TokenSequences.build(docs, self.cfg["per_sentence"])
        if not sequences.lengths:
            return TaskLoss(0.0, no_gradient(scores))
        student, teacher = (self.potentials(own, sequences) for own in (scores, taught))
        return self._mean(distillation(student, teacher), None, scores, sequences, student)

    def _mean(
        self,
        result: LossGradient,
        weights: Optional[torch.Tensor],
        scores: CRFScores,
        sequences: TokenSequences,
        potentials: Potentials,
        skipped: int = 0,
    ) -> TaskLoss:
        mean = result.mean(weights)
        loss = float(mean.loss.sum())
        if not np.isfinite(loss):
            raise ValueError(f"The loss of {self.name!r} is {loss}: {DIVERGED}")
        chance = len(potentials.packing) / potentials.packing.n_sequences * float(np.log(potentials.n_tags))
        size = float(len(mean.loss) if weights is None else weights.sum())
        return TaskLoss(loss, score_gradient(scores, sequences, mean, potentials), skipped, chance, size)

    def potentials(
        self, scores: CRFScores, sequences: TokenSequences, allowed: Optional[np.ndarray] = None
    ) -> Potentials:
        """Build the CRF of the sequences.

        allowed: (N, K) booleans, the tags that each token may have; None where nothing is given.
        Raises ValueError where the scores are not finite numbers.
        """
        try:
            return build_potentials(scores, sequences, self.tag_set, allowed)
        except FloatingPointError:
            raise ValueError(f"The scores of {self.name!r} are not finite numbers: {DIVERGED}") from None

    def given_entities(self, doc: Doc) -> List[LabelledSpan]:
        """List the entities of a Doc that stay: those of others, unless they are to be overwritten or do not matter."""
        if self.cfg["overwrite_ents"] or self.cfg["spans_key"] is not None or not doc.ents:
            return []
        return entities_of_others(doc, self.signature)

    def _gold_tags(self, examples: Sequence[Example], sequences: TokenSequences) -> Tuple[np.ndarray, np.ndarray]:
        unlisted = UNKNOWN if self.label_filter is None else NO_ENTITY
        runs = [EntityRuns.from_example(example) for example in examples]
        numbers = label_numbers(self.tag_set, self.owner.vocab.strings)
        return runs_to_tags(runs, numbers, self.tag_set, sequences, unlisted=unlisted)

    def _incorrect_spans_loss(
        self,
        examples: Sequence[Example],
        potentials: Potentials,
        gold: torch.Tensor,
        sequences: TokenSequences,
        weights: Optional[torch.Tensor],
    ) -> LossGradient:
        groups = [example.reference.spans.get(self.cfg["incorrect_spans_key"], []) for example in examples]
        spans = aligned_spans(examples, groups, self.tag_set, sequences)
        packing = potentials.packing
        columns = torch.tensor(spans, dtype=torch.int64, device=packing.device).view(-1, 4)
        owners, starts, ends, labels = columns.unbind(1)
        packed = packing.packed_sequences(owners)
        return incorrect_spans(potentials, gold, self.tag_set, packed, starts, ends, labels, weights)

    # Prediction

    @in_usual_torch
    def decode(self, docs: Sequence[Doc], scores: CRFScores, chosen: Chosen = None) -> List[DocPrediction]:
        """Find the entities of each Doc. chosen: the sentences that are read; None reads all."""
        sequences = TokenSequences.build(docs, self.cfg["per_sentence"], chosen)
        if not sequences.lengths:
            return self.find_nothing(docs)
        allowed = self._allowed_tags(docs, sequences)
        if self.decoder is viterbi_decoder:
            options = {"annotate": self.cfg["annotate"], "threshold": self.cfg["threshold"]}
            found = read_short_text(scores, sequences, self.tag_set, allowed, **options)
            if found is not None:
                return found
        if fits(sequences, len(self.tag_set)):
            return self._read(self.potentials(scores, sequences, allowed), sequences)
        predictions = self.find_nothing(docs)
        assembly = Assembly(predictions)
        for piece in pieces(scores, sequences, allowed):
            parts = self._read(self.potentials(piece.scores, piece.sequences, piece.allowed), piece.sequences)
            for (number, first), part in zip(piece.docs, parts, strict=True):
                assembly.add(number, first, part)
        assembly.finish()
        return predictions

    def _allowed_tags(self, docs: Sequence[Doc], sequences: TokenSequences) -> Optional[np.ndarray]:
        given = [self.given_entities(doc) for doc in docs]
        return allowed_tags(docs, given, sequences, self.tag_set, self.owner.vocab.strings)

    def _read(self, potentials: Potentials, sequences: TokenSequences) -> List[DocPrediction]:
        return read_predictions(
            self.decoder(potentials, self.tag_set),
            self.tag_set,
            sequences,
            annotate=self.cfg["annotate"],
            threshold=self.cfg["threshold"],
            n_best=self.cfg["n_best"],
        )

    def find_nothing(self, docs: Sequence[Doc]) -> List[DocPrediction]:
        """Make predictions for Docs of which nothing is read."""
        return empty_predictions(docs, self.tag_set, self.cfg["annotate"])

    def keep_given(self, doc: Doc, prediction: DocPrediction) -> None:
        """Let the entities of others, and blocked tokens, stand in a prediction."""
        prediction.keep(self.given_entities(doc), blocked_tokens(doc))

    def annotate(self, doc: Doc, prediction: DocPrediction) -> None:
        """Write doc.ents, or doc.spans[spans_key], and the confidence of every entity."""
        write_prediction(doc, prediction, component=self.name, owner=self.signature, spans_key=self.cfg["spans_key"])
