"""What every result holds beside its numbers, and how it is written.

A result is one JSON file. It names the commands, versions and machine that made it, and no path of that machine.
"""

import argparse
import os
import platform
import re
import shlex
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Union

import torch

from experiments.errors import BenchmarkError
from spacy_crfner.files import write_json

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"

DATA_VARIABLE = "SPACY_CRFNER_DATA"
"""Environment variable that names the folder of corpora."""

PACKAGES = ("spacy", "thinc", "torch", "numpy", "spacy-crfner")

COMMON_FIELDS = ("benchmark", "name", "date", "versions", "machine")
"""The fields that `write_result` puts into every result, beside `command` or `commands`."""


def commands_of(result: Mapping[str, Any]) -> List[str]:
    """The commands that filled a result."""
    return result["commands"] if "commands" in result else [result["command"]]


def machine(gpu_id: int = -1) -> Dict[str, Any]:
    """Describe the hardware, with memory in GB of 10^9 bytes. gpu_id: the GPU that the benchmark uses; -1 if none."""
    info = Path("/proc/cpuinfo")
    models = re.findall("model name\t: (.+)", info.read_text(encoding="utf8")) if info.exists() else []
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": torch.cuda.get_device_name(gpu_id) if gpu_id >= 0 else None,
    }


def shown_command(arguments: Sequence[str]) -> str:
    """Write a command line of this project as it may be published and, in the project's root, pasted.

    arguments: the script and its arguments, such as `sys.argv`.
    """
    script, *others = arguments
    return " ".join(["python", shown_path(script), *(_quote(shown(argument)) for argument in others)])


def shown(value: Any) -> Any:
    """Write every path in an argument or a setting as it may be published, see `shown_path`."""
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
    """Write a path without the folders of this machine.

    Paths in the project are relative to its root; paths in and beside the folder of corpora start with
    `$SPACY_CRFNER_DATA`; of any other only the last part is left.
    """
    # Not Path.resolve: a link is named by its own place, as the user did.
    absolute = Path(os.path.abspath(path))
    folders = {"": ROOT}
    if os.environ.get(DATA_VARIABLE):
        data = Path(os.path.abspath(os.environ[DATA_VARIABLE]))
        folders = {f"${DATA_VARIABLE}/": data, "": ROOT}
        # A folder of corpora at the root of the file system has everything beside it.
        if data.parent != Path(data.anchor):
            folders[f"${DATA_VARIABLE}/../"] = data.parent
    for start, folder in folders.items():
        if absolute.is_relative_to(folder):
            return f"{start}{absolute.relative_to(folder).as_posix()}".removesuffix("/.")
    return f".../{absolute.name}"


def _quote(argument: str) -> str:
    if f"${DATA_VARIABLE}" not in argument:
        return shlex.quote(argument)
    without = argument.replace("$", "")
    # Double quotes, where some are needed, let the shell put the folder in.
    return argument if shlex.quote(without) == without else '"' + re.sub(r'(["\\`])', r"\\\1", argument) + '"'


def write_result(
    args: argparse.Namespace,
    benchmark: str,
    name: str,
    options: Sequence[str] = (),
    commands: Sequence[str] = (),
    **fields: Any,
) -> Path:
    """Write `<to>/<name>.json`, in place of one that is there already, and return its path.

    args: `to`, the folder; `command`, the script and its arguments; `gpu_id`, where a GPU may be used.
    benchmark: what was measured, such as "accuracy". options: those that the result repeats.
    commands: others that the result comes from, as they are shown. fields: what the benchmark found.
    Raises BenchmarkError where the file cannot be written.
    """
    made_by = list(dict.fromkeys([*commands, shown_command(args.command)]))
    result = {
        "benchmark": benchmark,
        "name": name,
        **({"command": made_by[0]} if len(made_by) == 1 else {"commands": made_by}),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{p.replace("-", "_"): version(p) for p in PACKAGES}},
        "machine": machine(getattr(args, "gpu_id", -1)),
        **{option: getattr(args, option) for option in options},
        **fields,
    }
    target = args.to / f"{name}.json"
    try:
        write_json(target, result)
    except OSError as error:
        raise BenchmarkError(f"{target}: the file cannot be written ({error.strerror or error}).") from None
    return target
