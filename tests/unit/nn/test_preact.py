"""Normalisation and activation in front of a convolution, beside the same arithmetic written out by hand."""

import pytest
import torch
from torch import nn

from visus.nn.preact import NormAct


def test_normalisation_then_relu():
    torch.manual_seed(0)
    layer, x = NormAct(3), torch.randn(8, 3, 5, 7)
    nn.init.normal_(layer.norm.weight)
    nn.init.normal_(layer.norm.bias)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    gamma, beta = layer.norm.weight.view(1, -1, 1, 1), layer.norm.bias.view(1, -1, 1, 1)
    before = x.clone()
    assert torch.allclose(layer(x), ((x - mean) / (variance + 1e-5).sqrt() * gamma + beta).clamp_min(0), atol=1e-5)
    assert torch.equal(x, before)  # the stream that it reads goes on to the sum


def test_another_normalisation_and_activation():
    layer, x = NormAct(3, norm=lambda channels: nn.GroupNorm(1, channels), act="tanh"), torch.randn(2, 3, 4, 4)
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, correction=0)
    assert torch.allclose(layer(x), ((x - mean) / (variance + 1e-5).sqrt()).tanh(), atol=1e-5)


@pytest.mark.parametrize("share", [0.3, 0.75])
def test_dropout_comes_last_zeroes_values_while_training_and_keeps_the_mean(share):
    torch.manual_seed(0)
    layer, x = NormAct(1, act="sigmoid", dropout=share), torch.randn(4, 1, 100, 100)
    found = layer.train()(x)
    whole = NormAct(1, act="sigmoid").train()(x)
    kept = found != 0  # a sigmoid isn't zero itself
    assert (~kept).float().mean().item() == pytest.approx(share, abs=0.01)
    assert torch.allclose(found[kept], whole[kept] / (1 - share), atol=1e-5)
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    assert (layer(x) != 0).all()


def test_the_names_of_its_weights_dont_depend_on_dropout():
    assert list(NormAct(2, dropout=0.5).state_dict()) == list(NormAct(2).state_dict())
