"""The builders of plain networks beside the same networks written out by hand, with the same weights."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.models import TINY, Network, build_classifier
from visus.models.alexnet import AlexNet
from visus.models.layers import Convolution, MaxPool, ResponseNorm
from visus.models.parts import BatchNorm
from visus.models.vgg import VGG


def built(spec: Network, shape: tuple[int, int, int], classes: int = 3) -> tuple[nn.Module, Iterator[Tensor]]:
    """A network whose biases count, and its stored tensors in order."""
    torch.manual_seed(0)
    model = build_classifier(spec, shape, classes).eval()
    with torch.no_grad():
        for each in model.parameters():
            if each.ndim == 1:
                each.normal_(0.2, 0.3)
    return model, iter(model.state_dict().values())


def conv(x: Tensor, weights: Iterator[Tensor], stride: int = 1, padding: int = 0) -> Tensor:
    """The next two of the stored tensors, and ReLU."""
    kernel, bias = next(weights), next(weights)
    return F.conv2d(x, kernel, bias, stride, padding).clamp_min(0)


def in_two_groups(x: Tensor, weights: Iterator[Tensor], padding: int) -> Tensor:
    """As two processors would, each with half of the filters on half of the maps."""
    kernel, bias = next(weights), next(weights)
    halves = zip(x.chunk(2, 1), kernel.chunk(2), bias.chunk(2), strict=True)
    return torch.cat([F.conv2d(half, k, b, padding=padding) for half, k, b in halves], 1).clamp_min(0)


def response(a: Tensor) -> Tensor:
    """Krizhevsky et al. 2012, §3.3, as printed: b_i = a_i / (k + α Σ_j a_j²)^β, j from max(0, i − n/2) to
    min(N − 1, i + n/2), with k = 2, n = 5, α = 1e-4, β = 0.75."""
    maps = a.shape[1]
    sums = [a[:, max(0, i - 2) : min(maps - 1, i + 2) + 1].square().sum(1) for i in range(maps)]
    return a / (2 + 1e-4 * torch.stack(sums, 1)) ** 0.75


def pooled_up(x: Tensor) -> Tensor:
    """3×3 windows at every second pixel, the last one also where it isn't full."""
    rows, columns = ((side - 3) % 2 for side in x.shape[2:])
    return F.max_pool2d(F.pad(x, (0, columns, 0, rows), value=-torch.inf), 3, 2)


def dense(x: Tensor, weights: Iterator[Tensor], hidden: int) -> Tensor:
    x = x.flatten(1)
    for _ in range(hidden):
        x = (x @ next(weights).T + next(weights)).clamp_min(0)
    return x @ next(weights).T + next(weights)


def assert_same(found: Tensor, wanted: Tensor) -> None:
    assert wanted.std() > 0
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


@pytest.mark.parametrize(("side", "average"), [(127, 1), (187, 2)])
def test_alexnet(side, average):
    spec = AlexNet(
        stages=(
            (Convolution(filters=6, size=11, stride=4),),
            (ResponseNorm(), MaxPool(), Convolution(filters=8, size=5, padding=2, groups=2)),
            (
                ResponseNorm(),
                MaxPool(),
                Convolution(filters=6, size=3, padding=1),
                Convolution(filters=4, size=3, padding=1, groups=2),
            ),
            (MaxPool(),),
        ),
        grid=2,
        hidden=(7, 5),
    )
    model, weights = built(spec, (2, side, side))
    x = given = 100 * torch.randn(2, 2, side, side)  # so large that squares count beside k
    x = response(conv(x, weights, stride=4))
    x = response(in_two_groups(F.max_pool2d(x, 3, 2), weights, 2))
    x = in_two_groups(conv(F.max_pool2d(x, 3, 2), weights, padding=1), weights, 1)
    x = F.avg_pool2d(F.max_pool2d(x, 3, 2), average)  # 2×2 maps as they are; 4×4 ones averaged to 2×2
    assert x.shape[2:] == (2, 2)
    assert_same(model(given), dense(x, weights, 2))


def test_zfnet():
    model, weights = built(TINY["zfnet"], (3, 95, 90))
    x = given = 100 * torch.randn(2, 3, 95, 90)
    x = response(pooled_up(conv(x, weights, stride=2, padding=1)))
    x = response(pooled_up(conv(x, weights, stride=2)))
    x = pooled_up(conv(x, weights, padding=1))
    assert x.shape[2:] == (2, 2)
    assert_same(model(given), dense(x, weights, 1))


def test_network_in_network():
    model, weights = built(TINY["nin"], (3, 14, 19))
    x = given = torch.randn(4, 3, 14, 19)
    x = conv(conv(conv(x, weights, padding=2), weights), weights)
    x = conv(conv(pooled_up(x), weights, padding=1), weights)
    assert_same(model(given), conv(x, weights).mean((2, 3)))


@pytest.mark.parametrize("norm", [None, BatchNorm()], ids=["plain", "normalised"])
@pytest.mark.parametrize("lrn", [None, ResponseNorm()], ids=["", "lrn"])
def test_vgg(norm, lrn):
    spec = VGG(kernels=((3, 3), (3, 3, 1)), widths=(4, 6), norm=norm, response=lrn, grid=2, hidden=(7, 5))
    model, weights = built(spec, (3, 8, 8))
    if norm:
        model.train()
        for _ in range(3):
            model(torch.randn(8, 3, 8, 8))  # so that the statistics are not those of the start
        model.eval()

    def layer(x: Tensor) -> Tensor:
        if norm is None:
            return conv(x, weights, padding=1)
        kernel, bias, gamma, beta, mean, variance, _ = (next(weights) for _ in range(7))
        x = F.conv2d(x, kernel, bias, padding=kernel.shape[2] // 2)
        mean, variance, gamma, beta = (each.view(1, -1, 1, 1) for each in (mean, variance, gamma, beta))
        return ((x - mean) / (variance + 1e-5).sqrt() * gamma + beta).clamp_min(0)

    x = given = 100 * torch.randn(3, 3, 8, 8) if lrn else torch.randn(3, 3, 8, 8)
    x = layer(x)
    x = F.max_pool2d(layer(response(x) if lrn else x), 2)
    x = layer(layer(x))
    x = F.max_pool2d(layer(x) if norm else conv(x, weights), 2)
    assert_same(model(given), dense(x, weights, 2))


def test_squeezenet():
    model, weights = built(TINY["squeezenet"], (3, 32, 27))
    x = given = torch.randn(4, 3, 32, 27)

    def fire(x: Tensor) -> Tensor:
        x = conv(x, weights)
        return torch.cat([conv(x, weights), conv(x, weights, padding=1)], 1)

    x = conv(x, weights, stride=2)
    x = fire(pooled_up(fire(fire(pooled_up(x)))))
    assert_same(model(given), conv(x, weights).mean((2, 3)))
