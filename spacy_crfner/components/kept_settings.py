"""Settings with what training finds out beside them: checked, changed, and merged with saved ones."""

import json
from copy import deepcopy
from typing import Any, ClassVar, Dict, Mapping, Optional

import numpy as np
import srsly

from .settings import Settings, check_settings, with_defaults


class EarlierVersion(Exception):
    """Raised in loading where a component was saved by a version of the package whose parts cannot be used any more."""


class KeptSettings:
    """Keeps declared settings in `cfg`, beside what training has found out.

    A setting that was changed after training is kept when `cfg` is loaded, unless the config says otherwise than the
    one that it was saved with.

    declared: the settings. name: what messages call their owner.
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
        """Check the settings; it costs nothing while they stay the same.

        Raises ValueError where a setting has a value that it cannot have, or does not exist.
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
        """Check what settings cannot be together. Raises ValueError."""

    def merge_saved(self) -> None:
        """Take the `cfg` that was loaded into use.

        Raises ValueError where it holds no settings, EarlierVersion where it holds others than there are.
        """
        saved = self.cfg.get("configured")
        if not isinstance(saved, dict):
            raise ValueError("its cfg is missing, or holds no settings")
        if self.cfg.keys() - self._known:
            raise EarlierVersion
        fixed = [key for key, setting in self.declared.items() if setting.fixed]
        for key, value in self._configured.items():
            if key not in fixed and key in saved and saved[key] != value:
                self.cfg[key] = value
        self.cfg["configured"] = self._configured = {**self._configured, **{key: self.cfg[key] for key in fixed}}
        self.check()


def _as_saved(settings: Dict[str, Any]) -> Dict[str, Any]:
    """Make the settings what they are when they come back from a file, where numbers have fewer digits."""
    return srsly.json_loads(srsly.json_dumps(as_plain(settings)))


def as_plain(value: Any) -> Any:
    """Make of a value what a file can hold: numbers of numpy as those of Python, tuples as lists.

    Raises TypeError where no file can hold it.
    """
    return json.loads(json.dumps(value, default=_number))


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no setting")
