"""Call a function of a benchmark in this process: `python benchmarks/experiments MODULE FUNCTION JOB RESULT`."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.workers import main  # noqa: E402

main(*sys.argv[1:])
