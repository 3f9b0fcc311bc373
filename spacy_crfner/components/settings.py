"""The declaration of a component's settings: from it come its factory, its checks, and the table in the docs."""

import inspect
import sys
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Callable, Collection, Dict, Mapping, Optional, Sequence, cast

from spacy.language import Language

from ..tags import check_labels

Check = Callable[[Any], Optional[str]]
"""A value -> what it must be instead; None where it is right."""


@dataclass(frozen=True)
class Setting:
    """An argument of a component.

    type: what a config may hold there; spaCy checks it.
    default: where a config says nothing.
    meaning: for the docs, in Markdown.
    check: what spaCy cannot check.
    fixed: whether it belongs to the weights, so that a config cannot change it once they are trained.
    """

    type: Any
    default: Any
    meaning: str
    check: Optional[Check] = None
    fixed: bool = False


Settings = Mapping[str, Setting]

LARGEST = sys.float_info.max


def check_settings(component: str, declared: Settings, values: Mapping[str, Any]) -> None:
    """Check that every setting has a value that it can have.

    Raises ValueError, naming component and setting, where one has not.
    """
    for name, setting in declared.items():
        check = true_or_false if setting.type is bool else setting.check
        needed = check(values[name]) if check else None
        if needed is not None:
            raise ValueError(f"{name} of {component!r} must be {needed}, not {values[name]!r}.")


def true_or_false(value: Any) -> Optional[str]:
    """Check that a value is True or False."""
    return None if isinstance(value, bool) else "true or false"


def one_of(*known: str) -> Check:
    """Check that a value is one of the known ones."""
    return lambda value: None if value in known else f"one of {', '.join(known)}"


def some_of(*known: str) -> Check:
    """Check that a value is a list of known ones."""

    def check(value: Any) -> Optional[str]:
        right = is_list(value) and all(one in known for one in value)
        return None if right else f"a list of {', '.join(known)}"

    return check


def number(low: float, high: float = LARGEST) -> Check:
    """Check that a value is a finite number from `low` to `high`."""
    needed = f"a number from {low:g}" + (f" to {high:g}" if high < LARGEST else "")
    return lambda value: None if is_number(value, low, high) else needed


def whole_number(low: int, high: int) -> Check:
    """Check that a value is a whole number from `low` to `high`."""
    needed = f"a whole number from {low} to {high:,}"
    return lambda value: None if isinstance(value, Integral) and is_number(value, low, high) else needed


def a_name(value: Any) -> Optional[str]:
    """Check that a value is a name: not empty, and more than white space."""
    return None if isinstance(value, str) and value.strip() else "a name"


def name_or_null(value: Any) -> Optional[str]:
    """Check that a value is None or a name."""
    return None if value is None or a_name(value) is None else "a name, or null"


def names(value: Any) -> Optional[str]:
    """Check that a value is a list of names."""
    right = is_list(value) and all(a_name(name) is None for name in value)
    return None if right else "a list of names"


def labels_or_null(value: Any) -> Optional[str]:
    """Check that a value is None or a list of labels.

    Raises ValueError for a label that no tag can hold.
    """
    if value is None:
        return None
    if not is_list(value) or not value or not all(isinstance(label, str) for label in value):
        return "a list of labels, or null for all of them"
    check_labels(value)
    return None


def is_list(value: Any) -> bool:
    """Tell whether a value is a list, as configs have them, or a tuple."""
    return isinstance(value, (list, tuple))


def is_number(value: Any, low: float, high: float = LARGEST) -> bool:
    """Tell whether a value is a finite number from `low` to `high`."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(low <= cast(float, value) <= high)


def check_label_list(labels: Any, name: str, example: str) -> None:
    """Check that labels are not a string in the place of a list.

    Raises ValueError where they are.
    """
    if isinstance(labels, (str, bytes)):
        raise ValueError(f"The labels of {name!r} must be a list such as {example}, not {labels!r}.")


def check_function(function: Any, arguments: Sequence[str], kind: str, component: str, example: str) -> None:
    """Check that a registered function is of the kind that a component needs; the registry holds several kinds.

    arguments: the names of the arguments that it is called with. kind: such as `loss`. example: the name of one that
        fits.
    Raises ValueError where it is not.
    """
    try:
        inspect.signature(function).bind(**dict.fromkeys(arguments))
    except (TypeError, ValueError):
        raise ValueError(
            f"The {kind} of {component!r} is not a {kind} for this component: choose one such as {example}."
        ) from None


def component_factory(
    name: str, *, settings: Settings, parts: Mapping[str, Any], **options: Any
) -> Callable[[Callable], Callable]:
    """Register a function as a factory of spaCy whose arguments are those parts and settings.

    settings: what the function takes as `**settings`.
    parts: name -> default of its other arguments, such as `model`, in the order of the docs.
    options: of `Language.factory`, such as `assigns`.
    """

    def register(make: Callable) -> Callable:
        own = inspect.signature(make).parameters.values()
        explicit = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        declared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=setting.type)
            for key, setting in settings.items()
        ]
        vars(make)["__signature__"] = inspect.Signature([*explicit, *declared])
        lines = "\n".join(f"{key}: {setting.meaning}." for key, setting in settings.items())
        make.__doc__ = f"{inspect.getdoc(make)}\n{lines}"
        defaults: Dict[str, Any] = {**parts, **{key: setting.default for key, setting in settings.items()}}
        return Language.factory(name, default_config=defaults, **options)(make)

    return register


def with_defaults(declared: Settings, values: Mapping[str, Any], component: str) -> Dict[str, Any]:
    """Complete settings with their defaults, tuples as lists.

    Raises TypeError for a setting that is not declared.
    """
    unknown: Collection[str] = [name for name in values if name not in declared]
    if unknown:
        raise TypeError(f"{component!r} has no setting {', '.join(unknown)}: choose from {', '.join(declared)}.")
    complete = {name: values.get(name, setting.default) for name, setting in declared.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in complete.items()}
