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


@pytest.mark.parametrize("side", [188, 204, 508, 572])
def test_sides_that_can_be_halved_are_taken(side):
    model = on_meta(ValidUNetDecoder(), "unet", (1, side, side), 2)
    assert model(torch.empty(1, 1, side, side, device="meta")).shape == (1, 2, side - 184, side - 184)


@pytest.mark.parametrize(("side", "near"), [(512, 508), (570, 572), (150, 188)])
def test_other_sides_are_refused_with_the_nearest(side, near):
    with pytest.raises(ModelError, match=f"{side}×{side}") as raised:
        on_meta(ValidUNetDecoder(), "unet", (1, side, side), 2)
    assert f"--size {near}" in raised.value.remedy


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
