"""Results that grow: runs of variants with several seeds, each kept as soon as it is measured.

An interrupted run goes on, later runs add seeds and variants, and several runs at a time may fill one file.
"""

import argparse
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Sequence

from experiments.errors import BenchmarkError
from experiments.record import commands_of, write_result
from spacy_crfner.files import alone_in

Run = Dict[str, Any]
"""What was measured with one seed: split -> scores, and more."""

Rows = Dict[str, Dict[str, Any]]
"""Variant -> `fingerprint` of what it was measured with, and `runs`, by seed (a string)."""


def read_variants(result: Dict[str, Any]) -> Rows:
    """Read the rows of the usual form: variant -> `fingerprint`, and for all that was measured, seed -> value."""
    rows: Rows = {}
    for variant, found in result["variants"].items():
        runs: Dict[str, Run] = {}
        for key in [key for key in found if key not in ("fingerprint", "made_of")]:
            for seed, value in found[key].items():
                runs.setdefault(seed, {})[key] = value
        rows[variant] = {"fingerprint": found.get("fingerprint", found.get("made_of")), "runs": runs}
    return rows


def write_variants(rows: Rows) -> Dict[str, Any]:
    """Turn rows into the usual form, see `read_variants`."""
    variants: Dict[str, Dict[str, Any]] = {}
    for variant, row in rows.items():
        found = variants.setdefault(variant, {"fingerprint": row["fingerprint"]})
        for seed, run in row["runs"].items():
            for key, value in run.items():
                found.setdefault(key, {})[seed] = value
    return {"variants": variants}


class ResultFile:
    """A result that grows.

    args: `to` and `command`, see `write_result`. benchmark, name: of the result.
    key: fields that all runs in the file share; what was measured with others cannot stand beside it.
    read, write: the rows of a result, and the fields that hold rows.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        benchmark: str,
        name: str,
        key: Mapping[str, Any],
        read: Callable[[Dict[str, Any]], Rows] = read_variants,
        write: Callable[[Rows], Dict[str, Any]] = write_variants,
    ):
        if name != Path(name).name:
            raise BenchmarkError(f"The name {name!r} cannot be that of a file: choose one without slashes.")
        self.args, self.benchmark, self.name, self.key = args, benchmark, name, dict(key)
        self.path = args.to / f"{name}.json"
        self._read, self._write = read, write
        self.commands: List[str] = []
        """Others that what is added comes from, as they are shown."""

    def _result(self) -> Dict[str, Any]:
        try:
            return json.loads(self.path.read_text(encoding="utf8")) if self.path.exists() else {}
        except ValueError:
            raise BenchmarkError(f"{self.path}: the file is damaged: delete it to start anew.") from None

    def rows(self) -> Rows:
        """Read what is measured. Raises BenchmarkError where the file is damaged or has another key."""
        result = self._result()
        other = [field for field, value in self.key.items() if result and result.get(field) != value]
        if other:
            raise BenchmarkError(
                f"{self.path}: this result is of another {' and '.join(other)} (the fingerprint is of the corpus): "
                "choose another --name, or delete the file."
            )
        return self._read(result) if result else {}

    def commands_so_far(self) -> List[str]:
        return commands_of(self._result() or {"commands": []})

    def has(self, variant: str, seed: int, needed: Sequence[str]) -> bool:
        """Tell whether all that is needed is measured."""
        run = self.rows().get(variant, {"runs": {}})["runs"].get(str(seed))
        return run is not None and run.keys() >= set(needed)

    def check(self, variant: str, fingerprint: str) -> None:
        """Raise BenchmarkError where a variant was measured with something else."""
        if self.rows().get(variant, {"fingerprint": fingerprint})["fingerprint"] != fingerprint:
            raise BenchmarkError(
                f"{self.path}: {variant!r} was measured with another config, code, vectors or other model: choose "
                "another --name, or delete the file."
            )

    def add(self, variant: str, fingerprint: str, seed: int, run: Run, order: Sequence[str]) -> None:
        """Add a run to what is in the file by now, also from other runs. order: the variants that go first."""
        with _alone(self.path.parent):
            self.check(variant, fingerprint)
            rows = self.rows()
            runs = rows.setdefault(variant, {"fingerprint": fingerprint, "runs": {}})["runs"]
            runs[str(seed)] = {**runs.get(str(seed), {}), **run}
            rows[variant]["runs"] = {key: runs[key] for key in sorted(runs, key=int)}
            fields = self._write({name: rows[name] for name in (*order, *rows) if name in rows})
            commands = [*self.commands_so_far(), *self.commands]
            write_result(self.args, self.benchmark, self.name, commands=commands, **self.key, **fields)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other run changes a result in the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(f"{folder}: no result can be written there ({error.strerror}): check --to.") from None
    with alone_in(folder, wait=True):
        yield
