"""Functions that run in a process of their own, and what is measured in turns.

Needs nothing that is not Python's own: other systems are measured in environments without spaCy and this package.
"""

import json
import os
import subprocess
import sys
from argparse import Namespace
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from experiments.errors import BenchmarkError, clear_errors

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Every library takes its number of threads from one of these, also those that are never asked."""


WARM_UP_TEXTS = 50


def call(
    task: str, job: Dict[str, Any], folder: Path, *, python: str = sys.executable, threads: Optional[int] = None
) -> Dict[str, Any]:
    """Call a function in a new process, so that it inherits no memory, caches or random state.

    Returns what it returns, and its `peak_memory_mb`.

    task: module beside the benchmarks and function, such as `speed_spacy.train`; takes and returns what JSON holds.
    job: its argument. folder: for the job and the result. python: the interpreter. threads: its limit; None: no other.
    Raises BenchmarkError where it fails; the reason is on stderr by then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "job.json", folder / "result.json"
    files[0].write_text(json.dumps(job), encoding="utf8")
    limits = {} if threads is None else dict.fromkeys(THREADS, str(threads))
    command = [python, str(Path(__file__).parent), *task.rsplit(".", 1), *map(str, files)]
    code = subprocess.run(command, env={**os.environ, **limits}).returncode
    if code:
        raise BenchmarkError(f"{task} failed, for the reason above (exit code {code}).")
    return json.loads(files[1].read_text(encoding="utf8"))


def main(module: str, function: str, job: str, result: str) -> None:
    """Do what `call` asks for."""
    try:
        with clear_errors():
            measured = getattr(import_module(module), function)(json.loads(Path(job).read_text(encoding="utf8")))
    except KeyboardInterrupt:
        sys.exit(130)
    Path(result).write_text(json.dumps({**measured, "peak_memory_mb": memory_mb("VmHWM")}), encoding="utf8")


def memory_mb(field: str) -> float:
    """Read the memory of this process in MB: VmRSS is what it holds now, VmHWM the most that it has held.

    Not from getrusage, which begins with the peak of the parent process.
    """
    status = Path("/proc/self/status").read_text(encoding="utf8")
    return round(int(status.partition(f"{field}:")[2].split()[0]) / 1024, 1)


def in_turns(
    systems: Mapping[str, Callable[[], Dict[str, float]]], rounds: int, shown: Optional[str] = "round"
) -> Dict[str, List[Dict[str, float]]]:
    """Measure systems in turns (A B A B), so that what slows the machine down for a while slows all of them.

    systems: name -> what measures it once. shown: what a round is called in the lines that are printed, with the
        `words_per_second` of each; None prints nothing.
    """
    measured: Dict[str, List[Dict[str, float]]] = {name: [] for name in systems}
    for number, (name, measure) in product(range(rounds), systems.items()):
        measured[name].append(measure())
        if shown is not None:
            speed = measured[name][-1]["words_per_second"]
            print(f"{shown} {number + 1} of {rounds}: {name} {speed:,.0f} words per second", flush=True)
    return measured


def time_in_turns(
    task: str, jobs: Mapping[str, Dict[str, Any]], args: Namespace, folder: Path, shown: str = "round"
) -> Dict[str, List[Dict[str, float]]]:
    """Do a task (train or predict) of each job in a new process, in turns.

    jobs: name -> what the `worker`, a module (default: speed_spacy), is asked to do, and the `python` that runs it.
    args: `rounds` and `threads`. folder, shown: see `call` and `in_turns`.
    """

    def time(job: Dict[str, Any]) -> Dict[str, float]:
        options = {"folder": folder, "python": job.get("python", sys.executable), "threads": args.threads}
        return call(f"{job.get('worker', 'speed_spacy')}.{task}", job, **options)

    return in_turns({name: partial(time, job) for name, job in jobs.items()}, args.rounds, shown)


def medians(rounds: Sequence[Mapping[str, float]], digits: int = 2) -> Dict[str, float]:
    """Take the median of each number over the rounds."""
    return {key: round(median(found[key] for found in rounds), digits) for key in (rounds[0] if rounds else ())}


def texts_of_length(texts: Iterable[str], least: int, most: int) -> List[str]:
    """List the texts of so many words, which are separated by spaces; each once."""
    return list(dict.fromkeys(text for text in texts if least <= len(text.split()) <= most))


def latency(read: Callable[[Any], Any], texts: Sequence[Any]) -> Dict[str, float]:
    """Time a function on each text by itself: median and 90th percentile in milliseconds, and words per second.

    texts: strings, or lists of words.
    Raises BenchmarkError where there are fewer than two.
    """
    if len(texts) < 2:
        raise BenchmarkError("Fewer than two texts have so many words that they are timed one by one: take more text.")
    times = []
    for text in texts:
        start = perf_counter()
        read(text)
        times.append(perf_counter() - start)
    words = sum(len(text.split() if isinstance(text, str) else text) for text in texts)
    tenths = quantiles(times, n=10, method="inclusive")
    return {"words_per_second": words / sum(times), "ms": 1000 * median(times), "p90_ms": 1000 * tenths[-1]}


def speeds(found: Mapping[str, Sequence[Mapping[str, float]]]) -> Dict[str, Dict[str, float]]:
    """Take median, slowest and fastest words per second of each system, and the ratio of its median to the first's."""
    columns = {name: [measured["words_per_second"] for measured in rounds] for name, rounds in found.items()}
    base = median(next(iter(columns.values())))
    speeds = {}
    for name, column in columns.items():
        summary = {"words_per_second": median(column), "slowest": min(column), "fastest": max(column)}
        speeds[name] = {**{key: round(s) for key, s in summary.items()}, "ratio": round(median(column) / base, 3)}
    return speeds
