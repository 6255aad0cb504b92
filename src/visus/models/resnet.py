"""ResNet and its family: ResNeXt, Wide ResNet and SENet are other blocks in the same builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.errors import ModelError
from visus.models.parts import Count, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class Basic(Variant, frozen=True, tag="basic"):
    """Two 3×3 convolutions."""

    expansion = 1

    def branch(self, c_in: int, width: int, stride: int) -> list[nn.Module]:
        """N×c_in×H×W → N×width×H/stride×W/stride."""
        from visus.nn import ConvNormAct

        return [ConvNormAct(c_in, width, 3, stride), ConvNormAct(width, width, 3, act=None)]


class Bottleneck(Variant, frozen=True, tag="bottleneck"):
    """1×1, 3×3, 1×1 with four times the channels out; the 3×3 carries the stride (as in all widely used weights).

    groups: of the 3×3 (32: ResNeXt, arXiv:1611.05431). width: inner channels over the stage's (2: Wide ResNet,
    arXiv:1605.07146).
    """

    groups: Count = 1
    width: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    expansion = 4

    def branch(self, c_in: int, width: int, stride: int) -> list[nn.Module]:
        """N×c_in×H×W → N×4·width×H/stride×W/stride."""
        from visus.nn import ConvNormAct

        inner = round(width * self.width)
        if inner < 1 or inner % self.groups:
            raise ModelError(f"{inner} inner channels can't be divided into {self.groups} groups")
        return [
            ConvNormAct(c_in, inner),
            ConvNormAct(inner, inner, 3, stride, groups=self.groups),
            ConvNormAct(inner, width * self.expansion, act=None),
        ]


class SqueezeExcite(Variant, frozen=True, tag="squeeze-excite"):
    """Channel gates at the end of each branch (arXiv:1709.01507)."""

    reduction: Count = 16

    def build(self, channels: int) -> nn.Module:
        """N×channels×H×W in and out."""
        from visus.nn import Gate

        if channels < self.reduction:
            raise ModelError(f"a gate can't reduce {channels} channels to a {self.reduction}th")
        return Gate(channels, channels // self.reduction)


class LargeStem(Variant, frozen=True, tag="large"):
    """For photographs: 7×7 at stride 2, then 3×3 max pooling at stride 2."""

    channels: Count = 64
    stride = 4

    def build(self, c_in: int) -> nn.Module:
        """N×c_in×H×W → N×channels×H/4×W/4."""
        from torch import nn

        from visus.nn import ConvNormAct

        return nn.Sequential(ConvNormAct(c_in, self.channels, 7, 2), nn.MaxPool2d(3, 2, 1))


class SmallStem(Variant, frozen=True, tag="small"):
    """For small images: 3×3 at stride 1."""

    channels: Count = 16
    stride = 1

    def build(self, c_in: int) -> nn.Module:
        """N×c_in×H×W → N×channels×H×W."""
        from visus.nn import ConvNormAct

        return ConvNormAct(c_in, self.channels, 3)


class ResNet(Variant, frozen=True, tag="resnet"):
    """Deep residual networks (He et al. 2015, arXiv:1512.03385): N×C×H×W in, one map a stage out, the stem's first.

    depths: blocks a stage. widths: channels a stage, before the block's expansion. shortcut: where shapes differ,
    "project" (1×1 convolution, option B) or "pad" (zeros, option A: the paper's choice for CIFAR).
    """

    depths: tuple[Count, ...]
    block: Basic | Bottleneck = Basic()
    widths: tuple[Count, ...] = (64, 128, 256, 512)
    stem: LargeStem | SmallStem = LargeStem()
    gate: SqueezeExcite | None = None
    shortcut: Literal["project", "pad"] = "project"

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width."""
        from torch import nn

        from visus.nn import Pyramid, Residual

        channels, _, _ = require_image("a residual network", shape)
        if not self.depths or len(self.depths) != len(self.widths):
            raise ModelError(
                f"depths {self.depths} and widths {self.widths} name no stages, or different numbers of them"
            )
        stages, strides, c_in = [self.stem.build(channels)], [self.stem.stride], self.stem.channels
        for index, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            out, first = width * self.block.expansion, 1 if index == 0 else 2
            blocks = []
            for stride in (first, *[1] * (depth - 1)):
                branch = self.block.branch(c_in, width, stride) + ([self.gate.build(out)] if self.gate else [])
                blocks.append(Residual(branch, self._skip(c_in, out, stride)))
                c_in = out
            stages.append(nn.Sequential(*blocks))
            strides.append(strides[-1] * first)
        return Pyramid(stages, (self.stem.channels, *(w * self.block.expansion for w in self.widths)), tuple(strides))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes)

    def _skip(self, c_in: int, c_out: int, stride: int) -> nn.Module:
        from torch import nn

        from visus.nn import ConvNormAct, PadShortcut

        if (c_in, stride) == (c_out, 1):
            return nn.Identity()
        if self.shortcut == "pad":
            if c_out < c_in:
                raise ModelError(f"{c_in} channels can't be padded to {c_out}", "--set model.spec.shortcut=project")
            return PadShortcut(c_in, c_out, stride)
        return ConvNormAct(c_in, c_out, 1, stride, act=None)
