"""MobileNets and EfficientNet beside the same networks written out by hand, with the same weights."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.models import Network, build_classifier
from visus.models.efficientnet import EfficientNet
from visus.models.inverted import ChannelGate, Inverted
from visus.models.mobilenet_v1 import MobileNetV1
from visus.models.mobilenet_v2 import MobileNetV2
from visus.models.mobilenet_v3 import Bneck, MobileNetV3
from visus.models.parts import BatchNorm

SHAPE = (3, 40, 35)
readings = pytest.mark.parametrize(
    ("padding", "eps"), [("symmetric", 1e-5), ("tensorflow", 1e-3)], ids=["symmetric", "tensorflow"]
)


def trained(spec: Network) -> tuple[nn.Module, Iterator[Tensor]]:
    """The network with statistics that aren't those of the start, and its stored tensors in order."""
    torch.manual_seed(0)
    model = build_classifier(spec, SHAPE, 3)
    for _ in range(3):
        model(torch.randn(8, *SHAPE))
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.5)
    model.eval()
    return model, iter(model.state_dict().values())


def sides(n: int, f: int, s: int, padding: str) -> tuple[int, int]:
    """Pixels before and after, by the TensorFlow documentation of "SAME", or half of the window."""
    if padding == "symmetric":
        return f // 2, f // 2
    whole = max(f - s, 0) if n % s == 0 else max(f - n % s, 0)
    return whole // 2, whole - whole // 2


