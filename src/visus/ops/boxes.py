"""Boxes: rows of left, top, right, bottom (xyxy) in pixels; a box covers [left, right) × [top, bottom).

M, N: boxes.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

TINY = 1e-9  # square pixels: a union of boxes that have no area
BLOCK, WIDE = 128, 2048  # boxes that are decided on together, by the processor and by other devices
LARGER = 64.0  # times: what offsets may make of a side


def area(boxes_M4: Tensor) -> Tensor:
    """M areas in square pixels; 0 where a box is turned inside out."""
    left, top, right, bottom = boxes_M4.unbind(-1)
    return (right - left).clamp_min(0) * (bottom - top).clamp_min(0)


def to_center(boxes_M4: Tensor) -> Tensor:
    """xyxy → the middle's x and y, width, height."""
    low, high = boxes_M4[..., :2], boxes_M4[..., 2:]
    return torch.cat(((low + high) / 2, high - low), -1)


def from_center(boxes_M4: Tensor) -> Tensor:
    """The inverse of `to_center`."""
    middle, size = boxes_M4[..., :2], boxes_M4[..., 2:]
    return torch.cat((middle - size / 2, middle + size / 2), -1)


def clip(boxes_M4: Tensor, height: int, width: int) -> Tensor:
    """The part of each box that lies on an image; outside of it a box without area at its edge."""
    limit = boxes_M4.new_tensor([width, height, width, height])
    return torch.minimum(boxes_M4.clamp_min(0), limit)


def iou(boxes_M4: Tensor, others_N4: Tensor) -> Tensor:
    """M×N: intersection over union of each with each, in [0, 1]; 0 for two boxes without area."""
    return _iou(boxes_M4[..., :, None, :], others_N4[..., None, :, :])[0]


def paired_iou(boxes_M4: Tensor, others_M4: Tensor) -> Tensor:
    """M: intersection over union of each with the other in its row, in [0, 1]."""
    return _iou(boxes_M4, others_M4)[0]


def giou(boxes_M4: Tensor, others_M4: Tensor) -> Tensor:
    """M: generalised IoU of each with the other in its row, in [−1, 1] (Rezatofighi et al. 2019, arXiv:1902.09630).

    IoU less the share of the smallest box around both that neither covers: its gradient brings distant boxes near.
    """
    ratio, union = _iou(boxes_M4, others_M4)
    low = torch.minimum(boxes_M4[..., :2], others_M4[..., :2])
    high = torch.maximum(boxes_M4[..., 2:], others_M4[..., 2:])
    around = (high - low).clamp_min(0).prod(-1)
    return ratio - (around - union) / around.clamp_min(TINY)


