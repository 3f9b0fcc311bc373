"""What every trainable component of the package has in common: settings, and how they are saved and loaded."""

from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Union

import srsly
from spacy.pipeline import TrainablePipe
from spacy.vocab import Vocab
from thinc.api import Model

SAMPLE_DOCS = 10
"""Docs that a model is initialized with, to find out its widths."""

_DAMAGE = (ValueError, KeyError, TypeError, EOFError, srsly.msgpack.exceptions.ExtraData)


class SettingsPipe(TrainablePipe):
    """A trainable pipe whose settings are saved with it.

    settings: what the config says, kept in `cfg` beside `state` and saved with the pipe. A setting that was changed
        after training is kept when the pipe is loaded, unless the config says otherwise than the one it was saved with.
    state: what training finds out, such as labels.
    fixed: the settings that belong to the weights, which a config cannot change any more.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str,
        settings: Dict[str, Any],
        state: Dict[str, Any],
        fixed: Iterable[str] = (),
    ):
        self.vocab = vocab
        self.model = model
        self.name = name
        self._rehearsal_model: Optional[Model] = None
        self._configured = settings
        self._fixed = tuple(fixed)
        self.cfg: Dict[str, Any] = {**state, **settings, "configured": settings}

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "SettingsPipe":
        """Raises ValueError, naming the folder, where a file is damaged."""
        self._before_loading(exclude)
        try:
            super().from_disk(path, exclude=exclude)
        except _DAMAGE as error:
            raise ValueError(_damaged(self.name, f"in {path}", error)) from None
        self._after_loading()
        return self

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "SettingsPipe":
        """Raises ValueError where the data are damaged."""
        self._before_loading(exclude)
        try:
            super().from_bytes(bytes_data, exclude=exclude)
        except _DAMAGE as error:
            raise ValueError(_damaged(self.name, "in these bytes", error)) from None
        self._after_loading()
        return self

    def _before_loading(self, exclude: Iterable[str]) -> None:
        """Make room for the weights that come, unless `exclude` names the model."""

    def _after_loading(self) -> None:
        saved = self.cfg["configured"]
        for key, value in self._configured.items():
            if key not in self._fixed and key in saved and saved[key] != value:
                self.cfg[key] = value
        kept = {key: self.cfg[key] for key in self._fixed}
        self.cfg["configured"] = self._configured = {**self._configured, **kept}


def _damaged(name: str, where: str, error: Exception) -> str:
    return (
        f"The saved component {name!r} {where} cannot be read ({error}): the files are damaged or incomplete, "
        "or the config describes another model. Copy or train it again."
    )
