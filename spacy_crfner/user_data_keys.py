"""The keys of a predicted Doc's `user_data` by which readers tell components about the Doc."""

REPEATED = "spacy_crfner.repeated"
"""True for a Doc that the reader has given before."""

RARE_LABELS = "spacy_crfner.rare_labels"
"""The labels that the reader takes as rare, a list."""

WEIGHT = "spacy_crfner.weight"
"""How much each sentence of the Doc counts in training beside the others of its batch, a number from 0; without one, 1.

Read from the predicted Doc of an example, else from its reference."""
