"""A detector without anchors, in one stage."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from visus.nn.fpn import FeaturePyramid, separable
from visus.nn.pyramid import Pyramid

PRIOR = 0.01  # the probability that an untrained head gives to every class (Lin et al. 2017, arXiv:1708.02002, §4.1)
LARGEST = 10.0  # the logarithm of a distance, in strides, above which it is cut off


class Detector(nn.Module):
    """Every point of some maps says of which class the object there is, and how far its sides are (Tian et al. 2019,
    arXiv:1904.01355).

    backbone: whose maps `levels` go through a feature pyramid of `width` channels, with `extra` coarser ones. depth:
    separable convolutions of each of the two heads of a level.
    """

    def __init__(
        self, backbone: Pyramid, levels: Sequence[int], classes: int, *, width: int, depth: int, extra: int
    ) -> None:
        super().__init__()
        self.backbone, self.levels = backbone, tuple(levels)
        self.neck = FeaturePyramid([backbone.channels[level] for level in levels], width, extra)
        count = len(self.levels) + extra
        self.labels = nn.ModuleList([_head(width, depth, classes, -log((1 - PRIOR) / PRIOR)) for _ in range(count)])
        self.sides = nn.ModuleList([_head(width, depth, 4, log(2.0)) for _ in range(count)])

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Scores N×A×K before the sigmoid, and boxes N×A×4 (xyxy, pixels of the input, cut off at its edges)."""
        scores, boxes, _ = self.dense(x_NCHW)
        height, width = x_NCHW.shape[-2:]
        return scores, boxes.clamp_min(0).minimum(boxes.new_tensor([width, height, width, height]))

    def dense(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same for training, with boxes as large as they are, and the A points (x, y) that say so, A×2."""
        height, width = x_NCHW.shape[-2:]
        maps = self.backbone.maps(x_NCHW)
        scores, boxes, points = [], [], []
        found = self.neck([maps[level] for level in self.levels])
        for map_NCHW, labels, sides in zip(found, self.labels, self.sides, strict=True):
            rows, columns = map_NCHW.shape[-2:]
            step = torch.tensor([width / columns, height / rows], device=x_NCHW.device)
            at_A2 = _points(rows, columns, x_NCHW.device) * step
            far_NA4 = sides(map_NCHW).flatten(2).mT.float().clamp(max=LARGEST).exp() * step.repeat(2)
            boxes.append(torch.cat((at_A2 - far_NA4[..., :2], at_A2 + far_NA4[..., 2:]), -1))
            scores.append(labels(map_NCHW).flatten(2).mT.float())
            points.append(at_A2)
        return torch.cat(scores, 1), torch.cat(boxes, 1), torch.cat(points)


def _head(width: int, depth: int, outputs: int, bias: float) -> nn.Sequential:
    last = nn.Conv2d(width, outputs, 1)
    nn.init.normal_(last.weight, std=0.01)
    assert last.bias is not None
    nn.init.constant_(last.bias, bias)
    return nn.Sequential(*[separable(width, width) for _ in range(depth)], last)


def _points(rows: int, columns: int, device: torch.device) -> Tensor:
    """The middles of a map's pixels, row by row: rows·columns × 2 (x, y), in pixels of the map."""
    y, x = torch.meshgrid(
        torch.arange(rows, device=device) + 0.5, torch.arange(columns, device=device) + 0.5, indexing="ij"
    )
    return torch.stack((x, y), -1).flatten(0, 1)
