"""Write the tables of the README from the files in results/: `python benchmarks/tables.py` after a benchmark."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- accuracy: written by benchmarks/tables.py -->\n", "<!-- end of accuracy -->\n"


def percent(summary: dict, split: str, score: str) -> str:
    """Mean and, for several seeds, standard deviation of a score, such as 81.23 ± 0.45."""
    value = summary.get(split, {}).get(score)
    if value is None:
        return ""
    spread = f" ± {100 * value['sd']:.2f}" if value["sd"] is not None else ""
    return f"{100 * value['mean']:.2f}{spread}"


def accuracy_table(results: Path) -> str:
    """One row for each accuracy result, by name."""
    rows = [
        "| Corpus | Train sentences | Seeds | dev F1 | test P | test R | test F1 | test F1, ten sentences a Doc |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(results.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result["benchmark"] != "accuracy":
            continue
        summary, train = result["summary"], result["corpus"]["train"]
        cells = [
            f"[{result['name']}](benchmarks/results/{path.name})",
            f"{train['sentences']:,}",
            str(len(result["seeds"])),
            percent(summary, "dev", "f"),
            *(percent(summary, "test", score) for score in ("p", "r", "f")),
            percent(summary, "test_joined_10", "f"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def with_table(text: str, table: str) -> str:
    """The text with what stands between the marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> None:
    readme = ROOT / "README.md"
    table = accuracy_table(ROOT / "benchmarks" / "results")
    readme.write_text(with_table(readme.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
