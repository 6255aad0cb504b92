"""BN-Inception, also known as Inception v2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visus.models.inception import MEAN, Average, Conv, Kit, MaxPool, Mixed, Row, build_pyramid
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

POOL = MaxPool(3, 2, "tensorflow")


class BNInception(Variant, frozen=True, tag="bn_inception"):
    """Batch normalisation (Ioffe, Szegedy 2015, arXiv:1502.03167), appendix: Inception with batch normalisation.

    N×C×H×W in; maps of 64, 192, 320, 576 and 1024 channels out, at strides 2, 4, 8, 16 and 32. projection: channels
    of the pool projection in 4c and 4d, where the paper's table contradicts itself: 96 gives the sizes that it
    prints, 128 is what it prints in the column of projections. bias: of convolutions beside their normalisation (in
    Caffe's port; the paper: "can be ignored"). average: see `inception.Kit` (Caffe's port: "padded"). width: all
    channels times this, but at least 8.

    Departs from the paper in nothing that is known; it gives no padding: here every stride halves the map, rounded up.
    """

    projection: Count = 96
    norm: BatchNorm = BatchNorm(eps=1e-3)
    bias: bool = False
    average: Average = "inside"
    width: Factor = 1.0
    dropout: Share = 0.0

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width."""
        channels, _, _ = require_image(self, shape)
        kit = Kit(self.norm, bias=self.bias, width=self.width, average=self.average)
        stages: list[tuple[Row, ...]] = [
            (Conv(64, 7, 2),),
            (POOL, Conv(64), Conv(192, 3)),
            (POOL, _same(64, 64, 64, 64, 96, MEAN, 32), _same(64, 64, 96, 64, 96, MEAN, 64)),
            (
                _halving(128, 160, 64, 96),
                _same(224, 64, 96, 96, 128, MEAN, 128),
                _same(192, 96, 128, 96, 128, MEAN, 128),
                _same(160, 128, 160, 128, 160, MEAN, self.projection),
                _same(96, 128, 192, 160, 192, MEAN, self.projection),
            ),
            (
                _halving(128, 192, 192, 256),
                _same(352, 192, 320, 160, 224, MEAN, 128),
                _same(352, 192, 320, 192, 224, MaxPool(), 128),
            ),
        ]
        return build_pyramid(kit, stages, channels)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)


def _same(one: int, reduce: int, three: int, reduce_double: int, double: int, pool: Row, projection: int) -> Mixed:
    """A row of the paper's table (figure 5): #1×1, #3×3 reduce, #3×3, double #3×3 reduce, double #3×3, pool."""
    return Mixed(
        (
            (Conv(one),),
            (Conv(reduce), Conv(three, 3)),
            (Conv(reduce_double), Conv(double, 3), Conv(double, 3)),
            (pool, Conv(projection)),
        )
    )


def _halving(reduce: int, three: int, reduce_double: int, double: int) -> Mixed:
    """A row of the table with stride 2: no 1×1 branch, and the pool passes its input through."""
    return Mixed(
        (
            (Conv(reduce), Conv(three, 3, 2)),
            (Conv(reduce_double), Conv(double, 3), Conv(double, 3, 2)),
            (POOL,),
        )
    )
