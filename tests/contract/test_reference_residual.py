"""Residual and densely connected networks beside the same networks written out by hand, with the same weights."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.models import build_classifier
from visus.models.densenet import BottleneckLayer, DenseNet, PlainLayer
from visus.models.parts import BatchNorm
from visus.models.resnet import Basic, Bottleneck, PreActivation, ResNet, SqueezeExcite
from visus.models.stems import DeepStem, LargeStem, SmallStem

SIDES = (40, 35)


def settled(spec: ResNet | DenseNet, lower: float = 0) -> nn.Module:
    """With statistics that aren't those of the start, and biases and factors that aren't 0 and 1. lower: what is taken
    from the stem's bias, so that few of its values are above zero."""
    torch.manual_seed(0)
    model = build_classifier(spec, (3, *SIDES), 3)
    for name, value in model.named_parameters():
        if value.ndim == 1:
            nn.init.uniform_(value, -0.5, 0.5)
            value.data += name.endswith("norm.weight") - lower * (name == "backbone.stages.0.0.conv.bias")
    for _ in range(3):
        model(torch.randn(8, 3, *SIDES))
    return model.eval()


class ByHand:
    """Takes the stored tensors one after another, in the order in which the network uses them."""

    def __init__(self, model: nn.Module, eps: float = 1e-5) -> None:
        self.left, self.eps = list(model.state_dict().values()), eps

    def conv(self, x: Tensor, stride: int = 1, *, groups: int = 1, bias: bool = False) -> Tensor:
        kernel = self.left.pop(0)
        found = F.conv2d(x, kernel, None, stride, kernel.shape[2] // 2, groups=groups)
        return found + self.left.pop(0).view(1, -1, 1, 1) if bias else found

    def norm(self, x: Tensor) -> Tensor:
        gamma, beta, mean, variance = (self.left.pop(0).view(1, -1, 1, 1) for _ in range(4))
        self.left.pop(0)  # the number of batches
        return (x - mean) / (variance + self.eps).sqrt() * gamma + beta

    def act(self, x: Tensor) -> Tensor:
        return self.norm(x).clamp_min(0)

    def gate(self, x: Tensor) -> Tensor:
        w1, b1, w2, b2 = (self.left.pop(0) for _ in range(4))
        hidden = (x.mean((2, 3)) @ w1.flatten(1).T + b1).clamp_min(0)
        return x * torch.sigmoid(hidden @ w2.flatten(1).T + b2)[..., None, None]

    def scores(self, x: Tensor) -> Tensor:
        matrix, bias = self.left
        return x.mean((2, 3)) @ matrix.T + bias


def pooled(x: Tensor, beyond: float) -> Tensor:
    return F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=beyond), 3, 2)


@pytest.mark.parametrize("end", ["activated", "bare"])
@pytest.mark.parametrize("block", [Basic(), Bottleneck()], ids=["basic", "bottleneck"])
def test_preact_resnet(block, end):
    """He et al. 2016, figure 1b; with "activated" the first activation stands before the pooling, right after conv1
    (the paper, appendix), with "bare" behind it (timm)."""
    spec = ResNet(depths=(2, 1), widths=(4, 6), block=block, stem=LargeStem(channels=5, end=end), order=PreActivation())
    model, given = settled(spec), torch.randn(2, 3, *SIDES)
    hand = ByHand(model)
    x = hand.conv(given, 2)
    x = pooled(hand.act(x) if end == "activated" else x, -torch.inf)
    for stride, own, project in ((1, end == "bare", True), (1, True, False), (2, True, True)):
        y = a = hand.act(x) if own else x
        if isinstance(block, Basic):
            y = hand.conv(hand.act(hand.conv(y, stride)))
        else:
            y = hand.conv(hand.act(hand.conv(hand.act(hand.conv(y)), stride)))
        x = y + (hand.conv(a, stride) if project else x)
    assert torch.allclose(model(given), hand.scores(hand.act(x)), atol=1e-4)


def test_wide_resnet_for_small_images():
    """Zagoruyko & Komodakis 2016, table 1: pre-activation, 3×3 and 3×3, a 1×1 shortcut where the width changes."""
    spec = ResNet(
        depths=(2, 1), widths=(6, 8), stem=SmallStem(channels=4, end="bare"), order=PreActivation(dropout=0.3)
    )
    model, given = settled(spec), torch.randn(2, 3, *SIDES)
    hand = ByHand(model)
    x = hand.conv(given)
    for stride, project in ((1, True), (1, False), (2, True)):
        a = hand.act(x)
        y = hand.conv(hand.act(hand.conv(a, stride)))
        x = y + (hand.conv(a, stride) if project else x)
    assert torch.allclose(model(given), hand.scores(hand.act(x)), atol=1e-4)


def test_keras_resnet():
    """keras.applications.ResNet50: biases everywhere, the stride in the first 1×1, zeros around the pooling."""
    spec = ResNet(
        depths=(1, 2), widths=(4, 6), block=Bottleneck(stride="first"), stem=LargeStem(channels=5), bias="all",
        norm=BatchNorm(eps=1e-3),
    )  # fmt: skip
    model, given = settled(spec), torch.randn(2, 3, *SIDES)
    hand = ByHand(model, eps=1e-3)
    x = pooled(hand.act(hand.conv(given, 2, bias=True)), 0)
    for stride, project in ((1, True), (2, True), (1, False)):
        y = hand.act(hand.conv(x, stride, bias=True))
        y = hand.act(hand.conv(y, bias=True))
        y = hand.norm(hand.conv(y, bias=True))
        x = (y + (hand.norm(hand.conv(x, stride, bias=True)) if project else x)).clamp_min(0)
    assert torch.allclose(model(given), hand.scores(x), atol=1e-4)


