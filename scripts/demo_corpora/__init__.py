"""Generators of the demo corpora: small, invented, news-like text with entity tags."""
