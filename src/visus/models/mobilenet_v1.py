"""MobileNet v1."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.inverted import Padding, depthwise
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class MobileNetV1(Variant, frozen=True, tag="mobilenet_v1"):
    """MobileNets (Howard et al. 2017, arXiv:1704.04861): N×C×H×W in, one map a stage out, the stem's first.

    A layer is a depthwise separable convolution: one 3×3 filter a channel, then 1×1 across channels, each with
    normalisation and activation.

    alpha: the width multiplier α, of every layer's channels, rounded down; the resolution multiplier ρ is the input's
    size. stem: channels of the first, full convolution. widths, depths: channels and layers a stage at α = 1; the first
    layer of each stage but the first has stride 2. activation: of every layer. padding: "symmetric" or, as in the
    authors' code, "tensorflow" (see `TensorFlowPad`). dropout: before the last layer.

    The authors' weights, which are also Keras's, have activation "relu6", padding "tensorflow" and
    BatchNorm(eps=1e-3); timm's have "relu6".

    Departs from the paper: table 1 prints stride 2 at the last depthwise convolution, but has 7×7 before and after it,
    so the stride is 1. Dropout of 0.001 is the authors' code's; the paper names none.
    """

    alpha: Factor = 1.0
    stem: Count = 32
    widths: tuple[Count, ...] = (64, 128, 256, 512, 1024)
    depths: tuple[Count, ...] = (1, 2, 2, 6, 2)
    activation: Literal["relu", "relu6"] = "relu"
    padding: Padding = "symmetric"
    norm: BatchNorm = BatchNorm()
    dropout: Share = 0.001

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width."""
        from torch import nn

        from visus.nn import ConvNormAct, Pyramid

        channels, _, _ = require_image(self, shape)
        if not self.depths or len(self.depths) != len(self.widths):
            raise ModelError(
                f"depths {self.depths} and widths {self.widths} name no stages, or different numbers of them"
            )
        conv = partial(ConvNormAct, norm=self.norm.build, padding=self.padding)
        c_in, *widths = (max(1, int(width * self.alpha)) for width in (self.stem, *self.widths))
        stages: list[nn.Module] = [conv(channels, c_in, 3, 2, act=self.activation)]
        maps, strides = [c_in], [2]
        for index, (width, depth) in enumerate(zip(widths, self.depths, strict=True)):
            layers, first = [], 1 if index == 0 else 2
            for stride in (first, *[1] * (depth - 1)):
                spatial = depthwise(conv, c_in, 3, stride, self.activation)
                layers.append(nn.Sequential(spatial, conv(c_in, width, act=self.activation)))
                c_in = width
            stages.append(nn.Sequential(*layers))
            maps.append(width)
            strides.append(strides[-1] * first)
        return Pyramid(stages, tuple(maps), tuple(strides))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)
