"""Inverted residuals, their gates and the rounding of channels."""

import pytest
import torch
from torch import nn

from visus.errors import ModelError
from visus.models import build_classifier
from visus.models.efficientnet import EfficientNet
from visus.models.inverted import ChannelGate, Inverted, inverted_residual, inverted_stages, round_channels
from visus.models.mobilenet_v1 import MobileNetV1
from visus.models.mobilenet_v2 import MobileNetV2
from visus.models.mobilenet_v3 import MobileNetV3
from visus.models.parts import BatchNorm
from visus.nn import ConvNormAct, DropPath, Gate, Residual, TensorFlowPad


@pytest.mark.parametrize("divisor", [1, 2, 8, 16])
def test_channels_are_rounded_to_the_nearest_multiple_but_never_below_nine_tenths(divisor):
    for asked in (number / 4 for number in range(1, 4000)):
        found = round_channels(asked, divisor)
        assert found % divisor == 0
        assert found >= divisor
        assert found >= 0.9 * asked
        nearest = abs(found - asked) <= divisor / 2 or found == divisor
        assert nearest or found - divisor < 0.9 * asked  # rounded up, since the nearest was too few


@pytest.mark.parametrize(
    ("asked", "found"),
    # by hand: 11.2 → 8, which is under 10.08 → 16; 8.4 → 8; 33.6 → 32; 18 → 16, which is under 16.2 → 24; 36 → 40
    [(11.2, 16), (8.4, 8), (33.6, 32), (18, 24), (36, 40), (1, 8), (44.8, 48)],
)
def test_channels_are_rounded_to_multiples_of_eight(asked, found):
    assert round_channels(asked) == found


def test_a_block_is_a_branch_with_or_without_its_input_added():
    for c_in, c_out, stride, added in ((8, 8, 1, True), (8, 8, 2, False), (8, 6, 1, False)):
        block = inverted_residual(c_in, 16, c_out, 3, stride, conv=ConvNormAct, act="relu").eval()
        x = torch.randn(2, c_in, 6, 8)
        branch = block.branch(x)
        assert branch.shape == (2, c_out, 6 // stride, 8 // stride)
        assert isinstance(block, Residual) == added
        assert torch.equal(block(x), branch + x if added else branch)
        assert {name.split(".")[0] for name, _ in block.named_parameters()} == {"branch"}


def test_the_first_convolution_is_left_out_where_it_would_keep_the_channels():
    sizes = [
        [m.kernel_size for m in inverted_residual(8, inner, 8, 5, 1, conv=ConvNormAct, act="relu").modules()
         if isinstance(m, nn.Conv2d)]
        for inner in (8, 24)
    ]  # fmt: skip
    assert sizes == [[(5, 5), (1, 1)], [(1, 1), (5, 5), (1, 1)]]


@pytest.mark.parametrize("size", [3, 5])
def test_depthwise_convolutions_start_with_hes_spread(size):
    # He et al. 2015 (arXiv:1502.01852), equation 14: the variance is 2 over the fan-out, here size² numbers of one map
    torch.manual_seed(0)
    for layer in (
        inverted_residual(256, 512, 256, size, 1, conv=ConvNormAct, act="relu").branch[1],
        MobileNetV1(stem=512, widths=(8,), depths=(1,)).build((3, 8, 8)).stages[1][0][0],
    ):
        f = layer.conv.kernel_size[0]
        assert layer.conv.groups == 512
        assert layer.conv.weight.std().item() == pytest.approx((2 / f**2) ** 0.5, rel=0.05)


@pytest.mark.parametrize(("of", "squeezed"), [("input", 4), ("inner", 12)])
def test_a_gate_squeezes_a_share_of_the_channels_in_or_of_the_inner_ones(of, squeezed):
    gate = ChannelGate(of=of, act="relu", scale="hardsigmoid", ratio=0.25, divisor=2)
    block = inverted_residual(16, 48, 16, 3, 1, conv=ConvNormAct, act="relu", gate=gate)
    [found] = [m for m in block.modules() if isinstance(m, Gate)]
    assert (found.squeeze.in_channels, found.squeeze.out_channels, found.excite.out_channels) == (48, squeezed, 48)
    assert [type(m) for m in (found.act, found.scale)] == [nn.ReLU, nn.Hardsigmoid]


def test_stochastic_depth_grows_from_block_to_block():
    rows = (Inverted(channels=4, expand=1, depth=2), Inverted(channels=6, expand=2, stride=2, depth=3))
    stages = inverted_stages(rows, 4, conv=ConvNormAct, act="relu", drop=0.5)
    drops = [getattr(block, "drop", None) for stage in stages for block in stage]
    # of five blocks the i-th has 0.5 · i/5; the first keeps all, the third has no input to add
    assert [each.rate if isinstance(each, DropPath) else None for each in drops] == [
        None, pytest.approx(0.1), None, pytest.approx(0.3), pytest.approx(0.4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        MobileNetV1(widths=(8, 8), depths=(1,)),
        MobileNetV1(widths=(), depths=()),
        MobileNetV2(rows=()),
        MobileNetV3(stages=()),
        MobileNetV3(stages=((),)),
        EfficientNet(rows=()),
    ],
    ids=str,
)
def test_settings_that_make_no_network_are_refused(spec):
    with pytest.raises(ModelError):
        build_classifier(spec, (3, 32, 32), 3)


@pytest.mark.parametrize(
    "spec", [MobileNetV1(), MobileNetV2(), MobileNetV3(), EfficientNet()], ids=lambda spec: type(spec).__name__
)
def test_the_readings_of_published_weights_are_values(spec):
    changed = type(spec)(padding="tensorflow", norm=BatchNorm(eps=0.5, momentum=0.25), dropout=0.0)
    with torch.device("meta"):
        plain, other = (build_classifier(each, (3, 64, 64), 7) for each in (spec, changed))
    norms = [m for m in other.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(0.5, 0.25)}
    strided = [m for m in other.modules() if isinstance(m, ConvNormAct) and m.conv.stride == (2, 2)]
    assert len(strided) == 5
    assert all(isinstance(m.pad, TensorFlowPad) and m.conv.padding == (0, 0) for m in strided)
    assert not any(isinstance(m, TensorFlowPad) for m in plain.modules())
    assert any(isinstance(m, nn.Dropout) for m in plain.head)
    assert not any(isinstance(m, nn.Dropout) for m in other.head)
    count = [sum(p.numel() for p in model.parameters()) for model in (plain, other)]
    assert count[0] == count[1]
