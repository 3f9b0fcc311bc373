"""Augmenters: more training examples made of those that there are."""

import random
from functools import partial
from typing import Callable, Iterator

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.training.iob_utils import doc_to_biluo_tags

from ..user_data_keys import WEIGHT

Augmenter = Callable[[Language, Example], Iterator[Example]]


def make_upper_case_v1(level: float = 0.1) -> Augmenter:
    """Add copies of examples in capital letters, as headlines are written; the examples themselves stay.

    level: the share of examples that are copied, from 0 to 1.
    Raises ValueError for another level.
    """
    if not 0.0 <= level <= 1.0:
        raise ValueError(f"The level of spacy_crfner.upper_case.v1 is a share from 0 to 1, not {level}.")
    return partial(add_upper_case, level=level)


def add_upper_case(nlp: Language, example: Example, *, level: float) -> Iterator[Example]:
    """Give the example, and with a chance of `level` a copy of it in capitals."""
    yield example
    if random.random() < level:
        yield upper_case_copy(nlp, example)


def upper_case_copy(nlp: Language, example: Example) -> Example:
    """Copy an example to capitals, with all annotation that `Example.to_dict` holds."""
    reference = example.reference
    annotation = example.to_dict()
    # Both are kept by characters, of which capitals may have more: ß is SS.
    annotation["doc_annotation"].update(spans={}, links={})
    words = [token.text.upper() for token in reference]
    # Example.to_dict would call tokens without annotation O.
    tags = zip(reference, doc_to_biluo_tags(reference), strict=True)
    annotation["doc_annotation"]["entities"] = [tag if token.ent_iob else "-" for token, tag in tags]
    tokens = annotation["token_annotation"]
    tokens["ORTH"] = words
    if not reference.has_annotation("DEP"):
        # The heads that spaCy writes without a parse would put out the sentence boundaries.
        tokens.pop("HEAD", None)
        tokens.pop("DEP", None)
    if [token.text for token in example.predicted] == [token.text for token in reference]:
        predicted = Doc(nlp.vocab, words=words, spaces=[bool(token.whitespace_) for token in reference])
    else:
        predicted = nlp.make_doc(reference.text.upper())
    copy = Example.from_dict(predicted, annotation)
    copy.reference.set_ents([_same(copy.reference, ent) for ent in reference.ents], default="unmodified")
    for doc, original in ((copy.predicted, example.predicted), (copy.reference, reference)):
        if WEIGHT in original.user_data:
            doc.user_data[WEIGHT] = original.user_data[WEIGHT]
    for key, group in reference.spans.items():
        copy.reference.spans[key] = [_same(copy.reference, span) for span in group]
    return copy


def _same(doc: Doc, span: Span) -> Span:
    """Make the span of the same tokens of another Doc."""
    return Span(doc, span.start, span.end, label=span.label, kb_id=span.kb_id, span_id=span.id)
