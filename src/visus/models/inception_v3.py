"""Inception v3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from visus.models.inception import HALVE, LEAST_SIDE, MEAN, Average, Conv, Kit, Mixed, Row, Stage, build_pyramid
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Spec, Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

AFTER_17 = 3  # the number of the stage of 17×17 pixels
GRID = 5

# Inception-ResNet has it too.
STEM: tuple[Stage, Stage] = (
    (Conv(32, 3, 2, "valid"), Conv(32, 3, 1, "valid"), Conv(64, 3)),
    (HALVE, Conv(80), Conv(192, 3, 1, "valid")),
)


class AuxiliaryHead(Spec, frozen=True):
    """The classifier on the last map of 17×17 pixels; it regularises (§4): 5×5 average pooling at stride 3, a 1×1
    convolution to `channels`, one over the whole 5×5 to `hidden`, a linear layer. share: of its loss (the authors'
    release: 0.4)."""

    channels: Count = 128
    hidden: Count = 768
    share: Factor = 0.4

    def build(self, norm: BatchNorm, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The head on features of this shape: N×C×H×W → N×classes. norm: as in the network."""
        from torch import nn

        c_in, *sides = shape
        window = (min(GRID, sides[0]), min(GRID, sides[1]))
        first, channels = Conv(self.channels).build(Kit(norm), c_in)
        second, hidden = Conv(self.hidden, GRID, 1, "valid").build(Kit(norm), channels)
        pools = nn.AvgPool2d(window, 3), nn.AdaptiveAvgPool2d(GRID)
        return nn.Sequential(*pools, first, second, nn.Flatten(), nn.Linear(hidden, classes))


class InceptionV3(Variant, frozen=True, tag="inception_v3"):
    """Rethinking the Inception architecture (Szegedy et al. 2015, arXiv:1512.00567).

    N×C×H×W in; maps of 64, 192, 288, 768 and 2048 channels out: 147×147, 71×71, 35×35, 17×17, 8×8 pixels of 299×299.
    average: see `inception.Kit` (torchvision, timm: "padded"; Keras: "inside"). norm: Keras has no scale.
    width: all channels times this, but at least 8. dropout: before the last layer (torchvision: 0.5).

    Departs from the paper: it is the network that the authors released and that all libraries have. The paper's table 1
    has 3×3 convolutions where the release has a 1×1 convolution and a pooling before 35×35 pixels, and gives no
    channels inside of its modules. Where the last map of 17×17 is of another size, the auxiliary head averages what it
    has pooled to 5×5.
    """

    norm: BatchNorm = BatchNorm(eps=1e-3)
    average: Average = "inside"
    auxiliary: AuxiliaryHead | None = None
    width: Factor = 1.0
    dropout: Share = 0.2

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under 75×75."""
        channels, _, _ = require_image(self, shape, (LEAST_SIDE, LEAST_SIDE))
        stages: list[tuple[Row, ...]] = [
            *STEM,
            (HALVE, _thirty_five(32), _thirty_five(64), _thirty_five(64)),
            (_TO_SEVENTEEN, _seventeen(128), _seventeen(160), _seventeen(160), _seventeen(192)),
            (_TO_EIGHT, _EIGHT, _EIGHT),
        ]
        return build_pyramid(Kit(self.norm, width=self.width, average=self.average), stages, channels)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)

    def auxiliary_heads(self, shapes: Sequence[tuple[int, ...]], classes: int) -> tuple[dict[int, nn.Module], float]:
        """One head, or none. shapes: of the stages' outputs."""
        if self.auxiliary is None:
            return {}, 0.0
        return {AFTER_17: self.auxiliary.build(self.norm, shapes[AFTER_17], classes)}, self.auxiliary.share


def _thirty_five(projection: int) -> Mixed:
    """Figure 5 of the paper, with 5×5 in its second branch."""
    return Mixed(
        (
            (Conv(64),),
            (Conv(48), Conv(64, 5)),
            (Conv(64), Conv(96, 3), Conv(96, 3)),
            (MEAN, Conv(projection)),
        )
    )


def _seventeen(inner: int) -> Mixed:
    """Figure 6: 7×7 as 1×7 and 7×1."""
    wide, tall = (1, 7), (7, 1)
    return Mixed(
        (
            (Conv(192),),
            (Conv(inner), Conv(inner, wide), Conv(192, tall)),
            (Conv(inner), Conv(inner, tall), Conv(inner, wide), Conv(inner, tall), Conv(192, wide)),
            (MEAN, Conv(192)),
        )
    )


_TO_SEVENTEEN = Mixed(
    (
        (Conv(384, 3, 2, "valid"),),
        (Conv(64), Conv(96, 3), Conv(96, 3, 2, "valid")),
        (HALVE,),
    )
)
_TO_EIGHT = Mixed(
    (
        (Conv(192), Conv(320, 3, 2, "valid")),
        (Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, "valid")),
        (HALVE,),
    )
)
_SIDE_BY_SIDE = Mixed(((Conv(384, (1, 3)),), (Conv(384, (3, 1)),)))
_EIGHT = Mixed(  # figure 7
    (
        (Conv(320),),
        (Conv(384), _SIDE_BY_SIDE),
        (Conv(448), Conv(384, 3), _SIDE_BY_SIDE),
        (MEAN, Conv(192)),
    )
)
