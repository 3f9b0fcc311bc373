"""Time the CRF of this package against pytorch-crf, in turns within one run, and write the ratios.

Example:
    python benchmarks/crf.py --threads 2
"""

import argparse
from functools import partial
from time import perf_counter
from typing import Any, Callable, Dict, List

import torch
import torchcrf
from experiments.errors import BenchmarkError
from experiments.options import make_parser, program
from experiments.record import write_result
from experiments.workers import in_turns, medians

from spacy_crfner.crf import Potentials, nll, viterbi

SHAPES = ((256, 50, 17), (128, 25, 17), (64, 50, 41), (64, 50, 73), (1, 50, 17))
"""Sequences, tokens a sequence, tags. The first is the one that is reported last."""


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
        self.parameters = [self.crf.start_transitions, self.crf.transitions, self.crf.end_transitions]
        self.edges = [parameter.detach() for parameter in self.parameters]

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
        loss = -self.crf(emissions, self.gold, mask=self.mask, reduction="sum")
        return [loss.detach(), *torch.autograd.grad(loss, [emissions, *self.parameters])]

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
    """Take median milliseconds of both, measured in turns, and how many times as long theirs takes."""

    def timed(function: Callable[[], Any]) -> Dict[str, float]:
        # Once before the clock starts: neither should pay for what the other put out of the caches.
        function()
        start = perf_counter()
        function()
        return {"ms": 1000.0 * (perf_counter() - start)}

    measured = in_turns({"ours": partial(timed, ours), "theirs": partial(timed, theirs)}, rounds, shown=None)
    our_ms, their_ms = (medians(times, 3)["ms"] for times in measured.values())
    return {"ours_ms": our_ms, "pytorch_crf_ms": their_ms, "ratio": round(their_ms / our_ms, 2)}


parse_args = make_parser(__doc__, "seed", defaults={"threads": 2, "rounds": 20, "name": "crf"}).parse_args


def run(args: argparse.Namespace) -> str:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    shapes: List[Dict[str, Any]] = []
    for batch, length, tags in SHAPES:
        case = Case(batch, length, tags)
        case.check()
        times = {
            "loss_and_gradient": compare(case.our_gradient, case.their_gradient, args.rounds),
            "decode": compare(case.our_tags, case.their_tags, args.rounds),
        }
        shapes.append({"batch": batch, "length": length, "tags": tags, **times})
        for task, found in times.items():
            both = f"{found['ours_ms']:.2f} ms against {found['pytorch_crf_ms']:.2f} ms"
            print(f"{batch} x {length} x {tags}: {task.replace('_', ' ')} {both}", flush=True)
    write_result(args, "crf", args.name, ("seed", "rounds"), shapes=shapes)
    return f"loss+gradient {shapes[0]['loss_and_gradient']['ratio']} decode {shapes[0]['decode']['ratio']}"


main = program(parse_args, run)

if __name__ == "__main__":
    main()
