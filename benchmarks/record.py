"""What every benchmark result holds beside its numbers, and how it is written.

A result is one JSON file. It names the command, the versions and the machine that made it, and no path of that machine.
"""

import argparse
import json
import os
import platform
import re
import shlex
import sys
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Union

from spacy_crfner.corpora import CorpusError

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

DATA_VARIABLE = "SPACY_CRFNER_DATA"
"""Environment variable that names the folder of corpora."""

PACKAGES = ("spacy", "thinc", "torch", "numpy", "spacy-crfner")

COMMON_FIELDS = ("benchmark", "name", "command", "date", "versions", "machine")
"""The fields that `write_result` puts into every result."""


class BenchmarkError(ValueError):
    """A benchmark cannot run. The message says what is wrong and what to do."""


@contextmanager
def clear_errors() -> Iterator[None]:
    """Errors that say what is wrong and what to do go to stderr, without a traceback, and end the program with 1."""
    try:
        yield
    except (BenchmarkError, CorpusError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def check_positive(parser: argparse.ArgumentParser, args: argparse.Namespace, *options: str) -> None:
    """End with the parser's usage where a number that is given for one of these options is not above 0."""
    for option in options:
        value = getattr(args, option)
        if value is not None and value <= 0:
            parser.error(f"--{option} must be more than 0, not {value}.")


def versions() -> Dict[str, str]:
    """Versions of Python and of the packages whose code is measured, by import name."""
    return {"python": platform.python_version(), **{name.replace("-", "_"): version(name) for name in PACKAGES}}


def machine(gpu_id: int = -1) -> Dict[str, Any]:
    """The hardware: CPU model, logical cores, torch threads, memory in GB (10^9 bytes), and the GPU if one is used.

    gpu_id: the GPU that the benchmark uses; -1 if none.
    """
    import torch

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gb": _memory_gb(),
        "gpu": torch.cuda.get_device_name(gpu_id) if gpu_id >= 0 else None,
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> Optional[float]:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):
        return None


def shown_command(arguments: Sequence[str]) -> str:
    """A command line of this project as it may be published and, in the project's root, pasted.

    arguments: the script and its arguments, such as `sys.argv`.
    """
    script, *others = arguments
    return " ".join(["python", shown_path(script), *(_quote(shown(argument)) for argument in others)])


def covering(
    command: Sequence[str], *, seeds: Iterable[int], only: Iterable[str], but: Sequence[str] = ()
) -> List[str]:
    """The command that measures all that a result holds, since several runs with other --seeds and --only may have.

    seeds: all that something was measured with. only: what was. but: options that measure nothing.
    """
    kept: List[str] = []
    left_out = False
    for part in command:
        if part.startswith("--"):
            left_out = part.split("=")[0] in ("--only", "--seeds", *but)
        if not left_out:
            kept.append(part)
    return [*kept, "--seeds", *map(str, sorted(set(seeds))), "--only", *only]


def shown(value: Any) -> Any:
    """An argument or a setting, with every path in it as it may be published, see `shown_path`."""
    if isinstance(value, dict):
        return {key: shown(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(part) for part in value]
    if not isinstance(value, str):
        return value
    option, separator, text = value.partition("=") if value.startswith("--") else ("", "", value)
    if text.startswith(("./", "../")) or os.path.isfile(text) or (os.sep in text and os.path.exists(text)):
        return option + separator + shown_path(text)
    # Paths that do not exist (yet), or stand inside of a longer value such as a JSON list.
    return re.sub(r"""(?:(?<=[\s"'=,\[({])|^)/[^\s"',\])}]+""", lambda match: shown_path(match[0]), value)


def shown_path(path: Union[str, Path]) -> str:
    """A path without the folders of this machine.

    Paths in the project are relative to its root; paths in and beside the folder of corpora start with
    `$SPACY_CRFNER_DATA`; of any other only the last part is left.
    """
    # Not Path.resolve: a link is named by its own place, as the user did.
    absolute = Path(os.path.abspath(path))
    folders = {str(ROOT): ROOT}
    if os.environ.get(DATA_VARIABLE):
        data = Path(os.path.abspath(os.environ[DATA_VARIABLE]))
        folders = {f"${DATA_VARIABLE}": data, **folders}
        # A folder of corpora at the root of the file system has everything beside it.
        if data.parent != Path(data.anchor):
            folders[f"${DATA_VARIABLE}/.."] = data.parent
    for name, folder in folders.items():
        if absolute.is_relative_to(folder):
            inside = absolute.relative_to(folder).as_posix()
            return inside if folder == ROOT else f"{name}/{inside}".removesuffix("/.")
    return f".../{absolute.name}"


def _quote(argument: str) -> str:
    quoted = shlex.quote(argument)
    if quoted == argument or f"${DATA_VARIABLE}" not in argument:
        return quoted
    if shlex.quote(argument.replace("$", "")) == argument.replace("$", ""):
        return argument
    # Double quotes let the shell put the folder in.
    return '"' + re.sub(r'(["\\`])', r"\\\1", argument) + '"'


def write_result(
    folder: Path, *, benchmark: str, name: str, arguments: Sequence[str], gpu_id: int = -1, **fields: Any
) -> Path:
    """Write `<folder>/<name>.json`, in place of one that is there already, and return its path.

    benchmark: what was measured, such as "accuracy".
    arguments: the command that measured it, such as `sys.argv`.
    gpu_id: the GPU that it used; -1 if none.
    fields: what the benchmark found.
    """
    result = {
        "benchmark": benchmark,
        "name": name,
        "command": shown_command(arguments),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": machine(gpu_id),
        **fields,
    }
    target = folder / f"{name}.json"
    write_json(target, result)
    return target


def write_json(target: Path, content: Any) -> None:
    """Write a JSON file under another name and rename it when complete, so that there is never half a file."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf8")
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise BenchmarkError(f"{target}: the file cannot be written ({error.strerror or error}).") from None
