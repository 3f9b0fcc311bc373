"""Which sentences a tagger learns from and reads: what a registered selection has to offer.

`spacy_crfner.select_sentences.v1` is one; `[components.bcrf_ner.sentences] @misc = ...` names it.
"""

from typing import Collection, List, Optional, Protocol, Sequence, runtime_checkable

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

Chosen = Optional[List[np.ndarray]]
"""For each Doc, (sequences,) booleans: which of its sentences, or whether the Doc, take part; None where all do."""


@runtime_checkable
class SentenceSelection(Protocol):
    """Chooses sentences for training and for prediction, and perhaps the labels that are learned from them."""

    @property
    def chooses_labels(self) -> bool:
        """Whether `prepare` returns labels."""

    def prepare(self, nlp: Optional[Language], component: str) -> Optional[List[str]]:
        """Look at the pipeline when the component is initialized.

        Returns the only labels that the component shall learn; None leaves that to the component.
        Raises ValueError, naming the component, where something in front of it is missing.
        """

    def for_training(self, examples: Sequence[Example], labels: Collection[str], per_sentence: bool) -> Chosen:
        """Choose the sentences of a batch to learn from. labels: those of the component."""

    def for_prediction(self, docs: Sequence[Doc], per_sentence: bool) -> Chosen:
        """Choose the sentences to read.

        Raises ValueError for a Doc that lacks what the choice depends on.
        """


def check_selection(selection: Optional[SentenceSelection], component: str) -> None:
    """Check that what a component got as its sentences is a selection, or None.

    Raises ValueError where it is something else.
    """
    if selection is not None and not isinstance(selection, SentenceSelection):
        raise ValueError(
            f"The sentences of {component!r} are not a selection of sentences: choose "
            "spacy_crfner.select_sentences.v1, or null for all of them."
        )
