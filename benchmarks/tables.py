"""Write the tables of the pages from the files in results/: `python benchmarks/tables.py` after a benchmark."""

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Callable, Dict, Iterable, List, Tuple

from experiments.record import RESULTS, ROOT
from experiments.scores import percent

Row = Dict[str, Any]
"""What the cells of a row may name; and a result, since rows are made of its fields."""

Columns = str
"""Headings and cells, as in `F1={f:.2f} | Seeds={number}`: cells name values of a row, as in Python's format strings. A
cell is empty where the row has no such value; per cent are written without their sign."""


class Spread(List[float]):
    """Scores of several seeds, written as mean and standard deviation, with `+` as gains; with `mean` as this alone."""

    def __format__(self, how: str) -> str:
        if not self or how == "mean":
            return f"{100 * mean(self):.1f}" if self else ""
        return percent(mean(self), stdev(self) if len(self) > 1 else None, how or "-")


def over_seeds(runs: Iterable[Row]) -> Row:
    """Turn scores of runs into scores that are Spreads; what a run has not is 0, as a label that it never found."""
    runs = list(runs)
    nested = {key: isinstance(value, dict) for run in runs for key, value in run.items()}
    columns = {key: [run.get(key, {} if deep else 0.0) for run in runs] for key, deep in nested.items()}
    return {key: over_seeds(column) if nested[key] else Spread(column) for key, column in columns.items()}


def read_results(folder: Path, benchmark: str, page: str = "README.md") -> List[Row]:
    """Read the results of a benchmark, by file name, each with a `link` to its file from a page."""
    results = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    up = "../" * page.count("/")
    links = {f"{up}benchmarks/results/{name}": result for name, result in results.items()}
    return [{**result, "link": link} for link, result in links.items() if result["benchmark"] == benchmark]


