"""The `ner_vote` pipeline component."""

from pathlib import Path
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.util import from_bytes, from_disk, to_bytes, to_disk

from ..pipes import Settings
from ..sentences import RoutedSentence, routed_sentences
from ..tagging.annotation import DocPrediction, own_entities, register_extensions, write_prediction
from ..tagging.gold import blocked_tokens
from .merging import Found, TagProbabilities, best_spans, best_words

RULES = ("span", "word")


class NERVote(Settings, Pipe):
    """Makes the entities of several taggers, which stand in span groups, one set without overlaps.

    Arguments and defaults: see `make_ner_vote`.
    """

    def __init__(
        self,
        name: str = "ner_vote",
        *,
        groups: Sequence[str],
        rule: str = "span",
        router: Optional[str] = None,
        gated: Sequence[str] = (),
        gates: Optional[Mapping[str, float]] = None,
        overwrite_ents: bool = False,
        scorer: Optional[Callable] = None,
    ):
        if rule not in RULES:
            raise ValueError(f"{name!r} has no rule {rule!r}: choose from {', '.join(RULES)}.")
        if not groups:
            raise ValueError(f"{name!r} has no groups to merge: name the spans_key of each tagger.")
        strange = [key for key in gated if key not in groups]
        if strange:
            raise ValueError(f"{name!r} cannot gate {', '.join(strange)}, which is not among its groups.")
        if gated and router is None:
            raise ValueError(f"{name!r} gates {', '.join(gated)}, so it needs the name of a router's span group.")
        if gates and not gated:
            raise ValueError(f"{name!r} has gates, for which it needs the groups that they are for in `gated`.")
        self.name = name
        self._keep(
            {
                "groups": list(groups),
                "rule": rule,
                "router": router,
                "gated": list(gated),
                "gates": dict(gates or {}),
                "overwrite_ents": overwrite_ents,
            }
        )
        self.scorer = scorer
        register_extensions()

    def __call__(self, doc: Doc) -> Doc:
        """Write doc.ents, and doc.spans[name] with the probability of every entity.

        Raises ValueError where the Doc lacks a group, or what the rule needs of it.
        """
        cfg = self.cfg
        gate = Gate(routed_sentences(doc, cfg["router"]), cfg["gates"]) if cfg["gated"] and len(doc) else None
        groups = [self._group(doc, key) for key in cfg["groups"]]
        found = [
            _entities(group, gate if key in cfg["gated"] else None)
            for key, group in zip(cfg["groups"], groups, strict=True)
        ]
        if cfg["rule"] == "span":
            merged = best_spans(found)
        else:
            merged = best_words(found, [self._probabilities(group) for group in groups], words_of(doc))
        prediction = DocPrediction(
            spans=[(one.start, one.end, one.label) for one in merged],
            attrs={"scores": np.array([one.score for one in merged], dtype=np.float32)},
        )
        given = []
        if not cfg["overwrite_ents"]:
            own = own_entities(doc, self.name)
            given = [(e.start, e.end, e.label_) for e in doc.ents if (e.start, e.end, e.label_) not in own]
        prediction.keep(given, blocked_tokens(doc))
        write_prediction(doc, prediction, component=self.name, spans_key=None)
        return doc

    def initialize(self, get_examples: Callable, *, nlp: Optional[Language] = None) -> None:
        """Raises ValueError where a tagger of the pipeline does not annotate what the rule needs."""
        needed = {"confidence", "marginals"} if self.cfg["rule"] == "word" else {"confidence"}
        pipeline: Sequence[Tuple[str, Any]] = () if nlp is None else nlp.pipeline
        for name, pipe in pipeline:
            settings = getattr(pipe, "cfg", {})
            missing = needed - set(settings.get("annotate", needed))
            if settings.get("spans_key") in self.cfg["groups"] and missing:
                raise ValueError(
                    f"{self.name!r} with the rule {self.cfg['rule']!r} needs {', '.join(sorted(needed))} of {name!r}: "
                    f"set annotate = {srsly.json_dumps(sorted(needed))} there."
                )

    def score(self, examples: Iterable[Any], **kwargs: Any) -> dict:
        return {} if self.scorer is None else self.scorer(examples, **kwargs)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        return to_bytes({"cfg": lambda: srsly.json_dumps(self.cfg)}, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "NERVote":
        from_bytes(bytes_data, {"cfg": lambda data: self.cfg.update(srsly.json_loads(data))}, exclude)
        self._after_loading()
        return self

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        to_disk(path, {"cfg": lambda file: srsly.write_json(file, self.cfg)}, exclude)

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "NERVote":
        from_disk(path, {"cfg": lambda file: self.cfg.update(srsly.read_json(file))}, exclude)
        self._after_loading()
        return self

    def _group(self, doc: Doc, key: str) -> SpanGroup:
        group = doc.spans.get(key)
        if group is None or len(group.attrs.get("scores", [None])) != len(group):
            raise ValueError(
                f"{self.name!r} finds no entities with probabilities in doc.spans[{key!r}] of the Doc "
                f"{doc.text[:40]!r}: put a bcrf_ner with this spans_key, which annotates confidence, in front."
            )
        return group

    def _probabilities(self, group: SpanGroup) -> TagProbabilities:
        if "marginals" not in group.attrs:
            raise ValueError(
                f"{self.name!r} merges words, for which it needs the marginals of {group.name!r}: set annotate = "
                '["confidence", "marginals"] in that tagger, or rule = "span" here.'
            )
        return TagProbabilities(group.attrs["marginals"], group.attrs["tags"])


def words_of(doc: Doc) -> List[int]:
    """The tokens of a Doc that are not white space."""
    return [token.i for token in doc if not token.is_space]


class Gate:
    """Lets entities through where a router finds their sentence probable enough.

    gates: label -> the least probability; entities with other labels need a sentence that the router has flagged.
    """

    def __init__(self, sentences: Iterable[RoutedSentence], gates: Mapping[str, float]):
        self.gates = gates
        self.of_token = {token: one for one in sentences for token in range(one.start, one.end)}

    def passes(self, span: Span) -> bool:
        sentence = self.of_token[span.start]
        least = self.gates.get(span.label_)
        return sentence.flagged if least is None else sentence.probability >= least


def _entities(group: SpanGroup, gate: Optional[Gate]) -> List[Found]:
    """The entities of a group; with a gate, those that it lets through."""
    return [
        Found(span.start, span.end, span.label_, float(score))
        for span, score in zip(group, group.attrs["scores"], strict=True)
        if gate is None or gate.passes(span)
    ]
