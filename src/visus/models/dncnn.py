"""DnCNN, and the head that such networks of one resolution have where every pixel is said something of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.models.catalog import Network
    from visus.nn import Pyramid


class DnCNN(Variant, frozen=True, tag="dncnn"):
    """3×3 convolutions at the image's own resolution (Zhang et al. 2017, arXiv:1608.03981): N×C×H×W in, two maps out,
    that of the first convolution and that of the last but one; the last one is the head's.

    depth: convolutions in all. channels: of each. norm: between convolution and ReLU, but for the first. fold: the
    pixels of squares of so many a side become channels before the first convolution, which makes all of it fold² times
    as fast and lets it see fold times as far (Zhang et al. 2018, arXiv:1710.04026); the paper: 1.
    """

    depth: Annotated[int, msgspec.Meta(ge=3)] = 17
    channels: Count = 64
    norm: BatchNorm = BatchNorm(eps=1e-4)
    fold: Count = 1

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image."""
        from torch import nn

        from visus.nn import ConvNormAct, Pyramid
        from visus.nn.restorer import Folded

        image, _, _ = require_image(self, shape)
        first = ConvNormAct(image * self.fold**2, self.channels, 3, norm=None)
        rest = [ConvNormAct(self.channels, self.channels, 3, norm=self.norm.build) for _ in range(self.depth - 2)]
        stem: nn.Module = first if self.fold == 1 else nn.Sequential(Folded(self.fold), first)
        return Pyramid([stem, nn.Sequential(*rest)], (self.channels,) * 2, (self.fold,) * 2)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The mean over the last map, and a linear layer."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes)


class Straight(Variant, frozen=True, tag="straight"):
    """One convolution on the last map of a network whose maps all have one resolution, as DnCNN's last layer."""

    def build(self, network: Network, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """N×shape in, N×outputs×H×W out. Raises ModelError for networks that reduce their maps on the way."""
        from visus.nn.restorer import Unfolded

        backbone = network.build(shape)
        if backbone.grid is not None or len(set(backbone.strides)) != 1:
            have = ", ".join(map(str, backbone.strides)) or "none"
            raise ModelError(
                f"the decoder straight takes networks of one resolution, and this one has maps of the strides {have}",
                "--model dncnn, or the decoder unet",
            )
        return Unfolded(backbone, backbone.strides[-1], outputs)
