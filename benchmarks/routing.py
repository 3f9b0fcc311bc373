"""Train routers, strong, weak and single taggers on a corpus with rare labels, and compare what they make together.

Every part is trained by itself, and once, and kept in the work folder. The methods whose parts are there (with --only,
perhaps not all) are scored on dev, and on test with --test, which is for the end. With --steps, a tagger is trained for
so many updates of 1,000 words, without R-Drop, with a learning rate that falls to 0, and other parts accordingly. With
--transformer, what a frozen transformer makes of the corpus is kept in the work folder too, so take another one.

Example:
    python benchmarks/routing.py --corpus gmb --vectors en_core_web_md --work training/routing
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import spacy
from experiments.corpora import CorpusFiles, open_corpus, read_docs
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.results import ResultFile, Rows, Run, read_variants, write_variants
from experiments.scores import predict
from experiments.training import Variant, measure_variants
from routing_parts import FROZEN, WITHOUT_CONTEXT, in_steps, make_parts, with_frozen
from spacy.language import Language
from spacy.training import Corpus
from spacy.vocab import Vocab

from spacy_crfner.corpora.sampling import rare_labels
from spacy_crfner.feature_cache import FeatureCache
from spacy_crfner.files import fingerprint
from spacy_crfner.routing.scorer import score_sentences
from spacy_crfner.routing.sentence_selection import make_select_sentences_v1
from spacy_crfner.routing.threshold import tune_threshold
from spacy_crfner.tagging.scorer import score_averages

ROUTER = "router RCNN, weighted"
"""Of the routed methods that do not name another: the paper's best."""

CACHE, MEMORY_MB = "cache", 500.0
"""Folder in the work folder, and size in memory, of the vectors of a frozen transformer."""

