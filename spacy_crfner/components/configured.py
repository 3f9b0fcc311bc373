"""What a component keeps in `cfg`, and how that and its other parts are saved and loaded."""

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterable, Iterator, Mapping, Optional, TypeVar, Union

import srsly
from spacy import util

from .settings import Settings, check_settings, with_defaults

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, srsly.msgpack.exceptions.ExtraData)
"""What reading damaged files raises."""


class UnreadableComponent(ValueError):
    """A saved component cannot be read. reason: why, for a component that holds it."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


class EarlierVersion(Exception):
    """Raised in loading where a component was saved by a version of the package whose parts cannot be used any more."""


Component = TypeVar("Component", bound="ConfiguredComponent")


@dataclass(frozen=True)
class SavedPart:
    """How a part of a component is saved and loaded, in bytes and as a file or folder."""

    to_bytes: Callable[[], bytes]
    from_bytes: Callable[[bytes], Any]
    to_disk: Callable[[Path], Any]
    from_disk: Callable[[Path], Any]


class ConfiguredComponent:
    """A component whose settings are declared, checked and saved with it; to be named before a class of spaCy.

    `cfg` holds the settings and what training has found out. A setting that was changed after training is kept when
    the component is loaded, unless the config says otherwise than the one that the component was saved with.

    declared: the settings.
    """

    declared: ClassVar[Settings] = {}

    cfg: Dict[str, Any]
    name: str

    def keep_settings(self, values: Mapping[str, Any], state: Optional[Dict[str, Any]] = None) -> None:
        """Put settings into `cfg`.

        values: what the config says; defaults are taken for the rest. state: what training finds out, such as labels.
        Raises TypeError for a setting that does not exist, ValueError for a value that it cannot have.
        """
        settings = with_defaults(self.declared, values, self.name)
        self._configured = _as_saved(settings)
        self._checked: Dict[str, Any] = {}
        self.cfg = {**(state or {}), **settings, "configured": self._configured}
        self._known = frozenset(self.cfg)
        self.check()

    def configure(self, key: str, value: Any) -> None:
        """Change a setting as if the config had said so."""
        self.cfg[key] = value
        self._configured.update(_as_saved({key: value}))

    def check(self) -> None:
        """Check that every setting has a value that it can have; costs nothing while they stay the same.

        Raises ValueError where one has not.
        """
        strange = self.cfg.keys() - self._known
        if strange:
            known = ", ".join(self.declared)
            raise ValueError(f"{self.name!r} has no setting {', '.join(sorted(strange))}: choose from {known}.")
        settings = {key: self.cfg[key] for key in self._configured}
        if settings != self._checked:
            check_settings(self.name, self.declared, settings)
            self.check_together(settings)
            self._checked = deepcopy(settings)

    def check_together(self, settings: Mapping[str, Any]) -> None:
        """Check that the settings go together.

        Raises ValueError where a component cannot have them together.
        """

    # Saving

    def saved_parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        """Say what is saved beside `cfg`, in the order in which it is loaded."""
        return {}

    def before_loading(self, exclude: Iterable[str]) -> None:
        """Make room for what comes."""

    def after_loading(self) -> None:
        """Take what was loaded into use.

        Raises ValueError where parts do not fit each other.
        """
        saved = self.cfg["configured"]
        fixed = [key for key, setting in self.declared.items() if setting.fixed]
        for key, value in self._configured.items():
            if key not in fixed and key in saved and saved[key] != value:
                self.cfg[key] = value
        self.cfg["configured"] = self._configured = {**self._configured, **{key: self.cfg[key] for key in fixed}}
        self.check()

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component; see TrainablePipe.to_bytes."""
        return util.to_bytes({name: part.to_bytes for name, part in self._parts(exclude).items()}, exclude)

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Serialize the component to a folder; see TrainablePipe.to_disk."""
        util.to_disk(path, {name: part.to_disk for name, part in self._parts(exclude).items()}, exclude)

    def from_bytes(self: Component, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Component:
        """Load the component.

        Raises ValueError where the data are damaged.
        """
        with self._loading("in these bytes", exclude):
            parts = self._parts(exclude)
            util.from_bytes(bytes_data, {name: part.from_bytes for name, part in parts.items()}, exclude)
        return self

    def from_disk(self: Component, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> Component:
        """Load the component.

        Raises ValueError, naming the folder, where a file is damaged.
        """
        with self._loading(f"in {path}", exclude):
            util.from_disk(path, {name: part.from_disk for name, part in self._parts(exclude).items()}, exclude)
        return self

    def _parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        cfg = SavedPart(
            lambda: srsly.json_dumps(self.cfg),
            lambda data: self.cfg.update(srsly.json_loads(data)),
            lambda path: srsly.write_json(path, self.cfg),
            lambda path: self.cfg.update(srsly.read_json(path) if path.exists() else {}),
        )
        return {"cfg": cfg, **self.saved_parts(exclude)}

    @contextmanager
    def _loading(self, where: str, exclude: Iterable[str]) -> Iterator[None]:
        """Let what is read inside take effect at the end.

        where: the data are, for the ValueError that is raised where they are damaged.
        """
        if "cfg" not in exclude:
            del self.cfg["configured"]
        try:
            self.before_loading(exclude)
            yield
            if not isinstance(self.cfg.get("configured"), dict):
                raise ValueError("its cfg is missing, or holds no settings")
            if self.cfg.keys() - self._known:
                raise EarlierVersion
            self.after_loading()
        except EarlierVersion:
            reason = "was saved by an earlier version"
            raise UnreadableComponent(
                f"The saved component {self.name!r} {where} {reason}: train it again.", f"its {self.name!r} {reason}"
            ) from None
        except DAMAGE as error:
            self.cfg.setdefault("configured", self._configured)
            reason = error.reason if isinstance(error, UnreadableComponent) else " ".join(str(error).split())
            raise UnreadableComponent(
                f"The saved component {self.name!r} {where} cannot be read ({reason}): the files are damaged or "
                "incomplete, or the config describes another model. Copy or train it again.",
                f"its {self.name!r} cannot be read: {reason}",
            ) from None


def _as_saved(settings: Dict[str, Any]) -> Dict[str, Any]:
    """Make the settings what they are when they come back from a file, where numbers have fewer digits."""
    return srsly.json_loads(srsly.json_dumps(settings))
