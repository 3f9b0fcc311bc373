"""Train routers, strong, weak and single taggers on a corpus with rare labels, and compare what they make together.

Every part is trained by itself, and once, and kept in the work folder. The methods whose parts are there (with --only,
perhaps not all) are scored on dev, and on test with --test, which is for the end. With --steps, a tagger is trained for
so many updates of 1,000 words, without R-Drop, with a learning rate that falls to 0, and other parts accordingly.

Example:
    python benchmarks/routing.py --corpus gmb --vectors en_core_web_md --work training/routing
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import spacy
from experiments.corpora import CorpusFiles, open_corpus, read_docs
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.results import ResultFile, Rows, Run, read_variants, write_variants
from experiments.scores import predict
from experiments.training import Variant, measure_variants
from routing_parts import in_steps, make_parts, router_names
from spacy.language import Language
from spacy.training import Corpus
from spacy.vocab import Vocab

from spacy_crfner.corpora.sampling import rare_labels
from spacy_crfner.files import fingerprint
from spacy_crfner.routing.scorer import average_precision, best_threshold_of, collect
from spacy_crfner.routing.sentence_selection import make_select_sentences_v1
from spacy_crfner.routing.threshold import tune_threshold
from spacy_crfner.tagging.scorer import score_averages

ROUTER = "router RCNN, weighted"
"""Of the routed methods that do not name another: the paper's best."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = make_parser(__doc__, "seeds", "only", "steps", "test", "name", required=["corpus", "vectors"])
    parser.add_argument("--work", required=True, type=Path, metavar="FOLDER", help="where trained parts are kept")
    parser.add_argument("--train-only", action="store_true", help="train, and score nothing")
    parser.add_argument(
        "--save",
        nargs=2,
        metavar=("METHOD", "FOLDER"),
        help="save the pipeline of a method, with the first seed, such as for pipelines.py",
    )
    args = parser.parse_args(arguments)
    if args.save and args.train_only:
        parser.error("--save makes a method of what is trained, which --train-only does not: give one of them.")
    if args.save and args.save[0] not in make_methods():
        parser.error(f"there is no method {args.save[0]!r}: choose from {'; '.join(make_methods())}.")
    return args


RECALL = 8.0
"""Where the router flags for recall, its threshold has the best F score in which recall counts so much; else it is that
with the best F1, which the router was saved with."""

Work = Callable[[str], Path]
"""The folder of the trained part of this name."""


def routed(
    work: Work,
    dev: Path,
    *,
    weak: str,
    strong: str = "strong",
    router: str = "",
    rule: str = "span",
    recall: bool = False,
    gates: bool = False,
) -> Language:
    """Strong tagger, weak tagger and, unless it is empty, router, merged by a vote.

    strong: the part with the strong tagger; "single" knows the weak labels too, and has a vote for them.
    recall: the router flags for recall, see RECALL. gates: so it does, and the vote has gates. Both are tuned on dev.
    """
    nlp = spacy.load(work(strong), config={"components.bcrf_ner.spans_key": "strong"})
    nlp.rename_pipe("bcrf_ner", "strong")
    nlp.add_pipe("bcrf_ner", source=spacy.load(work(weak)), name="weak")
    config: Dict[str, Any] = {"rule": rule}
    if router:
        nlp.add_pipe("weak_class_router", source=spacy.load(work(router)), first=True)
        routed_only = {"predict": "routed", "router": "weak_class_router"}
        nlp.get_pipe("weak").sentences = make_select_sentences_v1(**routed_only)
        nlp.get_pipe_config("weak")["sentences"] = {"@misc": "spacy_crfner.select_sentences.v1", **routed_only}
        config.update(router="weak_class_router", gated=["weak"])
    if rule == "word":
        for name in ("strong", "weak"):
            nlp.get_pipe(name).cfg["annotate"] = ["confidence", "marginals"]
    nlp.add_pipe("ner_vote", config=config)
    if recall or gates:
        vote = "ner_vote" if gates else None
        tune_threshold(nlp, path=dev, component="weak_class_router", beta=RECALL, vote=vote)
    return nlp


def loaded(part: str) -> Callable[[Work, Path], Language]:
    return lambda work, dev: spacy.load(work(part))