def write_table(columns: Columns, rows: Iterable[Row]) -> str:
    pairs = [column.split("=", 1) for column in columns.split(" | ")]
    cells = [[_cell(cell, row) for _, cell in pairs] for row in rows]
    lines = [[heading for heading, _ in pairs], ["---"] * len(pairs), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(cell: str, row: Row) -> str:
    try:
        text = cell.format_map(row)
    except (KeyError, TypeError):
        return ""
    return text.removesuffix("%") if cell.endswith("%}") else text


def rows_of(field: str) -> Callable[[List[Row]], List[Row]]:
    """Make one row for each entry of this field of each result: its values, `entry`, its name, and `result`."""
    return lambda results: [{**row, "entry": name, "result": r} for r in results for name, row in r[field].items()]


def seeded_rows_of(field: str) -> Callable[[List[Row]], List[Row]]:
    """Make such rows of entries that have split -> seed -> scores.

    A row has the scores of each split, and `scored`, those on test where it was scored, else on dev, with their `split`
    and `number` of seeds.
    """

    def make(results: List[Row]) -> List[Row]:
        rows = rows_of(field)(results)
        for row in rows:
            split = "test" if "test" in row else "dev"
            row["number"] = len(row[split])
            row.update({name: over_seeds(row[name].values()) for name in ("dev", "test") if name in row})
            row.update(split=split, scored=row[split])
        return rows

    return make


def accuracy_rows(results: List[Row]) -> List[Row]:
    rows = []
    for result in results:
        splits = {split: {key: percent(**scores[key]) for key in "prf"} for split, scores in result["summary"].items()}
        minutes = mean(run["training_seconds"] for run in result["per_seed"]) / 60
        found = result["summary"].get("test", {}).get("per_type", {}).values()
        macro = {"macro": 100 * mean(scores["f"]["mean"] for scores in found)} if found else {}
        rows.append({**result, **splits, **macro, "number": len(result["seeds"]), "minutes": minutes})
    return rows


def is_over_transformer(result: Row) -> bool:
    return "paths.transformer" in result.get("overrides", {})


def without_transformer_rows(results: List[Row]) -> List[Row]:
    return accuracy_rows([result for result in results if not is_over_transformer(result)])


def transformer_rows(results: List[Row]) -> List[Row]:
    """Make a row of each training with a transformer, behind that of the default recipe on the same sentences."""
    with_one = [result for result in results if is_over_transformer(result)]
    recipes = {result["name"]: result for result in results if result.get("config") == "configs/bcrf_ner.cfg"}
    rows: Dict[str, Row] = {}
    for result in with_one:
        corpus = max((name for name in recipes if result["name"].startswith(name)), key=len, default=None)
        for row in [*([recipes[corpus]] if corpus else []), result]:
            model = Path(row["overrides"].get("paths.transformer", "")).name
            rows.setdefault(row["name"], {**row, "model": model, "stem": Path(row["config"]).stem})
    return accuracy_rows(list(rows.values()))


COMPARED = {
    "conll2003-en-20-e5": "`bcrf_ner` over multilingual-E5-small, fine-tuned",
    "conll2003-en-20": "`bcrf_ner`",
    "conll2003-en-20-ner-accuracy": "spaCy's `ner`, quickstart for accuracy",
    "conll2003-en-20-ner-efficiency": "spaCy's `ner`, quickstart for efficiency, with the same vectors",
    "conll2003-en-20-flair": "flair, BiLSTM-CRF",
}
"""The results of accuracy that the first page shows beside each other, and what they are called there."""


WHOLE = {
    "conll2003-en-bilstm-cnn-softmax": "`bilstm_cnn`, word by word, as the paper's",
    "conll2003-en-bilstm-cnn": "`bilstm_cnn`, with its CRF",
    "conll2003-en": "`bcrf_ner`",
    "conll2003-en-e5": "`transformer`, multilingual-E5-small",
}
"""The results of accuracy on the whole of CoNLL-2003, and what the page of the papers calls them."""


def named_rows(called: Dict[str, str]) -> Callable[[List[Row]], List[Row]]:
    """Make a row of each of these results that is there, in this order. called: name -> what it is called."""

    def make(results: List[Row]) -> List[Row]:
        rows = {row["name"]: row for row in accuracy_rows(results)}
        return [{**rows[name], "called": f"[{called[name]}]({rows[name]['link']})"} for name in called if name in rows]

    return make


def pivot(first: str, cells: Iterable[Tuple[str, str, str]]) -> Tuple[Columns, List[Row]]:
    """Make columns and rows of (row, column, cell). first: the heading of the rows."""
    rows: Dict[str, Row] = {}
    columns = {first: None}
    for row, column, cell in cells:
        rows.setdefault(row, {first: row})[column] = cell
        columns[column] = None
    return " | ".join(f"{column}={{{column}}}" for column in columns), [*rows.values()]


def memory_table(results: List[Row]) -> Tuple[Columns, List[Row]]:
    """Memory of the process after so many documents, a column for each result."""
    named = {f"without {result['without']}, MB" if result["without"] else "MB": result for result in results}
    cells = ((name, docs, mb) for name, result in named.items() for docs, mb in result["memory_mb"].items())
    return pivot("Documents", ((f"{int(docs):,}", name, f"{mb:,.0f}") for name, docs, mb in cells))


def long_texts_rows(results: List[Row]) -> List[Row]:
    """One row for each case, with what twice as many tokens cost."""
    rows = rows_of("cases")(results)
    for row in rows:
        half, whole = row["half"], row["whole"]
        row["growth"] = {key: whole[key] / max(half[key], 1e-9) for key in ("added_mb", "seconds")}
    return rows


def recipe_table(results: List[Row]) -> Tuple[Columns, List[Row]]:
    """One row for each variant, one column for each corpus: dev F1, and what the variant changes in it."""
    cells = []
    for result in results:
        scores = {name: 100 * found["dev"]["f"] for name, found in result["variants"].items()}
        for name, f in scores.items():
            change = f" ({f - scores['default']:+.2f})" if "default" in scores and name != "default" else ""
            cells.append((name, result["corpus"], f"{f:.2f}{change}"))
    return pivot("Variant", cells)


def _labels(results: List[Row], *kinds: str) -> List[str]:
    return list(dict.fromkeys(label for kind in kinds for result in results for label in result["labels"][kind]))


def with_encoder(rows: List[Row]) -> List[Row]:
    """Say what the parts of a routed pipeline read (`encoder`), those without a transformer first."""
    rows.sort(key=lambda row: bool(row["result"].get("transformer")))
    for row in rows:
        frozen = row["result"].get("transformer")
        row["encoder"] = f"frozen {frozen}, `{row['result']['encoder']}`" if frozen else "words and characters"
    return rows


def routers_rows(results: List[Row]) -> List[Row]:
    return with_encoder(seeded_rows_of("routers")(results))


def methods_table(results: List[Row]) -> Tuple[Columns, List[Row]]:
    columns = (
        "Corpus={result[corpus]} | Encoder={encoder} | Method={entry} | Seeds={number} | dev global={dev[f]}"
        " | dev macro={dev[macro_f]} | Split={split} | global={scored[f]} | weighted={scored[weighted_f]}"
        " | macro={scored[macro_f]}"
    )
    labels = [f"{label}={{scored[per_type][{label}]:mean}}" for label in _labels(results, "weak", "strong")]
    return " | ".join([columns, *labels]), with_encoder(seeded_rows_of("methods")(results))


MAIN_METHODS = {
    "single": "one tagger",
    "routed, rare repeated, all labels beside, gates": "router, two taggers and a vote, trained one by one",
    "shipped": "the same, trained together and longer",
    "shipped, one encoder": "with one encoder",
}
"""The methods that the first page shows, and what they are called there."""


def rare_labels_table(results: List[Row]) -> Tuple[Columns, List[Row]]:
    """Show the main methods: F1 of all entities, the mean over labels, and of each weak label."""
    rows = []
    for result in results:
        by_name = {row["entry"]: row for row in seeded_rows_of("methods")([result])}
        rows += [{**by_name[name], "called": MAIN_METHODS[name]} for name in MAIN_METHODS if name in by_name]
    columns = (
        "Corpus=[{result[corpus]}]({result[link]}) | Encoder={encoder} | Pipeline={called} | Seeds={number}"
        " | Split={split} | global={scored[f]} | macro={scored[macro_f]}"
    )
    labels = (f"{label}={{scored[per_type][{label}]}}" for label in _labels(results, "weak"))
    return " | ".join([columns, *labels]), with_encoder(rows)


def pipelines_rows(results: List[Row]) -> List[Row]:
    limits = {result["name"]: result["limit_test"] for result in results}
    parts = {name: f", first {limit.replace('%', ' % of the')} sentences" for name, limit in limits.items() if limit}
    return [{**row, "part": parts.get(row["result"]["name"], "")} for row in rows_of("pipelines")(results)]


def small_rows(results: List[Row]) -> List[Row]:
    """One row for each recipe on each corpus, and its dev F1 as a part of that of the default."""
    rows = []
    for row in rows_of("variants")(results):
        runs, default = row["dev"], row["result"]["variants"].get("default", {}).get("dev", {})
        row["f"] = Spread(run["f"] for run in runs.values())
        shared = [seed for seed in runs if seed in default]
        if shared:
            row["part"] = sum(runs[seed]["f"] for seed in shared) / sum(default[seed]["f"] for seed in shared)
        row["updates"] = mean(row["steps"].values())
        rows.append({**row, "number": len(runs), "words": row["result"]["corpus"]["train"]["tokens"]})
    return rows


WITHOUT, CARRIED, UNTRANSLATED = "without", "back attention", "untranslated"


def _gains(without: Dict[str, Any], entry: Dict[str, Any]) -> Spread:
    """What a variant has more than none with each seed that both have."""
    return Spread(entry[seed]["f"] - without[seed]["f"] for seed in entry if seed in without)


def back_attention_rows(results: List[Row]) -> List[Row]:
    rows = seeded_rows_of("variants")(results)
    for row in rows:
        variants = row["result"]["variants"]
        without, own = variants.get(WITHOUT, {}), variants[row["entry"]]
        compared = {"dev", "test"} & without.keys() & own.keys() if own is not without else set()
        row["gains"] = {split: _gains(without[split], own[split]) for split in compared}
        row.update(number=len(own["dev"]), part=row["result"]["limit_train"] or "all")
    return rows


def other_languages_rows(results: List[Row]) -> List[Row]:
    """One row for each result, for the seeds that all of the three variants have."""
    rows = []
    for result in results:
        variants = {name: result["variants"].get(name, {}).get("test", {}) for name in (WITHOUT, CARRIED, UNTRANSLATED)}
        seeds = sorted(set.intersection(*(set(runs) for runs in variants.values() if runs)))
        if seeds and variants[CARRIED]:
            equal = {name: {seed: runs[seed] for seed in seeds if runs} for name, runs in variants.items()}
            row: Row = {name: Spread(run["f"] for run in runs.values()) for name, runs in equal.items()}
            row.update(result=result, number=len(seeds), part=result["limit_train"] or "all")
            rows.append({**row, "gains": {name: _gains(variants[WITHOUT], runs) for name, runs in equal.items()}})
    return rows


def back_attention_speed_rows(results: List[Row]) -> List[Row]:
    rows = rows_of("training")(results)
    return [row if row["entry"] == WITHOUT else {**row, "ratio": row["result"]["ratio"]} for row in rows]


def translators_rows(results: List[Row]) -> List[Row]:
    """One row for each translator: where its training ended, its BLEU, and the attention of names in parallel text."""
    best = [([line for line in result["training"] if line["best"]], result) for result in results if result["parallel"]]
    return [{**result, **lines[-1]} for lines, result in best if lines]


def ratio_rows(results: List[Row]) -> List[Row]:
    return [{"name": n, "ratio": ratio, "result": r} for r in results for n, ratio in r["ratios"].items()]


SPEED = "words/s={words_per_second:,} | slowest={slowest:,} | fastest={fastest:,} | ratio={ratio:.2f}"
SYSTEMS = (
    "speed",
    rows_of("systems"),
    "System={entry} | train, words/s={train_words_per_second:,.0f} | predict, words/s={predict_words_per_second:,.0f}"
    " | train, MB={train_peak_memory_mb:,.0f} | predict, MB={predict_peak_memory_mb:,.0f}",
)

ONE_BY_ONE = (
    "speed",
    lambda results: [row for row in rows_of("systems")(results) if "one_by_one_ms" in row],
    "System={entry} | one text, ms={one_by_one_ms:.2f} | 90th percentile, ms={one_by_one_p90_ms:.2f}",
)

TABLES: Dict[Tuple[str, str], Tuple[str, Callable[[List[Row]], Any], Columns]] = {
    ("README.md", "compared"): (
        "accuracy",
        named_rows(COMPARED),
        "System={called} | Seeds={number} | dev F1={dev[f]} | test F1={test[f]}",
    ),
    ("docs/papers.md", "whole"): (
        "accuracy",
        named_rows(WHOLE),
        "Ours={called} | Seeds={number} | dev F1={dev[f]} | test F1={test[f]}",
    ),
    ("docs/measurements.md", "accuracy"): (
        "accuracy",
        without_transformer_rows,
        "Corpus=[{name}]({link}) | Train sentences={corpus[train][sentences]:,} | Seeds={number} | dev F1={dev[f]}"
        " | test P={test[p]} | test R={test[r]} | test F1={test[f]} | minutes={minutes:.1f}",
    ),
    ("docs/measurements.md", "transformers"): (
        "accuracy",
        transformer_rows,
        "Training=[{name}]({link}) | Config=`{stem}` | Model={model} | Seeds={number} | dev F1={dev[f]}"
        " | test P={test[p]} | test R={test[r]} | test F1={test[f]} | by label={macro:.1f} | minutes={minutes:.1f}",
    ),
    ("docs/measurements.md", "pretraining"): (
        "pretraining",
        lambda results: [{**result, "millions": result["model"]["weights"] / 1e6} for result in results],
        "Pre-training=[{name}]({link}) | Million weights={millions:.1f} | Pieces={model[pieces]:,}"
        " | Updates={updates:,} | minutes={minutes:.0f} | perplexity before={before:,.1f} | after={after:,.1f}",
    ),
    ("docs/measurements.md", "rare labels"): ("routing", rare_labels_table, ""),
    ("docs/measurements.md", "other languages"): (
        "back_attention",
        other_languages_rows,
        "Corpus=[{result[corpus]}]({result[link]}) | Train sentences={part} | Seeds={number} | without={without}"
        " | back attention={back attention} | gain={gains[back attention]:+} | untranslated={untranslated}"
        " | gain={gains[untranslated]:+}",
    ),
    ("docs/measurements.md", "crf"): (
        "crf",
        lambda results: [shape for result in results for shape in result["shapes"]],
        "batch x length x tags={batch} x {length} x {tags} | loss + gradient, ms={loss_and_gradient[ours_ms]:.2f}"
        " | pytorch-crf, ms={loss_and_gradient[pytorch_crf_ms]:.2f} | ratio={loss_and_gradient[ratio]:.1f}"
        " | decode, ms={decode[ours_ms]:.2f} | pytorch-crf, ms={decode[pytorch_crf_ms]:.2f}"
        " | ratio={decode[ratio]:.1f}",
    ),
    ("docs/measurements.md", "speed"): SYSTEMS,
    ("docs/measurements.md", "one text"): ONE_BY_ONE,
    ("docs/measurements.md", "ratios"): (
        "speed",
        ratio_rows,
        "Ours / theirs={name} | ratio={ratio:.2f}",
    ),
    ("docs/measurements.md", "transformer speed"): (
        "speed_transformer",
        rows_of("systems"),
        "Transformer={result[transformer]} | System={entry} | train, words/s={train_words_per_second:,.0f}"
        " | predict, words/s={predict_words_per_second:,.0f} | train, MB={train_peak_memory_mb:,.0f}"
        " | predict, MB={predict_peak_memory_mb:,.0f} | entities found={predict_entities:,} | F1={predict_f:.1f}",
    ),
    ("docs/measurements.md", "transformer ratios"): (
        "speed_transformer",
        ratio_rows,
        "Transformer={result[transformer]} | Ours / theirs={name} | ratio={ratio:.2f}",
    ),
    ("docs/measurements.md", "transformer updates"): (
        "speed_transformer",
        rows_of("profiles"),
        "Transformer={result[transformer]} | System={entry} | update, ms={update_ms:,.0f}"
        " | pieces={pieces[ms]:,.0f} ({pieces[share]:.0%}) | forward={forward[ms]:,.0f} ({forward[share]:.0%})"
        " | backward={backward[ms]:,.0f} ({backward[share]:.0%})"
        " | head and CRF={head and CRF[ms]:,.0f} ({head and CRF[share]:.0%})"
        " | optimizer={optimizer[ms]:,.0f} ({optimizer[share]:.0%}) | rest={rest[ms]:,.0f} ({rest[share]:.0%})",
    ),
    ("docs/measurements.md", "memory"): ("memory", memory_table, ""),
    ("docs/measurements.md", "long texts"): (
        "long_texts",
        long_texts_rows,
        "Case={entry} | Tokens={whole[tokens]:,} | MB={whole[added_mb]:,.0f} | times half's={growth[added_mb]:.1f}"
        " | s={whole[seconds]:.1f} | times half's={growth[seconds]:.1f}",
    ),
    ("docs/measurements.md", "recipe"): ("recipe", recipe_table, ""),
    ("docs/measurements.md", "small"): (
        "small",
        small_rows,
        "Corpus={result[name]} | Words={words:,} | Recipe={entry} | Updates={updates:,.0f} | Seeds={number}"
        " | dev F1={f} | of default={part:.3f}",
    ),
    ("docs/measurements.md", "methods"): ("routing", methods_table, ""),
    ("docs/measurements.md", "routers"): (
        "routing",
        routers_rows,
        "Corpus={result[corpus]} | Encoder={encoder} | Router={entry} | Seeds={number} | Split={split}"
        " | average precision={scored[average_precision]:mean}"
        " | recall of strong={scored[at 0.5][recall of strong]:mean}"
        " | recall of weak={scored[at 0.5][recall of weak]:mean}"
        " | precision={scored[at 0.5][precision]:mean}"
        " | tuned: strong={scored[tuned][recall of strong]:mean} | weak={scored[tuned][recall of weak]:mean}"
        " | precision={scored[tuned][precision]:mean}",
    ),
    ("docs/measurements.md", "pipelines"): (
        "pipelines",
        pipelines_rows,
        f"Corpus={{result[corpus][test]}}{{part}} | Pipeline={{entry}} | {SPEED} | MB={{peak_memory_mb:,}}"
        " | F1={f:.2f}",
    ),
    ("docs/measurements.md", "back attention"): (
        "back_attention",
        back_attention_rows,
        "Corpus={result[corpus]} | Train sentences={part} | Features={entry} | Seeds={number} | dev F1={dev[f]}"
        " | test F1={test[f]} | dev gain={gains[dev]:+} | test gain={gains[test]:+}",
    ),
    ("docs/measurements.md", "translators"): (
        "alignment",
        translators_rows,
        "Text={parallel} | Updates={update:,} | minutes={minutes:.0f} | dev loss={dev_loss:.2f}"
        " | dev BLEU={dev_bleu:.1f} | test BLEU={bleu:.1f} | names in both sides={shared_names[words]:,}"
        " | distinct={shared_names[distinct]:,}"
        " | attention at itself, %={shared_names[peak_at_itself]:.1%}"
        " | by distinct name, %={shared_names[peak_at_itself_by_word]:.1%}",
    ),
    ("docs/measurements.md", "alignment"): (
        "alignment",
        rows_of("names"),
        "Corpus={result[corpus]} | protect={entry} | words of entities={words:,} | kept, %={kept:.1%}"
        " | repeated, %={repeated:.1%} | attention at itself, %={peak_at_itself:.1%}",
    ),
    ("docs/measurements.md", "back attention speed"): (
        "back_attention_speed",
        back_attention_speed_rows,
        f"Corpus={{result[corpus]}} | Training={{entry}} | {SPEED}",
    ),
}
"""(page, mark in it) -> benchmark, what makes rows of its results (or columns and rows), columns."""


def make_table(page: str, mark: str, folder: Path = RESULTS) -> str:
    benchmark, make, columns = TABLES[page, mark]
    made = make(read_results(folder, benchmark, page))
    return write_table(columns, made) if columns else write_table(*made)


def with_table(text: str, mark: str, content: str, script: str = "benchmarks/tables.py") -> str:
    """Replace what stands between the marks in the text of a page. Raises ValueError where there are none."""
    begin, end = f"<!-- {mark}: written by {script} -->\n", f"<!-- end of {mark} -->\n"
    before, begun, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not begun or not closed:
        raise ValueError(f"The page has no marks for the table {mark!r}.")
    return f"{before}{begin}\n{content}\n{end}{after}"


def page_with_tables(page: str, folder: Path = RESULTS) -> str:
    """Write the text of a page as it should be."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for where, mark in TABLES:
        if where == page:
            text = with_table(text, mark, make_table(page, mark, folder))
    return text


def main() -> None:
    # All of them first, so that no page is written where another cannot be.
    pages = {page: page_with_tables(page) for page in dict.fromkeys(page for page, _ in TABLES)}
    for page, text in pages.items():
        (ROOT / page).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
