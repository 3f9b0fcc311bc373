"""CRF named entity recognition for spaCy when labels are few, rare or in another language.

Importing this module is cheap: the components register themselves through entry points and load
their dependencies when spaCy first asks for them. It makes `span._.confidence` and
`span._.weak_probability` known as soon as spaCy is imported too.
"""

from .about import __version__
from .after_import import after_import


def register_extensions() -> None:
    """Make `span._.confidence` and `span._.weak_probability` known.

    Importing the package does it too; this is for extensions that were removed or replaced since.
    """
    from .routing import annotation as routing
    from .tagging import annotation as tagging

    tagging.register_extensions()
    routing.register_extensions()


def _register_where_free() -> None:
    """Register what nobody else has; whether somebody else's is in the way is for components to say."""
    from spacy.tokens import Span

    from .routing import annotation as routing
    from .tagging import annotation as tagging

    if not Span.has_extension("confidence"):
        tagging.register_extensions()
    routing.register_extensions()


after_import("spacy", _register_where_free)

__all__ = ["__version__", "register_extensions"]