def make_methods() -> Dict[str, Tuple[List[str], Callable[[Work, Path], Language]]]:
    """Name -> the parts that it needs, and the pipeline that they make, given a dev corpus."""

    def alone(part: str) -> Tuple[List[str], Callable]:
        return [part], loaded(part)

    def double(weak: str, **settings: Any) -> Tuple[List[str], Callable]:
        parts = [settings.get("strong", "strong"), weak, *([settings["router"]] if "router" in settings else [])]
        return parts, lambda work, dev: routed(work, dev, weak=weak, **settings)

    methods = {
        name: alone(name)
        for name in (
            "single",
            "single, missed entities dearer",
            "single, rare repeated",
            "single, balanced",
            "without context",
            "shipped",
            "shipped, one encoder",
        )
    }
    for weak in ("weak", "weak, rare repeated", "weak, balanced"):
        how = weak.partition(", ")[2] or "all sentences"
        methods[f"double, {how}"] = double(weak)
        methods[f"routed, {how}"] = double(weak, router=ROUTER)
        methods[f"routed, {how}, by words"] = double(weak, router=ROUTER, rule="word")
    weak, beside = "weak, rare repeated", "rare repeated, all labels beside"
    methods[f"double, {beside}"] = double(weak, strong="single")
    both = {"strong": "single", "router": ROUTER}
    methods[f"routed, {beside}"] = double(weak, **both)
    methods[f"routed, {beside}, flagged for recall"] = double(weak, **both, recall=True)
    methods[f"routed, {beside}, gates"] = double(weak, **both, gates=True)
    for router in router_names():
        if router != ROUTER:
            name = f"routed, {beside}, gates, router {router.removeprefix('router ')}"
            methods[name] = double(weak, strong="single", router=router, gates=True)
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
    router = nlp.get_pipe("weak_class_router")
    examples = list(Corpus(path)(nlp))
    predict(nlp, examples)
    truth, probabilities, _ = collect(examples, spans_key=router.cfg["spans_key"], labels=router.labels)
    found: Dict[str, Any] = {"average_precision": round(average_precision(truth, probabilities), 4)}
    if threshold is None:
        threshold = best_threshold_of(truth, probabilities)[1]
    for name, value in (("at 0.5", 0.5), ("tuned", threshold)):
        flagged = probabilities >= value
        hits = int((truth & flagged).sum())
        found[name] = {
            "threshold": value,
            "recall of strong": round(float((~truth & ~flagged).sum() / (~truth).sum()), 4),
            "recall of weak": round(hits / int(truth.sum()), 4),
            "precision": round(hits / max(int(flagged.sum()), 1), 4),
            "f": round(2 * hits / (int(truth.sum()) + int(flagged.sum())), 4),
        }
    return found


def score_router_splits(nlp: Language, files: Mapping[str, Path]) -> Dict[str, Any]:
    """Score a router on each split, dev first, whose threshold the others take."""
    scores: Dict[str, Any] = {}
    for split, path in files.items():
        scores[split] = score_router(nlp, path, scores["dev"]["tuned"]["threshold"] if scores else None)
    return scores


class Parts:
    """Trained parts, kept in a work folder with a result of their own.

    made: part -> what it is trained from.
    """

    def __init__(self, args: argparse.Namespace, corpus: CorpusFiles, made: Mapping[str, Variant]):
        self.args = argparse.Namespace(**{**vars(args), "to": args.work, "keep": args.work})
        self.corpus, self.made = corpus, made
        texts = fingerprint(*(corpus.sources[split] for split in ("train", "dev")))
        self.result = ResultFile(self.args, "routing_parts", "parts", {"corpus": args.corpus, "fingerprint": texts})
        self.fingerprints = {part: variant.fingerprint() for part, variant in made.items()}

    def folder(self, seed: int, part: str) -> Path:
        """Name the folder of a trained pipeline."""
        return self.args.work / self.result.name / f"{part}-{seed}"

    def ready(self, seed: int) -> List[str]:
        """Name the parts that are trained from what they are trained from now."""
        rows = {part: row for part, row in self.result.rows().items() if str(seed) in row["runs"]}
        same = [part for part in rows if rows[part]["fingerprint"] == self.fingerprints.get(part)]
        return [part for part in same if self.folder(seed, part).exists()]

    def train(self) -> None:
        measure_variants(self.result, self.corpus, self.made, self.made.__getitem__, [])


