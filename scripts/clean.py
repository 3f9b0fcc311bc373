"""Remove folders of the project that its commands have written."""

import argparse
import shutil
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="inside the current folder")
    here = Path.cwd().resolve()
    for folder in parser.parse_args().folders:
        if here not in folder.resolve().parents:
            sys.exit(f"{folder} is not inside {here}: nothing outside the project is removed.")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
