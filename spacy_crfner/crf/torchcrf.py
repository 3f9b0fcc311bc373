"""Exchange of CRF parameters with the pytorch-crf package."""

from typing import TYPE_CHECKING, Optional, Tuple

import torch
from torch import Tensor

from ..tags import TagSet

if TYPE_CHECKING:
    from torchcrf import CRF

# pytorch-crf has no mask of illegal steps: a score this low keeps them out of every sum and path.
ILLEGAL_SCORE = -1e4


def to_torchcrf(start: Tensor, transitions: Tensor, end: Tensor, tag_set: Optional[TagSet] = None) -> "CRF":
    """Make a batch-first pytorch-crf module with these parameters.

    start, transitions, end: (K,), (K from, K to), (K,).
    tag_set: if given, the scores of its illegal steps are replaced by ILLEGAL_SCORE.
    Raises ImportError where pytorch-crf is not installed.
    """
    try:
        from torchcrf import CRF
    except ImportError as error:
        raise ImportError("to_torchcrf needs the pytorch-crf package: pip install pytorch-crf") from error
    values = [torch.as_tensor(value).detach().clone() for value in (start, transitions, end)]
    if tag_set is not None:
        for value, legal in zip(values, tag_set.legal, strict=True):
            value[~torch.from_numpy(legal)] = ILLEGAL_SCORE
    crf = CRF(len(values[0]), batch_first=True).to(values[1].dtype)
    with torch.no_grad():
        crf.start_transitions.copy_(values[0])
        crf.transitions.copy_(values[1])
        crf.end_transitions.copy_(values[2])
    return crf


def from_torchcrf(crf: "CRF") -> Tuple[Tensor, Tensor, Tensor]:
    """Copy start, transitions and end, (K,), (K from, K to), (K,), of a pytorch-crf module."""
    return (
        crf.start_transitions.detach().clone(),
        crf.transitions.detach().clone(),
        crf.end_transitions.detach().clone(),
    )
