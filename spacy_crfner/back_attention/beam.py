"""Beam search over the pieces of a translation."""

from dataclasses import dataclass
from typing import List, Sequence

import torch
from torch import Tensor

from .batches import pad
from .convs2s import ConvS2S, Memory
from .pieces import BEGIN, END, FIRST_NAME, NAMES, PAD, SPECIAL


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One translation of a text.

    pieces: without begin and end. attention: (pieces, source pieces). score: mean log probability a piece.
    """

    pieces: List[int]
    attention: Tensor
    score: float


@dataclass(eq=False)
class Beams:
    """The beams of the texts that are not finished yet: B texts with K beams each.

    texts: (B,) which text it is. pieces: (B, K, steps) after a BEGIN. attention: (B, K, steps, source).
    total: (B, K) log probability. done: (B, K). free: (B, K, NAMES) names that may still come.
    memory and pasts: of B * K rows.
    """

    texts: Tensor
    pieces: Tensor
    attention: Tensor
    total: Tensor
    done: Tensor
    free: Tensor
    memory: Memory
    pasts: List[Tensor]


@torch.no_grad()
def beam_search(
    model: ConvS2S, sources: Sequence[Sequence[int]], *, beams: int = 5, length_power: float = 1.0
) -> List[Hypothesis]:
    """The best translation of each text: of those with the most of its names, the most probable a piece.

    sources: pieces of each text, with an END. length_power: the log probability of a translation is divided by this
        power of its length.
    Longer translations than one and a half times the source and ten pieces are cut.
    """
    device = model.bias.device
    rows = pad(sources).to(device)
    limits = torch.tensor([int(1.5 * len(pieces)) + 10 for pieces in sources], device=device)
    state = _start(model, rows, beams)
    found: List[Hypothesis] = [Hypothesis([], torch.zeros(0, rows.shape[1]), 0.0)] * len(sources)
    step = 0
    while len(state.texts):
        step += 1
        _advance(model, state, step, length_power)
        over = state.done.all(dim=1) | (limits[state.texts] <= step)
        if over.any():
            for row in over.nonzero().flatten().tolist():
                found[int(state.texts[row])] = _best(state, row, length_power)
            _keep(state, (~over).nonzero().flatten())
    return found


def _start(model: ConvS2S, rows: Tensor, beams: int) -> Beams:
    batch, width = rows.shape
    memory = model.encode(rows)
    every = torch.arange(batch, device=rows.device).repeat_interleave(beams)
    places = torch.arange(NAMES, device=rows.device) + FIRST_NAME
    total = torch.full((batch, beams), -torch.inf, device=rows.device)
    total[:, 0] = 0.0
    return Beams(
        texts=torch.arange(batch, device=rows.device),
        pieces=torch.full((batch, beams, 1), BEGIN, device=rows.device),
        attention=torch.zeros(batch, beams, 0, width, device=rows.device),
        total=total,
        done=torch.zeros(batch, beams, dtype=torch.bool, device=rows.device),
        free=(rows.unsqueeze(-1) == places).any(dim=1).unsqueeze(1).repeat(1, beams, 1),
        memory=memory.rows(every),
        pasts=model.decoder.start(batch * beams),
    )


def _advance(model: ConvS2S, state: Beams, step: int, length_power: float) -> None:
    """Lengthen every beam by a piece and keep the best; the finished ones stay as they are, with padding."""
    batch, beams = state.total.shape
    last = state.pieces[:, :, -1].reshape(-1, 1)
    features, attention, pasts = model.decoder(last, state.memory, state.pasts, step - 1, 0.0)
    log_p = model.score(features[:, 0]).log_softmax(dim=-1).view(batch, beams, -1)
    log_p[:, :, [PAD, BEGIN]] = -torch.inf
    log_p[:, :, FIRST_NAME:SPECIAL].masked_fill_(~state.free, -torch.inf)
    log_p[state.done] = -torch.inf
    log_p[:, :, PAD].masked_fill_(state.done, 0.0)
    # Beams of different lengths are compared by what they cost a piece.
    lengths = (state.pieces[:, :, 1:] != PAD).sum(dim=-1) + (~state.done).long()
    norms = lengths.to(log_p.dtype) ** length_power
    best, places = ((state.total.unsqueeze(-1) + log_p) / norms.unsqueeze(-1)).flatten(1).topk(beams, dim=1)
    parents, pieces = places // log_p.shape[-1], places % log_p.shape[-1]
    state.total = best * norms.gather(1, parents)
    state.done = state.done.gather(1, parents) | (pieces == END)
    rows = torch.arange(batch, device=parents.device).unsqueeze(1)
    attention = attention.view(batch, beams, 1, -1)
    state.pieces = torch.cat([state.pieces[rows, parents], pieces.unsqueeze(-1)], dim=-1)
    state.attention = torch.cat([state.attention, attention], dim=2)[rows, parents]
    used = pieces.unsqueeze(-1) == torch.arange(NAMES, device=pieces.device) + FIRST_NAME
    state.free = state.free[rows, parents] & ~used
    flat = (rows * beams + parents).flatten()
    state.pasts = [past[flat] for past in pasts]


def _keep(state: Beams, texts: Tensor) -> None:
    """Go on with these texts alone."""
    beams = state.total.shape[1]
    flat = (texts.unsqueeze(1) * beams + torch.arange(beams, device=texts.device)).flatten()
    for name in ("texts", "pieces", "attention", "total", "done", "free"):
        setattr(state, name, getattr(state, name)[texts])
    state.memory = state.memory.rows(flat)
    state.pasts = [past[flat] for past in state.pasts]


def _best(state: Beams, row: int, length_power: float) -> Hypothesis:
    left = state.free[row].sum(dim=-1)
    lengths = (state.pieces[row, :, 1:] != PAD).sum(dim=-1)
    scores = state.total[row] / lengths.to(state.total.dtype) ** length_power
    reached = torch.isfinite(scores)
    fewest = left[reached].min()
    best = int(scores.masked_fill(~reached | (left > fewest), -torch.inf).argmax())
    pieces = [one for one in state.pieces[row, best, 1:].tolist() if one not in (PAD, END)]
    return Hypothesis(pieces, state.attention[row, best, : len(pieces)].cpu(), float(scores[best]))
