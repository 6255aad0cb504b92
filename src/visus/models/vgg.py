"""VGG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.layers import ResponseNorm
from visus.models.parts import BatchNorm, Count, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class VGG(Variant, frozen=True, tag="vgg"):
    """3×3 convolutions and 2×2 max pooling, then fully connected layers (Simonyan & Zisserman 2014, arXiv:1409.1556).

    N×C×H×W in, one map a stage out: those of the convolutions at strides 1, 2, 4, …, each before it is pooled, and that
    of the last pooling. kernels: the sizes of each stage's convolutions, a row a stage as in table 1. widths: channels
    a stage. norm: between convolution and ReLU (the paper: none). response: after the first convolution (A-LRN).
    grid: rows and columns that the fully connected layers see. hidden: units of all of them but the last. dropout:
    after each of the hidden ones.

    Departs from the paper: the last map is averaged to the grid where it has another size (the paper slides the fully
    connected layers over it and averages their scores); weights start as He et al. propose (arXiv:1502.01852), so that
    no shallower network has to be trained first.
    """

    kernels: tuple[tuple[Literal[1, 3], ...], ...]
    widths: tuple[Count, ...] = (64, 128, 256, 512, 512)
    norm: BatchNorm | None = None
    response: ResponseNorm | None = None
    grid: Count = 7
    hidden: tuple[Count, ...] = (4096, 4096)
    dropout: Share = 0.5

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError where nothing remains of it (five stages: under 32×32)."""
        from torch import nn

        from visus.nn import ConvNormAct, Pyramid

        if not self.kernels or not all(self.kernels) or len(self.kernels) != len(self.widths):
            raise ModelError(
                f"kernels {self.kernels} and widths {self.widths} name no stages, empty ones, or different numbers"
            )
        least = 2 ** len(self.widths)
        c_in, _, _ = require_image(self, shape, (least, least))
        stages: list[nn.Module] = []
        for sizes, width in zip(self.kernels, self.widths, strict=True):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
            for size in sizes:
                norm = None if self.norm is None else self.norm.build
                layers.append(ConvNormAct(c_in, width, size, norm=norm, bias=True))
                c_in = width
            if self.response is not None and not stages:
                layers.insert(1, self.response.build(width))
            stages.append(nn.Sequential(*layers))
        strides = tuple(2**index for index in range(len(stages) + 1))
        return Pyramid([*stages, nn.MaxPool2d(2)], (*self.widths, c_in), strides)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The fully connected layers, on features of this shape."""
        from visus.nn.heads import dense_head

        return dense_head(shape[0], self.grid, self.hidden, classes, self.dropout)
