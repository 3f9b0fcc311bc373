"""How the settings of a component and its other parts are saved and loaded."""

from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, TypeVar, Union

import srsly
from spacy import util

from .kept_settings import EarlierVersion, KeptSettings

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, srsly.msgpack.exceptions.ExtraData)
"""What reading damaged files raises."""


class UnreadableComponent(ValueError):
    """A saved component cannot be read. reason: why, for a component that holds it."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


Component = TypeVar("Component", bound="ConfiguredComponent")


@dataclass(frozen=True)
class SavedPart:
    """How a part of a component is saved and loaded, in bytes and as a file or folder."""

    to_bytes: Callable[[], bytes]
    from_bytes: Callable[[bytes], Any]
    to_disk: Callable[[Path], Any]
    from_disk: Callable[[Path], Any]


class ConfiguredComponent(KeptSettings):
    """A component whose settings are declared, checked and saved with it; to be named before a class of spaCy."""

    @property
    def span_groups(self) -> List[str]:
        """The keys of doc.spans that the component writes."""
        return []

    def __getattr__(self, name: str) -> Any:
        """Read a setting, such as `ner.threshold`."""
        if name in type(self).declared:
            return self.cfg[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Change a setting, as in `ner.threshold = 0.9`.

        Raises ValueError for a value that it cannot have, AttributeError for a name that is nearly that of a setting.
        """
        declared = type(self).declared
        if name in declared:
            before = self.cfg[name]
            self.cfg[name] = value
            try:
                self.check()
            except ValueError:
                self.cfg[name] = before
                raise
            return
        meant = [] if name.startswith("_") or hasattr(self, name) else get_close_matches(name, declared, 1, 0.85)
        if meant:
            raise AttributeError(f"{self.name!r} has no setting {name!r}: do you mean {meant[0]!r}?")
        super().__setattr__(name, value)

    def saved_parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        """Say what is saved beside `cfg`, in the order in which it is loaded."""
        return {}

    def before_loading(self, exclude: Iterable[str]) -> None:
        """Make room for what comes."""

    def after_loading(self) -> None:
        """Take what was loaded into use.

        Raises ValueError where parts do not fit each other.
        """
        self.merge_saved()

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
