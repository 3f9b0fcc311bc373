"""What a reader tells the components that train on its Docs: keys of a predicted Doc's user_data."""

REPEATED = "spacy_crfner.repeated"
"""Marks a Doc that the reader has given before."""

RARE_LABELS = "spacy_crfner.rare_labels"
"""The labels that the reader takes as rare."""
