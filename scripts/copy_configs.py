"""Copy configs/, which is where they are written, into the package, which ships them."""

import argparse
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    target = ROOT / "spacy_crfner" / "configs"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "configs", target)


if __name__ == "__main__":
    main()
