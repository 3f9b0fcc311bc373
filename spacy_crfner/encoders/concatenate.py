"""`spacy_crfner.Concatenate.v1`: the vectors of two layers side by side."""

from typing import List

from spacy.tokens import Doc
from thinc.api import Model, concatenate
from thinc.types import Floats2d


def build_concatenate_v1(
    first: Model[List[Doc], List[Floats2d]], second: Model[List[Doc], List[Floats2d]]
) -> Model[List[Doc], List[Floats2d]]:
    """For each token the vector of the first layer, followed by that of the second.

    first, second: layers from Docs to one vector a token; each may be a Concatenate.v1 again.
    """
    return concatenate(first, second)
