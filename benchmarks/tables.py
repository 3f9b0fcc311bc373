"""Write the tables of the pages from the files in results/: `python benchmarks/tables.py` after a benchmark."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Callable, Dict, List, Tuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def read_results(folder: Path, benchmark: str) -> Dict[str, Dict[str, Any]]:
    """File name -> content of the results of a benchmark, by name."""
    results = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: result for name, result in results.items() if result["benchmark"] == benchmark}


def table(header: List[str], rows: List[List[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def percent(summary: dict, split: str, score: str) -> str:
    """Mean and, for several seeds, standard deviation of a score, such as 81.23 ± 0.45."""
    value = summary.get(split, {}).get(score)
    if value is None:
        return ""
    spread = f" ± {100 * value['sd']:.2f}" if value["sd"] is not None else ""
    return f"{100 * value['mean']:.2f}{spread}"


def accuracy_table(folder: Path) -> str:
    """One row for each accuracy result, by name."""
    header = ["Corpus", "Train sentences", "Seeds", "dev F1", "test P", "test R", "test F1", "minutes"]
    rows = []
    for name, result in read_results(folder, "accuracy").items():
        summary, train = result["summary"], result["corpus"]["train"]
        seconds = [run["training_seconds"] for run in result["per_seed"]]
        rows.append(
            [
                f"[{result['name']}](benchmarks/results/{name})",
                f"{train['sentences']:,}",
                str(len(result["seeds"])),
                percent(summary, "dev", "f"),
                *(percent(summary, "test", score) for score in ("p", "r", "f")),
                f"{sum(seconds) / len(seconds) / 60:.1f}",
            ]
        )
    return table(header, rows)


def speed_table(folder: Path) -> str:
    """One row for each system of each speed result."""
    header = ["System", "train, words/s", "predict, words/s", "train, MB", "predict, MB"]

    def cell(found: Dict[str, float], key: str) -> str:
        return f"{found[key]:,.0f}" if key in found else ""

    rows = []
    for result in read_results(folder, "speed").values():
        for name, found in result["systems"].items():
            rows.append(
                [
                    name,
                    *(cell(found, f"{task}_words_per_second") for task in ("train", "predict")),
                    *(cell(found, f"{task}_peak_memory_mb") for task in ("train", "predict")),
                ]
            )
    return table(header, rows)


def ratio_table(folder: Path) -> str:
    """How many times as many words per second ours does."""
    rows = [
        [name, f"{ratio:.2f}"]
        for result in read_results(folder, "speed").values()
        for name, ratio in result["ratios"].items()
    ]
    return table(["Ours / theirs", "ratio"], rows)


def crf_table(folder: Path) -> str:
    """One row for each shape."""
    header = ["batch x length x tags", "loss + gradient, ms", "pytorch-crf, ms", "ratio", "decode, ms"]
    rows = []
    for result in read_results(folder, "crf").values():
        for shape in result["shapes"]:
            cells = [f"{shape['batch']} x {shape['length']} x {shape['tags']}"]
            for task in ("loss_and_gradient", "decode"):
                found = shape[task]
                cells += [f"{found['ours_ms']:.2f}", f"{found['pytorch_crf_ms']:.2f}", f"{found['ratio']:.1f}"]
            rows.append(cells)
    return table([*header, "pytorch-crf, ms", "ratio"], rows)


def memory_table(folder: Path) -> str:
    """Memory of the process after so many documents, a column for each result."""
    results = list(read_results(folder, "memory").values())
    names = [f"without {result['without']}, MB" if result["without"] else "MB" for result in results]
    counts = list(dict.fromkeys(docs for result in results for docs in result["memory_mb"]))
    rows = []
    for docs in counts:
        found = [result["memory_mb"].get(docs) for result in results]
        rows.append([f"{int(docs):,}", *("" if memory is None else f"{memory:,.0f}" for memory in found)])
    return table(["Documents", *names], rows)


def recipe_table(folder: Path) -> str:
    """One row for each variant, one column for each corpus: dev F1, and what the variant changes in it."""
    results = list(read_results(folder, "recipe").values())
    names = list(dict.fromkeys(name for result in results for name in result["variants"]))
    rows = []
    for name in names:
        cells = [name]
        for result in results:
            found, base = result["variants"].get(name), result["variants"].get("default")
            compared = found and base and name != "default"
            change = f" ({100 * (found['dev']['f'] - base['dev']['f']):+.2f})" if compared else ""
            cells.append(f"{100 * found['dev']['f']:.2f}{change}" if found else "")
        rows.append(cells)
    return table(["Variant", *(result["corpus"] for result in results)], rows)


MAIN_METHODS = {
    "single": "one tagger",
    "routed, rare repeated, all labels beside, gates": "router, two taggers and a vote, trained one by one",
    "shipped": "the same, trained together and longer",
    "shipped, one encoder": "with one encoder",
}
"""The methods that the first page shows, and what they are called there."""


def rare_labels_table(folder: Path) -> str:
    """F1 of the main methods of each routing result: of all entities, the mean over labels, and of each weak label."""
    results = read_results(folder, "routing")
    labels = list(dict.fromkeys(label for result in results.values() for label in result["labels"]["weak"]))
    rows = []
    for name, result in results.items():
        for method, called in MAIN_METHODS.items():
            if method not in result["methods"]:
                continue
            found = result["methods"][method]
            split = "test" if "test" in found else "dev"
            runs = list(found[split].values())
            cells = [_spread([run[key] for run in runs]) for key in ("f", "macro_f")]
            for label in labels:
                known = label in result["labels"]["weak"]
                cells.append(_spread([run["per_type"].get(label, 0.0) for run in runs]) if known else "")
            corpus = f"[{result['corpus']}](benchmarks/results/{name})"
            rows.append([corpus, called, str(len(runs)), split, *cells])
    return table(["Corpus", "Pipeline", "Seeds", "Split", "global", "macro", *labels], rows)


def methods_table(folder: Path) -> str:
    """F1 of every method of each routing result, over all entities and by label: on test where it was scored, else on
    dev."""
    results = list(read_results(folder, "routing").values())
    kinds = ("weak", "strong")
    labels = list(dict.fromkeys(label for kind in kinds for result in results for label in result["labels"][kind]))
    rows: List[List[str]] = []
    for result in results:
        known = [label for kind in kinds for label in result["labels"][kind]]
        for name, found in result["methods"].items():
            dev = [_spread([run[key] for run in found["dev"].values()]) for key in ("f", "macro_f")]
            split = "test" if "test" in found else "dev"
            runs = list(found[split].values())
            averages = [_spread([run[key] for run in runs]) for key in ("f", "weighted_f", "macro_f")]
            by_label = {label: _mean([run["per_type"].get(label, 0.0) for run in runs]) for label in known}
            cells = [by_label.get(label, "") for label in labels]
            rows.append([result["corpus"], name, str(len(runs)), *dev, split, *averages, *cells])
    header = ["Corpus", "Method", "Seeds", "dev global", "dev macro", "Split", "global", "weighted", "macro", *labels]
    return table(header, rows)


def _mean(values: List[float]) -> str:
    return f"{100 * sum(values) / len(values):.1f}"


def routers_table(folder: Path) -> str:
    """How well each router tells the classes apart, at 0.5 and at the threshold with the best F1 on dev."""
    header = ["Corpus", "Router", "Seeds", "Split", "average precision"]
    header += ["recall of strong", "recall of weak", "precision", "tuned: strong", "weak", "precision"]
    rows = []
    for result in read_results(folder, "routing").values():
        for name, found in result["routers"].items():
            split = "test" if "test" in found else "dev"
            runs = list(found[split].values())
            cells = [_mean([run["average_precision"] for run in runs])]
            for at in ("at 0.5", "tuned"):
                for key in ("recall of strong", "recall of weak", "precision"):
                    cells.append(_mean([run[at][key] for run in runs]))
            rows.append([result["corpus"], name, str(len(runs)), split, *cells])
    return table(header, rows)


def pipelines_table(folder: Path) -> str:
    """One row for each pipeline of each result, by result."""
    header = ["Corpus", "Pipeline", "words/s", "slowest", "fastest", "ratio", "MB", "F1"]
    rows = []
    for result in read_results(folder, "pipelines").values():
        for name, found in result["pipelines"].items():
            speeds = [f"{found[key]:,}" for key in ("words_per_second", "slowest", "fastest")]
            others = [f"{found['ratio']:.2f}", f"{found['peak_memory_mb']:,}", f"{found['f']:.2f}"]
            limit = result["limit_test"]
            part = f", first {limit.replace('%', ' % of the')} sentences" if limit else ""
            rows.append([result["corpus"]["test"] + part, name, *speeds, *others])
    return table(header, rows)


def back_attention_table(folder: Path) -> str:
    """One row for each variant of each result: mean F1 and, of several seeds, standard deviation; beside what the same
    seeds have without it."""
    rows = []
    for result in read_results(folder, "back_attention").values():
        for name, found in result["variants"].items():
            scores = [_spread([run["f"] for run in found.get(split, {}).values()]) for split in ("dev", "test")]
            without = result["variants"].get(WITHOUT, {}) if name != WITHOUT else {}
            gains = [_spread(_gains(without.get(split, {}), found.get(split, {})), "+") for split in ("dev", "test")]
            part = result["limit_train"] or "all"
            rows.append([result["corpus"], part, name, str(len(found["dev"])), *scores, *gains])
    header = ["Corpus", "Train sentences", "Features", "Seeds", "dev F1", "test F1", "dev gain", "test gain"]
    return table(header, rows)


def other_languages_table(folder: Path) -> str:
    """One row for each result: without and with back attention, and with an English NER that reads the words as they
    are. For the seeds that all of them have."""
    rows = []
    for name, result in read_results(folder, "back_attention").items():
        variants = {one: result["variants"].get(one, {}).get("test", {}) for one in (WITHOUT, CARRIED, UNTRANSLATED)}
        seeds = sorted(set.intersection(*(set(runs) for runs in variants.values() if runs)))
        if seeds and variants[CARRIED]:
            corpus = f"[{result['corpus']}](benchmarks/results/{name})"
            row = [corpus, result["limit_train"] or "all", str(len(seeds))]
            for one, runs in variants.items():
                equal = {seed: runs[seed] for seed in seeds if seed in runs}
                row.append(_spread([run["f"] for run in equal.values()]))
                if one != WITHOUT:
                    row.append(_spread(_gains(variants[WITHOUT], equal), sign="+"))
            rows.append(row)
    return table(
        ["Corpus", "Train sentences", "Seeds", "without", "back attention", "gain", "untranslated", "gain"], rows
    )


WITHOUT, CARRIED, UNTRANSLATED = "without", "back attention", "untranslated"


def _gains(without: Dict[str, Any], found: Dict[str, Any]) -> List[float]:
    """What a variant has more than none with each seed that both have."""
    return [found[seed]["f"] - without[seed]["f"] for seed in found if seed in without]


def back_attention_speed_table(folder: Path) -> str:
    """Words a second in training, with and without back attention, for each result."""
    rows = []
    for result in read_results(folder, "back_attention_speed").values():
        for name, found in result["training"].items():
            speeds = [f"{found[key]:,}" for key in ("words_per_second", "slowest", "fastest")]
            ratio = f"{result['ratio']:.2f}" if name != "without" else ""
            rows.append([result["corpus"], name, *speeds, ratio])
    return table(["Corpus", "Training", "words/s", "slowest", "fastest", "ratio"], rows)


def _spread(values: List[float], sign: str = "-") -> str:
    """sign: `+` writes one in front of gains too."""
    if not values:
        return ""
    deviation = f" ± {100 * stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * mean(values):{sign}.2f}{deviation}"


def translators_table(folder: Path) -> str:
    """One row for each translator: where its training ended, its BLEU, and the attention of names in parallel text."""
    rows = []
    for result in read_results(folder, "alignment").values():
        best = next((line for line in reversed(result["training"]) if line["best"]), None)
        if best is None or result["parallel"] is None:
            continue
        scores = [f"{best['dev_loss']:.2f}", f"{best['dev_bleu']:.1f}", f"{result['bleu']:.1f}"]
        names = result["shared_names"]
        shared = [f"{names[key]:,}" for key in ("words", "distinct")]
        shared += [f"{100 * names[key]:.1f}" for key in ("peak_at_itself", "peak_at_itself_by_word")]
        rows.append([result["parallel"], f"{best['update']:,}", f"{best['minutes']:.0f}", *scores, *shared])
    scores = ["dev loss", "dev BLEU", "test BLEU"]
    names = ["names in both sides", "distinct", "attention at itself, %", "by distinct name, %"]
    return table(["Text", "Updates", "minutes", *scores, *names], rows)


def alignment_table(folder: Path) -> str:
    """One row for each translator and each way to protect names."""
    rows = []
    for result in read_results(folder, "alignment").values():
        for protect, found in result["names"].items():
            shares = [f"{100 * found[key]:.1f}" for key in ("kept", "repeated", "peak_at_itself")]
            rows.append([result["corpus"], protect, f"{found['words']:,}", *shares])
    return table(["Corpus", "protect", "words of entities", "kept, %", "repeated, %", "attention at itself, %"], rows)


TABLES: Dict[Tuple[str, str], Callable[[Path], str]] = {
    ("README.md", "accuracy"): accuracy_table,
    ("README.md", "speed"): speed_table,
    ("README.md", "rare labels"): rare_labels_table,
    ("README.md", "other languages"): other_languages_table,
    ("docs/measurements.md", "crf"): crf_table,
    ("docs/measurements.md", "speed"): speed_table,
    ("docs/measurements.md", "ratios"): ratio_table,
    ("docs/measurements.md", "memory"): memory_table,
    ("docs/measurements.md", "recipe"): recipe_table,
    ("docs/measurements.md", "methods"): methods_table,
    ("docs/measurements.md", "routers"): routers_table,
    ("docs/measurements.md", "pipelines"): pipelines_table,
    ("docs/measurements.md", "back attention"): back_attention_table,
    ("docs/measurements.md", "translators"): translators_table,
    ("docs/measurements.md", "alignment"): alignment_table,
    ("docs/measurements.md", "back attention speed"): back_attention_speed_table,
}
"""(page, mark in it) -> what stands there."""


def with_table(text: str, mark: str, content: str) -> str:
    """The text of a page with what stands between the marks replaced. Raises ValueError where there are none."""
    begin, end = f"<!-- {mark}: written by benchmarks/tables.py -->\n", f"<!-- end of {mark} -->\n"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"The page has no place for the table {mark!r}.")
    return f"{before}{begin}\n{content}\n{end}{after}"


def page_with_tables(page: str, folder: Path = RESULTS) -> str:
    """The text of a page as it should be."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for (place, mark), make in TABLES.items():
        if place == page:
            text = with_table(text, mark, make(folder))
    return text


def main() -> None:
    # All of them first, so that no page is written where another cannot be.
    pages = {page: page_with_tables(page) for page in dict.fromkeys(page for page, _ in TABLES)}
    for page, text in pages.items():
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
