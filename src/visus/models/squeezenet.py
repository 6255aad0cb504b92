"""SqueezeNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.errors import ModelError
from visus.models.layers import Convolution, MaxPool, least_side
from visus.models.parts import Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class SqueezeNet(Variant, frozen=True, tag="squeezenet"):
    """Fire modules, and no fully connected layer (Iandola et al. 2016, arXiv:1602.07360): N×C×H×W in, one map a stage
    out: that of the first convolution, and those of the fire modules between two poolings.

    depths: fire modules a stage. stem: the first convolution. pool: before each stage of them. expand, increment,
    every: the i-th fire module, from 0, has e = expand + increment·⌊i/every⌋ channels (the paper, §5.1). large: the
    share of 3×3 filters in these. squeeze: the channels before them, over e. dropout: before the class maps. scores:
    "rectified", the means of the class maps after ReLU (as the authors' weights have it); or "linear", without that
    ReLU, for scores that may be negative.

    The paper's maps of 111, 55, 27 and 13 pixels are those of 227×227 images; it says 224.
    """

    depths: tuple[Count, ...] = (3, 4, 1)
    stem: Convolution = Convolution(filters=96, size=7, stride=2)
    pool: MaxPool = MaxPool(rounding="up")
    expand: Count = 128
    increment: Annotated[int, msgspec.Meta(ge=0)] = 128
    every: Count = 2
    large: Share = 0.5
    squeeze: Factor = 0.125
    dropout: Share = 0.5
    scores: Literal["rectified", "linear"] = "rectified"

    def fires(self) -> list[tuple[int, int, int]]:
        """Of each fire module the channels squeezed to, and expanded to by 1×1 and by 3×3 filters."""
        found = []
        for index in range(sum(self.depths)):
            expanded = self.expand + self.increment * (index // self.every)
            large, squeezed = round(self.large * expanded), round(self.squeeze * expanded)
            if not large or large == expanded or not squeezed:
                raise ModelError(f"a fire module can't have {squeezed} channels and then {expanded - large} + {large}")
            found.append((squeezed, expanded - large, large))
        return found

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under the size of which one pixel remains (1.0: 21×21)."""
        from torch import nn

        from visus.nn import Pyramid
        from visus.nn.fire import Fire

        least = least_side([self.stem, *[self.pool] * len(self.depths)])
        image, _, _ = require_image(self, shape, (least, least))
        stages, channels, fires = [self.stem.build(image)], [self.stem.filters], iter(self.fires())
        for depth in self.depths:
            c_in, layers = channels[-1], [self.pool.build(channels[-1])]
            for _ in range(depth):
                squeezed, small, large = next(fires)
                layers.append(Fire(c_in, squeezed, small, large))
                c_in = small + large
            stages.append(nn.Sequential(*layers))
            channels.append(c_in)
        strides = tuple(self.stem.stride * self.pool.stride**index for index in range(len(stages)))
        return Pyramid(stages, tuple(channels), strides)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """A map for each class and global average pooling, on features of this shape."""
        from visus.nn.heads import class_map_head

        return class_map_head(shape[0], classes, "relu" if self.scores == "rectified" else None, self.dropout)
