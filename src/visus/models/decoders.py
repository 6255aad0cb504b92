"""From a network's maps back to the pixels: what stands on a network where every pixel has an answer."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.parts import BatchNorm, Count, sized
from visus.models.unet import UNet
from visus.models.vgg import VGG
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.models.catalog import Network


class UNetDecoder(Variant, frozen=True, tag="unet"):
    """A U-Net of the image's size over any network: its maps join on the way back, the finest last.

    width: channels at the image's own resolution; twice as many at each half of it, up to `most`. norm: after each
    convolution. Where a network has no map of the image's size, the last steps go without.
    """

    width: Count = 16
    most: Count = 256
    norm: BatchNorm = BatchNorm()

    def build(self, network: Network, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """N×shape in, N×outputs×H×W out. Raises ModelError for vectors and for networks without maps."""
        from visus.nn.unet import Expanding

        backbone = network.build(require_maps(shape))
        last = {stride: level for level, stride in enumerate(backbone.strides)}
        if not last:
            raise ModelError("this network has no maps that could lead back to pixels", "another --model")
        coarse, *finer = sorted(last, reverse=True)
        steps: list[tuple[int, int | None]] = []
        for before, stride in pairwise([coarse, *finer, *([] if 1 in last else [1])]):
            while before > 2 * stride:
                before //= 2  # noqa: PLW2901
                steps.append((before, None))
            steps.append((stride, last.get(stride)))
        widths = [min(self.width * stride, self.most) for stride, _ in steps]
        return Expanding(backbone, last[coarse], steps, widths, outputs, self.norm.build)


class ValidUNetDecoder(Variant, frozen=True, tag="unet-valid"):
    """U-Net's expanding path as published, over the family `unet` (Ronneberger et al. 2015, arXiv:1505.04597).

    Without padding it answers for the middle of the image: of 572×572 pixels for 388×388.
    """

    def build(self, network: Network, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """N×shape in, N×outputs×h×w out. Raises ModelError for other networks, and for sides that can't be halved."""
        from visus.nn.unet import Published

        _, height, width = require_maps(shape)
        if not isinstance(network, UNet):
            raise ModelError("the decoder unet-valid belongs to the network unet", "--model unet, or the decoder unet")
        sides = (_nearest_side(network, height), _nearest_side(network, width))
        if sides != (height, width):
            raise ModelError(
                f"an image of {height}×{width} pixels can't be halved {len(network.widths) - 1} times without a rest",
                f"the nearest that can is {sides[0]}×{sides[1]}: {sized(sides)}",
            )
        norm = None if network.norm is None else network.norm.build
        return Published(network.build(shape), network.convolutions, network.padding, outputs, norm)


class FCN(Variant, frozen=True, tag="fcn"):
    """A fully convolutional network (Long et al. 2015, arXiv:1411.4038).

    skips: how many finer maps join: over VGG 0, 1 and 2 are the paper's FCN-32s, 16s and 8s. VGG's fully connected
    layers become convolutions, and what joins are its pooled maps; of other networks the last map is scored as it is.

    Departs from the paper: images are padded to a multiple of the last map's stride, and that map by half a window
    (the authors pad the image by 100 pixels and cut); each class's map is enlarged by itself.
    """

    skips: Literal[0, 1, 2] = 2

    def build(self, network: Network, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """N×shape in, N×outputs×H×W out. Raises ModelError for networks without maps of those strides."""
        from torch import nn

        from visus.nn.pixelwise import FullyConvolutional, convolved

        backbone = network.build(require_maps(shape))
        last = {stride: level for level, stride in enumerate(backbone.strides)}
        stride = max(last, default=0)
        wanted = [stride >> skip for skip in range(1, self.skips + 1)]
        if stride & (stride - 1) or stride < 2**self.skips or any(each not in last for each in wanted):
            have = ", ".join(map(str, backbone.strides)) or "none"
            raise ModelError(
                f"the decoder fcn takes maps whose strides double up to the last one, and this network has {have}",
                "another --model, or the decoder unet",
            )
        joining = [(last[each], False) for each in wanted]
        features: tuple[nn.Module, int] = (nn.Identity(), backbone.channels[-1])
        if isinstance(network, VGG):
            joining = [(len(last) - 2 - skip, True) for skip in range(1, self.skips + 1)]
            features = convolved(backbone.channels[-1], network.grid, network.hidden, network.dropout)
        return FullyConvolutional(backbone, features, joining, stride, outputs)


class SegNet(Variant, frozen=True, tag="segnet"):
    """SegNet's decoder over VGG (Badrinarayanan et al. 2015, arXiv:1511.00561): values go back to where max pooling
    took them from. The paper's is over `vgg16_bn`. norm: after each of its convolutions but the last.
    """

    norm: BatchNorm = BatchNorm()

    def build(self, network: Network, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """N×shape in, N×outputs×H×W out. Raises ModelError for other networks than VGG."""
        from visus.nn.pixelwise import Unpooling

        shape = require_maps(shape)
        if not isinstance(network, VGG):
            raise ModelError("the decoder segnet undoes the poolings of VGG", "--model vgg16_bn, or the decoder unet")
        counts = [len(sizes) for sizes in network.kernels]
        return Unpooling(network.build(shape), counts, outputs, self.norm.build)


Decoder = UNetDecoder | ValidUNetDecoder | FCN | SegNet


def require_maps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an image, as it is. Raises ModelError for that of a vector."""
    if len(shape) != 3:
        raise ModelError("answers for every pixel need images, and the data are vectors", "another --task")
    return shape


def _nearest_side(network: UNet, side: int) -> int:
    """The nearest side that is even before each pooling, of those of which the whole network leaves something."""
    depth, lost = len(network.widths) - 1, network.lost

    def fits(side: int) -> bool:
        for _ in range(depth):
            side -= lost
            if side <= 0 or side % 2:
                return False
            side //= 2
        side -= lost
        for _ in range(depth):
            side = 2 * side - lost
        return side > 0

    return next(each for away in range(1 << 16) for each in (side - away, side + away) if fits(each))
