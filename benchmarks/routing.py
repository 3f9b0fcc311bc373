"""Train routers, strong, weak and single taggers on a corpus with rare labels, and compare what they make together.

Every part is trained by itself into the work folder, and once: an interrupted run goes on after the last finished
part. A part is trained again where its config or the corpus has changed; after a change of code, delete it. The methods
whose parts are there (with --only, perhaps not all) are scored on dev, and on test with --test, which is for the end;
their scores are kept in the work folder too, in `scores`, which is to be deleted after a change of code.

Example:
    python benchmarks/routing.py --corpus gmb --vectors en_core_web_md --work training/routing
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import spacy
from documents import convert_corpus, find_sources, read_docs
from record import RESULTS, BenchmarkError, check_positive, clear_errors, covering, write_json, write_result
from routing_parts import in_steps, make_parts, router_names, with_paths
from spacy.language import Language
from spacy.training import Corpus, Example
from spacy.vocab import Vocab
from thinc.api import Config

from spacy_crfner.corpora.sampling import rare_labels
from spacy_crfner.routing.scorer import average_precision, best_threshold_of, collect
from spacy_crfner.routing.threshold import tune_threshold
from spacy_crfner.tagging.scorer import score_averages

ROUTER = "router RCNN, weighted"
"""Of the routed methods that do not name another: the paper's best."""

