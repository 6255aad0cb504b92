"""The facts that Visus is built on, of networks for every pixel: SPEC §6, "convolutional encoder (pooling, strides) and
decoder (unpooling, strided transposed convolution); U-Net with skip connections (the 2015 valid-convolution net 572 →
388, and a same-size one)"."""

import pytest
import torch
from torch import nn

from visus.models import CATALOG
from visus.models.decoders import FCN, SegNet, UNetDecoder, ValidUNetDecoder


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def on_meta(decoder, name: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    with torch.device("meta"):
        return decoder.build(CATALOG[name].spec, shape, outputs).eval()


def test_the_published_unet_is_figure_1_of_its_paper():
    # arXiv:1505.04597, figure 1, layer by layer: two 3×3 convolutions of 64, 128, 256, 512, 1024 channels, 2×2
    # up-convolutions to half of them, two convolutions of what stands side by side, and 1×1 to two classes
    def two(c_in: int, c_out: int) -> int:
        return 9 * c_in * c_out + c_out + 9 * c_out * c_out + c_out

    down = two(1, 64) + two(64, 128) + two(128, 256) + two(256, 512) + two(512, 1024)
    up = sum(4 * 2 * c * c + c + two(2 * c, c) for c in (512, 256, 128, 64))
    assert down + up + 64 * 2 + 2 == 31_030_658
    model = on_meta(ValidUNetDecoder(), "unet", (1, 572, 572), 2)
    assert count(model) == 31_030_658
    x = torch.empty(1, 1, 572, 572, device="meta")
    assert [tuple(each.shape[1:]) for each in model.backbone.maps(x)] == [
        (64, 568, 568), (128, 280, 280), (256, 136, 136), (512, 64, 64), (1024, 28, 28)
    ]  # fmt: skip
    assert model(x).shape == (1, 2, 388, 388)
    convolutions = [each for each in model.modules() if isinstance(each, (nn.Conv2d, nn.ConvTranspose2d))]
    assert len(convolutions) == 23  # "In total the network has 23 convolutional layers."


@pytest.mark.parametrize("skips", [0, 1, 2])
def test_fcn_over_vgg16_has_the_papers_parameters(skips):
    # arXiv:1411.4038, table 1: FCN-VGG16, 134 million. VGG-16 has 138,357,544, of which the last layer 4,097,000
    found = count(on_meta(FCN(skips=skips), "vgg16", (3, 500, 375), 21))
    assert round(found / 1e6) == 134
    scores = 4096 * 21 + 21 + sum(512 // 2**skip * 21 + 21 + 21 * 4 * 4 for skip in range(skips))
    assert found == 138_357_544 - 4_097_000 + scores
    model = on_meta(FCN(skips=skips), "vgg16", (3, 500, 375), 21)
    assert model(torch.empty(1, 3, 500, 375, device="meta")).shape == (1, 21, 500, 375)


def test_segnet_over_vgg16_is_the_papers():
    # arXiv:1511.00561: an encoder of 14.7 million parameters, 13 convolutions each way; 29.45 million in all
    model = on_meta(SegNet(), "vgg16_bn", (3, 360, 480), 12)
    assert round(count(model.backbone) / 1e6, 1) == 14.7
    assert round(count(model) / 1e6, 2) == 29.45
    assert sum(isinstance(each, nn.Conv2d) for each in model.modules()) == 26
    assert model(torch.empty(1, 3, 360, 480, device="meta")).shape == (1, 12, 360, 480)


def test_the_same_size_unet_has_the_image_size():
    model = on_meta(UNetDecoder(), "unet_same", (1, 500, 375), 2)
    assert model(torch.empty(1, 1, 500, 375, device="meta")).shape == (1, 2, 500, 375)
