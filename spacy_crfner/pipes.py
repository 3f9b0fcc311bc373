"""What every trainable component of the package has in common: settings, and how they are saved and loaded."""

from collections import Counter
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Union

import srsly
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model

from .marks import RARE_LABELS, REPEATED

SAMPLE_DOCS = 10
"""Docs that a model is initialized with, to find out its widths."""

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, srsly.msgpack.exceptions.ExtraData)

DIVERGED = "training has diverged. Lower the learning rate, clip gradients, or check the encoder's features."
"""What to do where numbers are not finite."""


class Settings:
    """What a component keeps in `cfg`: its settings, beside what it has found out.

    A setting that was changed after training is kept when the component is loaded, unless the config says otherwise
    than the one that the component was saved with.
    """

    cfg: Dict[str, Any]
    name: str

    def _keep(
        self, settings: Dict[str, Any], state: Optional[Dict[str, Any]] = None, fixed: Iterable[str] = ()
    ) -> None:
        """settings: what the config says. state: what training finds out, such as labels. fixed: the settings that
        belong to the weights, which a config cannot change any more."""
        self._configured = _as_saved(settings)
        self._fixed = tuple(fixed)
        self._checked: Dict[str, Any] = {}
        self.cfg = {**(state or {}), **settings, "configured": self._configured}
        self.check()

    def configure(self, key: str, value: Any) -> None:
        """Change a setting as if the config had said so."""
        self.cfg[key] = value
        self._configured.update(_as_saved({key: value}))

    def check(self) -> None:
        """Raises ValueError where a setting has a value that it cannot have. Costs nothing while they stay the same."""
        settings = {key: self.cfg[key] for key in self._configured}
        if settings != self._checked:
            self._check(settings)
            self._checked = deepcopy(settings)

    def _check(self, settings: Dict[str, Any]) -> None:
        """Raises ValueError for settings that a component cannot have."""

    @contextmanager
    def _loading(self, where: str, exclude: Iterable[str]) -> Iterator[None]:
        """What is read inside takes effect at the end.

        where: the place of the data, for the ValueError that is raised where they are damaged.
        """
        if "cfg" not in exclude:
            del self.cfg["configured"]
        try:
            yield
            if not isinstance(self.cfg.get("configured"), dict):
                raise ValueError("its cfg is missing, or holds no settings")
            self._after_loading()
        except _DAMAGE as error:
            self.cfg.setdefault("configured", self._configured)
            raise ValueError(
                f"The saved component {self.name!r} {where} cannot be read ({error}): the files are damaged or "
                "incomplete, or the config describes another model. Copy or train it again."
            ) from None

    def _after_loading(self) -> None:
        saved = self.cfg["configured"]
        for key, value in self._configured.items():
            if key not in self._fixed and key in saved and saved[key] != value:
                self.cfg[key] = value
        kept = {key: self.cfg[key] for key in self._fixed}
        self.cfg["configured"] = self._configured = {**self._configured, **kept}
        self.check()


def _as_saved(settings: Dict[str, Any]) -> Dict[str, Any]:
    """The settings as they come back from a file, where numbers have fewer digits."""
    return srsly.json_loads(srsly.json_dumps(settings))


@dataclass
class Sample:
    """What a component sees of the training examples when it is initialized.

    docs: a few. labels: how often each entity label occurs. n_examples: their number.
    rare: the labels that a balanced reader takes as rare; None without such a reader.
    """

    docs: List[Doc] = field(default_factory=list)
    labels: "Counter[str]" = field(default_factory=Counter)
    n_examples: int = 0
    rare: Optional[List[str]] = None


def within(value: Any, low: float, high: float) -> bool:
    """Whether a setting is a number from `low` to `high`."""
    return isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) <= high


def check_label_list(labels: Any, name: str, example: str) -> None:
    """Raises ValueError where a string stands in the place of a list of labels."""
    if isinstance(labels, (str, bytes)):
        raise ValueError(f"The labels of {name!r} must be a list such as {example}, not {labels!r}.")


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
    def needs_whole_docs(self) -> bool:
        """Whether the model reads what others have computed for a Doc, which a sentence cut out of it lacks."""
        return self.listens or any(node.attrs.get("reads_annotation") for node in self.model.walk())

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

    def _look_at(self, get_examples: Callable[[], Iterable[Example]], *, count: bool) -> Sample:
        """The training examples as far as initialization needs them.

        count: False reads no more examples than the sample needs, and counts no labels. Docs that a balanced reader
            repeats are counted once.
        Raises ValueError where there are no examples.
        """
        if not callable(get_examples):
            validate_get_examples(get_examples, f"{type(self).__name__}.initialize")
        seen = Sample()
        for example in get_examples():
            seen.n_examples += 1
            validate_examples([example], f"{type(self).__name__}.initialize")
            marks = example.predicted.user_data
            seen.rare = marks.get(RARE_LABELS, seen.rare)
            if len(seen.docs) < SAMPLE_DOCS and len(example.reference):
                seen.docs.append(example.reference)
            elif len(seen.docs) == SAMPLE_DOCS and not count:
                break
            if count and REPEATED not in marks:
                seen.labels.update(span.label_ for span in example.reference.ents)
        if not seen.n_examples:
            raise ValueError(
                f"{self.name!r} cannot be initialized: the training corpus holds no examples. Check the path and "
                "that its Docs are not empty."
            )
        return seen

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "SettingsPipe":
        """Raises ValueError, naming the folder, where a file is damaged."""
        with self._loading(f"in {path}", exclude):
            self._before_loading(exclude)
            super().from_disk(path, exclude=exclude)
        return self

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "SettingsPipe":
        """Raises ValueError where the data are damaged."""
        with self._loading("in these bytes", exclude):
            self._before_loading(exclude)
            super().from_bytes(bytes_data, exclude=exclude)
        return self

    def _before_loading(self, exclude: Iterable[str]) -> None:
        """Make room for the weights that come, unless `exclude` names the model."""