FIELDS = ("corpus", "seeds", "labels", "parts", "routers", "methods")
"""The fields of a result beside those of every benchmark."""


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--corpus", required=True, metavar="NAME", help="folder of the corpora, see accuracy.py")
    parser.add_argument("--vectors", required=True, metavar="PATH|NAME", help="a pipeline with word vectors")
    parser.add_argument("--work", required=True, type=Path, metavar="FOLDER", help="where trained parts are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="default: 0")
    parser.add_argument("--only", nargs="+", metavar="PART", help="train these parts alone (default: all)")
    parser.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="train a tagger for N updates of 1,000 words without R-Drop, with a learning rate that falls to 0, and "
        "other parts accordingly (default: as their configs say)",
    )
    parser.add_argument("--test", action="store_true", help="score on the test split too")
    parser.add_argument("--train-only", action="store_true", help="train, and score nothing")
    parser.add_argument(
        "--save",
        nargs=2,
        metavar=("METHOD", "FOLDER"),
        help="save the pipeline of a method, with the first seed, such as for pipelines.py",
    )
    parser.add_argument("--name", help="stem of the result file (default: routing-<corpus>)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args = parser.parse_args(arguments)
    check_positive(parser, args, "steps")
    if args.save and args.train_only:
        parser.error("--save makes a method of what is trained, which --train-only does not: give one of them.")
    if args.save and args.save[0] not in make_methods():
        parser.error(f"there is no method {args.save[0]!r}: choose from {'; '.join(make_methods())}.")
    return args


def train_part(config: Any, folder: Path, made_of: str) -> None:
    """`spacy train` in a process of its own, unless it was done with the same config and corpus.

    made_of: a digest of both, kept beside the model.
    """
    if is_done(folder, made_of):
        return
    done = folder / "done"
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    config.to_disk(folder / "config.cfg")
    with (folder / "log.txt").open("w", encoding="utf8") as log:
        command = [sys.executable, "-m", "spacy", "train", str(folder / "config.cfg"), "--output", str(folder)]
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        raise BenchmarkError(f"{folder / 'log.txt'}: training failed ({code}), for the reason given there.")
    done.write_text(made_of, encoding="utf8")


def is_done(folder: Path, made_of: str) -> bool:
    """Whether a part has been trained with this config and corpus."""
    done = folder / "done"
    return done.exists() and done.read_text(encoding="utf8") == made_of


def digest(config: Any, sources: Dict[str, Path], vectors: str, seed: int) -> str:
    """Of all that a part is made of but the code."""
    found = hashlib.sha256(json.dumps([config.to_str(), vectors, seed]).encode("utf8"))
    for split in ("train", "dev"):
        found.update(sources[split].read_bytes())
    return found.hexdigest()


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
        nlp.get_pipe("weak").cfg.update(router="weak_class_router", predict_on="routed")
        config.update(router="weak_class_router", gated=["weak"])
    if rule == "word":
        for name in ("strong", "weak"):
            nlp.get_pipe(name).cfg["annotate"] = ["confidence", "marginals"]
    nlp.add_pipe("ner_vote", config=config)
    if recall or gates:
        vote = "ner_vote" if gates else None
        tune_threshold(nlp, path=dev, component="weak_class_router", beta=RECALL, vote=vote)
    return nlp


def make_methods() -> Dict[str, Tuple[List[str], Callable[[Work, Path], Language]]]:
    """Name -> the parts that it needs, and the pipeline that they make, given a dev corpus."""

    def alone(part: str) -> Tuple[List[str], Callable]:
        return [part], lambda work, dev: spacy.load(work(part))

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
    """Entity scores from 0 to 1."""
    examples = list(Corpus(path)(nlp))
    annotate(nlp, examples)
    found = score_averages(examples)
    scores = {key: round(found[f"ents_{key}"], 4) for key in ("p", "r", "f", "weighted_f", "macro_f")}
    per_type = {label: round(found["ents_per_type"][label]["f"], 4) for label in sorted(found["ents_per_type"])}
    return {**scores, "per_type": per_type}


def annotate(nlp: Language, examples: Sequence[Example]) -> None:
    """Let the pipeline predict; nlp.evaluate would work on copies."""
    for example, doc in zip(examples, nlp.pipe([example.predicted for example in examples]), strict=True):
        example.predicted = doc


def score_router(nlp: Language, path: Path, threshold: Optional[float]) -> Dict[str, Any]:
    """How well a router tells the classes apart at 0.5, and at a threshold tuned on dev; None tunes it here."""
    router = nlp.get_pipe("weak_class_router")
    examples = list(Corpus(path)(nlp))
    annotate(nlp, examples)
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


class Scores:
    """What routers and methods whose parts are trained find with one seed; kept in the work folder, so that an
    interrupted run goes on.

    ready: trained part -> digest of what it was made of.
    files: split -> corpus, dev first. sources: split -> what it was converted from.
    """

    def __init__(self, work: Path, seed: int, ready: Dict[str, str], files: Dict[str, Path], sources: Dict[str, Path]):
        self.folder, self.seed, self.ready, self.files = work, seed, ready, files
        self.texts = {split: hashlib.sha256(sources[split].read_bytes()).hexdigest() for split in files}

    def work(self, part: str) -> Path:
        """The trained pipeline of a part."""
        return self.folder / f"{part}-{self.seed}" / "model-best"

    def routers(self) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """Router -> split -> scores; also of those that were trained with a whole pipeline."""
        for part in self.ready:
            if part.startswith(("router", "shipped")):
                score = partial(self._score_router, part)
                yield part.removeprefix("router "), self._once("router", part, [part], score)

    def methods(self) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """Method -> split -> scores."""
        for method, (needed, make) in make_methods().items():
            if not set(needed) <= set(self.ready):
                continue
            found = self._once("method", method, needed, partial(self._score_method, make))
            for split, one in found.items():
                print(f"{method}, {split}, seed {self.seed}: {one['f']:.4f}, macro {one['macro_f']:.4f}", flush=True)
            yield method, found

    def save(self, method: str, folder: Path) -> None:
        """Save the pipeline of a method whose parts are trained."""
        _, make = make_methods()[method]
        make(self.work, self.files["dev"]).to_disk(folder)

    def _score_router(self, part: str) -> Dict[str, Any]:
        nlp, threshold = spacy.load(self.work(part)), None
        scores = {}
        for split, path in self.files.items():
            scores[split] = score_router(nlp, path, threshold)
            threshold = scores[split]["tuned"]["threshold"]
        return scores

    def _score_method(self, make: Callable[[Work, Path], Language]) -> Dict[str, Any]:
        nlp = make(self.work, self.files["dev"])
        return {split: score_method(nlp, path) for split, path in self.files.items()}

    def _once(self, kind: str, name: str, needed: Sequence[str], score: Callable[[], Dict[str, Any]]) -> Dict[str, Any]:
        """kind: of `name`, a method or a router. needed: the parts that are scored."""
        trained = [(self.folder / f"{part}-{self.seed}" / "done").stat().st_mtime_ns for part in needed]
        made_of = json.dumps([kind, name, [self.ready[part] for part in needed], trained, self.texts])
        file = self.folder / "scores" / f"{hashlib.sha256(made_of.encode('utf8')).hexdigest()[:16]}.json"
        if not file.exists():
            write_json(file, score())
        return json.loads(file.read_text(encoding="utf8"))


def run(args: argparse.Namespace, command: Sequence[str]) -> Path:
    sources = find_sources(args.corpus, None, {})
    name = args.name or f"routing-{args.corpus}"
    splits = ["dev", "test"] if args.test else ["dev"]
    with TemporaryDirectory(prefix="spacy-crfner-") as temporary:
        files = convert_corpus(sources, Path(temporary), "en")
        counts = Counter(entity.label_ for doc in read_docs(files["train"], Vocab()) for entity in doc.ents)
        weak = rare_labels(counts, 0.02)
        strong = [label for label in sorted(counts) if label not in weak]

        def configs() -> Dict[str, Config]:
            parts = make_parts(strong, weak)
            return parts if args.steps is None else {name: in_steps(part, args.steps) for name, part in parts.items()}

        names = list(configs())
        unknown = sorted(set(args.only or ()) - set(names))
        if unknown:
            raise BenchmarkError(f"There is no part {', '.join(unknown)}: choose from {'; '.join(names)}.")
        digests = {
            seed: {part: digest(config, sources, args.vectors, seed) for part, config in configs().items()}
            for seed in args.seeds
        }
        if args.save:
            needed, folder = make_methods()[args.save[0]][0], args.work
            seed = args.seeds[0]
            done = [part for part in needed if is_done(folder / f"{part}-{seed}", digests[seed][part])]
            missing = [part for part in needed if part not in (*(args.only or names), *done)]
            if missing:
                raise BenchmarkError(f"{args.save[0]!r} cannot be saved: --only leaves out {'; '.join(missing)}.")
        for seed in args.seeds:
            for part in args.only or names:
                print(f"Seed {seed}: {part}", flush=True)
                config = with_paths(configs()[part], files, args.vectors, seed)
                train_part(config, args.work / f"{part}-{seed}", digests[seed][part])
        if args.train_only:
            return args.work
        parts: Dict[str, Any] = {}
        routers: Dict[str, Any] = {}
        methods: Dict[str, Any] = {}
        for seed in args.seeds:
            made = digests[seed].items()
            ready = {part: made_of for part, made_of in made if is_done(args.work / f"{part}-{seed}", made_of)}
            for part, made_of in ready.items():
                parts.setdefault(part, {})[str(seed)] = made_of[:12]
            scores = Scores(args.work, seed, ready, {split: files[split] for split in splits}, sources)
            if args.save and seed == args.seeds[0]:
                scores.save(args.save[0], Path(args.save[1]))
            for found, scored in ((routers, scores.routers()), (methods, scores.methods())):
                for one, by_split in scored:
                    for split, values in by_split.items():
                        found.setdefault(one, {}).setdefault(split, {})[str(seed)] = values
    labels = {"strong": strong, "weak": weak, "entities": dict(counts)}
    return write_result(
        args.to,
        benchmark="routing",
        name=name,
        # Whichever run trained them, all parts that are there are scored.
        arguments=covering(command, seeds=args.seeds, only=parts, but=["--save"]),
        corpus=args.corpus,
        seeds=args.seeds,
        labels=labels,
        parts=parts,
        routers=routers,
        methods=methods,
    )


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    with clear_errors():
        print(run(parse_args(command[1:]), command))


if __name__ == "__main__":
    main(sys.argv)
