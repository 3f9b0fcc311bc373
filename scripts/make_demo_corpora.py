"""Write the demo corpora: `python scripts/make_demo_corpora.py --out assets`."""

from __future__ import annotations

import argparse
from pathlib import Path

from demo_corpora.bilingual import write_links
from demo_corpora.english import news, weak
from demo_corpora.german import german
from demo_corpora.tagged import write_conll


def write_all(out: Path) -> None:
    """Write every corpus below the folder `out`."""
    for name, corpus in (("news", news()), ("weak", weak())):
        for split, sentences in corpus.items():
            write_conll(out / name / f"{split}.conll", sentences)
    for split, pairs in german().items():
        write_conll(out / "german" / f"{split}.conll", [p.de for p in pairs])
        write_conll(out / "german" / f"{split}.en.conll", [p.en for p in pairs])
        write_links(out / "german" / f"{split}.align", pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("assets"), help="the folder to write to")
    write_all(parser.parse_args().out)


if __name__ == "__main__":
    main()
