"""What every trainable component of the package has in common: settings, and how they are saved and loaded."""

from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

import srsly
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model

SAMPLE_DOCS = 10
"""Docs that a model is initialized with, to find out its widths."""

_DAMAGE = (ValueError, KeyError, TypeError, EOFError, srsly.msgpack.exceptions.ExtraData)


class Settings:
    """What a component keeps in `cfg`: its settings, beside what it has found out.

    A setting that was changed after training is kept when the component is loaded, unless the config says otherwise
    than the one that the component was saved with.
    """

    cfg: Dict[str, Any]

    def _keep(
        self, settings: Dict[str, Any], state: Optional[Dict[str, Any]] = None, fixed: Iterable[str] = ()
    ) -> None:
        """settings: what the config says. state: what training finds out, such as labels. fixed: the settings that
        belong to the weights, which a config cannot change any more."""
        self._configured = _as_saved(settings)
        self._fixed = tuple(fixed)
        self.cfg = {**(state or {}), **settings, "configured": self._configured}

    def configure(self, key: str, value: Any) -> None:
        """Change a setting as if the config had said so."""
        self.cfg[key] = value
        self._configured.update(_as_saved({key: value}))

    def _after_loading(self) -> None:
        saved = self.cfg["configured"]
        for key, value in self._configured.items():
            if key not in self._fixed and key in saved and saved[key] != value:
                self.cfg[key] = value
        kept = {key: self.cfg[key] for key in self._fixed}
        self.cfg["configured"] = self._configured = {**self._configured, **kept}


def _as_saved(settings: Dict[str, Any]) -> Dict[str, Any]:
    """The settings as they come back from a file, where numbers have fewer digits."""
    return srsly.json_loads(srsly.json_dumps(settings))


class SettingsPipe(Settings, TrainablePipe):
    """A trainable pipe whose settings are saved with it; see `Settings` for the last three arguments."""

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
        self._keep(settings, state, fixed)

    @property
    def listens(self) -> bool:
        """Whether the model gets its vectors from a tok2vec that other components share."""
        return any(hasattr(node, "upstream_name") for node in self.model.walk())

    def _refuse_listeners(self, what: str) -> None:
        if self.listens:
            raise ValueError(
                f"{self.name!r} listens to a shared tok2vec, which {what} cannot train: give the component an encoder "
                "of its own (nlp.replace_listeners)."
            )

    def _look_at(
        self, get_examples: Callable[[], Iterable[Example]], *, count: bool
    ) -> Tuple[List[Doc], "Counter[str]", int]:
        """A few Docs to initialize the model with, how often each entity label occurs, and the number of examples.

        count: False reads no more examples than the sample needs. A reference that a reader repeats is counted once.
        Raises ValueError where there are no examples.
        """
        if not callable(get_examples):
            validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        sample: List[Doc] = []
        counts: Counter[str] = Counter()
        # Kept, so that no other Doc can take the id of one.
        counted: Dict[int, Doc] = {}
        n_examples = 0
        for example in get_examples():
            n_examples += 1
            validate_examples([example], f"{type(self).__name__}.initialize")
            if len(sample) < SAMPLE_DOCS and len(example.reference):
                sample.append(example.reference)
            elif len(sample) == SAMPLE_DOCS and not count:
                break
            if count and id(example.reference) not in counted:
                counted[id(example.reference)] = example.reference
                counts.update(span.label_ for span in example.reference.ents)
        if not n_examples:
            raise ValueError(
                f"{self.name!r} cannot be initialized: the training corpus holds no examples. Check the path and "
                "that its Docs are not empty."
            )
        return sample, counts, n_examples

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


def _damaged(name: str, where: str, error: Exception) -> str:
    return (
        f"The saved component {name!r} {where} cannot be read ({error}): the files are damaged or incomplete, "
        "or the config describes another model. Copy or train it again."
    )
