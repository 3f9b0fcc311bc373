"""CRF named entity recognition for spaCy when labels are few, rare or in another language.

Importing this module is cheap: the components register themselves through entry points and load
their dependencies when spaCy first asks for them.
"""

from .about import __version__


def register_extensions() -> None:
    """Make `span._.confidence` and `span._.weak_probability` known, for one that reads Docs and builds nothing."""
    from .routing import annotation as routing
    from .tagging import annotation as tagging

    tagging.register_extensions()
    routing.register_extensions()


__all__ = ["__version__", "register_extensions"]
