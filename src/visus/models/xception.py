"""Xception."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

LEAST_SIDE = 7  # two 3×3 windows without padding, the first at stride 2; all others are padded


class Xception(Variant, frozen=True, tag="xception"):
    """Depthwise separable convolutions (Chollet 2016, arXiv:1610.02357, figure 5), as the author's Keras has it.

    N×C×H×W in; a map out after the stem's two convolutions, after each block of the entry flow that halves (the last
    of them after the middle flow), and at the end; all but the first and the last are sums before their ReLU.
    stem, entry, exit, last: channels of the stem's two convolutions, of the blocks of the entry flow, of the block of
    the exit flow, and of the two convolutions after it. middle: blocks of the middle flow. padding: of max pooling,
    "tensorflow", or "symmetric" (timm). norm: timm has eps 1e-5. dropout: before the last layer.

    Departs from the paper in nothing that is known. Every block begins with ReLU; in the first (figure 5: none) it
    changes nothing, since its input is not negative.
    """

    stem: tuple[Count, Count] = (32, 64)
    entry: tuple[Count, ...] = (128, 256, 728)
    middle: Annotated[int, msgspec.Meta(ge=0)] = 8
    exit: Count = 1024
    last: tuple[Count, Count] = (1536, 2048)
    padding: Literal["tensorflow", "symmetric"] = "tensorflow"
    norm: BatchNorm = BatchNorm(eps=1e-3)
    dropout: Share = 0.5

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError under 7×7."""
        from torch import nn

        from visus.nn import ConvNormAct, Pyramid

        channels, _, _ = require_image(self, shape, (LEAST_SIDE, LEAST_SIDE))
        if not self.entry:
            raise ModelError("xception needs at least one block in its entry flow", "--set model.spec.entry=[128]")
        first, second = self.stem
        stages: list[nn.Sequential] = [
            nn.Sequential(
                ConvNormAct(channels, first, 3, 2, padding="valid", norm=self.norm.build),
                ConvNormAct(first, second, 3, padding="valid", norm=self.norm.build),
            )
        ]
        widths = (second, *self.entry)
        stages += [nn.Sequential(self._block(c_in, c_out, c_out, stride=2)) for c_in, c_out in pairwise(widths)]
        wide = self.entry[-1]
        stages[-1].extend(self._block(wide, wide, wide, wide, stride=1) for _ in range(self.middle))
        layers = [self._block(wide, wide, self.exit, stride=2)]
        for c_in, c_out in pairwise((self.exit, *self.last)):
            layers += [*self._separable(c_in, c_out), nn.ReLU()]
        stages.append(nn.Sequential(*layers))
        strides = tuple(2**power for power in range(1, len(stages) + 1))
        return Pyramid(stages, (*widths, self.last[1]), strides)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)

    def _block(self, *widths: int, stride: int) -> nn.Module:
        """ReLU and separable convolution from each width to the next; pooling, and a projection beside, at stride 2."""
        from torch import nn

        from visus.nn import ConvNormAct, Residual
        from visus.nn.inception import max_pool

        branch: list[nn.Module] = []
        for c_in, c_out in pairwise(widths):
            branch += [nn.ReLU(), *self._separable(c_in, c_out)]  # the input is the shortcut's too: not in place
        if stride == 1:
            return Residual(branch, nn.Identity(), act=None)
        skip = ConvNormAct(widths[0], widths[-1], 1, stride, norm=self.norm.build, act=None)
        return Residual([*branch, max_pool(3, stride, self.padding)], skip, act=None)

    def _separable(self, c_in: int, c_out: int) -> list[nn.Module]:
        """3×3 in each channel, then 1×1 across channels, with nothing between them.

        `ConvNormAct`'s start of the 3×3, with the variance 2/(9·c_in), is all but the author's: Keras's for such a
        layer, Glorot's, has 2/(9·(c_in + 1)).
        """
        from visus.nn import ConvNormAct

        return [
            ConvNormAct(c_in, c_in, 3, groups=c_in, norm=None, bias=False, act=None),
            ConvNormAct(c_in, c_out, norm=self.norm.build, act=None),
        ]
