"""CRF named entity recognition for spaCy when labels are few, rare or in another language.

Importing this module is cheap: the components register themselves through entry points and load
their dependencies when spaCy first asks for them.
"""

from .about import __version__


def register_extensions() -> None:
    """Make `span._.confidence` known to spaCy, for a process that reads Docs and builds no component."""
    from .tagging.annotation import register_extensions as register

    register()


__all__ = ["__version__", "register_extensions"]
