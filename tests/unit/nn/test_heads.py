"""Heads beside the same arithmetic, and what they start with."""

import itertools
import math

import pytest
import torch
from torch import nn

from visus.nn.heads import class_map_head, dense_head


@pytest.mark.parametrize("hidden", [(), (16,), (16, 24)])
def test_a_dense_head_has_the_parameters_of_its_layers(hidden):
    head = dense_head(5, 3, hidden, 7, dropout=0.5)
    widths = (5 * 3 * 3, *hidden, 7)
    assert sum(p.numel() for p in head.parameters()) == sum(
        c_in * c_out + c_out for c_in, c_out in itertools.pairwise(widths)
    )
    assert sum(isinstance(layer, nn.Dropout) for layer in head) == len(hidden)


@pytest.mark.parametrize("sides", [(3, 3), (1, 1), (2, 9), (12, 6)])
def test_a_dense_head_takes_maps_of_any_size(sides):
    head = dense_head(4, 3, (6,), 7).eval()
    assert head(torch.randn(2, 4, *sides)).shape == (2, 7)


def test_a_map_of_the_grids_size_is_seen_as_it_is():
    head, x = dense_head(4, 3, (), 7), torch.randn(2, 4, 3, 3)
    assert torch.allclose(head(x), x.flatten(1) @ head[-1].weight.T + head[-1].bias, atol=1e-6)


def test_a_larger_map_is_averaged_to_the_grid():
    head, x = dense_head(4, 2, (), 7), torch.randn(2, 4, 6, 4)
    means = x.view(2, 4, 2, 3, 2, 2).mean((3, 5))  # of 3×2 pixels each
    assert torch.allclose(head(x), head(means), atol=1e-6)


def test_hidden_layers_keep_the_size_of_what_they_pass_on():
    # He et al. 2015 (arXiv:1502.01852), equation 10: with deviations of √(2/n) the mean square after ReLU stays
    torch.manual_seed(0)
    layers = dense_head(64, 4, (1024, 1024), 7)[1:-1]
    x = torch.randn(64, 64, 4, 4)
    assert layers(x).square().mean().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("act", ["relu", None])
def test_class_maps_are_averaged(act):
    torch.manual_seed(0)
    head, x = class_map_head(6, 4, act), torch.randn(3, 6, 5, 7)
    weight, bias = head.state_dict().values()
    maps = torch.einsum("nchw,kc->nkhw", x, weight.flatten(1)) + bias.view(1, -1, 1, 1)
    wanted = (maps.clamp_min(0) if act else maps).mean((2, 3))
    assert torch.allclose(head(x), wanted, atol=1e-5)
    assert (head(x) < 0).any() == (act is None)


def test_dropout_is_before_the_class_maps():
    head = class_map_head(6, 4, "relu", dropout=0.5)
    assert isinstance(head[0], nn.Dropout)
    assert head[0].p == 0.5
    assert not any(isinstance(layer, nn.Dropout) for layer in class_map_head(6, 4, "relu"))


def test_class_maps_start_as_large_as_what_comes_in():
    torch.manual_seed(0)
    weight = class_map_head(256, 100, "relu")[0].conv.weight
    assert weight.std().item() == pytest.approx(1 / math.sqrt(256), rel=0.05)
