"""ResNet and its family: pre-activation, ResNeXt, Wide ResNet and SENet are other values in the same builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.models.stems import DeepStem, LargeStem, SmallStem
from visus.models.units import Bias, Conv, Layers
from visus.spec import Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from visus.nn import Pyramid


class Basic(Variant, frozen=True, tag="basic"):
    """Two 3×3 convolutions."""

    expansion = 1

    def convs(self, width: int, stride: int) -> list[Conv]:
        """The branch, from the stage's width to `width` channels."""
        return [Conv(width, 3, stride), Conv(width, 3)]


class Bottleneck(Variant, frozen=True, tag="bottleneck"):
    """1×1, 3×3, 1×1 with four times the channels out.

    groups: of the 3×3 (32: ResNeXt, arXiv:1611.05431). width: inner channels over the stage's (2: Wide ResNet,
    arXiv:1605.07146). first: channels of the first 1×1 over those of the 3×3 (0.5: SENet-154). stride: which
    convolution carries it, the "middle" 3×3 as in all widely used weights, or the "first" 1×1 as in the paper, in
    Caffe and in Keras.
    """

    groups: Count = 1
    width: Factor = 1.0
    first: Factor = 1.0
    stride: Literal["middle", "first"] = "middle"
    expansion = 4

    def convs(self, width: int, stride: int) -> list[Conv]:
        """The branch, to 4·width channels."""
        inner = round(width * self.width)
        reduced = round(inner * self.first)
        if min(inner, reduced) < 1 or inner % self.groups or reduced % self.groups:
            raise ModelError(f"{reduced} and {inner} inner channels can't be divided into {self.groups} groups")
        outer, middle = (stride, 1) if self.stride == "first" else (1, stride)
        return [Conv(reduced, 1, outer), Conv(inner, 3, middle, self.groups), Conv(width * self.expansion)]


