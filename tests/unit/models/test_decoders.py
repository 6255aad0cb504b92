"""Decoders by their papers' numbers, and over every network of the catalog."""

import pytest
import torch
from torch import nn

from visus.errors import ModelError
from visus.models import CATALOG, TINY
from visus.models.decoders import FCN, SegNet, UNetDecoder, ValidUNetDecoder
from visus.models.parts import BatchNorm
from visus.models.unet import UNet

FLAT = {"mlp", "transformer"}  # of vectors, and of the rows of an image
FIRST = {card.family: name for name, card in reversed(CATALOG.items()) if card.family not in FLAT}


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


@pytest.mark.parametrize("side", [188, 204, 508, 572])
def test_sides_that_can_be_halved_are_taken(side):
    model = on_meta(ValidUNetDecoder(), "unet", (1, side, side), 2)
    assert model(torch.empty(1, 1, side, side, device="meta")).shape == (1, 2, side - 184, side - 184)


@pytest.mark.parametrize(("side", "near"), [(512, 508), (570, 572), (150, 188)])
def test_other_sides_are_refused_with_the_nearest(side, near):
    with pytest.raises(ModelError, match=f"{side}×{side}") as raised:
        on_meta(ValidUNetDecoder(), "unet", (1, side, side), 2)
    assert f"--size {near}" in raised.value.remedy


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


@pytest.mark.parametrize("name", FIRST.values())
def test_a_unet_over_every_family_answers_at_the_images_size(name):
    card = CATALOG[name]
    model = on_meta(UNetDecoder(), name, card.input, 3)
    assert model(torch.empty(2, *card.input, device="meta")).shape == (2, 3, *card.input[1:])


@pytest.mark.parametrize("family", ["vgg", "resnet", "unet", "lenet5"])
def test_every_parameter_of_a_unet_learns(family):
    torch.manual_seed(0)
    shape = (1, 48, 46) if family == "lenet5" else (3, 48, 46)
    model = UNetDecoder(width=4).build(TINY[family], shape, 3)
    model(torch.randn(2, *shape)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_unets_steps_follow_the_strides():
    model = UNetDecoder(width=8, most=32).build(UNet(widths=(4, 8, 16, 16), padding="same"), (3, 32, 32), 2)
    assert model.steps == ((4, 2), (2, 1), (1, 0))
    assert [block[0].conv.out_channels for block in model.blocks] == [32, 16, 8]
    assert [block[0].conv.in_channels for block in model.blocks] == [32, 40, 20]


@pytest.mark.parametrize(
    ("decoder", "name", "problem"),
    [
        (UNetDecoder(), "mlp", "no maps"),
        (ValidUNetDecoder(), "resnet18", "belongs to the network unet"),
        (SegNet(), "resnet18", "poolings of VGG"),
        (FCN(), "vit_tiny_patch16", "strides double"),
    ],
)
def test_networks_that_a_decoder_cant_stand_on_are_refused(decoder, name, problem):
    with pytest.raises(ModelError, match=problem) as raised:
        on_meta(decoder, name, CATALOG[name].input, 2)
    assert raised.value.remedy


@pytest.mark.parametrize("decoder", [UNetDecoder(), ValidUNetDecoder(), FCN(), SegNet()])
def test_vectors_are_refused(decoder):
    with pytest.raises(ModelError, match="vectors"):
        decoder.build(TINY["unet"], (12,), 2)


def test_the_paper_has_no_normalisation_and_ours_may():
    with torch.device("meta"):
        plain = UNet(widths=(4, 8)).build((1, 32, 32))
        normed = UNet(widths=(4, 8), norm=BatchNorm()).build((1, 32, 32))
    assert not any(isinstance(each, nn.BatchNorm2d) for each in plain.modules())
    assert sum(isinstance(each, nn.BatchNorm2d) for each in normed.modules()) == 4


def test_weights_start_with_the_papers_deviation():
    # §3: "a Gaussian distribution with a standard deviation of √(2/N), where N denotes the number of incoming nodes"
    torch.manual_seed(0)
    model = UNet(widths=(64, 64)).build((1, 48, 48))
    weight = model.stages[1][1].conv.weight
    assert weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
