"""The `bcrf_ner` pipeline component: one task on doc.ents."""

from typing import Any, Callable, ClassVar, Iterable, List, Optional, Tuple

from spacy.tokens import Doc
from spacy.vocab import Vocab
from thinc.api import Model

from ..components.settings import Settings
from ..crf import CRFLoss
from ..tags import TagSet
from .annotation import DocPrediction
from .decoders import Decoder
from .head import CRFScores
from .pipe import CRFPipe
from .sentence_selection import SentenceSelection
from .settings import BCRF_NER_SETTINGS
from .task import CRFTask, new_task_state


class CRFEntityRecognizer(CRFPipe):
    """Finds named entities with a linear-chain CRF; every entity comes with its exact probability.

    Arguments and defaults: see `make_bcrf_ner`.
    """

    declared: ClassVar[Settings] = BCRF_NER_SETTINGS

    def __init__(
        self,
        vocab: Vocab,
        model: Model[List[Doc], CRFScores],
        name: str = "bcrf_ner",
        *,
        loss: CRFLoss,
        decoder: Decoder,
        sentences: Optional[SentenceSelection] = None,
        scorer: Optional[Callable] = None,
        **settings: Any,
    ):
        super().__init__(vocab, model, name, settings, sentences, new_task_state())
        self.task = CRFTask(self, loss=loss, decoder=decoder)
        self.tasks = [self.task]
        self.scorer = scorer

    def split_scores(self, scores: CRFScores) -> List[CRFScores]:
        """See CRFPipe."""
        return [scores]

    def join_gradients(self, gradients: List[CRFScores]) -> CRFScores:
        """See CRFPipe."""
        return gradients[0]

    @property
    def label_data(self) -> List[str]:
        """What `spacy init labels` stores and `initialize(labels=...)` takes."""
        return list(self.labels)

    @property
    def label_filter(self) -> Optional[List[str]]:
        """The only labels that count; None for all."""
        return self.task.label_filter

    @property
    def tag_set(self) -> TagSet:
        """The tags of the labels in the component's scheme."""
        return self.task.tag_set

    @property
    def tags(self) -> Tuple[str, ...]:
        """Tag names, in the order of emissions and marginals."""
        return self.tag_set.names

    def predict(self, docs: Iterable[Doc]) -> List[DocPrediction]:
        """Find the entities of each Doc; the Docs are not changed. See CRFPipe."""
        (predictions,) = self.predict_tasks(list(docs))
        return predictions

    def set_annotations(self, docs: Iterable[Doc], predictions: Iterable[DocPrediction]) -> None:
        """Write doc.ents, or doc.spans[spans_key], and the confidence of every entity."""
        super().set_annotations(docs, ([prediction] for prediction in predictions))