def _iou(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and the union. Side by side: sums over a dimension of two are slow."""
    (left, top, right, bottom), (left_, top_, right_, bottom_) = one.unbind(-1), other.unbind(-1)
    wide = (torch.minimum(right, right_) - torch.maximum(left, left_)).clamp_min(0)
    both = wide * (torch.minimum(bottom, bottom_) - torch.maximum(top, top_)).clamp_min(0)
    union = area(one) + area(other) - both
    return both / union.clamp_min(TINY), union


def nms(boxes_M4: Tensor, scores_M: Tensor, threshold: float, labels_M: Tensor | None = None) -> Tensor:
    """Non-maximum suppression: rows of the boxes that are kept, by score downwards (int64).

    A box is left out where its IoU with a kept one of a higher score is over the threshold; with labels only where both
    have the same. Of equal scores the first is taken first.

    What becomes of a box depends on those before it, so the plain way goes box by box. Here a block of boxes is decided
    on at once: by what was kept before, and then by one another, again and again until nothing changes (Zheng et al.
    2020, arXiv:2005.03572, §4). The result is the same, after as many rounds as the longest chain of boxes in a block
    that decide over one another.
    """
    order, block = scores_M.argsort(descending=True, stable=True), BLOCK if boxes_M4.is_cpu else WIDE
    boxes, labels = boxes_M4[order], None if labels_M is None else labels_M[order]
    taken = order[:0]  # places in that order
    for start in range(0, len(order), block):
        here = torch.arange(start, min(start + block, len(order)), device=order.device)
        rows = torch.cat((taken, here))
        over = iou(boxes[rows], boxes[here]) > threshold
        if labels is not None:
            over &= labels[rows, None] == labels[here]
        free = ~over[: len(taken)].any(0)
        within, kept = over[len(taken) :].triu(1).float(), free
        while True:
            found = free & (kept.float() @ within == 0)  # a product is faster than any()
            if torch.equal(found, kept):
                break
            kept = found
        taken = torch.cat((taken, here[kept]))
    return order[taken]


def suppressed(boxes_NM4: Tensor, labels_NM: Tensor, threshold: float) -> Tensor:
    """N×M bool: which boxes of each image `nms` keeps, of boxes by score downwards: as a graph, which can be exported.

    A loop in the graph decides on all boxes at once, again and again until nothing changes.
    """
    over_NMM = (iou(boxes_NM4, boxes_NM4) > threshold).triu(1) & (labels_NM[:, :, None] == labels_NM[:, None])
    kept_NM = torch.ones_like(labels_NM, dtype=torch.bool)

    def unsettled(kept: Tensor, before: Tensor, over: Tensor) -> Tensor:
        return (kept != before).any()

    def decided(kept: Tensor, before: Tensor, over: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return ~(over & kept[..., None]).any(-2), kept.clone(), over.clone()  # a loop gives back none of its inputs

    found: tuple[Tensor, ...] = while_loop(unsettled, decided, (kept_NM, torch.zeros_like(kept_NM), over_NMM))  # type: ignore[no-untyped-call]
    return found[0]


def soft_nms(
    boxes_M4: Tensor, scores_M: Tensor, *, sigma: float = 0.5, least: float = 1e-3, labels_M: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Soft non-maximum suppression, Gaussian (Bodla et al. 2017, arXiv:1704.04503, eq. 3): rows and their new scores.

    Each box that is taken multiplies the scores of all others by exp(−IoU²/σ), with labels of those that have its own.
    Rows come in the order in which they are taken, while their scores are over `least`.
    """
    closeness = (-iou(boxes_M4, boxes_M4).square() / sigma).exp()
    if labels_M is not None:
        closeness = torch.where(labels_M[:, None] == labels_M[None], closeness, closeness.new_ones(()))
    left, rows, scores = scores_M.clone(), [], []
    for _ in range(len(left)):
        best = left.argmax()
        if left[best] <= least:
            break
        rows.append(best)
        scores.append(left[best].clone())
        left *= closeness[best]
        left[rows[-1]] = -torch.inf
    if not rows:
        return scores_M.new_zeros(0, dtype=torch.int64), scores_M.new_zeros(0)
    return torch.stack(rows), torch.stack(scores)


def offsets(boxes_M4: Tensor, others_M4: Tensor) -> Tensor:
    """M×4: how to come from each box to the other in its row, t_x, t_y, t_w and t_h (Girshick et al. 2014,
    arXiv:1311.2524, equations 6–9): steps of the middle in widths and heights of the box, logarithms of the sides'
    ratios."""
    own, other = to_center(boxes_M4), to_center(others_M4)
    sides = own[..., 2:].clamp_min(TINY)
    ratio = (other[..., 2:] / sides).clamp_min(TINY)
    return torch.cat(((other[..., :2] - own[..., :2]) / sides, ratio.log()), -1)


def moved(boxes_M4: Tensor, offsets_M4: Tensor) -> Tensor:
    """The inverse of `offsets`: M×4 boxes, no side more than `LARGER` times what it was."""
    own = to_center(boxes_M4)
    middle = own[..., :2] + offsets_M4[..., :2] * own[..., 2:]
    return from_center(torch.cat((middle, own[..., 2:] * offsets_M4[..., 2:].clamp(max=log(LARGER)).exp()), -1))
