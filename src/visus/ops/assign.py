"""Which points of a detector's maps answer for which object.

N: images. A: points. M: objects an image, filled up to the most of any. K: classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from visus.ops.boxes import iou

TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Assigned:
    """object: N×A int64, the object that a point answers for, −1 for none. share: N×A in 0…1, how sure of it the point
    should be."""

    object: Tensor
    share: Tensor


@torch.no_grad()
def align(
    scores_NAK: Tensor, boxes_NA4: Tensor, points_A2: Tensor, true_NM4: Tensor, labels_NM: Tensor, real_NM: Tensor,
    *, points: int = 10, alpha: float = 1.0, beta: float = 6.0,
) -> Assigned:  # fmt: skip
    """Task-aligned assignment (Feng et al. 2021, arXiv:2108.07755, §3.2): an object gets those points inside of it
    whose score^α · IoU^β is highest.

    scores: in 0…1. boxes, true: xyxy in pixels. real: whether there is such an object. points: for each object at most.
    A point that several objects want goes to the one that it overlaps most. An object without any point inside gets the
    nearest. share: the measure, brought for each object to the range up to its highest IoU.
    """
    overlap_NMA = iou(true_NM4, boxes_NA4)
    label_NM = labels_NM.clamp_min(0)
    scores_NMA = scores_NAK.mT.gather(1, label_NM[..., None].expand(-1, -1, scores_NAK.shape[1]))
    measure_NMA = scores_NMA.pow(alpha) * overlap_NMA.pow(beta)
    allowed_NMA = _inside(points_A2, true_NM4) & real_NM[..., None]
    # of those without a measure the nearest come first, so that an object that nobody sees yet is learnt too
    middle_NM2 = (true_NM4[..., :2] + true_NM4[..., 2:]) / 2
    distance_NMA = torch.cdist(middle_NM2, points_A2.expand(len(middle_NM2), -1, -1))
    rank_NMA = torch.where(measure_NMA > TINY, measure_NMA, -distance_NMA * TINY)
    rank_NMA = rank_NMA.masked_fill(~allowed_NMA, -torch.inf)
    best_NMP = rank_NMA.topk(min(points, rank_NMA.shape[-1]), -1).indices
    chosen_NMA = torch.zeros_like(allowed_NMA).scatter_(2, best_NMP, True) & allowed_NMA
    owner_NA = torch.where(chosen_NMA, overlap_NMA, -1.0).argmax(1)
    taken_NA = chosen_NMA.any(1)
    chosen_NMA &= owner_NA[:, None] == torch.arange(true_NM4.shape[1], device=owner_NA.device)[:, None]
    measure_NMA = measure_NMA * chosen_NMA
    highest_NM1 = (overlap_NMA * chosen_NMA).amax(-1, keepdim=True)
    share_NA = (measure_NMA / measure_NMA.amax(-1, keepdim=True).clamp_min(TINY) * highest_NM1).amax(1)
    return Assigned(torch.where(taken_NA, owner_NA, -1), share_NA)


def _inside(points_A2: Tensor, true_NM4: Tensor) -> Tensor:
    """N×M×A: whether a point lies in an object's box, or is the nearest to its middle where none does."""
    low, high = true_NM4[:, :, None, :2], true_NM4[:, :, None, 2:]
    inside_NMA = ((points_A2 > low) & (points_A2 < high)).all(-1)
    middle_NM2 = (true_NM4[..., :2] + true_NM4[..., 2:]) / 2
    nearest_NM = torch.cdist(middle_NM2, points_A2.expand(len(middle_NM2), -1, -1)).argmin(-1)
    only_NMA = torch.zeros_like(inside_NMA).scatter_(2, nearest_NM[..., None], True)
    return torch.where(inside_NMA.any(-1, keepdim=True), inside_NMA, only_NMA)
