"""Beam search over the pieces of a translation."""

import math
from dataclasses import dataclass
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from .batches import pad
from .convs2s import ConvS2S, Memory
from .pieces import BEGIN, END, FIRST_NAME, NAMES, PAD, SPECIAL


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One translation of a text.

    pieces: without begin and end. attention: (pieces, source pieces). score: log probability, divided by a power of the
        length with the end.
    """

    pieces: List[int]
    attention: Tensor
    score: float


@dataclass(eq=False)
class Beams:
    """What is followed of the texts that are not finished yet: B texts with K beams each, none of which has ended.

    texts: (B,) which text it is. pieces: (B, K, steps) after a BEGIN. attention: (B, K, steps, source).
    total: (B, K) log probability; -inf where nothing is followed. free: (B, K, NAMES) names that may still come.
    put_in: (B, K) names that came where an end was more probable.
    memory and pasts: of B * K rows.
    """

    texts: Tensor
    pieces: Tensor
    attention: Tensor
    total: Tensor
    free: Tensor
    put_in: Tensor
    memory: Memory
    pasts: List[Tensor]


class Finished:
    """The best of the translations of a text that have ended.

    That is the one with the fewest names that had to be put in, and of these the most probable.
    """

    def __init__(self) -> None:
        self.count = 0
        self.put_in = NAMES + 1
        self.best: Optional[Hypothesis] = None

    def add(self, hypothesis: Hypothesis, put_in: int) -> None:
        """Take a translation that has ended. put_in: the names of it that had to be put in."""
        self.count += 1
        if self.best is None or (-put_in, hypothesis.score) > (-self.put_in, self.best.score):
            self.best, self.put_in = hypothesis, put_in

    def is_safe(self, beams: int, within_reach: float) -> bool:
        """Decide whether to look for no more: there are as many as beams, or none that is followed can be better.

        within_reach: the best score that one of them can still have.
        """
        outdone = self.best is not None and not self.put_in and self.best.score >= within_reach
        return self.count >= beams or outdone


@torch.no_grad()
def beam_search(
    model: ConvS2S, sources: Sequence[Sequence[int]], *, beams: int = 5, length_power: float = 1.0
) -> List[Hypothesis]:
    """Find the best translation of each text, which holds each of its names once.

    It is, of those that were followed and ended, and of these of those in which the fewest names had to be put in, the
    most probable a piece.

    sources: pieces of each text, with an END. length_power: the log probability of a translation is divided by this
        power of its length, from 0.
    A text is done when as many translations as beams have ended. One that has not ended counts only where none has:
    translations are cut at one and a half times the length of the source and ten pieces.
    """
    device = model.bias.device
    rows = pad(sources).to(device)
    limits = [most_pieces(len(pieces)) for pieces in sources]
    most = torch.tensor(limits, device=device)
    state = _start(model, rows, beams)
    finished = [Finished() for _ in sources]
    step = 0
    while len(state.texts):
        step += 1
        ended = _advance(model, state, step, most[state.texts] - step + 1)
        for row, beam in ended.nonzero().tolist():
            text = int(state.texts[row])
            finished[text].add(_hypothesis(state, row, beam, step, length_power), int(state.put_in[row, beam]))
        state.total.masked_fill_(ended, -torch.inf)
        going = []
        for row, (text, total) in enumerate(zip(state.texts.tolist(), state.total.amax(dim=1).tolist(), strict=True)):
            # Log probabilities only fall: no more than this, spread over the longest text that may come.
            within_reach = total / limits[text] ** length_power
            if finished[text].is_safe(beams, within_reach) or step >= limits[text] or total == -math.inf:
                if finished[text].best is None:
                    beam = int(state.total[row].argmax())
                    finished[text].add(_hypothesis(state, row, beam, step, length_power), int(state.put_in[row, beam]))
            else:
                going.append(row)
        if len(going) < len(state.texts):
            _keep(state, torch.tensor(going, dtype=torch.int64, device=device))
    return [of_text.best for of_text in finished if of_text.best is not None]


def most_pieces(length: int) -> int:
    """Limit the pieces of a translation, with its END, of a source of this length."""
    return int(1.5 * length) + 10


def _start(model: ConvS2S, rows: Tensor, beams: int) -> Beams:
    batch, width = rows.shape
    memory = model.encode(rows)
    every = torch.arange(batch, device=rows.device).repeat_interleave(beams)
    names = torch.arange(NAMES, device=rows.device) + FIRST_NAME
    total = torch.full((batch, beams), -torch.inf, device=rows.device)
    total[:, 0] = 0.0
    return Beams(
        texts=torch.arange(batch, device=rows.device),
        pieces=torch.full((batch, beams, 1), BEGIN, device=rows.device),
        attention=torch.zeros(batch, beams, 0, width, device=rows.device),
        total=total,
        free=(rows.unsqueeze(-1) == names).any(dim=1).unsqueeze(1).repeat(1, beams, 1),
        put_in=torch.zeros(batch, beams, dtype=torch.int64, device=rows.device),
        memory=memory.rows(every),
        pasts=model.decoder.start(batch * beams),
    )


def _advance(model: ConvS2S, state: Beams, step: int, left: Tensor) -> Tensor:
    """Lengthen every beam by a piece and keep the best. Returns (B, K) which of them have ended now.

    left: (B,) how many pieces may still come, with this one.
    """
    batch, beams = state.total.shape
    last = state.pieces[:, :, -1].reshape(-1, 1)
    features, attention, pasts = model.decoder(last, state.memory, state.pasts, step - 1, 0.0)
    log_p = model.score(features[:, 0]).log_softmax(dim=-1).view(batch, beams, -1)
    log_p[:, :, [PAD, BEGIN]] = -torch.inf
    log_p[:, :, FIRST_NAME:SPECIAL].masked_fill_(~state.free, -torch.inf)
    put_in = _name_before_the_end(log_p, state.free, left.unsqueeze(1))
    state.total, best = (state.total.unsqueeze(-1) + log_p).flatten(1).topk(beams, dim=1)
    parents, pieces = best // log_p.shape[-1], best % log_p.shape[-1]
    rows = torch.arange(batch, device=parents.device).unsqueeze(1)
    attention = attention.view(batch, beams, 1, -1)
    state.pieces = torch.cat([state.pieces[rows, parents], pieces.unsqueeze(-1)], dim=-1)
    state.attention = torch.cat([state.attention, attention], dim=2)[rows, parents]
    used = pieces.unsqueeze(-1) == torch.arange(NAMES, device=pieces.device) + FIRST_NAME
    state.free = state.free[rows, parents] & ~used
    state.put_in = state.put_in[rows, parents] + (used.any(dim=-1) & put_in[rows, parents])
    flat = (rows * beams + parents).flatten()
    state.pasts = [past[flat] for past in pasts]
    return (pieces == END) & state.total.isfinite()


def _name_before_the_end(log_p: Tensor, free: Tensor, left: Tensor) -> Tensor:
    """Let no translation end before it holds all names.

    Those that it lacks share the probability of an end, as they share their own. Returns (B, K) where an end was more
    probable than all of them, or where nothing else may come.

    log_p: (B, K, pieces), changed in place: -inf for names that may not come. free: (B, K, NAMES) names that may.
    left: (B, 1) how many pieces may still come, of which the last is kept for the end.
    """
    names, end = log_p[:, :, FIRST_NAME:SPECIAL], log_p[:, :, END].clone()
    lacking = free.any(dim=-1)
    of_their_own = names.logsumexp(dim=-1)
    # Where none is lacking, 0 / 0.
    shares = names.log_softmax(dim=-1).nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    names.copy_(torch.logaddexp(names, end.unsqueeze(-1) + shares))
    log_p[:, :, END].masked_fill_(lacking, -torch.inf)
    hurried = lacking & (free.sum(dim=-1) + 1 >= left)
    log_p[:, :, :FIRST_NAME].masked_fill_(hurried.unsqueeze(-1), -torch.inf)
    log_p[:, :, SPECIAL:].masked_fill_(hurried.unsqueeze(-1), -torch.inf)
    return hurried | (end > of_their_own)


def _keep(state: Beams, texts: Tensor) -> None:
    """Go on with these texts alone."""
    beams = state.total.shape[1]
    flat = (texts.unsqueeze(1) * beams + torch.arange(beams, device=texts.device)).flatten()
    for name in ("texts", "pieces", "attention", "total", "free", "put_in"):
        setattr(state, name, getattr(state, name)[texts])
    state.memory = state.memory.rows(flat)
    state.pasts = [past[flat] for past in state.pasts]


def _hypothesis(state: Beams, row: int, beam: int, step: int, length_power: float) -> Hypothesis:
    pieces = [piece for piece in state.pieces[row, beam, 1:].tolist() if piece != END]
    score = float(state.total[row, beam]) / step**length_power
    return Hypothesis(pieces, state.attention[row, beam, : len(pieces)].cpu(), score)
