"""Inception-ResNet, versions 1 and 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from visus.models.inception import HALVE, LEAST_SIDE, MEAN, Conv, Kit, Mixed, Shortcut, Stage, build_pyramid
from visus.models.inception_v3 import STEM
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

Depths = tuple[Count, Count, Count]
Scales = tuple[Factor, Factor, Factor]


class InceptionResNet(Variant, frozen=True, tag="inception_resnet"):
    """Inception-ResNet (Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261, figures 7, 10–15 and table 1).

    N×C×H×W in; five maps out: 147×147, 71×71, 35×35, 17×17, 8×8 pixels of 299×299, with 64, 192, 256, 896, 1792
    channels in version 1, and 64, 192, 320, 1088, 1536 in version 2. depths: blocks A, B and C. scales: of their
    residuals (§3.3: "between 0.1 and 0.3"; these are of the authors' release). norm: Keras has no scale. width: all
    channels times this, but at least 8. dropout: before the last layer.

    Departs from the paper: version 2 is the network that the authors released and that all libraries have: the stem of
    Inception v3 and one module more to 320 channels (the paper: the stem of Inception v4, 384), 10, 20 and 10 blocks
    (the paper: 5, 10, 5), whose last adds its whole residual without ReLU, and a last convolution to 1536 channels.
    """

    version: Literal["v1", "v2"]
    depths: Depths
    scales: Scales = (0.17, 0.10, 0.20)
    norm: BatchNorm = BatchNorm(eps=1e-3)
    width: Factor = 1.0
    dropout: Share = 0.2

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under 75×75."""
        channels, _, _ = require_image(self, shape, (LEAST_SIDE, LEAST_SIDE))
        stages = {"v1": _version1, "v2": _version2}[self.version](self.depths, self.scales)
        return build_pyramid(Kit(self.norm, width=self.width), stages, channels)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)


def _version1(depths: Depths, scales: Scales) -> list[Stage]:
    a, b, c = (Shortcut(mixed, scale) for mixed, scale in zip((_A1, _B1, _C1), scales, strict=True))
    return [
        *STEM,
        (Conv(256, 3, 2, "valid"), *[a] * depths[0]),
        (_reduction_a(192, 192, 256, 384), *[b] * depths[1]),
        (_reduction_b(256, 256, 256), *[c] * depths[2]),
    ]


def _version2(depths: Depths, scales: Scales) -> list[Stage]:
    a, b, c = (Shortcut(mixed, scale) for mixed, scale in zip((_A2, _B2, _C2), scales, strict=True))
    last = Shortcut(_C2, 1.0, act=None)
    return [
        *STEM,
        (HALVE, _WIDEN, *[a] * depths[0]),
        (_reduction_a(256, 256, 384, 384), *[b] * depths[1]),
        (_reduction_b(288, 288, 320), *[c] * (depths[2] - 1), last, Conv(1536)),
    ]


# Figures 10, 11 and 13.
_A1 = Mixed(((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(32, 3), Conv(32, 3))))
_B1 = Mixed(((Conv(128),), (Conv(128), Conv(128, (1, 7)), Conv(128, (7, 1)))))
_C1 = Mixed(((Conv(192),), (Conv(192), Conv(192, (1, 3)), Conv(192, (3, 1)))))

# Figures 16, 17 and 19.
_A2 = Mixed(((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(48, 3), Conv(64, 3))))
_B2 = Mixed(((Conv(192),), (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1)))))
_C2 = Mixed(((Conv(192),), (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1)))))

# The module of the release between stem and blocks A of version 2.
_WIDEN = Mixed(((Conv(96),), (Conv(48), Conv(64, 5)), (Conv(64), Conv(96, 3), Conv(96, 3)), (MEAN, Conv(64))))


def _reduction_a(k: int, l: int, m: int, n: int) -> Mixed:  # noqa: E741 - the letters of table 1
    """Figure 7."""
    return Mixed(((Conv(n, 3, 2, "valid"),), (Conv(k), Conv(l, 3), Conv(m, 3, 2, "valid")), (HALVE,)))


def _reduction_b(second: int, third: int, last: int) -> Mixed:
    """Figures 12 and 18."""
    return Mixed(
        (
            (Conv(256), Conv(384, 3, 2, "valid")),
            (Conv(256), Conv(second, 3, 2, "valid")),
            (Conv(256), Conv(third, 3), Conv(last, 3, 2, "valid")),
            (HALVE,),
        )
    )
