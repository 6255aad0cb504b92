"""AlexNet, and ZFNet, which is other rows in the same table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visus.errors import ModelError
from visus.models.layers import Layer, least_side
from visus.models.parts import Count, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class AlexNet(Variant, frozen=True, tag="alexnet"):
    """Convolutions and overlapping pooling, then fully connected layers (Krizhevsky et al. 2012, "ImageNet
    classification with deep convolutional neural networks", NeurIPS; ZFNet: Zeiler & Fergus 2013, arXiv:1311.2901).

    N×C×H×W in, one map a stage out; a stage ends before the pooling, so that its map is the finest of its kind, and
    the last pooling is a stage of its own. stages: the table of layers, a row a stage. grid: rows and columns that the
    fully connected layers see. hidden: units of all of them but the last. dropout: after each of the hidden ones.

    Departs from the papers: the last map is averaged to the grid where it has another size, so that images of any
    size fit; weights start as He et al. propose (arXiv:1502.01852) and biases at 0 (AlexNet: deviation 0.01, and
    biases of 1 in some layers), which learns well at any width.
    """

    stages: tuple[tuple[Layer, ...], ...]
    grid: Count = 6
    hidden: tuple[Count, ...] = (4096, 4096)
    dropout: Share = 0.5

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under the size of which one pixel remains (AlexNet: 67×67)."""
        from torch import nn

        from visus.nn import Pyramid

        if not self.stages or not all(self.stages):
            raise ModelError("a table of layers needs at least one row, and each row a layer")
        least = least_side([layer for row in self.stages for layer in row])
        c_in, _, _ = require_image(self, shape, (least, least))
        stages, channels, strides, stride = [], [], [], 1
        for row in self.stages:
            layers = []
            for layer in row:
                layers.append(layer.build(c_in))
                c_in, stride = layer.channels(c_in), stride * layer.stride
            stages.append(nn.Sequential(*layers))
            channels.append(c_in)
            strides.append(stride)
        return Pyramid(stages, tuple(channels), tuple(strides))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The fully connected layers, on features of this shape."""
        from visus.nn.heads import dense_head

        return dense_head(shape[0], self.grid, self.hidden, classes, self.dropout)
