"""The `back_attention` pipeline component."""

import warnings
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Type, Union

import numpy as np
import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, SpanGroup
from spacy.util import minibatch
from thinc.api import Model

from ..components.configured import ConfiguredComponent, SavedPart
from ..components.kept_settings import EarlierVersion
from ..components.requirements import extras_of, note_requirements
from ..components.settings import Settings
from ..components.span_groups import check_span_groups
from ..feature_cache import FeatureCache, content_key
from ..files import fingerprint, read_files, write_files
from ..sentences import batch_lengths
from ..torch_state import in_usual_torch
from .alignment import carry
from .english import EnglishNER
from .features import FEATURES, LAYER, wrong_width
from .settings import BACK_ATTENTION_SETTINGS
from .translation import Translation, TranslationError, Translator
from .translators import load_translator

FEATURES_VERSION = 2
"""To be raised where the same translator and the same English pipeline give other features than before: those of an
older version are then computed anew."""

FIXED = tuple(name for name, setting in BACK_ATTENTION_SETTINGS.items() if setting.fixed)
"""Settings that features, and all that is trained on them, depend on."""


class BackAttention(ConfiguredComponent, Pipe):
    """Give every word what an English NER knows of the words that translate it (Sun et al. 2019).

    Arguments and defaults: see `make_back_attention`.
    """

    declared: ClassVar[Settings] = BACK_ATTENTION_SETTINGS

    def __init__(self, name: str = "back_attention", **settings: Any):
        self.name = name
        self.keep_settings(settings, {"translator": None, "fingerprint": None})
        self.translator: Optional[Translator] = None
        self.english: Optional[EnglishNER] = None
        self._waits_for_parts = False
        self.cache = FeatureCache(None, self.cfg["memory_mb"])

    @property
    def span_groups(self) -> List[str]:
        """See ConfiguredComponent."""
        return [self.name]

    @property
    def width(self) -> int:
        """The number of features of a token. Raises ValueError before the component is initialized."""
        _, english = self._sources()
        return english.width + (self.cfg["normalisation"] == "row_normalised")

    def __call__(self, doc: Doc) -> Doc:
        """Store the features of the tokens in a Doc."""
        self._annotate([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Store the features of the tokens in each Doc of a stream."""
        handle = self.get_error_handler()
        for batch in minibatch(stream, batch_size):
            docs = list(batch)
            try:
                self._annotate(docs)
            except Exception as error:
                handle(self.name, self, docs, error)
            else:
                yield from docs

    def _annotate(self, docs: Sequence[Doc]) -> None:
        parts = [list(self._sentences(doc)) for doc in docs]
        features = iter(self.features([[word for _, word in words] for part in parts for words in part]))
        for doc, part in zip(docs, parts, strict=True):
            array = np.zeros((len(doc), self.width), dtype=np.float16)
            for words in part:
                array[[token for token, _ in words]] = next(features)
            # Without spans: spaCy cannot save the Doc where a component behind has merged their tokens.
            doc.spans[self.name] = SpanGroup(doc, name=self.name, attrs={FEATURES: array})

    def sentences(self, doc: Doc) -> List[List[int]]:
        """List the tokens of each sentence that are translated: all but white space."""
        return [[token for token, _ in words] for words in self._sentences(doc)]

    def _sentences(self, doc: Doc) -> Iterator[List[Tuple[int, str]]]:
        """Give the words of every sentence, without white space, with their tokens."""
        start = 0
        for length in batch_lengths([doc], self.cfg["per_sentence"]):
            tokens = doc[start : start + length]
            yield [(token.i, token.text) for token in tokens if not token.is_space]
            start += length

    @in_usual_torch
    def features(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Make the features of each sentence of words, (words, width) float16.

        Raises TranslationError, naming the sentence, where the translator fails, or features are not finite numbers.
        """
        self._sources()
        keys = [self._key(words) for words in sentences]
        shapes = [(len(words), self.width) for words in sentences]
        return self.cache.complete(keys, shapes, lambda missing: self._make([sentences[number] for number in missing]))

    def _make(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        _, english = self._sources()
        translations = self.translate(sentences)
        states = english.read([translation.words for translation in translations])
        normalisation = self.cfg["normalisation"]
        made = []
        for words, translation, rows in zip(sentences, translations, states, strict=True):
            with np.errstate(over="ignore"):
                features = carry(translation.attention, rows, normalisation).astype(np.float16)
            if not np.isfinite(features).all():
                raise TranslationError(
                    f"The English pipeline of {self.name!r} gives numbers that are not finite, or above 65,504, for "
                    f"{' '.join(words)[:80]!r}: train it again, with a lower learning rate."
                )
            made.append(features)
        return made

    @in_usual_torch
    def translate(self, sentences: Sequence[Sequence[str]]) -> List[Translation]:
        """Translate each sentence; to nothing where it has no words."""
        translator, _ = self._sources()
        wanted = [words for words in sentences if words]
        try:
            translations = translator.translate(wanted) if wanted else []
        except Exception as error:
            raise self._failure(translator, wanted, error) from error
        for words, translation in zip(wanted, translations, strict=True):
            shape = (len(words), len(translation.words))
            if translation.attention.shape != shape or not np.isfinite(translation.attention).all():
                raise TranslationError(
                    f"The translator of {self.name!r} gives no attention between {shape[0]} words and {shape[1]} for "
                    f"{' '.join(words)[:80]!r}, but an array of {translation.attention.shape}."
                )
        results = iter(translations)
        nothing = Translation([], np.zeros((0, 0), dtype=np.float32))
        return [next(results) if words else nothing for words in sentences]

    def _failure(self, translator: Translator, sentences: Sequence[Sequence[str]], error: Exception) -> Exception:
        """Make the error of a batch that failed; it names the first sentence that fails by itself."""
        for words in sentences:
            try:
                translator.translate([words])
            except Exception as own:
                return TranslationError(f"The translator of {self.name!r} failed at {' '.join(words)[:80]!r}: {own}")
        return TranslationError(f"The translator of {self.name!r} failed at a batch of {len(sentences)}: {error}")

    def _key(self, words: Sequence[str]) -> bytes:
        return content_key(self.cfg["fingerprint"], words)

    def _sources(self) -> Tuple[Translator, EnglishNER]:
        if self.translator is None or self.english is None:
            parts = {"translator": ("translator", self.translator), "english": ("English pipeline", self.english)}
            missing = {key: what for key, (what, part) in parts.items() if part is None}
            raise ValueError(
                f"{self.name!r} has no {' and no '.join(missing.values())}: give {' and '.join(missing)} in "
                f"[initialize.components.{self.name}] ({' and '.join(f'--paths.{key}' for key in missing)} in the "
                "shipped configs)."
            )
        return self.translator, self.english

    @property
    def extras(self) -> Set[str]:
        """The extras of this package that translator and English pipeline need, as far as there are any yet."""
        needed = set() if self.english is None else extras_of(self.english.nlp)
        return needed.union(filter(None, [getattr(self.translator, "extra", None)]))

    def initialize(
        self,
        get_examples: Callable,
        *,
        nlp: Optional[Language] = None,
        translator: Optional[Translator] = None,
        english: Union[str, Path, None] = None,
        cache: Union[str, Path, None] = None,
    ) -> None:
        """Load the translator and the English pipeline. Both are saved with the component, the cache is not.

        translator: a section such as `spacy_crfner.ConvSeq2Seq.v1`; None keeps the one that there is.
        english: folder or package of a pipeline with a `bcrf_ner`; None keeps the one that there is.
        cache: a folder for features, which any number of processes and pipelines may share.
        Raises ValueError where one is missing or cannot be used.
        """
        if nlp is not None:
            check_span_groups(nlp, self.name)
        if english is not None:
            self.english = EnglishNER.load(english, self.cfg["representation"])
        if translator is not None:
            self.translator = translator
        made_by, english_ner = self._sources()
        if english is not None or translator is not None:
            self.cfg["translator"] = made_by.kind
            settings = {key: self.cfg[key] for key in FIXED}
            files = [part for name_and_content in sorted(made_by.files().items()) for part in name_and_content]
            self.cfg["fingerprint"] = fingerprint(
                FEATURES_VERSION, settings, made_by.kind, *files, english_ner.to_bytes()
            )
        self.keep_features(cache)
        if nlp is not None:
            note_requirements(nlp)
            self._check_language(nlp, made_by)
            self._check_layers(nlp)

    def _check_language(self, nlp: Language, translator: Translator) -> None:
        """Warn of a translator of another language. A related one may be wanted; most other cases are a mistake."""
        language = getattr(translator, "language", None)
        if language not in (None, nlp.lang, "xx") and nlp.lang != "xx":
            warnings.warn(
                f"The translator of {self.name!r} has learned {language!r}, but the language of the pipeline is "
                f"{nlp.lang!r}: check its path.",
                UserWarning,
                stacklevel=3,
            )

    def _check_layers(self, nlp: Language) -> None:
        """Check the layers that read the features.

        Raises ValueError where one has another width, or stands in front.
        """
        names = nlp.pipe_names
        for name, pipe in nlp.pipeline:
            model = getattr(pipe, "model", None)
            for node in model.walk() if isinstance(model, Model) else ():
                if node.name != LAYER or node.attrs["component"] != self.name:
                    continue
                if node.get_dim("nO") != self.width:
                    problem = wrong_width(self.name, self.width, node.get_dim("nO"))
                    raise ValueError(f"{name!r} cannot be trained: {problem}")
                if self.name in names and names.index(name) < names.index(self.name):
                    raise ValueError(f"{name!r} reads the features of {self.name!r}: put it behind that component.")

    def keep_features(self, folder: Union[str, Path, None]) -> None:
        """Keep features in a folder from now on, beside memory; None keeps them in memory alone."""
        self.cache = FeatureCache(Path(folder) if folder else None, self.cfg["memory_mb"])

    def saved_parts(self, exclude: Iterable[str]) -> Dict[str, SavedPart]:
        """List what is saved beside the settings: translator and English pipeline; see ConfiguredComponent."""
        part = SavedPart(
            self._save_parts,
            self._load_parts,
            self._write_parts,
            self._read_parts,
            is_there=lambda: self.translator is not None and self.english is not None,
        )
        return {"parts": part}

    def remember(self, exclude: Iterable[str]) -> Callable[[], None]:
        """See ConfiguredComponent."""
        restore_cfg, parts = super().remember(exclude), (self.translator, self.english)

        def restore() -> None:
            restore_cfg()
            self.translator, self.english = parts

        return restore

    def before_loading(self, exclude: Iterable[str]) -> None:
        """Forget the fingerprint, which an earlier version has not saved, and the parts; see ConfiguredComponent."""
        if "cfg" not in exclude:
            self.cfg["fingerprint"] = None
        self._waits_for_parts = "parts" not in exclude
        if self._waits_for_parts:
            self.translator = self.english = None

    def after_loading(self) -> None:
        """Check the fingerprint; see ConfiguredComponent. Raises EarlierVersion where there is none."""
        super().after_loading()
        if self.cfg["translator"] is not None and self.cfg["fingerprint"] is None:
            raise EarlierVersion
        if self._waits_for_parts and self.cfg["translator"] is not None and self.translator is None:
            raise ValueError("its translator and English pipeline are missing")

    def __reduce__(self) -> Tuple[Any, ...]:
        settings = {key: self.cfg[key] for key in (*FIXED, "memory_mb")}
        folder = None if self.cache.path is None else str(self.cache.path.parent)
        return _rebuild, (type(self), self.name, settings, self.to_bytes(), folder)

    def _save_parts(self) -> bytes:
        translator, english = self._sources()
        return srsly.msgpack_dumps({"translator": translator.files(), "english": english.to_bytes()})

    def _load_parts(self, data: bytes) -> None:
        saved = srsly.msgpack_loads(data)
        if saved:
            self.translator = load_translator(self.cfg["translator"], saved["translator"])
            self.english = EnglishNER.from_bytes(saved["english"], self.cfg["representation"])

    def _write_parts(self, path: Path) -> None:
        translator, english = self._sources()
        path.mkdir()
        write_files(path / "translator", translator.files())
        english.nlp.to_disk(path / "english")

    def _read_parts(self, path: Path) -> None:
        if self.cfg["translator"] is not None:
            self.translator = load_translator(self.cfg["translator"], read_files(path / "translator"))
            self.english = EnglishNER.load(path / "english", self.cfg["representation"])


def _rebuild(
    cls: Type[BackAttention], name: str, settings: Dict[str, Any], data: bytes, folder: Optional[str]
) -> BackAttention:
    """Make a component of its pickle. folder: of the cache, which a process on this machine shares."""
    component = cls(name, **settings).from_bytes(data)
    if folder is not None and Path(folder).is_dir():
        component.keep_features(folder)
    return component
