"""The Inception builders beside the same networks written out by hand, with the same weights."""

from collections.abc import Iterator

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.nn import functional as F

from visus.models import TINY, build_classifier
from visus.models.googlenet import AuxiliaryHeads
from visus.models.parts import BatchNorm

INF = float("inf")


def made(spec, shape: tuple[int, int, int], seed: int = 0) -> nn.Module:
    """A network with running statistics that are not those of the start."""
    torch.manual_seed(seed)
    model = build_classifier(spec, shape, 3).train()
    for _ in range(2):
        model.graded(torch.randn(6, *shape))
    return model.double()  # batch statistics of few pixels need the digits


class Hand:
    """The stored tensors of a model in their order, and the arithmetic of its layers."""

    def __init__(self, model: nn.Module, eps: float = 1e-3, average: str = "inside", bias: bool = False) -> None:
        self.tensors: Iterator[Tensor] = iter([value.clone() for value in model.state_dict().values()])
        self.training, self.eps, self.average, self.bias = model.training, eps, average, bias

    def conv(self, x: Tensor, stride: int = 1, pad: bool = True) -> Tensor:
        """Convolution, normalisation, ReLU. pad: half of the window on each side."""
        return self.normed(x, stride, pad).clamp_min(0)

    def normed(self, x: Tensor, stride: int = 1, pad: bool = True) -> Tensor:
        kernel = next(self.tensors)
        bias = next(self.tensors) if self.bias else None
        around = (kernel.shape[2] // 2, kernel.shape[3] // 2) if pad else 0
        x = F.conv2d(x, kernel, bias, stride=stride, padding=around)
        gamma, beta, mean, variance, _ = (next(self.tensors) for _ in range(5))
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        one = (1, -1, 1, 1)
        return (x - mean.view(one)) / (variance.view(one) + self.eps).sqrt() * gamma.view(one) + beta.view(one)

    def mean(self, x: Tensor) -> Tensor:
        """3×3 averages around each pixel, by sums and the numbers of pixels that were summed."""
        sums = F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).sum((-1, -2))
        ones = torch.ones_like(x) if self.average == "inside" else torch.ones(x.shape[2] + 2, x.shape[3] + 2)
        ones = F.pad(ones, (1, 1, 1, 1)) if self.average == "inside" else ones.expand(*x.shape[:2], -1, -1)
        return sums / ones.unfold(2, 3, 1).unfold(3, 3, 1).sum((-1, -2))

    def mixed(self, x: Tensor, *branches: tuple) -> Tensor:
        """Each branch: a list of steps, each a stride with its padding (a convolution) or a function."""
        found = []
        for steps in branches:
            y = x
            for step in steps:
                y = step(y) if callable(step) else self.conv(y, *step)
            found.append(y)
        return torch.cat(found, 1)


ONE = (1, True)
HALF = (2, False)


def pooled(x: Tensor, size: int, stride: int, before: int, after: int) -> Tensor:
    """The largest of each window, after so many rows of −∞ at the top and the bottom, left and right."""
    padded = F.pad(x, (before, after, before, after), value=-INF)
    return padded.unfold(2, size, stride).unfold(3, size, stride).amax((-1, -2))


def cut(x: Tensor, size: int = 3) -> Tensor:
    """Pooling at stride 2 whose last window is cut by the border: Caffe's rule. For sides of equal parity."""
    return pooled(x, size, 2, 0, (x.shape[2] - size) % 2)


def halved(x: Tensor) -> Tensor:
    return pooled(x, 3, 2, 0, 0)


def same(x: Tensor) -> Tensor:
    return pooled(x, 3, 1, 1, 1)


def close(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, rtol=0, atol=1e-5 * wanted.abs().max().item())


def response(x: Tensor) -> Tensor:
    """b = a / (1 + α/5 · Σ a²)^0.75 over five neighbouring channels, α 1e-4."""
    squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
    return x / (1 + 1e-4 / 5 * squares) ** 0.75


