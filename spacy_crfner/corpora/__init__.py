"""Corpora: annotated files of other tools -> spaCy Docs and ``.spacy`` files."""

from ..text_files import CorpusError

__all__ = ["CorpusError"]
