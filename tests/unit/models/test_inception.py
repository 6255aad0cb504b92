"""What the specs of the Inception networks share: rows, width, knobs that are refused, weights at the start."""

import pytest
import torch
from torch import nn

from visus.errors import ModelError
from visus.models import TINY, build_classifier
from visus.models.bn_inception import BNInception
from visus.models.googlenet import GoogLeNet
from visus.models.inception import Conv, Kit, MaxPool, Mixed, Shortcut, build_pyramid
from visus.models.inception_resnet import InceptionResNet
from visus.models.inception_v3 import AuxiliaryHead, InceptionV3
from visus.models.parts import BatchNorm
from visus.models.xception import Xception
from visus.nn import ConvNormAct


def test_rows_give_stages_with_their_channels_and_strides():
    inner = Mixed(((Conv(5, (1, 3)),), (Conv(6, (3, 1)),)))
    rows = [
        (Conv(4, 3, 2),),
        (Mixed(((Conv(3), inner), (MaxPool(), Conv(2)))), Mixed(((Conv(7, 3, 2),), (MaxPool(3, 2),)))),
        (Shortcut(Mixed(((Conv(4),), (Conv(2),))), 0.5), MaxPool(3, 2)),
    ]
    pyramid = build_pyramid(Kit(BatchNorm()), rows, 3).eval()
    assert pyramid.channels == (4, 7 + 13, 20)  # 13: the two inner branches, and the pool's
    assert pyramid.strides == (2, 4, 8)
    maps = pyramid.maps(torch.randn(1, 3, 32, 48))
    assert [tuple(each.shape[1:]) for each in maps] == [(4, 16, 24), (20, 8, 12), (20, 4, 6)]


@pytest.mark.parametrize(("width", "channels"), [(1.0, (64, 192)), (0.5, (32, 96)), (0.1, (8, 19)), (2.0, (128, 384))])
def test_width_scales_all_channels_but_keeps_eight(width, channels):
    with torch.device("meta"):
        assert BNInception(width=width).build((3, 64, 64)).channels[:2] == channels


def test_a_bias_stands_where_it_is_asked_for_and_where_no_normalisation_follows():
    for kit, norm, bias in (
        (Kit(BatchNorm()), nn.BatchNorm2d, False),
        (Kit(BatchNorm(), bias=True), nn.BatchNorm2d, True),
        (Kit(None), nn.Identity, True),
    ):
        layer, channels = Conv(8).build(kit, 3)
        assert isinstance(layer, ConvNormAct)
        assert isinstance(layer.norm, norm)
        assert (layer.conv.bias is not None, channels) == (bias, 8)


def test_without_normalisation_weights_are_scaled_by_the_fan_in():
    """He et al. 2015 (arXiv:1502.01852), equation 10: variance 2/n, n the inputs of a filter; here 9 · 256."""
    plain, _ = Conv(64, 3).build(Kit(None), 256)
    assert plain.conv.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.05)
    normed, _ = Conv(64, 3).build(Kit(BatchNorm()), 256)
    assert normed.conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)


def test_depthwise_layers_of_xception_start_as_wide_as_keras_draws_them():
    """Glorot & Bengio 2010: variance 2/(n_in + n_out), which Keras counts as 9·c_in and 9 in a depthwise kernel."""
    torch.manual_seed(0)
    backbone = Xception(stem=(8, 16), entry=(512,), middle=0, exit=8, last=(8, 8)).build((3, 16, 16))
    [layer, *_] = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.groups == 512]
    assert layer.weight.std().item() == pytest.approx((2 / (9 * 512 + 9)) ** 0.5, rel=0.05)


def test_maps_of_googlenet_keep_their_spread_from_the_first_stage_to_the_last():
    torch.manual_seed(0)
    backbone = GoogLeNet(width=0.5).build((3, 96, 96))
    with torch.no_grad():
        spread = [found.square().mean().sqrt().item() for found in backbone.outputs(torch.randn(2, 3, 96, 96))]
    # each of 19 convolutions in a row keeps it; a pooling takes the largest of nine, and there are 13
    assert all(0.5 < each < 20 for each in spread)


@pytest.mark.parametrize(
    ("spec", "heads"),
    [
        (GoogLeNet(width=0.1), {}),
        (InceptionV3(width=0.02), {}),
        (TINY["googlenet"], {"3", "4"}),
        (TINY["inception_v3"], {"3"}),
    ],
    ids=["googlenet", "inception_v3", "googlenet with heads", "inception_v3 with a head"],
)
def test_auxiliary_heads_are_there_when_asked_for(spec, heads):
    with torch.device("meta"):
        model = build_classifier(spec, (3, 80, 80), 4)
    assert set(model.auxiliary) == set(heads)
    assert len(model.graded(torch.empty(2, 3, 80, 80, device="meta"))) == 1 + len(heads)


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        (GoogLeNet(width=0.1, last_pool=2), 15),  # torchvision names 15 as well
        (BNInception(width=0.02, projection=128), 1),
        (InceptionV3(width=0.02, auxiliary=AuxiliaryHead(channels=8, hidden=8)), 75),  # so do torchvision and Keras
        (Xception(stem=(4, 4), entry=(8,), middle=0, exit=8, last=(8, 8), padding="symmetric"), 7),
    ],
    ids=["googlenet", "bn_inception", "inception_v3", "xception"],
)
def test_the_least_size_of_other_readings(spec, least):
    model = build_classifier(spec, (3, least, least), 2).eval()
    assert all(scores.shape == (2, 2) for _, scores in model.graded(torch.randn(2, 3, least, least)))
    if least > 1:
        with pytest.raises(ModelError, match=f"{least - 1}×{least}") as raised:
            build_classifier(spec, (3, least - 1, least), 2)
        assert f"at least {least}×{least}" in raised.value.remedy


def test_an_xception_without_an_entry_flow_is_refused():
    with pytest.raises(ModelError, match="entry flow"):
        build_classifier(Xception(entry=()), (3, 32, 32), 2)


@pytest.mark.parametrize(
    "spec",
    [
        GoogLeNet(width=0.1, local_response="none", norm=BatchNorm(), large=3, last_pool=2),
        BNInception(width=0.02, bias=True, average="padded", dropout=0.2),
        InceptionV3(width=0.02, norm=BatchNorm(scale=False)),
        InceptionResNet(version="v2", depths=(1, 1, 1), width=0.02, norm=BatchNorm(scale=False)),
        Xception(stem=(4, 4), entry=(8, 8), middle=0, exit=8, last=(8, 8), padding="symmetric", dropout=0.0),
    ],
    ids=["googlenet", "bn_inception", "inception_v3", "inception_resnet", "xception"],
)
def test_other_settings_learn(spec):
    torch.manual_seed(0)
    model = build_classifier(spec, (3, 75, 75), 4).train()
    loss = nn.functional.cross_entropy(model(torch.randn(4, 3, 75, 75)), torch.arange(4))
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert loss.isfinite()
