"""Which regions of an image a detector learns from, and what each is to be.

N: images. A: regions that may be taken. M: objects an image, filled up to the most of any. S: regions that are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from visus.ops.boxes import area, iou

OBJECT = 0.5  # the IoU with an object from which a region is one; and the share of a region that hides what is in it


@dataclass(frozen=True)
class Sampled:
    """boxes: N×S×4. label: N×S int64, 0 for background, 1 + the class of an object; −1 where there is no region.
    object: N×S, the number of the object, of those that are one."""

    boxes: Tensor
    label: Tensor
    object: Tensor


@torch.no_grad()
def sample(
    boxes_NA4: Tensor, real_NA: Tensor, true_NM4: Tensor, labels_NM: Tensor, there_NM: Tensor, void_NM: Tensor,
    *, count: int, share: float, least: float = 0.0,
) -> Sampled:  # fmt: skip
    """`count` regions of each image, at most `share` of them objects (IoU ≥ 0.5), the rest background of an IoU from
    `least`, or of any under 0.5 where there are none of those (Girshick 2015, arXiv:1504.08083, §2.3).

    The objects themselves are regions too. there: whether there is such an object. void: objects that say nothing of
    what is in them: regions that lie in them by half are neither. Draws are of torch's own generator.
    """
    known_NM = there_NM & ~void_NM
    boxes_NA4 = torch.cat((boxes_NA4, true_NM4), 1)
    real_NA = torch.cat((real_NA, known_NM), 1)
    fits_NA, object_NA = (iou(boxes_NA4, true_NM4) * known_NM[:, None]).max(-1)
    one_NA = real_NA & (fits_NA >= OBJECT)
    rest_NA = real_NA & ~one_NA & ~_hidden(boxes_NA4, true_NM4, there_NM & void_NM)
    near_NA = rest_NA & (fits_NA >= least)
    rest_NA = torch.where(near_NA.any(1, keepdim=True), near_NA, rest_NA)
    chance_NA = torch.rand(one_NA.shape).to(one_NA.device)
    one_NA &= _place(one_NA, chance_NA) < int(count * share)
    rest_NA &= _place(rest_NA, chance_NA) < count - one_NA.sum(1, keepdim=True)
    number = min(count, boxes_NA4.shape[1])
    rows_NS = (2 * one_NA.float() + rest_NA.float()).topk(number, 1).indices
    label_NA = torch.where(one_NA, 1 + labels_NM.gather(1, object_NA), torch.where(rest_NA, 0, -1))
    return Sampled(
        boxes_NA4.gather(1, rows_NS[..., None].expand(-1, -1, 4)), label_NA.gather(1, rows_NS),
        object_NA.gather(1, rows_NS),
    )  # fmt: skip


def _hidden(boxes_NA4: Tensor, true_NM4: Tensor, void_NM: Tensor) -> Tensor:
    """N×A: whether half of a region lies in an object of which nothing is told."""
    low = torch.maximum(boxes_NA4[:, :, None, :2], true_NM4[:, None, :, :2])
    high = torch.minimum(boxes_NA4[:, :, None, 2:], true_NM4[:, None, :, 2:])
    inside_NAM = (high - low).clamp_min(0).prod(-1) >= OBJECT * area(boxes_NA4)[..., None]
    return (inside_NAM & void_NM[:, None]).any(-1)


def _place(some_NA: Tensor, chance_NA: Tensor) -> Tensor:
    """N×A: where each of some stands in an order by chance; the others come after them."""
    return torch.where(some_NA, chance_NA, 2.0).argsort(1).argsort(1)
