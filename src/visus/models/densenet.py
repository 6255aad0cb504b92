"""DenseNet."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Annotated

import msgspec

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count, Share, require_image
from visus.models.stems import LargeStem, SmallStem
from visus.models.units import Conv, Layers
from visus.spec import Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from visus.nn import Pyramid


class PlainLayer(Variant, frozen=True, tag="plain"):
    """One 3×3 convolution."""

    def convs(self, growth: int) -> list[Conv]:
        """To `growth` channels."""
        return [Conv(growth, 3)]


class BottleneckLayer(Variant, frozen=True, tag="bottleneck"):
    """1×1 to factor·growth channels, then 3×3 (DenseNet-B)."""

    factor: Count = 4

    def convs(self, growth: int) -> list[Conv]:
        """To `growth` channels."""
        return [Conv(self.factor * growth), Conv(growth, 3)]


class DenseNet(Variant, frozen=True, tag="densenet"):
    """Densely connected networks (Huang et al. 2016, arXiv:1608.06993): N×C×H×W in, one map a block out, the stem's
    first.

    depths: layers a block. growth: channels that each layer adds (the paper's k). layer: what it does, each convolution
    behind normalisation and ReLU. compression: channels after a transition over those before (θ; below 1:
    DenseNet-C). dropout: after each convolution but the stem's (the paper: 0.2 where the data aren't augmented).

    Between two blocks stands a transition: normalisation, ReLU, 1×1 convolution, 2×2 average pooling, which leaves out
    an odd row or column. The last map is normalised and activated; the others aren't yet.
    """

    depths: tuple[Count, ...]
    growth: Count = 32
    layer: PlainLayer | BottleneckLayer = BottleneckLayer()
    compression: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    stem: LargeStem | SmallStem = LargeStem()
    dropout: Share = 0.0
    norm: BatchNorm = BatchNorm()

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under a pixel a side after the last pooling (with four blocks
        and the stem for photographs, under 29×29)."""
        from torch import nn

        from visus.nn import Pyramid
        from visus.nn.dense import DenseLayer

        if not self.depths:
            raise ModelError("a densely connected network needs at least one block", "--set model.spec.depths=[2,2]")
        least = self.stem.least(2 ** (len(self.depths) - 1))
        channels, _, _ = require_image(self, shape, (least, least))
        layers, c = Layers(self.norm), self.stem.channels
        stages, widths, strides = [self.stem.build(channels, layers)], [c], [self.stem.stride]
        for index, depth in enumerate(self.depths):
            parts: list[nn.Module] = []
            if index:
                compressed = floor(c * self.compression)
                if not compressed:
                    raise ModelError(f"{c} channels can't be compressed by {self.compression}")
                parts.append(nn.Sequential(*self._convs(c, [Conv(compressed)], layers), nn.AvgPool2d(2)))
                c = compressed
            for _ in range(depth):
                parts.append(DenseLayer(self._convs(c, self.layer.convs(self.growth), layers)))
                c += self.growth
            parts += [layers.before(c)] if index == len(self.depths) - 1 else []
            stages.append(nn.Sequential(*parts))
            widths.append(c)
            strides.append(strides[-1] * (2 if index else 1))
        return Pyramid(stages, tuple(widths), tuple(strides))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes)

    def _convs(self, c_in: int, convs: Sequence[Conv], layers: Layers) -> list[nn.Module]:
        """Each convolution with what stands before it, and the dropout behind it."""
        from torch import nn

        found: list[nn.Module] = []
        for conv in convs:
            drop = [nn.Dropout(self.dropout)] if self.dropout else []
            found.append(nn.Sequential(layers.before(c_in), layers.inner(c_in, conv), *drop))
            c_in = conv.channels
        return found
