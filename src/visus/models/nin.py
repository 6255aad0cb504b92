"""Network in network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.layers import Convolution, MaxPool, least_side
from visus.models.parts import Count, Share, require_image
from visus.spec import Spec, Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class MLPConv(Spec, frozen=True):
    """A convolution and the 1×1 convolutions after it, each with ReLU: a small perceptron at every place.

    first: the convolution. mixed: channels of the 1×1 ones, in order. dropout: of what comes in.
    """

    first: Convolution
    mixed: tuple[Count, ...]
    dropout: Share = 0.0

    @property
    def channels(self) -> int:
        """Of its output."""
        return self.mixed[-1] if self.mixed else self.first.filters

    def build(self, c_in: int) -> list[nn.Module]:
        """N×c_in×H×W → N×channels×H'×W', of the first convolution's size."""
        from torch import nn

        layers: list[nn.Module] = [nn.Dropout(self.dropout)] if self.dropout else []
        table = (self.first, *(Convolution(filters=each, size=1) for each in self.mixed))
        for layer in table:
            layers.append(layer.build(c_in))
            c_in = layer.filters
        return layers


class NiN(Variant, frozen=True, tag="nin"):
    """Mlpconv layers with max pooling between them, and no fully connected layer (Lin et al. 2013, arXiv:1312.4400).

    N×C×H×W in, the map of each mlpconv layer out. blocks: the mlpconv layers; the last one's last 1×1 convolution, with
    a map for each class, is the head, and so left out of it. pool: between two of them. scores: "rectified", the means
    of the class maps after ReLU (as published); or "linear", without that ReLU, for scores that may be negative.

    Departs from the paper: weights start as He et al. propose (arXiv:1502.01852; the paper doesn't say, its code:
    deviation 0.05).
    """

    blocks: tuple[MLPConv, ...]
    pool: MaxPool = MaxPool(rounding="up")
    scores: Literal["rectified", "linear"] = "rectified"

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under the size of which one pixel remains."""
        from torch import nn

        from visus.nn import Pyramid

        if not self.blocks:
            raise ModelError("a network in network needs at least one mlpconv layer")
        first, *rest = (block.first for block in self.blocks)
        least = least_side([first, *(layer for each in rest for layer in (self.pool, each))])
        c_in, _, _ = require_image(self, shape, (least, least))
        stages: list[nn.Module] = []
        strides: list[int] = []
        for block in self.blocks:
            pool, before = ([self.pool.build(c_in)], strides[-1] * self.pool.stride) if stages else ([], 1)
            stages.append(nn.Sequential(*pool, *block.build(c_in)))
            strides.append(before * block.first.stride)
            c_in = block.channels
        return Pyramid(stages, tuple(block.channels for block in self.blocks), tuple(strides))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The last 1×1 convolution and global average pooling, on features of this shape."""
        from visus.nn.heads import class_map_head

        return class_map_head(shape[0], classes, "relu" if self.scores == "rectified" else None)
