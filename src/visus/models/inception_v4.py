"""Inception v4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visus.models.inception import HALVE, LEAST_SIDE, MEAN, Conv, Kit, Mixed, Row, build_pyramid
from visus.models.inception_v3 import STEM
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

WIDE, TALL = (1, 7), (7, 1)


class InceptionV4(Variant, frozen=True, tag="inception_v4"):
    """Inception-v4 (Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261, figures 3–9).

    N×C×H×W in; maps of 64, 192, 384, 1024 and 1536 channels out: 147×147, 71×71, 35×35, 17×17, 8×8 pixels of 299×299.
    depths: blocks A, B and C. width: all channels times this, but at least 8. dropout: before the last layer.

    Departs from the paper: 1×7 and 7×1, 1×3 and 3×1 come in the order of the authors' release, which differs from the
    figures' in the last branches of blocks B and C.
    """

    depths: tuple[Count, Count, Count] = (4, 7, 3)
    norm: BatchNorm = BatchNorm(eps=1e-3)
    width: Factor = 1.0
    dropout: Share = 0.2

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under 75×75."""
        channels, _, _ = require_image(self, shape, (LEAST_SIDE, LEAST_SIDE))
        first, second, third = self.depths
        stages: list[tuple[Row, ...]] = [
            STEM[0],
            (_STEM_POOL_OR_CONV, _STEM_TWO_WAYS),
            (_STEM_CONV_OR_POOL, *[_A] * first),
            (_REDUCTION_A, *[_B] * second),
            (_REDUCTION_B, *[_C] * third),
        ]
        return build_pyramid(Kit(self.norm, width=self.width), stages, channels)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)


# Figure 3, from its first concatenation on.
_STEM_POOL_OR_CONV = Mixed(((HALVE,), (Conv(96, 3, 2, "valid"),)))
_STEM_TWO_WAYS = Mixed(
    (
        (Conv(64), Conv(96, 3, 1, "valid")),
        (Conv(64), Conv(64, WIDE), Conv(64, TALL), Conv(96, 3, 1, "valid")),
    )
)
_STEM_CONV_OR_POOL = Mixed(((Conv(192, 3, 2, "valid"),), (HALVE,)))

_A = Mixed(  # figure 4
    (
        (Conv(96),),
        (Conv(64), Conv(96, 3)),
        (Conv(64), Conv(96, 3), Conv(96, 3)),
        (MEAN, Conv(96)),
    )
)
_REDUCTION_A = Mixed(  # figure 7, with k, l, m, n = 192, 224, 256, 384 of table 1
    (
        (Conv(384, 3, 2, "valid"),),
        (Conv(192), Conv(224, 3), Conv(256, 3, 2, "valid")),
        (HALVE,),
    )
)
_B = Mixed(  # figure 5
    (
        (Conv(384),),
        (Conv(192), Conv(224, WIDE), Conv(256, TALL)),
        (Conv(192), Conv(192, TALL), Conv(224, WIDE), Conv(224, TALL), Conv(256, WIDE)),
        (MEAN, Conv(128)),
    )
)
_REDUCTION_B = Mixed(  # figure 8
    (
        (Conv(192), Conv(192, 3, 2, "valid")),
        (Conv(256), Conv(256, WIDE), Conv(320, TALL), Conv(320, 3, 2, "valid")),
        (HALVE,),
    )
)
_SIDE_BY_SIDE = Mixed(((Conv(256, (1, 3)),), (Conv(256, (3, 1)),)))
_C = Mixed(  # figure 6
    (
        (Conv(256),),
        (Conv(384), _SIDE_BY_SIDE),
        (Conv(384), Conv(448, (3, 1)), Conv(512, (1, 3)), _SIDE_BY_SIDE),
        (MEAN, Conv(256)),
    )
)
