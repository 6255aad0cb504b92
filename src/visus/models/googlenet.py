"""GoogLeNet, the first Inception network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from visus.models.inception import Conv, Kit, LocalResponse, MaxPool, Mixed, Row, Stage, build_pyramid
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Spec, Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

# Table 1 of the paper: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AFTER_4A, AFTER_4D = 3, 4  # numbers of the stages that end there


class AuxiliaryHeads(Spec, frozen=True):
    """The two classifiers of §5, on the outputs of 4a and 4d; they help while training.

    pool: the "window" of the paper, 5×5 at stride 3, or "adaptive" (torchvision), both to grid×grid pixels. Then a
    1×1 convolution to `channels`, a layer of `hidden` units, dropout. share: of each head's loss.
    """

    channels: Count = 128
    hidden: Count = 1024
    dropout: Share = 0.7
    share: Factor = 0.3
    pool: Literal["window", "adaptive"] = "window"
    grid: Count = 4

    def build(self, norm: BatchNorm | None, shape: tuple[int, ...], classes: int) -> nn.Module:
        """One head on features of this shape: N×C×H×W → N×classes. norm: as in the network."""
        from torch import nn

        c_in, *sides = shape
        window = (min(5, sides[0]), min(5, sides[1]))
        convolution, channels = Conv(self.channels).build(Kit(norm), c_in)
        return nn.Sequential(
            nn.AvgPool2d(window, 3) if self.pool == "window" else nn.Identity(),
            nn.AdaptiveAvgPool2d(self.grid),
            convolution,
            nn.Flatten(),
            nn.Linear(channels * self.grid**2, self.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, classes),
        )


class GoogLeNet(Variant, frozen=True, tag="googlenet"):
    """Going deeper with convolutions (Szegedy et al. 2014, arXiv:1409.4842): Inception v1.

    N×C×H×W in; seven maps out: after the first convolution, before the second, third and fourth pooling, and after
    4a, 4d (where the auxiliary heads stand) and 5b. local_response: normalisation in the "stem" or "none".
    norm: batch normalisation after every convolution, in place of biases (torchvision). large: the window of a module's
    third branch (torchvision: 3). last_pool: the window before 5a (torchvision: 2). width: all channels times this,
    but at least 8. dropout: before the last layer (torchvision: 0.2).

    The paper names no constants of local response normalisation and no padding of its pools; both are as in Caffe's
    reference network: windows at the right and the bottom are cut by the border, so that 112 pixels become 56.
    Departs from the paper: at other sizes than 224×224 the auxiliary heads average their pooled maps to 4×4 as well.
    """

    local_response: Literal["stem", "none"] = "stem"
    norm: BatchNorm | None = None
    large: Literal[3, 5] = 5
    last_pool: Literal[2, 3] = 3
    auxiliary: AuxiliaryHeads | None = None
    width: Factor = 1.0
    dropout: Share = 0.4

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under 31×31 (15×15 where the last pool is 2×2)."""
        least = 16 * (self.last_pool - 1) - 1  # four poolings, of which the first three give half, rounded down
        channels, _, _ = require_image(self, shape, (least, least))
        return build_pyramid(Kit(self.norm, width=self.width), self._stages(), channels)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)

    def auxiliary_heads(self, shapes: Sequence[tuple[int, ...]], classes: int) -> tuple[dict[int, nn.Module], float]:
        """Two heads, or none. shapes: of the stages' outputs."""
        if self.auxiliary is None:
            return {}, 0.0
        heads = {at: self.auxiliary.build(self.norm, shapes[at], classes) for at in (AFTER_4A, AFTER_4D)}
        return heads, self.auxiliary.share

    def _stages(self) -> list[Stage]:
        response: tuple[Row, ...] = (LocalResponse(),) if self.local_response == "stem" else ()
        pool = MaxPool(3, 2, "ceil")
        module = {name: self._module(*row) for name, row in TABLE.items()}
        return [
            (Conv(64, 7, 2),),
            (pool, *response, Conv(64), Conv(192, 3), *response),
            (pool, module["3a"], module["3b"]),
            (pool, module["4a"]),
            (module["4b"], module["4c"], module["4d"]),
            (module["4e"],),
            (MaxPool(self.last_pool, 2, "ceil"), module["5a"], module["5b"]),
        ]

    def _module(self, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> Mixed:
        return Mixed(
            (
                (Conv(one),),
                (Conv(reduce3), Conv(three, 3)),
                (Conv(reduce5), Conv(five, self.large)),
                (MaxPool(), Conv(pool)),
            )
        )
