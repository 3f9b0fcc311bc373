"""Time the CRF of this package against pytorch-crf, in turns within one run, and write the ratios.

Example:
    python benchmarks/crf.py --threads 2
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Callable, Dict, List, Sequence

import torch
import torchcrf
from record import RESULTS, BenchmarkError, clear_errors, write_result

from spacy_crfner.crf import Potentials, nll, viterbi

SHAPES = ((256, 50, 17), (128, 25, 17), (64, 50, 41), (64, 50, 73), (1, 50, 17))
"""Sequences, tokens a sequence, tags. The first is the one that is reported last."""

FIELDS = ("seed", "rounds", "shapes")
"""The fields of a result beside those of every benchmark."""


class Case:
    """One batch of sequences of equal length, seen by both packages.

    Ours starts from the rows of the batch as a model gives them, sequence after sequence, and packs them itself.
    """

    def __init__(self, batch: int, length: int, tags: int):
        self.lengths = [length] * batch
        self.emissions = torch.randn(batch, length, tags)
        self.gold = torch.randint(tags, (batch, length))
        self.mask = torch.ones(batch, length, dtype=torch.bool)
        self.crf = torchcrf.CRF(tags, batch_first=True)
        self.edges = [
            parameter.detach()
            for parameter in (self.crf.start_transitions, self.crf.transitions, self.crf.end_transitions)
        ]

    def potentials(self) -> Potentials:
        return Potentials.build(self.emissions.flatten(0, 1), self.lengths, *self.edges)

    def our_gradient(self) -> List[torch.Tensor]:
        """The loss and its gradients by the emissions, start, transitions and end."""
        potentials = self.potentials()
        result = nll(potentials, potentials.packing.pack(self.gold.flatten()))
        emissions = potentials.packing.unpack(result.emissions).view_as(self.emissions)
        return [result.loss.sum(), emissions, result.start, result.transitions, result.end]

    def their_gradient(self) -> List[torch.Tensor]:
        emissions = self.emissions.clone().requires_grad_()
        parameters = [self.crf.start_transitions, self.crf.transitions, self.crf.end_transitions]
        loss = -self.crf(emissions, self.gold, mask=self.mask, reduction="sum")
        return [loss.detach(), *torch.autograd.grad(loss, [emissions, *parameters])]

    def our_tags(self) -> List[List[int]]:
        potentials = self.potentials()
        tags, _ = viterbi(potentials)
        return potentials.packing.unpack(tags).view(self.gold.shape).tolist()

    def their_tags(self) -> List[List[int]]:
        with torch.no_grad():
            return self.crf.decode(self.emissions, mask=self.mask)

    def check(self) -> None:
        """Raises BenchmarkError where the two do not agree."""
        for ours, theirs in zip(self.our_gradient(), self.their_gradient(), strict=True):
            if not torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3):
                raise BenchmarkError(f"The losses or gradients differ by {float((ours - theirs).abs().max())}.")
        if self.our_tags() != self.their_tags():
            raise BenchmarkError("The best tag sequences differ.")


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> Dict[str, Any]:
    """Median milliseconds of both, measured in turns, and how many times as long theirs takes."""
    times: Dict[Callable, List[float]] = {ours: [], theirs: []}
    for _ in range(rounds):
        for function, values in times.items():
            # Once before the clock starts: neither should pay for what the other put out of the caches.
            function()
            start = perf_counter()
            function()
            values.append(1000.0 * (perf_counter() - start))
    our_ms, their_ms = median(times[ours]), median(times[theirs])
    return {"ours_ms": round(our_ms, 3), "pytorch_crf_ms": round(their_ms, 3), "ratio": round(their_ms / our_ms, 2)}


def measure(batch: int, length: int, tags: int, rounds: int) -> Dict[str, Any]:
    case = Case(batch, length, tags)
    case.check()
    return {
        "batch": batch,
        "length": length,
        "tags": tags,
        "loss_and_gradient": compare(case.our_gradient, case.their_gradient, rounds),
        "decode": compare(case.our_tags, case.their_tags, rounds),
    }


def parse_args(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of torch (default: 2)")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="measurements of each (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--name", default="crf", help="stem of the result file (default: crf)")
    parser.add_argument("--to", type=Path, default=RESULTS, metavar="FOLDER", help="default: benchmarks/results")
    args = parser.parse_args(arguments)
    for option in ("threads", "rounds"):
        if getattr(args, option) < 1:
            parser.error(f"--{option} must be 1 or more, not {getattr(args, option)}.")
    return args


def main(command: Sequence[str]) -> None:
    """command: the script and its arguments."""
    args = parse_args(command[1:])
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    shapes = []
    with clear_errors():
        for shape in SHAPES:
            shapes.append(measure(*shape, args.rounds))
            print(_line(shapes[-1]), flush=True)
        write_result(
            args.to,
            benchmark="crf",
            name=args.name,
            arguments=command,
            seed=args.seed,
            rounds=args.rounds,
            shapes=shapes,
        )
    print(f"loss+gradient {shapes[0]['loss_and_gradient']['ratio']} decode {shapes[0]['decode']['ratio']}")


def _line(shape: Dict[str, Any]) -> str:
    times = (
        f"{name.replace('_', ' ')} {found['ours_ms']:.2f} ms against {found['pytorch_crf_ms']:.2f} ms"
        for name, found in shape.items()
        if isinstance(found, dict)
    )
    return f"{shape['batch']} x {shape['length']} x {shape['tags']}: {', '.join(times)}"


if __name__ == "__main__":
    main(sys.argv)
