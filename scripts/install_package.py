"""Install the wheel of a packaged pipeline, alone, into a fresh folder."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path, help="folder that holds the wheel")
    parser.add_argument("--target", type=Path, required=True, help="folder to install into; emptied first")
    args = parser.parse_args()
    wheels = sorted(args.dist.glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"{args.dist} holds {len(wheels)} wheels, but exactly one is needed: run the package command first.")
    if args.target.is_dir():
        shutil.rmtree(args.target)
    # The pipeline's requirements are those that trained it, which are installed already.
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(args.target)]
    sys.exit(subprocess.run([*command, str(wheels[0])]).returncode)


if __name__ == "__main__":
    main()
