"""Layers as specs: what they build, and how small an image they can take."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from visus.errors import ModelError
from visus.models.layers import Convolution, MaxPool, ResponseNorm, least_side

WINDOWS = [
    Convolution(filters=2, size=11, stride=4),
    Convolution(filters=2, size=7, stride=2, padding=1),
    Convolution(filters=2, size=5, padding=2),
    Convolution(filters=2, size=1, stride=3),
    Convolution(filters=2, size=3, padding=2),
    MaxPool(),
    MaxPool(rounding="up"),
    MaxPool(size=2),
    MaxPool(size=2, rounding="up"),
    MaxPool(size=2, stride=3, rounding="up"),
    MaxPool(size=3, stride=1, rounding="up"),
    ResponseNorm(),
]


def side_after(layer: nn.Module, side: int) -> int:
    """What torch makes of so many pixels; 0 where it refuses."""
    try:
        return layer(torch.zeros(1, 2, side, side)).shape[2]
    except RuntimeError:  # "output size is too small", "kernel size can't be greater than actual input size"
        return 0


@pytest.mark.parametrize("out", [1, 2, 5])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_the_fewest_pixels_are_those_that_torch_needs(window, out):
    layer = window.build(2)
    least = window.least(out)
    assert side_after(layer, least) >= out
    assert least == 1 or side_after(layer, least - 1) < out


def test_the_fewest_pixels_of_several_layers():
    # AlexNet: 1 ← 3 ← 7 ← 15 ← 14·4 + 11
    layers = [WINDOWS[0], ResponseNorm(), MaxPool(), WINDOWS[2], MaxPool(), MaxPool()]
    assert least_side(layers) == 67
    assert least_side([]) == 1


def test_a_convolution_is_one_with_biases_and_relu():
    torch.manual_seed(0)
    spec = Convolution(filters=6, size=3, stride=2, padding=1, groups=2)
    layer, x = spec.build(4), torch.randn(2, 4, 7, 9)
    weight, bias = layer.state_dict().values()
    assert weight.shape == (6, 2, 3, 3)
    assert torch.allclose(layer(x), F.conv2d(x, weight, bias, 2, 1, groups=2).clamp_min(0))
    assert (spec.channels(4), spec.stride) == (6, 2)


@pytest.mark.parametrize(("c_in", "filters"), [(3, 4), (4, 3)])
def test_groups_must_divide_channels_and_filters(c_in, filters):
    with pytest.raises(ModelError, match=f"{c_in} channels and {filters} filters"):
        Convolution(filters=filters, size=1, groups=2).build(c_in)


def test_pooling_rounds_as_it_is_told():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert MaxPool().build(1)(x).tolist() == [[[[10]]]]
    assert MaxPool(rounding="up").build(1)(x).tolist() == [[[[10, 11], [14, 15]]]]
    assert (MaxPool().channels(7), ResponseNorm().channels(7), ResponseNorm().stride) == (7, 7, 1)


def test_alpha_multiplies_the_sum():
    # Krizhevsky et al. 2012, §3.3; one channel of 5 ones each, so that the middle one's sum is 5
    x = torch.ones(1, 5, 1, 1)
    found = ResponseNorm(k=1.0, alpha=0.2, beta=1.0).build(5)(x).flatten()
    assert found.tolist() == pytest.approx([1 / 1.6, 1 / 1.8, 1 / 2, 1 / 1.8, 1 / 1.6])
