"""CRF named entity recognition for spaCy when labels are few, rare or in another language.

Importing this module is cheap: the components register themselves through entry points and load
their dependencies when spaCy first asks for them.
"""

from .about import __version__

__all__ = ["__version__"]