class Hand:
    """Convolution and normalisation by running statistics, with the next of the stored tensors."""

    def __init__(self, weights: Iterator[Tensor], padding: str, eps: float) -> None:
        self.weights, self.padding, self.eps = weights, padding, eps

    def __call__(self, x: Tensor, stride: int = 1) -> Tensor:
        """A kernel for one map in, in a stack of several, is a depthwise one."""
        kernel, gamma, beta, mean, variance, _ = (next(self.weights) for _ in range(6))
        f, c = kernel.shape[2], (1, -1, 1, 1)
        x = F.pad(x, (*sides(x.shape[3], f, stride, self.padding), *sides(x.shape[2], f, stride, self.padding)))
        x = F.conv2d(x, kernel, stride=stride, groups=x.shape[1] // kernel.shape[1])
        return (x - mean.view(c)) / (variance.view(c) + self.eps).sqrt() * gamma.view(c) + beta.view(c)

    def gate(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The means, and the two layers' weights with their biases in the last column."""
        w1, b1, w2, b2 = (next(self.weights) for _ in range(4))
        return (
            x.mean((2, 3)),
            torch.cat([w1.flatten(1), b1[:, None]], 1),
            torch.cat([w2.flatten(1), b2[:, None]], 1),
        )


def affine(x: Tensor, matrix: Tensor) -> Tensor:
    return x @ matrix[:, :-1].T + matrix[:, -1]


def relu6(x: Tensor) -> Tensor:
    return x.clamp(0, 6)


def hard_swish(x: Tensor) -> Tensor:
    return x * relu6(x + 3) / 6


def swish(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


@readings
@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_mobilenet_v1(padding, eps, activation):
    spec = MobileNetV1(
        alpha=0.5,
        stem=9,
        widths=(12, 16),
        depths=(1, 2),
        padding=padding,
        norm=BatchNorm(eps=eps),
        activation=activation,
    )
    model, weights = trained(spec)
    conv, act = Hand(weights, padding, eps), {"relu": torch.relu, "relu6": relu6}[activation]
    x = given = torch.randn(2, *SHAPE) * 3
    x = act(conv(x, 2))
    assert x.shape == (2, 4, 20, 18)  # half of 9, rounded down
    for channels, stride in ((6, 1), (8, 2), (8, 1)):
        x = act(conv(act(conv(x, stride))))
        assert x.shape[1] == channels
    matrix, bias = weights
    assert torch.allclose(model(given), x.mean((2, 3)) @ matrix.T + bias, atol=1e-4)


@readings
def test_mobilenet_v2(padding, eps):
    rows = (Inverted(expand=1, channels=6), Inverted(expand=3, channels=10, stride=2, depth=2))
    spec = MobileNetV2(alpha=0.5, rows=rows, stem=8, top=12, divisor=1, padding=padding, norm=BatchNorm(eps=eps))
    model, weights = trained(spec)
    conv = Hand(weights, padding, eps)
    x = given = torch.randn(2, *SHAPE) * 3
    x = relu6(conv(x, 2))
    x = conv(relu6(conv(x)))  # 4 → 3 channels, without the first 1×1
    x = conv(relu6(conv(relu6(conv(x)), 2)))  # 3 → 9 → 5 channels
    x = x + conv(relu6(conv(relu6(conv(x)))))
    x = relu6(conv(x))
    assert x.shape == (2, 12, 10, 9)  # alpha below 1 leaves the last convolution as it is
    matrix, bias = weights
    assert torch.allclose(model(given), x.mean((2, 3)) @ matrix.T + bias, atol=1e-4)


@readings
def test_mobilenet_v3(padding, eps):
    gate = ChannelGate(of="inner", act="relu", scale="hardsigmoid")
    spec = MobileNetV3(
        stages=(
            (Bneck(size=3, inner=4, channels=4, act="relu", stride=2, gate=gate),),
            (
                Bneck(size=5, inner=12, channels=6, act="hardswish", stride=2),
                Bneck(size=5, inner=18, channels=6, act="hardswish", gate=gate),
            ),
        ),
        stem=4, top=16, wide=9, divisor=1, padding=padding, norm=BatchNorm(eps=eps),
    )  # fmt: skip
    model, weights = trained(spec)
    conv = Hand(weights, padding, eps)

    def gated(x: Tensor) -> Tensor:
        mean, squeeze, excite = conv.gate(x)
        return x * (relu6(affine(torch.relu(affine(mean, squeeze)), excite) + 3) / 6)[:, :, None, None]

    x = given = torch.randn(2, *SHAPE)
    x = hard_swish(conv(x, 2))
    x = conv(gated(torch.relu(conv(x, 2))))
    x = conv(hard_swish(conv(hard_swish(conv(x)), 2)))
    x = x + conv(gated(hard_swish(conv(hard_swish(conv(x))))))
    x = hard_swish(conv(x)).mean((2, 3))
    assert x.shape == (2, 16)
    wide, wide_bias, matrix, bias = weights
    x = hard_swish(x @ wide.T + wide_bias)
    assert torch.allclose(model(given), x @ matrix.T + bias, atol=1e-4)


@readings
def test_efficientnet(padding, eps):
    rows = (Inverted(expand=1, channels=4), Inverted(expand=3, channels=6, size=5, stride=2))
    spec = EfficientNet(
        width=1.5, depth=1.2, rows=rows, stem=8, top=10, divisor=1, padding=padding, norm=BatchNorm(eps=eps)
    )
    model, weights = trained(spec)
    conv = Hand(weights, padding, eps)

    def gated(x: Tensor, squeezed: int) -> Tensor:
        mean, squeeze, excite = conv.gate(x)
        assert len(squeeze) == squeezed
        return x * torch.sigmoid(affine(swish(affine(mean, squeeze)), excite))[:, :, None, None]

    x = given = torch.randn(2, *SHAPE)
    x = swish(conv(x, 2))
    assert x.shape[1] == 12
    x = conv(gated(swish(conv(x)), 3))  # a quarter of the 12 channels in; each row has two blocks: 1.2 rounded up
    x = x + conv(gated(swish(conv(x)), 1))  # 6/4 rounded down
    x = conv(gated(swish(conv(swish(conv(x)), 2)), 1))
    x = x + conv(gated(swish(conv(swish(conv(x)))), 2))  # 9/4 rounded down
    x = swish(conv(x)).mean((2, 3))
    assert x.shape == (2, 15)
    matrix, bias = weights
    assert torch.allclose(model(given), x @ matrix.T + bias, atol=1e-4)


@readings
def test_efficientnet_lite(padding, eps):
    rows = (Inverted(expand=1, channels=4), Inverted(expand=2, channels=6, stride=2), Inverted(expand=2, channels=8))
    spec = EfficientNet(
        width=1.5, depth=2, rows=rows, scaling="lite", stem=5, top=10, divisor=1, activation="relu6", squeeze=0.0,
        padding=padding, norm=BatchNorm(eps=eps),
    )  # fmt: skip
    model, weights = trained(spec)
    conv = Hand(weights, padding, eps)
    x = given = torch.randn(2, *SHAPE) * 3
    x = relu6(conv(x, 2))
    assert x.shape[1] == 5  # the stem, the first and the last row and the last convolution aren't scaled …
    x = conv(relu6(conv(x)))
    x = conv(relu6(conv(relu6(conv(x)), 2)))
    x = x + conv(relu6(conv(relu6(conv(x)))))
    x = conv(relu6(conv(relu6(conv(x)))))
    assert x.shape[1] == 12  # … but for the rows' channels
    x = relu6(conv(x)).mean((2, 3))
    assert x.shape == (2, 10)
    matrix, bias = weights
    assert torch.allclose(model(given), x @ matrix.T + bias, atol=1e-4)
