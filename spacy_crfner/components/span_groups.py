"""Which span groups the components of a pipeline write, so that none erases what another one has found."""

from typing import Any, List

from spacy.language import Language


def written_groups(pipe: Any) -> List[str]:
    """List the keys of doc.spans that a component writes.

    pipe: of this package, which lists its `span_groups`; or another one, such as spaCy's spancat.
    """
    groups = getattr(pipe, "span_groups", None)
    if groups is not None:
        return list(groups)
    settings = getattr(pipe, "cfg", None)
    key = settings.get("spans_key") if isinstance(settings, dict) else None
    key = key or getattr(pipe, "key", None)
    return [key] if isinstance(key, str) else []


def check_span_groups(nlp: Language, component: str) -> None:
    """Check that no other component of a pipeline writes a span group of this one.

    Raises ValueError, naming both, where one does.
    """
    pipes = dict(nlp.pipeline)
    if component not in pipes:
        return
    own = written_groups(pipes[component])
    if len(set(own)) < len(own):
        twice = next(key for key in own if own.count(key) > 1)
        raise ValueError(f"{component!r} would write doc.spans[{twice!r}] twice: give each of its tasks a spans_key.")
    for name, pipe in pipes.items():
        if name == component:
            continue
        for key in written_groups(pipe):
            if key in own:
                raise ValueError(
                    f"{component!r} and {name!r} would both write doc.spans[{key!r}], and erase what the other has "
                    "found: give one of them another spans_key, or another name where it is the name of a component."
                )
