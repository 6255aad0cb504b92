"""The contracting path of U-Net."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.models.parts import BatchNorm, Count, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid


class UNet(Variant, frozen=True, tag="unet"):
    """The contracting path of U-Net (Ronneberger et al. 2015, arXiv:1505.04597): 3×3 convolutions and 2×2 max pooling.

    N×C×H×W in, one map a stage out, each before it is pooled, at strides 1, 2, 4, … widths: channels a stage.
    convolutions: a stage. padding: "valid", none, as in the paper: a side loses 2 pixels in each convolution; "same".
    norm: between convolution and ReLU (the paper: none). dropout: at the end of the last stage.

    The paper's network is this with the decoder "unet-valid". Its share of dropout isn't in the paper; a head for
    classes isn't either: here it is the mean over the last map and a linear layer.
    """

    widths: Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)] = (64, 128, 256, 512, 1024)
    convolutions: Count = 2
    padding: Literal["valid", "same"] = "valid"
    norm: BatchNorm | None = None
    dropout: Share = 0.5

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image. Raises ModelError where nothing remains of it (as published: under 140×140)."""
        from torch import nn

        from visus.nn import Pyramid
        from visus.nn.unet import convolutions

        least = 1
        for stage in reversed(range(len(self.widths))):
            least = (least + self.lost) * (2 if stage else 1)
        c_in, _, _ = require_image(self, shape, (least, least))
        stages: list[nn.Module] = []
        for width in self.widths:
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stages else []
            norm = None if self.norm is None else self.norm.build
            layers += convolutions(c_in, width, self.convolutions, self.padding, norm)
            stages.append(nn.Sequential(*layers))
            c_in = width
        if self.dropout:
            last = stages[-1]
            assert isinstance(last, nn.Sequential)
            last.append(nn.Dropout(self.dropout))
        return Pyramid(stages, self.widths, tuple(2**stage for stage in range(len(stages))))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The mean over the last map, and a linear layer."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes)

    @property
    def lost(self) -> int:
        """Pixels that a side loses in a stage."""
        return 2 * self.convolutions if self.padding == "valid" else 0
