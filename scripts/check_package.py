"""Load an installed pipeline by its name and check that it scores as the trained one did."""

import argparse
import json
import sys
from pathlib import Path

from installed import load_installed
from spacy.training import Corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", help="name of the package, such as en_bcrf_news")
    parser.add_argument("--target", type=Path, required=True, help="folder that it was installed into")
    parser.add_argument("--corpus", type=Path, required=True, help=".spacy file to score on")
    parser.add_argument("--metrics", type=Path, required=True, help="what `spacy evaluate` wrote for this file")
    args = parser.parse_args()
    nlp = load_installed(args.package, args.target)
    found = nlp.evaluate(list(Corpus(args.corpus)(nlp)))["ents_f"]
    expected = json.loads(args.metrics.read_text(encoding="utf-8"))["ents_f"]
    if abs(found - expected) > 1e-6:
        sys.exit(f"{args.package} scores F1 {found:.4f}, but the pipeline that was packaged scored {expected:.4f}.")
    print(f"{args.package} {nlp.meta['version']}: reloaded in a new process, test F1 {100 * found:.2f}")


if __name__ == "__main__":
    main()
