"""Registered tok2vec architectures: from Docs to one vector a token."""