IS_ROUTER = "router: "
"""In front of the name of a router, where it stands beside methods."""


@dataclass
class Method:
    """What is scored: its pipeline, or the router of one, made from the parts that are needed."""

    name: str
    needed: Sequence[str]
    make: Callable[[Work, Path], Language]
    parts: Parts

    def fingerprint(self) -> str:
        return fingerprint([self.name, *(self.parts.fingerprints[part] for part in self.needed)])[:16]


def score(method: Method, corpus: CorpusFiles, seed: int, folder: Path, *, splits: Sequence[str]) -> Run:
    nlp = method.make(partial(method.parts.folder, seed), corpus.files["dev"])
    files = {split: corpus.files[split] for split in splits}
    if method.name.startswith(IS_ROUTER):
        return score_router_splits(nlp, files)
    return {split: score_method(nlp, path) for split, path in files.items()}


def read_scores(result: Mapping[str, Any]) -> Rows:
    routers = read_variants({"variants": result["routers"]})
    return {**read_variants({"variants": result["methods"]}), **{IS_ROUTER + name: routers[name] for name in routers}}


def score_all(args: argparse.Namespace, parts: Parts, labels: Dict[str, Any]) -> Path:
    """Score each router and method whose parts are trained, unless it is scored."""
    alone = {
        IS_ROUTER + part.removeprefix("router "): part for part in parts.made if part.startswith(("router", "ship"))
    }
    needs = {**{name: ([part], loaded(part)) for name, part in alone.items()}, **make_methods()}
    methods = {name: Method(name, needed, make, parts) for name, (needed, make) in needs.items()}

    def write(rows: Rows) -> Dict[str, Any]:
        by_part: Dict[str, Dict[str, str]] = {}
        for name in rows.keys() & methods.keys():
            for part in methods[name].needed:
                by_part.setdefault(part, {}).update(dict.fromkeys(rows[name]["runs"], parts.fingerprints[part][:12]))
        kinds: Dict[str, Dict[str, Any]] = {"routers": {}, "methods": {}}
        for name, found in write_variants(rows)["variants"].items():
            kinds["routers" if name.startswith(IS_ROUTER) else "methods"][name.removeprefix(IS_ROUTER)] = found
        seeds = sorted({int(seed) for row in rows.values() for seed in row["runs"]})
        return {"seeds": seeds, "labels": labels, "parts": dict(sorted(by_part.items())), **kinds}

    key = {"corpus": args.corpus, "fingerprint": parts.corpus.fingerprint()}
    for seed in args.seeds:
        ready = set(parts.ready(seed))
        only = [name for name, method in methods.items() if ready.issuperset(method.needed)]
        options = argparse.Namespace(**{**vars(args), "only": only, "seeds": [seed]})
        result = ResultFile(options, "routing", args.name or f"routing-{args.corpus}", key, read_scores, write)
        # Whichever run trained them.
        result.commands = parts.result.commands_so_far()
        splits = ["dev", "test"] if args.test else ["dev"]
        measure_variants(result, parts.corpus, methods, methods.__getitem__, splits, partial(score, splits=splits))
    return result.path


def run(args: argparse.Namespace) -> Path:
    with open_corpus(args, optional=("test",)) as corpus:
        counts = Counter(entity.label_ for doc in read_docs(corpus.files["train"], Vocab()) for entity in doc.ents)
        weak = rare_labels(counts, 0.02)
        strong = [label for label in sorted(counts) if label not in weak]
        made = {}
        for name, config in make_parts(strong, weak).items():
            config["paths"]["vectors"] = args.vectors
            made[name] = Variant(config if args.steps is None else in_steps(config, args.steps))
        parts = Parts(args, corpus, made)
        if args.save:
            needed, make = make_methods()[args.save[0]]
            missing = [part for part in needed if part not in (*(args.only or made), *parts.ready(args.seeds[0]))]
            if missing:
                raise BenchmarkError(f"{args.save[0]!r} cannot be saved: --only leaves out {'; '.join(missing)}.")
        parts.train()
        if args.save:
            make(partial(parts.folder, args.seeds[0]), corpus.files["dev"]).to_disk(args.save[1])
        labels = {"strong": strong, "weak": weak, "entities": counts}
        return parts.result.path if args.train_only else score_all(args, parts, labels)


main = program(parse_args, run)

if __name__ == "__main__":
    main()
