"""The `ner_vote` pipeline component."""

import warnings
from typing import Any, Callable, ClassVar, Collection, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np
import srsly
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup

from ..components.configured import ConfiguredComponent
from ..components.settings import Settings
from ..components.span_groups import check_span_groups
from ..files import fingerprint
from ..known_spans import OWNER, SCORES, array_of, attrs_of, spans_on_tokens
from ..tagging.annotation import DocPrediction, entities_of_others, register_extensions, write_prediction
from ..tagging.gold import blocked_tokens
from .annotation import RoutedSentence, is_of_router, routed_sentences
from .merging import ScoredSpan, TagProbabilities, best_spans, best_words
from .settings import VOTE_SETTINGS


class NERVote(ConfiguredComponent, Pipe):
    """Makes the entities of several taggers, which stand in span groups, one set without overlaps.

    Arguments and defaults: see `make_ner_vote`.
    """

    declared: ClassVar[Settings] = VOTE_SETTINGS

    def __init__(self, name: str = "ner_vote", *, scorer: Optional[Callable] = None, **settings: Any):
        self.name = name
        self.keep_settings(settings)
        self.scorer = scorer
        register_extensions()

    def __call__(self, doc: Doc) -> Doc:
        """Write doc.ents, and doc.spans[name] with the probability of every entity.

        Raises ValueError where the Doc lacks a group, or what the rule needs of it.
        """
        self.check()
        cfg = self.cfg
        gate = Gate(routed_sentences(doc, cfg["router"]), cfg["gates"]) if cfg["gated"] and len(doc) else None
        groups = [self._group(doc, key) for key in cfg["groups"]]
        candidates = [
            self._entities(doc, group, gate if key in cfg["gated"] else None)
            for key, group in zip(cfg["groups"], groups, strict=True)
        ]
        if cfg["rule"] == "span":
            merged = best_spans(candidates)
        else:
            pairs = zip(groups, candidates, strict=True)
            merged = best_words(candidates, [self._probabilities(doc, *pair) for pair in pairs], words_of(doc))
        prediction = DocPrediction(
            spans=[(span.start, span.end, span.label) for span in merged],
            attrs={"scores": np.array([span.score for span in merged], dtype=np.float32)},
        )
        owner = self._signature(groups)
        given = [] if cfg["overwrite_ents"] else entities_of_others(doc, owner)
        prediction.keep(given, blocked_tokens(doc))
        write_prediction(doc, prediction, component=self.name, owner=owner, spans_key=None)
        return doc

    def _signature(self, groups: Sequence[SpanGroup]) -> str:
        """Make what its entities are known by: its name, and whose entities it merges."""
        return f"{self.name}/{fingerprint([str(attrs_of(group).get(OWNER)) for group in groups])[:16]}"

    @property
    def span_groups(self) -> List[str]:
        """See ConfiguredComponent."""
        return [self.name]

    def initialize(self, get_examples: Callable, *, nlp: Optional[Language] = None) -> None:
        """Check that the taggers of the pipeline write what is merged, and annotate what the rule needs.

        Raises ValueError where one does not, and warns of groups that none writes and of gates for labels that none
        has.
        """
        if nlp is not None:
            check_span_groups(nlp, self.name)
        needed = {"confidence", "marginals"} if self.cfg["rule"] == "word" else {"confidence"}
        pipeline: Sequence[Tuple[str, Any]] = () if nlp is None else nlp.pipeline
        labels: Set[str] = set()
        written = {getattr(pipe, "cfg", {}).get("spans_key") for _, pipe in pipeline}
        unwritten = [key for key in self.cfg["groups"] if key not in written and key not in dict(pipeline)]
        if pipeline and unwritten:
            warnings.warn(
                f"{self.name!r} merges {', '.join(unwritten)}, but no component of the pipeline has this spans_key: "
                "correct the names.",
                UserWarning,
                stacklevel=2,
            )
        for name, pipe in pipeline:
            settings = getattr(pipe, "cfg", {})
            if name in self.cfg["groups"] and "spans_key" in settings and settings["spans_key"] is None:
                raise ValueError(
                    f"{self.name!r} merges the group {name!r}, but the tagger of this name writes doc.ents: set "
                    f'spans_key = "{name}" there.'
                )
            if settings.get("spans_key") not in self.cfg["groups"]:
                continue
            missing = needed - set(settings.get("annotate", needed))
            if missing:
                raise ValueError(
                    f"{self.name!r} with the rule {self.cfg['rule']!r} needs {', '.join(sorted(needed))} of {name!r}: "
                    f"set annotate = {srsly.json_dumps(sorted(needed))} there."
                )
            labels.update(getattr(pipe, "labels", ()))
        strange = sorted(set(self.cfg["gates"]) - labels)
        if labels and strange:
            warnings.warn(
                f"{self.name!r} has gates for {', '.join(strange)}, but its taggers have only the labels "
                f"{', '.join(sorted(labels))}: correct the names.",
                UserWarning,
                stacklevel=2,
            )

    def companions(self) -> Collection[str]:
        """See ConfiguredComponent: the taggers, and the router."""
        return {*self.cfg["groups"], *([self.cfg["router"]] if self.cfg["router"] else [])}

    def score(self, examples: Iterable[Any], **kwargs: Any) -> dict:
        """Score the entities with the component's scorer."""
        return {} if self.scorer is None else self.scorer(examples, **kwargs)

    def check_together(self, settings: Mapping[str, Any]) -> None:
        """See ConfiguredComponent."""

        def refuse(what: str) -> None:
            raise ValueError(f"{self.name!r} {what}.")

        groups, gated, gates = settings["groups"], settings["gated"], settings["gates"]
        if not groups:
            refuse("has no groups to merge: name the spans_key of each tagger")
        if len(set(groups)) < len(groups):
            refuse(f"merges a group with itself: name each of {', '.join(groups)} once")
        strange = [key for key in gated if key not in groups]
        if strange:
            refuse(f"cannot gate {', '.join(strange)}, which is not among its groups")
        if gated and settings["router"] is None:
            refuse(f"gates {', '.join(gated)}, so it needs the name of a router's span group")
        if gates and not gated:
            refuse("has gates, for which it needs the groups that they are for in `gated`")

    def _group(self, doc: Doc, key: str) -> SpanGroup:
        group = doc.spans.get(key)
        scores = None if group is None or is_of_router(group) else _scores(group)
        if group is None or scores is None or len(scores) != len(group) or not np.isfinite(scores).all():
            raise ValueError(
                f"{self.name!r} finds no entities with probabilities in doc.spans[{key!r}] of the Doc "
                f"{doc.text[:40]!r}: put a bcrf_ner with this spans_key, which annotates confidence, in front."
            )
        return group

    def _entities(self, doc: Doc, group: SpanGroup, gate: "Optional[Gate]") -> List[ScoredSpan]:
        """List the entities of a group; with a gate, those that it lets through."""
        spans = spans_on_tokens(doc, group)
        scores = _scores(group)
        if spans is None or scores is None or len(scores) != len(spans):
            raise self._stale(doc, group)
        return [
            ScoredSpan(span.start, span.end, span.label_, score)
            for span, score in zip(spans, scores.tolist(), strict=True)
            if gate is None or gate.passes(span)
        ]

    def _stale(self, doc: Doc, group: SpanGroup) -> ValueError:
        return ValueError(
            f"{self.name!r} cannot read doc.spans[{group.name!r}], which does not fit the Doc {doc.text[:40]!r} any "
            "more, or is damaged: merge or split tokens after the vote, and run the taggers again."
        )

    def _probabilities(self, doc: Doc, group: SpanGroup, entities: Sequence[ScoredSpan]) -> TagProbabilities:
        attrs = attrs_of(group)
        if "marginals" not in attrs:
            raise ValueError(
                f"{self.name!r} merges words, for which it needs the marginals of {group.name!r}: set annotate = "
                '["confidence", "marginals"] in that tagger, or rule = "span" here.'
            )
        marginals, given = array_of(attrs["marginals"], "f", 2), attrs.get("tags")
        tags = [tag for tag in given if isinstance(tag, str)] if isinstance(given, (list, tuple)) else []
        if marginals is None or marginals.shape != (len(doc), len(tags)) or np.isnan(marginals).any():
            raise self._stale(doc, group)
        probabilities = TagProbabilities(marginals, tags)
        if not all(probabilities.has(entity.label) for entity in entities):
            raise self._stale(doc, group)
        return probabilities


def _scores(group: SpanGroup) -> Optional[np.ndarray]:
    return array_of(attrs_of(group).get(SCORES), "fiu", 1)


def words_of(doc: Doc) -> List[int]:
    """List the tokens of a Doc that are not white space."""
    return [token.i for token in doc if not token.is_space]


class Gate:
    """Lets entities through where a router finds their sentence probable enough.

    gates: label -> the least probability; entities with other labels need a sentence that the router has flagged.
    """

    def __init__(self, sentences: Iterable[RoutedSentence], gates: Mapping[str, float]):
        self.gates = gates
        self.of_token = {token: read for read in sentences for token in range(read.start, read.end)}

    def passes(self, span: Span) -> bool:
        """Tell whether an entity gets through."""
        sentence = self.of_token.get(span.start)
        if sentence is None:
            # Of a group that was written by hand.
            return False
        least = self.gates.get(span.label_)
        return sentence.flagged if least is None else sentence.probability >= least
