"""From a code to an input: what autoencoders decode with, and what generates images out of noise.

Each gives values before the last function, which is the task's: logistic or hyperbolic tangent for pixels, none for
vectors.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.models.catalog import Network

NARROW = 8  # channels at least, of maps finer than the network's own, unless the finest of those has fewer
FIRST = 4  # rows and columns of DCGAN's first map, at most
STD = 0.02  # of DCGAN's weights at first


class Mirror(Variant, frozen=True, tag="mirror"):
    """A network's own stages the other way round: maps of its maps' sizes and channels, from coarse to fine, each
    enlarged by repeating values and followed by two 3×3 convolutions; of a perceptron its layers.

    most: channels of a map at most. act: after each layer but the last. norm: after each convolution.
    """

    most: Count = 256
    act: Literal["relu", "leaky", "silu", "gelu", "tanh", "sigmoid"] = "relu"
    norm: BatchNorm = BatchNorm()

    def build(self, network: Network, shape: tuple[int, ...], code: int) -> nn.Module:
        """N×code in, N×shape out, which is what `network` takes."""
        import torch
        from torch import nn

        from visus.nn import ConvNormAct
        from visus.nn.activation import activation
        from visus.nn.generator import Grown

        with torch.device("meta"), torch.no_grad():
            backbone = network.build(shape).eval()
            maps = backbone.maps(torch.empty(1, *shape)) if backbone.strides else []
        if not maps:
            widths = [code, *backbone.channels[::-1]]
            layers = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), activation(self.act))]
            return nn.Sequential(*layers, nn.Linear(widths[-1], prod(shape)), nn.Unflatten(1, shape))
        channels = {(each.shape[2], each.shape[3]): each.shape[1] for each in maps}
        sizes = sorted(channels, key=prod)
        widths = [min(self.most, channels[size]) for size in sizes]
        for size in _halves((shape[1], shape[2])):  # where the network's finest map leaves off
            if size[0] > sizes[-1][0] and size[1] > sizes[-1][1]:
                sizes.append(size)
                widths.append(max(widths[-1] // 2, min(widths[-1], NARROW)))
        norm = self.norm.build
        blocks: list[nn.Module] = [
            nn.Sequential(*(ConvNormAct(c, c_out, 3, norm=norm, act=self.act) for c in (c_in, c_out)))
            for c_in, c_out in pairwise([widths[0], *widths])
        ]
        last = nn.Conv2d(widths[-1], shape[0], 3, padding=1)
        return Grown(code, (widths[0], *sizes[0]), [*zip(sizes, blocks, strict=True), ((shape[1], shape[2]), last)])


class Dense(Variant, frozen=True, tag="dense"):
    """Fully connected layers; the deck's generator has two of 1024. slope: of the leaky ReLU below 0; 0: ReLU."""

    hidden: tuple[Count, ...] = (1024, 1024)
    slope: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2

    def build(self, network: Network, shape: tuple[int, ...], code: int) -> nn.Module:
        """N×code in, N×shape out."""
        from torch import nn

        layers: list[nn.Module] = []
        for c_in, c_out in pairwise([code, *self.hidden]):
            layers += [nn.Linear(c_in, c_out), nn.LeakyReLU(self.slope) if self.slope else nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear([code, *self.hidden][-1], prod(shape)), nn.Unflatten(1, shape))


class Deconvolution(Variant, frozen=True, tag="deconvolution"):
    """DCGAN's generator (Radford et al. 2015, arXiv:1511.06434, §3 and figure 1): a map of up to 4×4, then transposed
    convolutions of 4×4 that double it, each with batch normalisation and ReLU but the last one.

    width: channels before the last one, twice as many at each step before; of 64×64 pixels the paper has 128.

    Departs from the paper: windows of 4×4 and not 5×5, as the authors' later code has them, which twice as large maps
    are cut from without a rest; of sides that aren't a power of 2 the surplus is cut off.
    """

    width: Count = 64

    def build(self, network: Network, shape: tuple[int, ...], code: int) -> nn.Module:
        """N×code in, N×C×H×W out. Raises ModelError for vectors."""
        from torch import nn

        from visus.nn.generator import Enlarged, Grown

        if len(shape) != 3 or max(shape[1:]) < 2:
            raise ModelError(
                f"transposed convolutions make images, and not {'×'.join(map(str, shape))}", "another decoder"
            )
        sizes = _halves((shape[1], shape[2]))
        while len(sizes) > 2 and max(sizes[1]) <= FIRST:
            sizes = sizes[1:]
        widths = [self.width << step for step in reversed(range(len(sizes) - 1))] + [shape[0]]
        steps: list[nn.Module] = [nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))]
        for (c_in, c_out), size in zip(pairwise(widths), sizes[1:], strict=True):
            last = size == sizes[-1]
            after: list[nn.Module] = [] if last else [nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
            steps.append(nn.Sequential(Enlarged(c_in, c_out, size, bias=last), *after))
        found = Grown(code, (widths[0], *sizes[0]), [(None, step) for step in steps])
        for module in found.modules():
            if isinstance(module, nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=STD)
        return found


def _halves(size: tuple[int, int]) -> list[tuple[int, int]]:
    """A height and width, its half rounded up, the half of that, … in rising order from 1×1.

    >>> _halves((28, 12))
    [(1, 1), (2, 1), (4, 2), (7, 3), (14, 6), (28, 12)]
    """
    found = [size]
    while max(found[0]) > 1:
        found.insert(0, (-(-found[0][0] // 2), -(-found[0][1] // 2)))
    return found


Generator = Mirror | Dense | Deconvolution
