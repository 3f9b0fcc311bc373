"""Tags of a sentence -> those that contradict the tags before them."""

from typing import List, Sequence

CLOSING_PREFIXES = ("E", "L", "S", "U")
"""Prefixes that only BIOES and BILUO have."""


def find_repairs(tags: Sequence[str], *, closes: bool) -> List[int]:
    """Find the indices of the tags that say that they continue an entity, but can only be read as beginning one.

    So :func:`~spacy_crfner.tags.iob_to_spans` reads them. Counted is only what no scheme allows. An ``E-`` or ``L-``
    must continue an entity of its label; so must an ``I-`` in BIOES and BILUO. In IOB1, an ``I-`` may begin an entity,
    also directly after one of another label, so without ``E-``, ``L-``, ``S-`` and ``U-`` in the file, it is counted
    only after an entity of another label that began with a ``B-`` which IOB1 does not use there, as in
    ``O B-PER I-ORG``. Entities that no ``E-`` or ``L-`` closes are not counted: where they end is not in doubt.

    tags: of one sentence, in IOB1, IOB2, BIOES or BILUO; an empty string where the token was not annotated. A
        tag directly after such a token is not counted, since the entity may have begun there.
    closes: whether there is an ``E-``, ``L-``, ``S-`` or ``U-`` in the file, so that it is BIOES or BILUO.
    """
    repairs = []
    open_label = last_label = ""
    # Whether the open entity shows that the file cannot be IOB1.
    strict = after_unknown = False
    for index, tag in enumerate(tags):
        prefix, _, label = tag.partition("-")
        if label and prefix in ("I", "E", "L") and label != open_label:
            wrong = not after_unknown and (prefix != "I" or closes or (open_label != "" and strict))
            if wrong:
                repairs.append(index)
            strict = wrong
        elif prefix == "B":
            strict = label != last_label and not after_unknown
        open_label = "" if prefix in CLOSING_PREFIXES else label
        last_label = label
        after_unknown = not tag
    return repairs