def test_keras_preact_resnet():
    """keras.applications.ResNet50V2: zeros around the pooling of values that no ReLU has seen; the last unit of a stage
    has the stride, and its shortcut takes every second pixel; biases where no normalisation follows."""
    spec = ResNet(
        depths=(2, 3, 2), widths=(4, 6, 4), block=Bottleneck(), stem=LargeStem(channels=5, pool="zeros", end="bare"),
        shortcut="sample", order=PreActivation(), downsample="last", bias="open",
    )  # fmt: skip
    model, given = settled(spec, lower=3), torch.randn(2, 3, *SIDES)
    hand = ByHand(model)
    x = pooled(hand.conv(given, 2, bias=True), 0)
    for strides in ((1, 2), (1, 1, 2), (1, 1)):
        for number, stride in enumerate(strides):
            a = hand.act(x)
            y = hand.conv(hand.act(hand.conv(hand.act(hand.conv(a)), stride)), bias=True)
            x = y + (x[..., ::stride, ::stride] if number else hand.conv(a, bias=True))
    assert torch.allclose(model(given), hand.scores(hand.act(x)), atol=1e-4)
    assert [tuple(each.shape[1:]) for each in model.backbone.maps(given)] == [
        (5, 10, 9), (16, 5, 5), (24, 3, 3), (16, 3, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("pool", ["symmetric", "ceil"])
def test_senet154(pool):
    """Hu et al. 2017, appendix: three 3×3 in the stem, half as many channels in the first 1×1, 3×3 at stride 2 in the
    shortcut; "ceil" pools as Caffe does."""
    spec = ResNet(
        depths=(1, 2), widths=(4, 8), block=Bottleneck(groups=2, width=2, first=0.5),
        stem=DeepStem(inner=(4, 5), channels=6, pool=pool), gate=SqueezeExcite(reduction=4), shortcut="project-3x3",
        dropout=0.2,
    )  # fmt: skip
    model, given = settled(spec), torch.randn(2, 3, *SIDES)
    hand = ByHand(model)
    x = hand.act(hand.conv(hand.act(hand.conv(hand.act(hand.conv(given, 2)))), 1))
    assert x.shape[2:] == (20, 18)
    # Caffe's windows begin at the first pixel; of 20 and 18 the last is cut off by one
    x = pooled(x, 0) if pool == "symmetric" else F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)
    for stride, project in ((1, True), (2, True), (1, False)):
        y = hand.act(hand.conv(x))
        y = hand.act(hand.conv(y, stride, groups=2))
        y = hand.gate(hand.norm(hand.conv(y)))
        x = (y + (hand.norm(hand.conv(x, stride)) if project else x)).clamp_min(0)
    assert torch.allclose(model(given), hand.scores(x), atol=1e-4)


def test_bottleneck_convolutions_of_senet154():
    with torch.device("meta"):
        spec = ResNet(depths=(1, 1), widths=(4, 8), block=Bottleneck(width=2, first=0.5), shortcut="project-3x3")
        stages = spec.build((3, 64, 64)).stages
    assert [(c.conv.in_channels, c.conv.out_channels) for c in stages[2][0].branch] == [(16, 8), (8, 16), (16, 32)]
    assert [stage[0].skip.conv.kernel_size for stage in stages[1:]] == [(1, 1), (3, 3)]


@pytest.mark.parametrize("layer", [PlainLayer(), BottleneckLayer(factor=2)], ids=["plain", "bottleneck"])
@pytest.mark.parametrize("stem", [LargeStem(channels=6), SmallStem(channels=6, end="bare")], ids=["large", "small"])
def test_densenet(layer, stem):
    """Huang et al. 2016, §3: H is normalisation, ReLU, convolution; a transition is the same and pooling."""
    spec = DenseNet(depths=(2, 3), growth=4, layer=layer, compression=0.5, stem=stem, norm=BatchNorm(eps=1e-3))
    model, given = settled(spec), torch.randn(2, 3, *SIDES)
    hand = ByHand(model, eps=1e-3)
    x = pooled(hand.act(hand.conv(given, 2)), 0) if isinstance(stem, LargeStem) else hand.conv(given)
    for block, depth in enumerate((2, 3)):
        x = F.avg_pool2d(hand.conv(hand.act(x)), 2) if block else x
        for _ in range(depth):
            y = hand.conv(hand.act(x))
            y = y if isinstance(layer, PlainLayer) else hand.conv(hand.act(y))
            x = torch.cat([x, y], 1)
    assert x.shape[1] == (6 + 2 * 4) // 2 + 3 * 4
    assert torch.allclose(model(given), hand.scores(hand.act(x)), atol=1e-4)


def test_dropout_of_a_densenet_follows_each_convolution_but_the_stems():
    """The paper, §4.2: "a dropout layer after each convolutional layer (except the first one)"."""
    spec = DenseNet(depths=(2, 3), growth=4, stem=SmallStem(channels=6, end="bare"), dropout=0.2)
    with torch.device("meta"):
        modules = [m for m in spec.build((3, 8, 8)).modules() if isinstance(m, nn.Conv2d | nn.Dropout)]
        plain = DenseNet(depths=(2, 3), growth=4, stem=SmallStem(channels=6, end="bare")).build((3, 8, 8))
    assert isinstance(modules[0], nn.Conv2d)
    for conv, drop in list(pairwise(modules[1:]))[::2]:
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(drop, nn.Dropout)
    assert sum(isinstance(m, nn.Dropout) for m in modules) == 2 * (2 + 3) + 1
    assert list(spec.build((3, 8, 8)).state_dict()) == list(plain.state_dict())
