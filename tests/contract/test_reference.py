"""The builders beside the same networks written out by hand, with the same weights."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from visus.models import TINY, build_classifier
from visus.models.lenet import C3_TABLE, LeNet5
from visus.models.resnet import Basic, Bottleneck, LargeStem, ResNet


def conv_norm(x: Tensor, weights: Iterator[Tensor], stride: int = 1) -> Tensor:
    """Convolution and normalisation by running statistics; the next five of the stored tensors."""
    kernel, gamma, beta, mean, variance, _ = (next(weights) for _ in range(6))
    x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)
    shape = (1, -1, 1, 1)
    return (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt() * gamma.view(shape) + beta.view(shape)


@pytest.mark.parametrize("block", [Basic(), Bottleneck()], ids=["basic", "bottleneck"])
def test_resnet(block):
    spec = ResNet(depths=(2, 1), widths=(4, 6), block=block, stem=LargeStem(channels=5))
    torch.manual_seed(0)
    model = build_classifier(spec, (3, 40, 36), 3)
    for _ in range(3):
        model(torch.randn(8, 3, 40, 36))  # so that the statistics are not those of the start
    model.eval()
    weights = iter(model.state_dict().values())
    x = given = torch.randn(2, 3, 40, 36)
    x = F.max_pool2d(F.pad(conv_norm(x, weights, 2).relu(), (1, 1, 1, 1)), 3, 2)  # after relu, zeros are as good as −∞
    for stride, first in ((1, True), (1, False), (2, True)):
        if isinstance(block, Basic):
            y = conv_norm(x, weights, stride).relu()
            y = conv_norm(y, weights)
        else:
            y = conv_norm(x, weights).relu()
            y = conv_norm(y, weights, stride).relu()
            y = conv_norm(y, weights)
        x = (y + (conv_norm(x, weights, stride) if first else x)).relu()
    matrix, bias = weights
    assert torch.allclose(model(given), x.mean((2, 3)) @ matrix.T + bias, atol=1e-4)


def test_lenet5_as_the_paper_has_it():
    torch.manual_seed(0)
    model = build_classifier(TINY["lenet5"], (1, 32, 32), 10).eval()
    c1, c1_bias, s2, s2_bias, c3, c3_bias, s4, s4_bias, c5, c5_bias, f6, f6_bias, codes = model.state_dict().values()

    def f(x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)

    x = given = torch.randn(2, 1, 32, 32)
    x = f(F.conv2d(x, c1, c1_bias))
    x = f(F.avg_pool2d(x, 2) * s2 + s2_bias)
    kernels, maps = iter(c3), []
    for row, seen in enumerate(C3_TABLE):
        maps.append(sum(F.conv2d(x[:, each, None], next(kernels)[None, None]) for each in seen) + c3_bias[row])
    x = f(F.avg_pool2d(f(torch.cat(maps, 1)), 2) * s4 + s4_bias)
    x = f(x.flatten(1) @ c5.flatten(1).T + c5_bias)
    x = f(x @ f6.T + f6_bias)
    wanted = -torch.cdist(x, codes).square() / 16
    assert torch.allclose(model(given), wanted, atol=1e-3)


def test_lenet5_in_its_common_form_is_the_usual_seven_layers():
    torch.manual_seed(0)
    spec = LeNet5(connect="full", pool="average", activation="tanh", output="linear")
    model = build_classifier(spec, (1, 32, 32), 10).eval()
    c1, b1, c3, b3, c5, b5, f6, b6, out, b7 = model.state_dict().values()
    x = given = torch.randn(2, 1, 32, 32)
    x = F.avg_pool2d(F.conv2d(x, c1, b1).tanh(), 2)
    x = F.avg_pool2d(F.conv2d(x, c3, b3).tanh(), 2)
    x = F.conv2d(x, c5, b5).tanh().flatten(1)
    assert torch.allclose(model(given), (x @ f6.T + b6).tanh() @ out.T + b7, atol=1e-5)
