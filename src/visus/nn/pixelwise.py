"""Ways back from a pyramid's maps to the pixels before U-Net: fully convolutional networks, and SegNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.conv import ConvNormAct
from visus.nn.pyramid import Pyramid
from visus.nn.unet import Norm


class Enlarge(nn.Module):
    """A strided transposed convolution of each map by itself, which starts as bilinear interpolation.

    N×K×H×W → N×K×factor·H×factor·W. learned: else it stays so.
    """

    weight: Tensor

    def __init__(self, maps: int, factor: int, *, learned: bool) -> None:
        super().__init__()
        self.factor = factor
        side = 2 * factor - factor % 2
        middle = factor - 1 if factor % 2 else factor - 0.5
        along = 1 - (torch.arange(side) - middle).abs() / factor
        weight = (along[:, None] * along).expand(maps, 1, side, side).clone()
        if learned:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, x_NKHW: Tensor) -> Tensor:
        weight = self.weight.to(x_NKHW.dtype)
        return F.conv_transpose2d(x_NKHW, weight, stride=self.factor, padding=self.factor // 2, groups=x_NKHW.shape[1])


class FullyConvolutional(nn.Module):
    """FCN (Long et al. 2015, arXiv:1411.4038): scores of the coarsest map, enlarged: N×C×H×W → N×outputs×H×W.

    The scores of finer maps join on the way. features: what comes between the coarsest map and its scores, and the
    channels of that. joining: the levels of the finer maps, from coarse to fine, each of half the stride of the one
    before, and whether each is pooled first. stride: of the coarsest map.
    """

    def __init__(
        self, backbone: Pyramid, features: tuple[nn.Module, int], joining: Sequence[tuple[int, bool]], stride: int,
        outputs: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.joining, self.stride = backbone, tuple(joining), stride
        self.features, width = features
        self.coarse = nn.Conv2d(width, outputs, 1)
        self.finer = nn.ModuleList([nn.Conv2d(backbone.channels[level], outputs, 1) for level, _ in joining])
        for layer in (self.coarse, *self.finer):  # as in the paper: of classes nothing is known at first
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.twice = nn.ModuleList([Enlarge(outputs, 2, learned=True) for _ in joining])
        self.last = Enlarge(outputs, stride // 2 ** len(self.joining), learned=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        height, width = x_NCHW.shape[-2:]
        maps = self.backbone.maps(F.pad(x_NCHW, (0, -width % self.stride, 0, -height % self.stride)))
        scores_NKHW = self.coarse(self.features(maps[-1]))
        for (level, pooled), score, twice in zip(self.joining, self.finer, self.twice, strict=True):
            beside = F.max_pool2d(maps[level], 2) if pooled else maps[level]
            scores_NKHW = twice(scores_NKHW) + score(beside)
        whole_NKHW: Tensor = self.last(scores_NKHW)
        return whole_NKHW[..., :height, :width]


def convolved(channels: int, grid: int, hidden: Sequence[int], dropout: float) -> tuple[nn.Module, int]:
    """Fully connected layers as convolutions: N×channels×H×W → N×hidden[-1]×H×W, and the channels of that.

    grid: rows and columns that the first of them sees.
    """
    layers: list[nn.Module] = []
    for index, units in enumerate(hidden):
        layers.append(ConvNormAct(channels, units, 1 if index else grid, padding="tensorflow", norm=None))
        layers += [nn.Dropout(dropout)] if dropout else []
        channels = units
    return nn.Sequential(*layers), channels


class Unpooling(nn.Module):
    """SegNet (Badrinarayanan et al. 2015, arXiv:1511.00561): N×C×H×W → N×outputs×H×W.

    Each value goes back to where the encoder's max pooling took it from. backbone: whose every map but the last is
    pooled 2×2 for the next one. counts: of the convolutions of each of its stages but the last; the decoder has as
    many.
    """

    def __init__(self, backbone: Pyramid, counts: Sequence[int], outputs: int, norm: Norm) -> None:
        super().__init__()
        self.backbone = backbone
        widths = backbone.channels[:-1]
        self.blocks = nn.ModuleList()
        for stage in reversed(range(len(counts))):
            wide, narrow = widths[stage], widths[stage - 1] if stage else widths[0]
            layers = [
                ConvNormAct(wide, wide if index < counts[stage] - 1 else narrow, 3, norm=norm, bias=True)
                for index in range(counts[stage] - (stage == 0))
            ]
            self.blocks.append(nn.Sequential(*layers))
        self.last = nn.Conv2d(widths[0], outputs, 3, padding=1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        *maps, y_NCHW = self.backbone.maps(x_NCHW)
        for before, block in zip(reversed(maps), self.blocks, strict=True):
            _, places = F.max_pool2d(before, 2, return_indices=True)
            y_NCHW = block(F.max_unpool2d(y_NCHW, places, (2, 2), output_size=before.shape[-2:]))
        scores: Tensor = self.last(y_NCHW)
        return scores
