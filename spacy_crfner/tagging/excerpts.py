"""Parts of the Docs of a batch that are read by themselves: cut out, and put together again. Both in linear time."""

from collections import defaultdict
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from spacy import attrs
from spacy.tokens import Doc

from ..sentences import batch_lengths
from ..tags import LabelledSpan
from .annotation import DocPrediction, carry_own_entities, own_entities
from .gold import EntityRuns

Excerpt = Tuple[int, int, Doc]
"""The index of a Doc in its batch, the token of it that an excerpt begins with, and the excerpt as a Doc of its own."""

ATTRIBUTES: List[Any] = [
    *(attrs.NORM, attrs.TAG, attrs.POS, attrs.MORPH, attrs.LEMMA, attrs.DEP, attrs.SENT_START),
    *(attrs.ENT_IOB, attrs.ENT_TYPE, attrs.ENT_KB_ID, attrs.ENT_ID),
]
"""What an excerpt has of the tokens, beside their words: all that a Doc stores of them but their heads."""


def cut_out(
    docs: Sequence[Doc], chosen: Sequence[np.ndarray], per_sentence: bool, owners: Sequence[str]
) -> List[Excerpt]:
    """Make Docs of the chosen sentences; a Doc of one sentence stays as it is.

    What is found in a sentence thus never depends on whether its neighbours are chosen.
    owners: what reads them, as in KnownSpan; which entities it has found before is still known in the pieces.
    """
    excerpts: List[Excerpt] = []
    for number, (doc, wanted) in enumerate(zip(docs, chosen, strict=True)):
        if len(wanted) < 2:
            excerpts += [(number, 0, doc)] if wanted.any() else []
        elif wanted.any():
            ends = np.cumsum(batch_lengths([doc], per_sentence))
            excerpts += [(number, *piece) for piece in _pieces(doc, ends, np.flatnonzero(wanted).tolist(), owners)]
    return excerpts


def _pieces(doc: Doc, ends: np.ndarray, wanted: Sequence[int], owners: Sequence[str]) -> List[Tuple[int, Doc]]:
    """Make Docs of some sentences of a Doc, each with the token that it begins with. ends: of all its sentences."""
    # Not by Span.as_doc, which looks at the whole Doc for every span.
    values: Any = doc.to_array(ATTRIBUTES)
    cut = _cut_entities(doc, ends)
    values[cut, ATTRIBUTES.index(attrs.ENT_IOB)] = 0
    values[cut, ATTRIBUTES.index(attrs.ENT_TYPE)] = 0
    own = {owner: _by_sentence(own_entities(doc, owner), ends) for owner in owners}
    pieces = []
    for sentence in wanted:
        start, end = int(ends[sentence - 1]) if sentence else 0, int(ends[sentence])
        tokens = doc[start:end]
        piece = Doc(doc.vocab, words=[t.text for t in tokens], spaces=[bool(t.whitespace_) for t in tokens])
        piece.from_array(ATTRIBUTES, values[start:end])
        piece.user_hooks, piece.user_token_hooks = doc.user_hooks, doc.user_token_hooks
        piece.user_span_hooks, piece.tensor = doc.user_span_hooks, doc.tensor[start:end]
        for owner, entities in own.items():
            inside = [(first - start, last - start, label) for first, last, label in entities.get(sentence, ())]
            carry_own_entities(piece, inside, owner)
        pieces.append((start, piece))
    return pieces


def _cut_entities(doc: Doc, ends: np.ndarray) -> np.ndarray:
    """Mark the tokens of entities that cross the border of a sentence: an excerpt knows nothing of them."""
    entity = EntityRuns.from_doc(doc).entity
    borders = ends[:-1]
    crossing = entity[borders][(entity[borders] == entity[borders - 1]) & (entity[borders] >= 0)]
    return np.isin(entity, crossing)


def _by_sentence(entities: Any, ends: np.ndarray) -> Dict[int, List[LabelledSpan]]:
    """Sort entities into the sentences that they stand in, in order; those that cross a border stand in none."""
    by_sentence: Dict[int, List[LabelledSpan]] = defaultdict(list)
    for entity in sorted(entities):
        sentence = int(np.searchsorted(ends, entity[0], side="right"))
        if entity[1] <= ends[sentence]:
            by_sentence[sentence].append(entity)
    return by_sentence


class Assembly:
    """Puts together what was found in parts of Docs, which come in the order of the text.

    predictions: of the Docs, empty so far; they are complete after `finish`.
    """

    def __init__(self, predictions: Sequence[DocPrediction]):
        self.predictions = predictions
        self._scores: Dict[int, List[np.ndarray]] = defaultdict(list)

    def add(self, number: int, first: int, part: DocPrediction) -> None:
        """Add what was found in a part of a Doc, which begins with the token `first` of it."""
        whole = self.predictions[number]
        whole.spans += [(start + first, end + first, label) for start, end, label in part.spans]
        if "scores" in part.attrs:
            self._scores[number].append(part.attrs["scores"])
        if "marginals" in part.attrs:
            marginals = part.attrs["marginals"]
            whole.attrs["marginals"][first : first + len(marginals)] = marginals
        for paths in part.attrs.get("n_best", ()):
            for path in paths:
                path["ents"] = [[start + first, end + first, label] for start, end, label in path["ents"]]
            whole.attrs["n_best"].append(paths)

    def finish(self) -> None:
        """Complete the predictions."""
        for number, scores in self._scores.items():
            self.predictions[number].attrs["scores"] = np.concatenate(scores)
