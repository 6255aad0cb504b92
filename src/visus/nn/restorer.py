"""Images out of images: networks of one resolution, and what makes a restorer of a network that answers by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.pyramid import Pyramid

SLIGHT = 1e-3  # the deviation of the last weights: a restorer begins by leaving images nearly as they are


class Folded(nn.Module):
    """The pixels of squares as channels: N×C×H×W → N×C·side²×⌈H/side⌉×⌈W/side⌉; the last ones go on beyond the edge."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return F.pixel_unshuffle(whole_squares(x_NCHW, self.side), self.side)


class Unfolded(nn.Module):
    """A 3×3 convolution without biases on a backbone's last map of the stride `side`, whose channels become the pixels
    of squares: N×C×H×W → N×outputs×H×W."""

    def __init__(self, backbone: Pyramid, side: int, outputs: int) -> None:
        super().__init__()
        self.backbone, self.side = backbone, side
        self.last = nn.Conv2d(backbone.channels[-1], outputs * side**2, 3, padding=1, bias=False)
        nn.init.normal_(self.last.weight, std=SLIGHT)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        height, width = x_NCHW.shape[-2:]
        return F.pixel_shuffle(self.last(self.backbone(x_NCHW)), self.side)[..., :height, :width]


class Restorer(nn.Module):
    """Normalised images N×C×H×W of any size → restored ones of pixels 0…1, RGB or grey, float32.

    inner: gives as many channels, of the same size. residual: whether it gives what is to be taken away (Zhang et al.
    2017), or the image itself. multiple: what a side is made a multiple of on the way. mean, std: of the preprocessing,
    which is undone in the end. reverse: whether its colours come in the order blue, green, red.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, inner: nn.Module, *, residual: bool, multiple: int, mean: Sequence[float], std: Sequence[float],
        reverse: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.inner, self.residual, self.multiple, self.reverse = inner, residual, multiple, reverse
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        height, width = x_NCHW.shape[-2:]
        found: Tensor = self.inner(whole_squares(x_NCHW, self.multiple))[..., :height, :width].float()
        y_NCHW: Tensor = (x_NCHW - found if self.residual else found) * self.std + self.mean
        return y_NCHW.flip(1) if self.reverse else y_NCHW


def whole_squares(x_NCHW: Tensor, side: int) -> Tensor:
    """Images continued to the right and the bottom, by their last pixels, until squares of that side fill them."""
    down, right = -x_NCHW.shape[2] % side, -x_NCHW.shape[3] % side
    return F.pad(x_NCHW, (0, right, 0, down), mode="replicate") if down or right else x_NCHW
