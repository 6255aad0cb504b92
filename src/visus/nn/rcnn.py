"""Detectors that look at regions of an image one by one: R-CNN and Fast R-CNN."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.pyramid import Classifier, Pyramid, parted
from visus.ops.boxes import clip, from_center, moved, to_center
from visus.ops.regions import propose
from visus.ops.rois import roi_align, roi_pool

AT_ONCE = 4  # images whose regions are looked at together, outside of training
WINDOWS = 128  # that go through a network together, outside of training
SPREAD = (0.1, 0.1, 0.2, 0.2)  # of offsets: what a network says is in these units
GRID = 6  # rows and columns of the map that boxes are moved by, at most: as published


class Proposing(nn.Module):
    """A network that looks at regions which are found in each image first, step by step on the processor: what it does
    as a whole is no graph.

    regions: of an image, at most. N×C×H×W → N×R×K scores in 0…1, and N×R×K×4 boxes, one for each class (xyxy, pixels
    of the input, cut off at its edges). Where an image has fewer regions, their scores are 0.
    """

    def __init__(self, regions: int) -> None:
        super().__init__()
        self.regions = regions

    def forward(self, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        scores, boxes = [], []
        for part in torch.split(x_NCHW, AT_ONCE):
            boxes_NR4, real_NR = propose(part, self.regions)
            most = self.regions if part.is_meta else max(1, int(real_NR.sum(1).max()))  # the rest would be for nothing
            scores_NRK, offsets_NRK4 = self.said(part, boxes_NR4[:, :most])
            moved_NRK4 = clip(moved(boxes_NR4[:, :most, None], offsets_NRK4), *part.shape[-2:])
            rest = self.regions - most
            scores.append(F.pad(scores_NRK * real_NR[:, :most, None], (0, 0, 0, rest)))
            boxes.append(F.pad(moved_NRK4, (0, 0, 0, 0, 0, rest)))
        return torch.cat(scores), torch.cat(boxes)

    @abstractmethod
    def said(self, x_NCHW: Tensor, boxes_NR4: Tensor) -> tuple[Tensor, Tensor]:
        """N×R×K scores of the classes in 0…1, and N×R×K×4 offsets (`visus.ops.boxes.offsets`) to the objects."""


class Pooled(Proposing):
    """All regions from one map (Girshick 2015, arXiv:1504.08083).

    backbone: whose last map is looked at. pool, grid: how a region becomes a grid on the map. hidden: units of
    the two fully connected layers, each followed by dropout.
    """

    def __init__(
        self, backbone: Pyramid, classes: int, *, regions: int, pool: Literal["pool", "align"], grid: int, hidden: int,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__(regions)
        self.backbone, self.classes, self.grid = backbone, classes, grid
        self.pool: Callable[[Tensor, Tensor, int, tuple[float, float]], Tensor] = {
            "pool": roi_pool, "align": roi_align,
        }[pool]  # fmt: skip
        self.hidden = nn.Sequential(
            nn.Linear(backbone.channels[-1] * grid * grid, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout),
        )  # fmt: skip
        self.what, self.where = nn.Linear(hidden, 1 + classes), nn.Linear(hidden, 4 * classes)
        for last, deviation in ((self.what, 0.01), (self.where, 0.001)):  # §2.3
            nn.init.normal_(last.weight, std=deviation)
            nn.init.zeros_(last.bias)
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def looked(self, x_NCHW: Tensor, boxes_NR4: Tensor) -> tuple[Tensor, Tensor]:
        """N×R×(1+K) scores before softmax, background first, and N×R×K×4 offsets in units of `SPREAD`."""
        map_NCHW = self.backbone.maps(x_NCHW)[-1]
        step = (x_NCHW.shape[-2] / map_NCHW.shape[-2], x_NCHW.shape[-1] / map_NCHW.shape[-1])
        found_NRF = self.hidden(self.pool(map_NCHW, boxes_NR4, self.grid, step).flatten(2))
        return self.what(found_NRF).float(), self.where(found_NRF).float().unflatten(-1, (self.classes, 4))

    def said(self, x_NCHW: Tensor, boxes_NR4: Tensor) -> tuple[Tensor, Tensor]:
        scores_NRK, offsets_NRK4 = self.looked(x_NCHW, boxes_NR4)
        return scores_NRK.softmax(-1)[..., 1:], offsets_NRK4 * offsets_NRK4.new_tensor(SPREAD)


class Windowed(Proposing):
    """Every region as an image of its own, through the whole network (Girshick et al. 2014, arXiv:1311.2524).

    classifier: of 1+K classes, background first. features: how many numbers its last layer takes, and how many there
    are in what `coarse` makes of its last map. window: height and width of what it takes, in pixels. context: the share
    of them on every side that lies around the region. `settle` sets where boxes are moved and, of the head "svm", who
    gives the scores; before that regions stay where they are, and scores are the classifier's.
    """

    linear: Tensor
    bias: Tensor
    shift: Tensor
    base: Tensor
    settled: Tensor

    def __init__(
        self, classifier: Classifier, features: tuple[int, int], classes: int, *, regions: int,
        window: tuple[int, int], context: float, head: Literal["softmax", "svm"],
    ) -> None:  # fmt: skip
        super().__init__(regions)
        self.classifier, self.classes, self.window, self.context = classifier, classes, window, context
        self.head = head
        for name, sides in (
            ("linear", (classes, features[0])), ("bias", (classes,)),
            ("shift", (classes, 4, features[1])), ("base", (classes, 4)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(sides))
        self.register_buffer("settled", torch.tensor(False))

    def windows(self, x_NCHW: Tensor, boxes_NR4: Tensor) -> Tensor:
        """(N·R)×C×h×w: each region warped to the window, with its context. Beyond the image it is as its mean, 0."""
        shape = (*boxes_NR4.shape[:2], *self.window)
        grown_NR4 = to_center(boxes_NR4)
        grown_NR4 = from_center(torch.cat((grown_NR4[..., :2], grown_NR4[..., 2:] / (1 - 2 * self.context)), -1))
        x_NRw, y_NRh = (
            2 * (low + (torch.arange(side, device=low.device) + 0.5) / side * (high - low)) / whole - 1
            for low, high, side, whole in (
                (grown_NR4[..., 0:1], grown_NR4[..., 2:3], self.window[1], x_NCHW.shape[3]),
                (grown_NR4[..., 1:2], grown_NR4[..., 3:4], self.window[0], x_NCHW.shape[2]),
            )
        )
        at_NRhw2 = torch.stack((x_NRw[..., None, :].expand(shape), y_NRh[..., :, None].expand(shape)), -1)
        found_NCXw = F.grid_sample(x_NCHW.float(), at_NRhw2.flatten(1, 2), align_corners=False)
        windows: Tensor = found_NCXw.reshape(*found_NCXw.shape[:2], *shape[1:]).transpose(1, 2).flatten(0, 1)
        return windows

    def seen(self, windows_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """B×(1+K) scores before softmax; what the last layer takes, B×F; the last map, made coarse, B×G."""
        output = self.classifier.backbone(windows_BCHW)
        before, last = parted(self.classifier.head)
        found = before(output)
        scores: Tensor = last(found)
        return scores.float(), pooled(found, 1).float(), pooled(output, GRID).float()

    def seen_in(self, x_1CHW: Tensor, boxes_B4: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same of the regions of one image."""
        parts = [self.seen(part) for part in torch.split(self.windows(x_1CHW, boxes_B4[None]), WINDOWS)]
        scores_BK, found_BF, coarse_BG = (torch.cat(each) for each in zip(*parts, strict=True))
        return scores_BK, found_BF, coarse_BG

    def said(self, x_NCHW: Tensor, boxes_NR4: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = [], []
        for x_CHW, boxes_R4 in zip(x_NCHW, boxes_NR4, strict=True):
            scores_RK, found_RF, coarse_RG = self.seen_in(x_CHW[None], boxes_R4)
            fitted_RK = (found_RF @ self.linear.T + self.bias).sigmoid()
            fitted = self.settled & (self.head == "svm")
            scores.append(torch.where(fitted, fitted_RK, scores_RK.softmax(-1)[:, 1:]))
            offsets.append(torch.einsum("rg,kig->rki", coarse_RG, self.shift) + self.base)
        return torch.stack(scores), torch.stack(offsets)

    def settle(self, machines: tuple[Tensor, Tensor] | None, shift_K4G: Tensor, base_K4: Tensor) -> None:
        """Take what was fitted. machines: K×F weights and K biases, whose logistic function is the score."""
        if machines is not None:
            self.linear.copy_(machines[0])
            self.bias.copy_(machines[1])
        self.shift.copy_(shift_K4G)
        self.base.copy_(base_K4)
        self.settled.fill_(True)


def pooled(found: Tensor, grid: int) -> Tensor:
    """A map as B×C·g·g, where g is its side or `grid`, if that is less; of tokens their mean; vectors as they are."""
    if found.ndim == 4:
        return F.adaptive_avg_pool2d(found, (min(grid, found.shape[2]), min(grid, found.shape[3]))).flatten(1)
    return found.mean(1) if found.ndim == 3 else found
