"""Ways back from a pyramid's maps to the pixels, with the maps of each size beside them: U-Nets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.conv import ConvNormAct
from visus.nn.pyramid import Pyramid

Norm = Callable[[int], nn.Module] | None


class Expanding(nn.Module):
    """The same-size U-Net over any pyramid: N×C×H×W → N×outputs×H×W.

    steps: from coarse to fine, each a stride, and the level of the backbone's map that joins there, or None for none.
    widths: channels after each step. norm: after each convolution.

    Each step enlarges the map to the next finer one, puts the backbone's map beside it, and takes two 3×3 convolutions.
    """

    def __init__(
        self, backbone: Pyramid, start: int, steps: Sequence[tuple[int, int | None]], widths: Sequence[int],
        outputs: int, norm: Norm,
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.start, self.steps = backbone, start, tuple(steps)
        c_in, blocks = backbone.channels[start], []
        for (_, level), width in zip(steps, widths, strict=True):
            joined = 0 if level is None else backbone.channels[level]
            blocks.append(nn.Sequential(*convolutions(c_in + joined, width, 2, "same", norm)))
            c_in = width
        self.blocks = nn.ModuleList(blocks)
        self.last = nn.Conv2d(c_in, outputs, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        maps, size = self.backbone.maps(x_NCHW), x_NCHW.shape[-2:]
        y_NCHW = maps[self.start]
        for (stride, level), block in zip(self.steps, self.blocks, strict=True):
            beside = [] if level is None else [maps[level]]
            sides = beside[0].shape[-2:] if beside else (-(-size[0] // stride), -(-size[1] // stride))
            y_NCHW = block(torch.cat([F.interpolate(y_NCHW, sides, mode="nearest"), *beside], 1))
        scores_NKHW: Tensor = self.last(y_NCHW)
        if scores_NKHW.shape[-2:] != size:  # of a backbone without padding
            scores_NKHW = F.interpolate(scores_NKHW, size, mode="bilinear")
        return scores_NKHW


class Published(nn.Module):
    """U-Net as published (Ronneberger et al. 2015, arXiv:1505.04597) over its contracting path.

    N×C×H×W → N×outputs×h×w, the middle of the image: of 572×572 pixels 388×388.

    count: of the 3×3 convolutions of a stage.
    """

    def __init__(self, backbone: Pyramid, count: int, padding: Literal["valid", "same"], outputs: int, norm: Norm):
        super().__init__()
        self.backbone = backbone
        *finer, c_in = backbone.channels
        self.up = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for width in reversed(finer):
            self.up.append(nn.ConvTranspose2d(c_in, width, 2, 2))
            self.blocks.append(nn.Sequential(*convolutions(2 * width, width, count, padding, norm)))
            c_in = width
        self.last = nn.Conv2d(c_in, outputs, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        *finer, y_NCHW = self.backbone.maps(x_NCHW)
        for beside, up, block in zip(reversed(finer), self.up, self.blocks, strict=True):
            y_NCHW = up(y_NCHW)
            y_NCHW = block(torch.cat([middle(beside, y_NCHW.shape[-2], y_NCHW.shape[-1]), y_NCHW], 1))
        scores: Tensor = self.last(y_NCHW)
        return scores


def middle(x: Tensor, height: int, width: int) -> Tensor:
    """The middle of maps, images or masks: …×H×W → …×height×width.

    >>> middle(torch.arange(5)[None], 1, 3)
    tensor([[1, 2, 3]])
    """
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]


def convolutions(c_in: int, width: int, count: int, padding: Literal["valid", "same"], norm: Norm) -> list[ConvNormAct]:
    """So many 3×3 convolutions with ReLU. Weights start with the variance 2/(9·c_in), as U-Net's paper says."""
    found = []
    for index in range(count):
        around: Literal["valid", "symmetric"] = "valid" if padding == "valid" else "symmetric"
        layer = ConvNormAct(width if index else c_in, width, 3, padding=around, norm=norm)
        nn.init.kaiming_normal_(layer.conv.weight, nonlinearity="relu")
        found.append(layer)
    return found