@pytest.mark.parametrize("side", [32, 45])
def test_googlenet(side):
    spec = replace(TINY["googlenet"], dropout=0.0, auxiliary=AuxiliaryHeads(channels=8, hidden=16, dropout=0.0))
    torch.manual_seed(0)
    model = build_classifier(spec, (3, side, side), 3).train()
    tensors = iter(model.state_dict().values())
    given = torch.randn(2, 3, side, side) * 20  # so that the response normalisation does something

    def conv(x: Tensor, stride: int = 1) -> Tensor:
        kernel, bias = next(tensors), next(tensors)
        return F.conv2d(x, kernel, bias, stride, kernel.shape[2] // 2).relu()

    def module(x: Tensor) -> Tensor:
        return torch.cat([conv(x), conv(conv(x)), conv(conv(x)), conv(same(x))], 1)

    def linear(x: Tensor) -> Tensor:
        matrix, bias = next(tensors), next(tensors)
        return x @ matrix.T + bias

    x = response(cut(conv(given, 2)))
    x = cut(response(conv(conv(x))))
    x = cut(module(module(x)))
    after_4a = x = module(x)
    x = module(module(module(x)))
    after_4d = x
    x = cut(module(x))
    x = module(module(x))
    wanted = [linear(x.mean((2, 3)))]
    for each in (after_4a, after_4d):  # 2×2 or 3×3 pixels: one window, the same mean sixteen times
        y = conv(each.mean((2, 3), keepdim=True)).flatten(1).repeat_interleave(16, 1)
        wanted.append(linear(linear(y).relu()))
    assert next(tensors, None) is None
    found = model.graded(given)
    assert [share for share, _ in found] == [1.0, 0.3, 0.3]
    assert all(close(scores, each) for (_, scores), each in zip(found, wanted, strict=True))


def test_the_auxiliary_heads_of_googlenet_at_its_native_size():
    """§5: average pooling 5×5 at stride 3, of 14×14×512 to 4×4×512, 1×1 with 128 filters, 1024, dropout, classes."""
    spec = replace(TINY["googlenet"], auxiliary=AuxiliaryHeads(channels=8, hidden=16, dropout=0.0))
    torch.manual_seed(0)
    heads, _ = spec.auxiliary_heads([(4, 14, 14)] * 5, 3)
    x = torch.randn(2, 4, 14, 14)
    kernel, bias, first, first_bias, second, second_bias = heads[4].state_dict().values()
    windows = x.unfold(2, 5, 3).unfold(3, 5, 3).mean((-1, -2))
    assert windows.shape == (2, 4, 4, 4)
    y = F.conv2d(windows, kernel, bias).relu().flatten(1)
    wanted = (y @ first.T + first_bias).relu() @ second.T + second_bias
    assert close(heads[4](x), wanted)
    adaptive = replace(spec, auxiliary=replace(spec.auxiliary, pool="adaptive")).auxiliary_heads([(4, 14, 14)] * 5, 3)
    adaptive[0][4].load_state_dict(heads[4].state_dict())
    assert not torch.allclose(adaptive[0][4](x), wanted, atol=1e-3)


def test_googlenet_as_torchvision_reads_it():
    spec = replace(TINY["googlenet"], local_response="none", norm=BatchNorm(eps=1e-3), large=3, last_pool=2)
    model = made(replace(spec, auxiliary=None), (3, 47, 31)).eval()
    hand, x = Hand(model), torch.randn(2, 3, 47, 31, dtype=torch.double)
    given = x

    def module(x: Tensor) -> Tensor:
        return hand.mixed(x, [ONE], [ONE, ONE], [ONE, ONE], [same, ONE])

    def cut_each(x: Tensor, size: int = 3) -> Tensor:
        return F.max_pool2d(F.pad(x, (0, (x.shape[3] - size) % 2, 0, (x.shape[2] - size) % 2), value=-INF), size, 2)

    x = cut_each(hand.conv(x, 2))
    x = cut_each(hand.conv(hand.conv(x)))
    x = cut_each(module(module(x)))
    for _ in range(5):
        x = module(x)
    x = module(module(cut_each(x, 2)))
    matrix, bias = hand.tensors
    assert close(model(given), x.mean((2, 3)) @ matrix.T + bias)
    kernels = {tuple(m.kernel_size) for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert kernels == {(7, 7), (3, 3), (1, 1)}


@pytest.mark.parametrize(("average", "bias"), [("inside", False), ("padded", True)])
def test_bn_inception(average, bias):
    """At 64×64, where Caffe's pools are those of TensorFlow: an even side has its odd row at the bottom."""
    model = made(replace(TINY["bn_inception"], average=average, bias=bias), (3, 64, 64)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.bias.uniform_(-1, 1)
    hand = Hand(model, average=average, bias=bias)
    x = given = torch.randn(2, 3, 64, 64, dtype=torch.double)

    def module(x: Tensor, pool=hand.mean) -> Tensor:
        return hand.mixed(x, [ONE], [ONE, ONE], [ONE, ONE, ONE], [pool, ONE])

    def shrink(x: Tensor) -> Tensor:
        return hand.mixed(x, [ONE, (2, True)], [ONE, ONE, (2, True)], [cut])

    x = cut(hand.conv(x, 2))
    x = cut(hand.conv(hand.conv(x)))
    x = shrink(module(module(x)))
    for _ in range(4):
        x = module(x)
    x = module(module(shrink(x)), same)
    matrix, bias = hand.tensors
    assert close(model(given), x.mean((2, 3)) @ matrix.T + bias)


def stem(hand: Hand, x: Tensor) -> Tensor:
    """Of v3 and of both Inception-ResNets, up to 71×71 pixels of 299×299."""
    x = hand.conv(hand.conv(hand.conv(x, 2, False), 1, False))
    return hand.conv(hand.conv(halved(x)), 1, False)


def side_by_side(hand: Hand):
    return lambda x: torch.cat([hand.conv(x), hand.conv(x)], 1)


@pytest.mark.parametrize(("average", "training"), [("inside", False), ("padded", False), ("inside", True)])
def test_inception_v3(average, training):
    model = made(replace(TINY["inception_v3"], average=average, dropout=0.0), (3, 91, 80)).train(training)
    hand = Hand(model, average=average)
    x = given = torch.randn(4, 3, 91, 80, dtype=torch.double)
    with torch.no_grad():
        x = halved(stem(hand, x))
        for _ in range(3):
            x = hand.mixed(x, [ONE], [ONE] * 2, [ONE] * 3, [hand.mean, ONE])
        x = hand.mixed(x, [HALF], [ONE, ONE, HALF], [halved])
        for _ in range(4):
            x = hand.mixed(x, [ONE], [ONE] * 3, [ONE] * 5, [hand.mean, ONE])
        seventeen = x
        x = hand.mixed(x, [ONE, HALF], [ONE, ONE, ONE, HALF], [halved])
        for _ in range(2):
            two = side_by_side(hand)
            x = hand.mixed(x, [ONE], [ONE, two], [ONE, ONE, two], [hand.mean, ONE])
        matrix, bias = next(hand.tensors), next(hand.tensors)
        wanted = [x.mean((2, 3)) @ matrix.T + bias]
        rows, columns = seventeen.shape[2:]
        assert (rows, columns) == (4, 3)  # one window, the same mean on all of 5×5 pixels
        y = seventeen.mean((2, 3), keepdim=True).expand(-1, -1, 5, 5)
        y = hand.conv(hand.conv(y), 1, False).flatten(1)
        matrix, bias = hand.tensors
        wanted.append(y @ matrix.T + bias)
        found = model.graded(given)
    assert [share for share, _ in found] == [1.0, 0.4]
    assert all(close(scores, each) for (_, scores), each in zip(found, wanted, strict=True))
    assert training or close(model(given), wanted[0])


def test_the_auxiliary_head_of_inception_v3_at_its_native_size():
    """As torchvision has it: average pooling 5×5 at stride 3, of 17×17 to 5×5, a 1×1 and a 5×5 convolution."""
    heads, _ = TINY["inception_v3"].auxiliary_heads([(4, 17, 17)] * 4, 3)
    model = heads[3].eval()
    hand, x = Hand(model), torch.randn(2, 4, 17, 17)
    y = x.unfold(2, 5, 3).unfold(3, 5, 3).mean((-1, -2))
    y = hand.conv(hand.conv(y), 1, False)
    assert y.shape == (2, 16, 1, 1)
    matrix, bias = hand.tensors
    assert close(model(x), y.flatten(1) @ matrix.T + bias)


def test_inception_v4():
    model = made(TINY["inception_v4"], (3, 80, 91)).eval()
    hand = Hand(model)
    x = given = torch.randn(2, 3, 80, 91, dtype=torch.double)
    x = hand.conv(hand.conv(hand.conv(x, 2, False), 1, False))
    x = hand.mixed(x, [halved], [HALF])
    x = hand.mixed(x, [ONE, (1, False)], [ONE, ONE, ONE, (1, False)])
    x = hand.mixed(x, [HALF], [halved])
    x = hand.mixed(x, [ONE], [ONE] * 2, [ONE] * 3, [hand.mean, ONE])
    x = hand.mixed(x, [HALF], [ONE, ONE, HALF], [halved])
    x = hand.mixed(x, [ONE], [ONE] * 3, [ONE] * 5, [hand.mean, ONE])
    x = hand.mixed(x, [ONE, HALF], [ONE, ONE, ONE, HALF], [halved])
    two = side_by_side(hand)
    x = hand.mixed(x, [ONE], [ONE, two], [ONE, ONE, ONE, two], [hand.mean, ONE])
    matrix, bias = hand.tensors
    assert close(model(given), x.mean((2, 3)) @ matrix.T + bias)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_inception_resnet(version):
    spec = replace(TINY["inception_resnet"], version=version)
    model = made(spec, (3, 80, 91)).eval()
    hand = Hand(model)
    x = given = torch.randn(2, 3, 80, 91, dtype=torch.double)

    def block(x: Tensor, scale: float, *branches: list, act: bool = True) -> Tensor:
        mixed = hand.mixed(x, *branches)
        kernel, bias = next(hand.tensors), next(hand.tensors)
        y = x + scale * F.conv2d(mixed, kernel, bias)
        return y.clamp_min(0) if act else y

    x = stem(hand, x)
    if version == "v1":
        x = hand.conv(x, 2, False)
    else:
        x = hand.mixed(halved(x), [ONE], [ONE] * 2, [ONE] * 3, [hand.mean, ONE])
    for _ in range(spec.depths[0]):
        x = block(x, 0.17, [ONE], [ONE] * 2, [ONE] * 3)
    x = hand.mixed(x, [HALF], [ONE, ONE, HALF], [halved])
    for _ in range(spec.depths[1]):
        x = block(x, 0.10, [ONE], [ONE] * 3)
    x = hand.mixed(x, [ONE, HALF], [ONE, HALF], [ONE, ONE, HALF], [halved])
    for number in range(spec.depths[2]):
        last = version == "v2" and number == spec.depths[2] - 1
        x = block(x, 1.0 if last else 0.20, [ONE], [ONE] * 3, act=not last)
    x = hand.conv(x) if version == "v2" else x
    matrix, bias = hand.tensors
    assert close(model(given), x.mean((2, 3)) @ matrix.T + bias)


@pytest.mark.parametrize(("padding", "eps"), [("tensorflow", 1e-3), ("symmetric", 1e-5)])
def test_xception(padding, eps):
    """With 40×31 pixels in, the maps before pooling have 17×13, 9×7 and 5×4: both parities."""
    model = made(replace(TINY["xception"], padding=padding, norm=BatchNorm(eps=eps)), (3, 40, 31)).eval()
    hand = Hand(model, eps=eps)
    x = given = torch.randn(2, 3, 40, 31, dtype=torch.double)

    def separable(x: Tensor) -> Tensor:
        kernel = next(hand.tensors)
        return hand.normed(F.conv2d(x, kernel, padding=1, groups=len(kernel)))

    def shrink(x: Tensor) -> Tensor:
        if padding == "symmetric":
            return pooled(x, 3, 2, 1, 1)
        (top, bottom), (left, right) = ((n % 2, 1) for n in x.shape[2:])  # out is ⌈n/2⌉; the odd row is the last
        x = F.pad(x, (left, right, top, bottom), value=-INF)
        return x.unfold(2, 3, 2).unfold(3, 3, 2).amax((-1, -2))

    x = hand.conv(hand.conv(x, 2, False), 1, False)
    for number in range(2):
        y = separable(x if number == 0 else x.clamp_min(0))  # figure 5: no ReLU at the first block's beginning
        y = shrink(separable(y.clamp_min(0)))
        x = y + hand.normed(x, 2)
    y = x
    for _ in range(3):
        y = separable(y.clamp_min(0))
    x = x + y
    y = shrink(separable(separable(x.clamp_min(0)).clamp_min(0)))
    x = y + hand.normed(x, 2)
    x = separable(separable(x).clamp_min(0)).clamp_min(0)
    matrix, bias = hand.tensors
    assert close(model(given), x.mean((2, 3)) @ matrix.T + bias)