RECALL = 8.0
"""Where the router flags for recall, its threshold has the best F score in which recall counts so much; else it is that
with the best F1, which the router was saved with."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = make_parser(__doc__, "seeds", "only", "steps", "test", "name", required=["corpus", "vectors"])
    parser.add_argument("--work", required=True, type=Path, metavar="FOLDER", help="where trained parts are kept")
    frozen = "in the place of each encoder, one that reads this transformer, which stays as it is"
    parser.add_argument("--transformer", metavar="DIR|NAME", help=frozen)
    encoder = f"with --transformer, the shipped config of that encoder (default: {FROZEN[0]})"
    parser.add_argument("--encoder", choices=FROZEN, default=FROZEN[0], help=encoder)
    parser.add_argument("--train-only", action="store_true", help="train, and score nothing")
    saved = "save the pipeline of a method, with the first seed, such as for pipelines.py"
    parser.add_argument("--save", nargs=2, metavar=("METHOD", "FOLDER"), help=saved)
    args = parser.parse_args(arguments)
    if args.save and args.train_only:
        parser.error("--save makes a method of what is trained, which --train-only does not: give one of them.")
    if args.save and args.save[0] not in make_methods():
        parser.error(f"there is no method {args.save[0]!r}: choose from {'; '.join(make_methods())}.")
    return args


IS_ROUTER = "router: "
"""In front of the name of a router, where it stands beside methods."""


class Parts:
    """Trained parts, kept in a work folder with a result of their own.

    made: part -> what it is trained from.
    """

    def __init__(self, args: argparse.Namespace, corpus: CorpusFiles, made: Mapping[str, Variant]):
        self.work, self.corpus, self.made = args.work, corpus, made
        texts = fingerprint(*(corpus.sources[split] for split in ("train", "dev")))
        kept = argparse.Namespace(**{**vars(args), "to": args.work, "keep": args.work})
        self.result = ResultFile(kept, "routing_parts", "parts", {"corpus": args.corpus, "fingerprint": texts})
        self.fingerprints = {part: variant.fingerprint() for part, variant in made.items()}

    def folder(self, seed: int, part: str) -> Path:
        """Name the folder of a trained pipeline."""
        return self.work / self.result.name / f"{part}-{seed}"

    def ready(self, seed: int) -> List[str]:
        """Name the parts that are trained from what they are trained from now."""
        rows = {part: row for part, row in self.result.rows().items() if str(seed) in row["runs"]}
        same = [part for part in rows if rows[part]["fingerprint"] == self.fingerprints.get(part)]
        return [part for part in same if self.folder(seed, part).exists()]


@dataclass
class Method:
    """A strong tagger, a weak tagger and a router, merged by a vote; where there is no weak one, a whole pipeline.

    parts: where strong, weak and router are among; a strong tagger that knows the weak labels too has a vote for them.
    rule: of the vote. recall: the router flags for recall, see RECALL. gates: so it does, and the vote has gates. Both
    are tuned on dev. of_router: what is scored is the router in the pipeline.
    """

    parts: Parts
    strong: str = "strong"
    weak: str = ""
    router: str = ""
    rule: str = "span"
    recall: bool = False
    gates: bool = False
    of_router: bool = False

    @property
    def needed(self) -> List[str]:
        """Name the parts."""
        return [part for part in (self.strong, self.weak, self.router) if part]

    def fingerprint(self) -> str:
        return fingerprint([self.parts.fingerprints[part] for part in self.needed])[:16]

    def load(self, seed: int) -> Language:
        """Make the pipeline of trained parts, in which what a frozen transformer makes of sentences is kept."""
        nlp = self._join(partial(self.parts.folder, seed))
        for pipe in (pipe for _, pipe in nlp.pipeline if hasattr(pipe, "model")):
            for node in (node for node in pipe.model.walk() if node.attrs.get("frozen")):
                for shim in node.shims:
                    shim.kept = FeatureCache(self.parts.work / CACHE, MEMORY_MB)
        return nlp

    def _join(self, folder: Callable[[str], Path]) -> Language:
        if not self.weak:
            return spacy.load(folder(self.strong))
        nlp = spacy.load(folder(self.strong), config={"components.bcrf_ner.spans_key": "strong"})
        nlp.rename_pipe("bcrf_ner", "strong")
        nlp.add_pipe("bcrf_ner", source=spacy.load(folder(self.weak)), name="weak")
        config: Dict[str, Any] = {"rule": self.rule}
        if self.router:
            nlp.add_pipe("weak_class_router", source=spacy.load(folder(self.router)), first=True)
            routed_only = {"predict": "routed", "router": "weak_class_router"}
            nlp.get_pipe("weak").sentences = make_select_sentences_v1(**routed_only)
            nlp.get_pipe_config("weak")["sentences"] = {"@misc": "spacy_crfner.select_sentences.v1", **routed_only}
            config.update(router="weak_class_router", gated=["weak"])
        if self.rule == "word":
            for name in ("strong", "weak"):
                nlp.get_pipe(name).cfg["annotate"] = ["confidence", "marginals"]
        nlp.add_pipe("ner_vote", config=config)
        if self.recall or self.gates:
            vote, dev = "ner_vote" if self.gates else None, self.parts.corpus.files["dev"]
            tune_threshold(nlp, path=dev, component="weak_class_router", beta=RECALL, vote=vote)
        return nlp

    def score(self, seed: int, splits: Sequence[str]) -> Run:
        """Score each split, dev first, whose threshold of a router the others take."""
        nlp, files = self.load(seed), self.parts.corpus.files
        if not self.of_router:
            return {split: score_method(nlp, files[split]) for split in splits}
        scores: Run = {}
        for split in splits:
            threshold = scores["dev"]["tuned"]["threshold"] if scores else None
            scores[split] = score_router(nlp, files[split], threshold)
        return scores


def make_methods(parts: Any = None) -> Dict[str, Method]:
    """Name -> what is scored, but for routers. parts: the trained Parts; None is enough for the names."""
    method = partial(Method, parts)
    alone = ("single", "single, missed entities dearer", "single, rare repeated", "single, balanced")
    methods = {name: method(name) for name in (*alone, "without context", "shipped", "shipped, one encoder")}
    for weak in ("weak", "weak, rare repeated", "weak, balanced"):
        how = weak.partition(", ")[2] or "all sentences"
        methods[f"double, {how}"] = method(weak=weak)
        methods[f"routed, {how}"] = method(weak=weak, router=ROUTER)
        methods[f"routed, {how}, by words"] = method(weak=weak, router=ROUTER, rule="word")
    both, beside = ("single", "weak, rare repeated"), "rare repeated, all labels beside"
    methods[f"double, {beside}"] = method(*both)
    methods[f"routed, {beside}"] = method(*both, ROUTER)
    methods[f"routed, {beside}, flagged for recall"] = method(*both, ROUTER, recall=True)
    methods[f"routed, {beside}, gates"] = method(*both, ROUTER, gates=True)
    for part in make_parts([], [""]):
        if part.startswith("router") and part != ROUTER:
            methods[f"routed, {beside}, gates, {part}"] = method(*both, part, gates=True)
    return methods


def score_method(nlp: Language, path: Path) -> Dict[str, Any]:
    """Score entities, from 0 to 1."""
    examples = list(Corpus(path)(nlp))
    predict(nlp, examples)
    found = score_averages(examples)
    scores = {key: round(found[f"ents_{key}"], 4) for key in ("p", "r", "f", "weighted_f", "macro_f")}
    per_type = {label: round(found["ents_per_type"][label]["f"], 4) for label in sorted(found["ents_per_type"])}
    return {**scores, "per_type": per_type}


def score_router(nlp: Language, path: Path, threshold: Optional[float]) -> Dict[str, Any]:
    """Measure how well a router tells the classes apart at 0.5, and at a threshold tuned on dev; None tunes it here."""
    router: Any = nlp.get_pipe("weak_class_router")
    spans_key = router.cfg["spans_key"]
    examples = list(Corpus(path)(nlp))
    predict(nlp, examples)
    docs = [example.predicted for example in examples]
    measured: Dict[str, Any] = {}
    for name in ("at 0.5", "tuned"):
        router.cfg["threshold"] = 0.5 if name == "at 0.5" else threshold
        router.set_annotations(docs, [doc.spans[spans_key].attrs["scores"] for doc in docs])
        scores = score_sentences(examples, spans_key=spans_key, labels=router.labels)
        threshold = scores["weak_best_threshold"] if threshold is None else threshold
        measured["average_precision"] = round(scores["weak_ap"], 4)
        measured[name] = {
            "threshold": router.cfg["threshold"],
            "recall of strong": round(scores["strong_r"], 4),
            "recall of weak": round(scores["weak_r"], 4),
            "precision": round(scores["weak_p"], 4),
            "f": round(scores["weak_f"], 4),
        }
    return measured


def read_scores(result: Dict[str, Any]) -> Rows:
    routers = {f"{IS_ROUTER}{name}": router for name, router in result["routers"].items()}
    return read_variants({"variants": {**result["methods"], **routers}})


def score_all(args: argparse.Namespace, parts: Parts, labels: Dict[str, Any]) -> Path:
    """Score each router and method whose parts are trained, unless it is scored."""
    names = {f"{IS_ROUTER}{part.removeprefix('router ')}": part for part in parts.made}
    routers = {name: part for name, part in names.items() if part.startswith(("router", "shipped"))}
    methods = {name: Method(parts, part, of_router=True) for name, part in routers.items()}
    methods.update(make_methods(parts))

    def write(rows: Rows) -> Dict[str, Any]:
        by_part: Dict[str, Dict[str, str]] = {}
        for name in rows.keys() & methods.keys():
            for part in methods[name].needed:
                by_part.setdefault(part, {}).update(dict.fromkeys(rows[name]["runs"], parts.fingerprints[part][:12]))
        variants = write_variants(rows)["variants"]
        kinds: Dict[str, Dict[str, Any]] = {"routers": {}, "methods": {}}
        for name in variants:
            kinds["routers" if name.startswith(IS_ROUTER) else "methods"][name.removeprefix(IS_ROUTER)] = variants[name]
        seeds = sorted({int(seed) for row in rows.values() for seed in row["runs"]})
        return {"seeds": seeds, "labels": labels, "parts": dict(sorted(by_part.items())), **kinds}

    def measure(method: Method, corpus: CorpusFiles, seed: int, folder: Path) -> Run:
        return method.score(seed, splits)

    splits = ["dev", "test"] if args.test else ["dev"]
    reads = getattr(args, "transformer", None)
    key = {"transformer": reads and Path(reads).name, "encoder": reads and args.encoder}
    key.update(corpus=args.corpus, fingerprint=parts.corpus.fingerprint())
    for seed in args.seeds:
        ready = set(parts.ready(seed))
        only = [name for name, method in methods.items() if ready.issuperset(method.needed)]
        options = argparse.Namespace(**{**vars(args), "only": only, "seeds": [seed]})
        result = ResultFile(options, "routing", args.name or f"routing-{args.corpus}", key, read_scores, write)
        # Whichever run trained them.
        result.commands = parts.result.commands_so_far()
        measure_variants(result, parts.corpus, methods, methods.__getitem__, splits, measure)
    return result.path


def run(args: argparse.Namespace) -> Path:
    with open_corpus(args, optional=("test",)) as corpus:
        counts = Counter(entity.label_ for doc in read_docs(corpus.files["train"], Vocab()) for entity in doc.ents)
        weak = rare_labels(counts, 0.02)
        strong = [label for label in sorted(counts) if label not in weak]
        made = {}
        for name, config in make_parts(strong, weak).items():
            config["paths"]["vectors"] = args.vectors
            if args.transformer and name == WITHOUT_CONTEXT:
                # It would have some.
                continue
            if args.transformer:
                config = with_frozen(config, args.encoder, args.transformer, str(args.work / CACHE))
            made[name] = Variant(config if args.steps is None else in_steps(config, args.steps))
        parts = Parts(args, corpus, made)
        method = make_methods(parts)[args.save[0]] if args.save else Method(parts, strong="")
        missing = [part for part in method.needed if part not in (*(args.only or made), *parts.ready(args.seeds[0]))]
        if missing:
            raise BenchmarkError(f"{args.save[0]!r} cannot be saved: --only leaves out {'; '.join(missing)}.")
        measure_variants(parts.result, corpus, made, made.__getitem__, [])
        if args.save:
            method.load(args.seeds[0]).to_disk(args.save[1])
        labels = {"strong": strong, "weak": weak, "entities": counts}
        return parts.result.path if args.train_only else score_all(args, parts, labels)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
