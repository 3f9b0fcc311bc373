"""A trained English pipeline, read for what its tagger knows of each word."""

from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

import numpy as np
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import load_model_from_config
from thinc.api import Config

from ..tagging.component import CRFEntityRecognizer
from ..tagging.head import head_width

REPRESENTATIONS = ("states", "marginals", "tags")


class EnglishNER:
    """An English pipeline with a `bcrf_ner`, which is not trained any further.

    representation: `states`, the vectors that its CRF scores; `marginals`, the probabilities of its tags; `tags`, 1 for
        the tag of the entities that it finds and 0 for all others.
    Raises ValueError where the pipeline has no trained `bcrf_ner`.
    """

    def __init__(self, nlp: Language, representation: str):
        taggers = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, CRFEntityRecognizer)]
        if not taggers:
            raise ValueError(
                f"The English pipeline ({', '.join(nlp.pipe_names) or 'empty'}) has no bcrf_ner, whose states could be "
                "carried back: train one on an English corpus, for instance with the config bcrf_ner (python -m spacy "
                "crfner config)."
            )
        self.nlp = nlp
        self.tagger = taggers[0]
        self.representation = representation
        if not self.tagger.labels:
            raise ValueError(f"{self.tagger.name!r} of the English pipeline has not been trained.")
        if representation == "marginals":
            annotate = self.tagger.cfg["annotate"]
            self.tagger.configure("annotate", [*annotate, *({"marginals"} - set(annotate))])

    @classmethod
    def load(cls, path: Union[str, Path], representation: str) -> "EnglishNER":
        """Load a pipeline. path: a folder or an installed package. Raises ValueError where there is none."""
        try:
            nlp = spacy.load(path)
        except OSError as error:
            raise ValueError(f"{path}: there is no English pipeline in this folder or package ({error}).") from None
        except (ImportError, ValueError):
            raise
        # Whatever reading damaged files raises, such as re.error.
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path}: the English pipeline in this folder or package cannot be read ({type(error).__name__}: "
                f"{said}): its files are damaged or incomplete. Copy or train it again."
            ) from None
        return cls(nlp, representation)

    @property
    def width(self) -> int:
        """The number of features of a word."""
        if self.representation != "states":
            return len(self.tagger.tag_set)
        return head_width(self.tagger.model.get_ref("head"))

    def read(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Read the features of sentences: (n, width) float32 for each of n words, which may be none."""
        docs = [Doc(self.nlp.vocab, words=list(words)) for words in sentences if words]
        features = iter(self._features(docs))
        nothing = np.zeros((0, self.width), dtype=np.float32)
        return [next(features) if words else nothing for words in sentences]

    def entities(self, words: Sequence[str]) -> Doc:
        """Run the whole pipeline over a sentence."""
        doc = Doc(self.nlp.vocab, words=list(words))
        for _, pipe in self.nlp.pipeline:
            doc = pipe(doc)
        return doc

    def _features(self, docs: List[Doc]) -> List[np.ndarray]:
        if not docs:
            return []
        pipes: List[Any] = [pipe for _, pipe in self.nlp.pipeline]
        for pipe in pipes:
            if pipe is self.tagger:
                break
            docs = list(pipe.pipe(docs, batch_size=len(docs)))
        if self.representation == "marginals":
            return [prediction.attrs["marginals"] for prediction in self.tagger.predict(docs)]
        if self.representation == "tags":
            one_hot, tags = np.eye(self.width, dtype=np.float32), self.tagger.tag_set
            pairs = zip(docs, self.tagger.predict(docs), strict=True)
            return [one_hot[tags.spans_to_tags(prediction.spans, len(doc))] for doc, prediction in pairs]
        self.tagger.check_weights()
        model = self.tagger.model
        return [model.ops.to_numpy(states) for states in model.get_ref("tok2vec").predict(docs)]

    def to_bytes(self) -> bytes:
        """Save the pipeline with its config."""
        return srsly.msgpack_dumps({"config": self.nlp.config.to_str(), "nlp": self.nlp.to_bytes()})

    @classmethod
    def from_bytes(cls, data: bytes, representation: str) -> "EnglishNER":
        """Load what `to_bytes` saved."""
        saved: Dict[str, Any] = srsly.msgpack_loads(data)
        nlp = load_model_from_config(Config().from_str(saved["config"]), auto_fill=False)
        return cls(nlp.from_bytes(saved["nlp"]), representation)
