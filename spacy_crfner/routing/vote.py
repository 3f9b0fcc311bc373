"""The `ner_vote` pipeline component."""

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set

import numpy as np
from spacy.pipeline import Pipe
from spacy.tokens import Doc, SpanGroup

from ..sentences import weak_sentences
from ..tagging.annotation import DocPrediction, own_entities, register_extensions, write_prediction
from ..tagging.gold import blocked_tokens
from .merging import Found, TagProbabilities, best_spans, best_words

RULES = ("span", "word")


class NERVote(Pipe):
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
        self.name = name
        self.cfg: Dict[str, Any] = {
            "groups": list(groups),
            "rule": rule,
            "router": router,
            "gated": list(gated),
            "overwrite_ents": overwrite_ents,
        }
        self.scorer = scorer
        register_extensions()

    def __call__(self, doc: Doc) -> Doc:
        """Write doc.ents, and doc.spans[name] with the probability of every entity.

        Raises ValueError where the Doc lacks a group, or what the rule needs of it.
        """
        cfg = self.cfg
        flagged = None if cfg["router"] is None else _tokens(weak_sentences(doc, cfg["router"]) if len(doc) else [])
        groups = [self._group(doc, key) for key in cfg["groups"]]
        found = [
            _entities(group, flagged if key in cfg["gated"] else None)
            for key, group in zip(cfg["groups"], groups, strict=True)
        ]
        if cfg["rule"] == "span":
            merged = best_spans(found)
        else:
            merged = best_words(found, [self._probabilities(group) for group in groups])
        prediction = DocPrediction(
            spans=[(one.start, one.end, one.label) for one in merged],
            attrs={"scores": np.array([one.score for one in merged], dtype=np.float32)},
        )
        given = []
        if not cfg["overwrite_ents"]:
            own = {span for key in (self.name, *cfg["groups"]) for span in own_entities(doc, key)}
            given = [(e.start, e.end, e.label_) for e in doc.ents if (e.start, e.end, e.label_) not in own]
        prediction.keep(given, blocked_tokens(doc))
        write_prediction(doc, prediction, component=self.name, spans_key=None)
        return doc

    def score(self, examples: Iterable[Any], **kwargs: Any) -> dict:
        return {} if self.scorer is None else self.scorer(examples, **kwargs)

    def _group(self, doc: Doc, key: str) -> SpanGroup:
        group = doc.spans.get(key)
        if group is None or len(group.attrs.get("scores", ())) != len(group):
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


def _tokens(spans: Iterable[tuple]) -> Set[int]:
    return {token for start, end in spans for token in range(start, end)}


def _entities(group: SpanGroup, flagged: Optional[Set[int]]) -> List[Found]:
    """The entities of a group; with `flagged`, those that begin at one of these tokens."""
    return [
        Found(span.start, span.end, span.label_, float(score))
        for span, score in zip(group, group.attrs["scores"], strict=True)
        if flagged is None or span.start in flagged
    ]
