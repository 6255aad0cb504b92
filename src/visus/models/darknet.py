"""The networks of YOLO's first version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

Window = Literal[1, 3, 5, 7]


class Darknet(Variant, frozen=True, tag="darknet"):
    """Convolutions with leaky rectifiers, those of 1×1 before those of 3×3, and 2×2 max pooling (Redmon et al. 2016,
    "You only look once", arXiv:1506.02640, figure 3).

    N×C×H×W in, one map a stage out, each before it is pooled. stages: the table of convolutions, a row a stage, each
    the side of its window and its filters. stride: of the first convolution. norm: between convolution
    and rectifier (the paper: none; the authors' later configurations: in all).

    Its head for classes is the one of the paper's pretraining: the mean over the last map and a linear layer. Weights
    start as He et al. propose (arXiv:1502.01852; the paper doesn't say).
    """

    stages: tuple[tuple[tuple[Window, Count], ...], ...]
    stride: Literal[1, 2] = 2
    norm: BatchNorm | None = None

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError where nothing remains of it (as published: under 31×31)."""
        from torch import nn

        from visus.nn import ConvNormAct, Pyramid

        if not self.stages or not all(self.stages):
            raise ModelError("a table of convolutions needs at least one row, and each row a convolution")
        least = (2 ** (len(self.stages) - 1) - 1) * self.stride + 1
        c_in, _, _ = require_image(self, shape, (least, least))
        norm = None if self.norm is None else self.norm.build
        stages: list[nn.Module] = []
        channels: list[int] = []
        for row in self.stages:
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
            for size, filters in row:
                stride = 1 if channels or layers else self.stride
                layers.append(ConvNormAct(c_in, filters, size, stride, norm=norm, act="leaky"))
                c_in = filters
            stages.append(nn.Sequential(*layers))
            channels.append(c_in)
        return Pyramid(stages, tuple(channels), tuple(self.stride * 2**stage for stage in range(len(stages))))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The mean over the last map, and a linear layer."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes)
