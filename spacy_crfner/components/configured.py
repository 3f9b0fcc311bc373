"""How the settings of a component and its other parts are saved and loaded: whole, together, or not at all."""

import json
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List, Mapping, Optional, TypeVar, Union

import srsly
from thinc.api import Config

from ..files import alone_in, digest, file_digests, fingerprint, inside, replacing
from .kept_settings import EarlierVersion, KeptSettings, as_plain

CFG = "cfg"
SAVED = "saved"
"""The entry of a saved cfg that says what was saved with it."""


class UnreadableComponent(ValueError):
    """A saved component cannot be read. reason: why, for a component that holds it."""

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


Component = TypeVar("Component", bound="ConfiguredComponent")


@dataclass(frozen=True)
class SavedPart:
    """How a part of a component is saved and loaded, in bytes and as a file or folder.

    is_there: whether there is something to save.
    """

    to_bytes: Callable[[], bytes]
    from_bytes: Callable[[bytes], Any]
    to_disk: Callable[[Path], Any]
    from_disk: Callable[[Path], Any]
    is_there: Callable[[], bool] = lambda: True


class ConfiguredComponent(KeptSettings):
    """A component whose settings are declared, checked and saved with it; to be named before a class of spaCy.

    Its parts are written whole, and digests in `cfg` bind them: what a kill has left of two savings is refused. Loading
    changes the component only where all of it can be read.
    """

    @property
    def span_groups(self) -> List[str]:
        """The keys of doc.spans that the component writes."""
        return []

    def __getattr__(self, name: str) -> Any:
        """Read a setting, such as `ner.threshold`."""
        if name in type(self).declared and self.cfg is not None:
            return self.cfg[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Change a setting, as in `ner.threshold = 0.9`.

        Raises ValueError for a value that it cannot have, AttributeError for a name that is nearly that of a setting.
        """
        declared = type(self).declared
        if name in declared:
            before = self.cfg[name]
            try:
                self.cfg[name] = as_plain(value)
                self.check()
            except ValueError:
                self.cfg[name] = before
                raise
            except TypeError:
                self.cfg[name] = before
                raise ValueError(f"{name} of {self.name!r} cannot be {value!r}, which no config can hold.") from None
            return
        # Not by hasattr of the component itself, which would ask its properties.
        is_there = name.startswith("_") or name in vars(self) or hasattr(type(self), name)
        meant = [] if is_there else get_close_matches(name, declared, 1, 0.85)
        if meant:
            raise AttributeError(f"{self.name!r} has no setting {name!r}: do you mean {meant[0]!r}?")
        super().__setattr__(name, value)

    def saved_parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        """Say what is saved beside `cfg`, in the order in which it is loaded."""
        return {}

    def companions(self) -> Optional[Collection[str]]:
        """Name the components in front whose saved weights this one was trained on; None for any of them."""
        return ()

    def before_loading(self, exclude: Iterable[str]) -> None:
        """Make room for what comes."""

    def after_loading(self) -> None:
        """Take what was loaded into use.

        Raises ValueError where parts do not fit each other.
        """
        self.merge_saved()

    def remember(self, exclude: Iterable[str]) -> Callable[[], None]:
        """Note what the component is. Returns the function that makes it so again after a failed loading."""
        before, kept = deepcopy(self.cfg), (self._configured, self._checked)

        def restore() -> None:
            self.cfg.clear()
            self.cfg.update(before)
            self._configured, self._checked = kept

        return restore

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the component; see TrainablePipe.to_bytes."""
        parts: Dict[str, Any] = {
            name: part.to_bytes() for name, part in self._parts(exclude).items() if part.is_there()
        }
        if CFG not in exclude:
            parts = {CFG: self._sign({name: digest(data) for name, data in parts.items()}), **parts}
        return srsly.msgpack_dumps(parts)

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Serialize the component to a folder, all of it or nothing; see TrainablePipe.to_disk.

        Raises OSError where it cannot be written.
        """
        folder = Path(path)
        parts = {name: part for name, part in self._parts(exclude).items() if part.is_there()}
        names = [*parts, *([] if CFG in exclude else [CFG])]
        folder.mkdir(exist_ok=True)
        # What two save into one folder at the same time is all of one or all of the other.
        with alone_in(folder, wait=True), replacing(*(folder / name for name in names)) as unfinished:
            written = dict(zip(names, unfinished, strict=True))
            for name, part in parts.items():
                part.to_disk(written[name])
            if CFG in written:
                cfg = written.pop(CFG)
                cfg.write_text(self._sign(file_digests(written), self._beside(folder)), encoding="utf8")

    def from_bytes(self: Component, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Component:
        """Load the component.

        Raises ValueError where the data are damaged; the component is what it was then.
        """
        with self._loading("in these bytes", exclude):
            data = srsly.msgpack_loads(bytes_data)
            if not isinstance(data, dict):
                raise ValueError("they hold no component")
            parts = self._parts(exclude)
            if CFG not in exclude:
                saved = self._read_cfg(data.get(CFG, "{}"))
                _compare(saved, {name: digest(data[name]) for name in parts if name in data}, exclude)
            for name, part in parts.items():
                if name in data:
                    part.from_bytes(data[name])
        return self

    def from_disk(self: Component, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> Component:
        """Load the component.

        Raises ValueError, naming the folder, where a file is damaged; the component is what it was then.
        """
        with self._loading(f"in {path}", exclude):
            folder, parts = Path(path), self._parts(exclude)
            if CFG not in exclude:
                cfg = folder / CFG
                saved = self._read_cfg(cfg.read_text(encoding="utf8") if cfg.exists() else "{}")
                _compare(saved, file_digests({name: folder / name for name in parts}), exclude)
                self._compare_beside(folder, saved)
            for name, part in parts.items():
                part.from_disk(folder / name)
        return self

    def _parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        return {name: part for name, part in self.saved_parts(exclude).items() if name not in exclude}

    def _kind(self) -> str:
        """Name what the settings belong to, which classes that are made of this one share."""
        return next(cls.__name__ for cls in type(self).__mro__ if "declared" in vars(cls))

    def _sign(self, digests: Mapping[str, str], beside: Mapping[str, str] = {}) -> str:
        """Write `cfg`, with the digests of what is saved with it."""
        cfg = as_plain(self.cfg)
        saved = {"component": self._kind(), "files": dict(digests), "beside": dict(beside)}
        # Its own digest: a changed label or setting is as bad as a changed weight.
        cfg[SAVED] = {**saved, "cfg": fingerprint(cfg, saved)}
        return json.dumps(cfg, indent=2, ensure_ascii=False)

    def _read_cfg(self, text: Union[str, bytes]) -> Dict[str, Any]:
        """Read `cfg`. Returns the digests of what was saved with it; an earlier version has written none."""
        cfg = json.loads(text)
        if not isinstance(cfg, dict):
            raise ValueError("its cfg holds no settings")
        saved = cfg.pop(SAVED, None)
        if saved is not None:
            kind, wanted = saved["component"], self._kind()
            if kind != wanted:
                raise ValueError(f"it holds a {kind}, not a {wanted}")
            if fingerprint(cfg, {key: saved[key] for key in saved if key != "cfg"}) != saved["cfg"]:
                raise ValueError("its cfg is not as it was saved")
        self.cfg.update(cfg)
        return saved or {}

    def _beside(self, folder: Path) -> Dict[str, str]:
        """Digest the components in front that this one was trained on, which are saved before it, in the same folder.

        It does not count those that the pipeline in this folder does not have, nor a component that is saved alone.
        """
        wanted, config = self.companions(), folder.parent / "config.cfg"
        if (wanted is not None and not wanted) or not config.is_file():
            return {}
        names = Config().from_disk(config, interpolate=False).get("nlp", {}).get("pipeline", [])
        in_front = names[: names.index(folder.name)] if folder.name in names else []
        return {
            name: _digest_of_weights(folder.parent / name)
            for name in in_front
            if (wanted is None or name in wanted) and (folder.parent / name).is_dir()
        }

    def _compare_beside(self, folder: Path, saved: Mapping[str, Any]) -> None:
        for name, expected in saved.get("beside", {}).items():
            component = inside(folder.parent, name)
            if component.is_dir() and _digest_of_weights(component) != expected:
                raise ValueError(f"it was saved together with another {name!r} than the one beside it")

    @contextmanager
    def _loading(self, where: str, exclude: Iterable[str]) -> Iterator[None]:
        """Let what is read inside take effect at the end, or not at all.

        where: the data are, for the ValueError that is raised where they are damaged.
        """
        restore = self.remember(exclude)
        if CFG not in exclude:
            del self.cfg["configured"]
        try:
            self.before_loading(exclude)
            yield
            self.after_loading()
        except EarlierVersion:
            restore()
            reason = "was saved by an earlier version"
            raise UnreadableComponent(
                f"The saved component {self.name!r} {where} {reason}: train it again.", f"its {self.name!r} {reason}"
            ) from None
        except ImportError:
            # It says which package is missing.
            restore()
            raise
        # Whatever reading damaged data raises.
        except Exception as error:
            restore()
            reason = _reason(error)
            raise UnreadableComponent(
                f"The saved component {self.name!r} {where} cannot be read ({reason}): the files are damaged or "
                "incomplete, or the config describes another model. Copy or train it again.",
                f"its {self.name!r} cannot be read: {reason}",
            ) from None
        except BaseException:
            restore()
            raise


def _compare(saved: Mapping[str, Any], found: Mapping[str, str], exclude: Iterable[str]) -> None:
    """Compare digests. Raises ValueError where a file is missing, or is not the one that was saved with the others."""
    for name, expected in saved.get("files", {}).items():
        if name.split("/")[0] in exclude:
            continue
        if name not in found:
            raise ValueError(f"{name} is missing")
        if found[name] != expected:
            raise ValueError(f"{name} is damaged, or was not saved together with its cfg")


def _digest_of_weights(folder: Path) -> str:
    """Digest what a component that is saved in a folder has learned."""
    with_cfg = folder / CFG
    if with_cfg.is_file():
        cfg = json.loads(with_cfg.read_text(encoding="utf8"))
        if isinstance(cfg, dict) and SAVED in cfg:
            return fingerprint(cfg[SAVED])
    return fingerprint(file_digests({"model": folder / "model"}))


def _reason(error: Exception) -> str:
    """Say in one line, of bounded length, what went wrong."""
    if isinstance(error, UnreadableComponent):
        return error.reason
    said = " ".join(str(error).split())
    said = f"{said[:300]}…" if len(said) > 300 else said
    return said if isinstance(error, (ValueError, OSError)) and said else f"{type(error).__name__}: {said}"