class SqueezeExcite(Variant, frozen=True, tag="squeeze-excite"):
    """Channel gates at the end of each branch (arXiv:1709.01507)."""

    reduction: Count = 16

    def build(self, channels: int) -> nn.Module:
        """N×channels×H×W in and out."""
        from visus.nn import Gate

        if channels < self.reduction:
            raise ModelError(f"a gate can't reduce {channels} channels to a {self.reduction}th")
        return Gate(channels, channels // self.reduction)


class PostActivation(Variant, frozen=True, tag="post-activation"):
    """Convolution, normalisation, ReLU; the last ReLU of a unit after its sum (He et al. 2015)."""

    def unit(
        self,
        c_in: int,
        convs: Sequence[Conv],
        gate: SqueezeExcite | None,
        shortcut: Conv | nn.Module,
        layers: Layers,
        activated: bool,
    ) -> nn.Module:
        """One residual unit, N×c_in×H×W → N×C×H'×W'. activated: whether its input comes from a ReLU."""
        from visus.nn import Residual

        ins, last = (c_in, *(conv.channels for conv in convs)), len(convs) - 1
        branch: list[nn.Module] = [
            layers.closed(ins[i], conv, None if i == last else "relu") for i, conv in enumerate(convs)
        ]
        branch += [gate.build(ins[-1])] if gate else []
        return Residual(branch, layers.closed(c_in, shortcut, None) if isinstance(shortcut, Conv) else shortcut)

    def final(self, channels: int, layers: Layers) -> list[nn.Module]:
        """What follows the last unit."""
        return []


class PreActivation(Variant, frozen=True, tag="pre-activation"):
    """Normalisation, ReLU, convolution; nothing after the sum (He et al. 2016, arXiv:1603.05027).

    A projection takes what the first normalisation and ReLU of its unit made, other shortcuts take the unit's input.
    Behind a stem that ends with an activation the first unit has none of its own, as in the paper; behind a bare one
    it has, after the stem's pooling (timm, Keras). After the last unit there is one more.
    dropout: before the last convolution of each branch (Wide ResNet, arXiv:1605.07146).
    """

    dropout: Share = 0.0

    def unit(
        self,
        c_in: int,
        convs: Sequence[Conv],
        gate: SqueezeExcite | None,
        shortcut: Conv | nn.Module,
        layers: Layers,
        activated: bool,
    ) -> nn.Module:
        """One residual unit, N×c_in×H×W → N×C×H'×W'. activated: whether its input comes from a ReLU."""
        from torch import nn

        from visus.nn import Residual

        *inner, last = convs
        before: list[nn.Module] = [] if activated else [layers.before(c_in)]
        branch: list[nn.Module] = []
        channels = c_in
        for number, conv in enumerate(inner, 1):
            dropout = self.dropout if number == len(inner) else 0.0
            branch += [layers.inner(channels, conv), layers.before(conv.channels, dropout)]
            channels = conv.channels
        branch.append(layers.open(channels, last))
        branch += [gate.build(last.channels)] if gate else []
        if not isinstance(shortcut, Conv):
            return Residual([*before, *branch], shortcut, act=None)
        projected = Residual(branch, layers.open(c_in, shortcut), act=None)
        return nn.Sequential(*before, projected) if before else projected

    def final(self, channels: int, layers: Layers) -> list[nn.Module]:
        """What follows the last unit."""
        return [layers.before(channels)]


class ResNet(Variant, frozen=True, tag="resnet"):
    """Deep residual networks (He et al. 2015, arXiv:1512.03385): N×C×H×W in, one map a stage out, the stem's first.

    depths: units a stage. widths: channels a stage, before the block's expansion. gate: at the end of each branch.
    shortcut: where shapes differ, "project" (1×1 convolution, option B); "project-3x3" (3×3 where the size differs
    too: SENet-154); "sample" (1×1 where channels differ; where only the size does, every stride-th pixel: Keras's
    pre-activation networks); or "pad" (zeros, option A: the paper's choice for CIFAR).
    order: of convolution, normalisation and activation. downsample: the unit of a stage that halves the maps, the
    "first" one of every stage but the first, or the "last" one of every stage but the last (Keras's pre-activation
    networks). bias: the convolutions with one, "none", "open" (those that no normalisation follows) or "all".
    dropout: before the linear layer.

    In pre-activation order the maps of all stages but the last are sums that nothing has normalised yet.
    Departs from the paper in bottlenecks: see Bottleneck's stride.
    """

    depths: tuple[Count, ...]
    block: Basic | Bottleneck = Basic()
    widths: tuple[Count, ...] = (64, 128, 256, 512)
    stem: LargeStem | DeepStem | SmallStem = LargeStem()
    gate: SqueezeExcite | None = None
    shortcut: Literal["project", "project-3x3", "sample", "pad"] = "project"
    order: PostActivation | PreActivation = PostActivation()
    downsample: Literal["first", "last"] = "first"
    norm: BatchNorm = BatchNorm()
    bias: Bias = "none"
    dropout: Share = 0.0

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width (with a stem that pools "ceil", from 3×3 on)."""
        from torch import nn

        from visus.nn import Pyramid

        least = self.stem.least(1)
        channels, _, _ = require_image(self, shape, (least, least))
        if not self.depths or len(self.depths) != len(self.widths):
            raise ModelError(
                f"depths {self.depths} and widths {self.widths} name no stages, or different numbers of them"
            )
        layers = Layers(self.norm, self.bias)
        stages, strides = [self.stem.build(channels, layers)], [self.stem.stride]
        c_in, activated = self.stem.channels, self.stem.end == "activated"
        for index, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True)):
            out, along = width * self.block.expansion, self._strides(index, depth)
            units: list[nn.Module] = []
            for stride in along:
                convs, skip = self.block.convs(width, stride), self._skip(c_in, out, stride)
                units.append(self.order.unit(c_in, convs, self.gate, skip, layers, activated))
                c_in, activated = out, False
            units += self.order.final(c_in, layers) if index == len(self.depths) - 1 else []
            stages.append(nn.Sequential(*units))
            strides.append(strides[-1] * max(along))
        return Pyramid(stages, (self.stem.channels, *(w * self.block.expansion for w in self.widths)), tuple(strides))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)

    def _strides(self, stage: int, depth: int) -> list[int]:
        """Of each unit of a stage."""
        ones = [1] * (depth - 1)
        if self.downsample == "first":
            return [2 if stage else 1, *ones]
        return [*ones, 2 if stage < len(self.depths) - 1 else 1]

    def _skip(self, c_in: int, c_out: int, stride: int) -> Conv | nn.Module:
        """The way around a branch: a convolution to be made in the network's order, or a layer without parameters."""
        from torch import nn

        from visus.nn import PadShortcut

        if (c_in, stride) == (c_out, 1):
            return nn.Identity()
        if self.shortcut == "pad" or (self.shortcut == "sample" and c_in == c_out):
            if c_out < c_in:
                raise ModelError(f"{c_in} channels can't be padded to {c_out}", "--set model.spec.shortcut=project")
            return PadShortcut(c_in, c_out, stride)
        return Conv(c_out, 3 if self.shortcut == "project-3x3" and stride > 1 else 1, stride)
