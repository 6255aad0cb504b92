"""Tokens and positions beside the same arithmetic written out by hand."""

import math

import pytest
import torch
from torch import nn

from visus.nn.tokens import (
    ClassToken,
    FirstToken,
    LearntPositions,
    MeanToken,
    Pixels,
    Rows,
    SinusoidalPositions,
    keep_variance,
    sinusoids,
)


def test_rows_are_read_channel_by_channel():
    x = torch.arange(2 * 3 * 4).view(1, 2, 3, 4)
    found = Rows()(x)
    assert found.shape == (1, 3, 8)
    assert found[0, 1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]


def test_pixels_are_read_row_by_row():
    x = torch.randn(2, 5, 3, 4)
    found = Pixels()(x)
    assert found.shape == (2, 12, 5)
    for row in range(3):
        for column in range(4):
            assert torch.equal(found[:, row * 4 + column], x[:, :, row, column])


def test_a_class_token_stands_before_the_others():
    layer, x = ClassToken(3), torch.randn(2, 4, 3)
    nn.init.constant_(layer.token, 7)
    found = layer(x)
    assert found.shape == (2, 5, 3)
    assert (found[:, 0] == 7).all()
    assert torch.equal(found[:, 1:], x)
    assert torch.equal(FirstToken()(found), found[:, 0])


def test_the_mean_of_tokens():
    assert MeanToken()(torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])).tolist() == [[2, 4]]


def test_learnt_positions_are_added():
    torch.manual_seed(0)
    layer, x = LearntPositions(50, 40), torch.randn(2, 50, 40)
    assert torch.equal(layer(x), x + layer.table)
    assert layer.table.std().item() == pytest.approx(0.02, rel=0.1)
    assert [tuple(p.shape) for p in layer.parameters()] == [(1, 50, 40)]


def test_sinusoids_are_those_of_the_paper():
    # Vaswani et al. 2017, §3.5: PE(pos, 2i) = sin(pos/10000^(2i/d)), PE(pos, 2i + 1) = cos(…)
    table = sinusoids(20, 6)
    for pos in range(20):
        for i in range(3):
            angle = pos / 10000 ** (2 * i / 6)
            assert table[pos, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[pos, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_a_shift_is_the_same_rotation_everywhere():
    # §3.5: "for any fixed offset k, PE(pos+k) can be represented as a linear function of PE(pos)"
    table, k = sinusoids(30, 8).double(), 5
    for i in range(4):
        angle = k / 10000 ** (2 * i / 8)
        turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
        pair = table[:, 2 * i : 2 * i + 2]
        assert torch.allclose(pair[k:], pair[:-k] @ turn.T, atol=1e-5)


def test_an_odd_width_ends_in_a_sine():
    assert torch.allclose(sinusoids(9, 5)[:, 4], (torch.arange(9) / 10000 ** (4 / 5)).sin(), atol=1e-6)


def test_sinusoidal_positions_are_added_and_not_stored():
    layer, x = SinusoidalPositions(7, 4), torch.randn(2, 7, 4)
    assert torch.equal(layer(x), x + sinusoids(7, 4))
    assert not layer.state_dict()


@pytest.mark.parametrize("layer", [nn.Linear(300, 400), nn.Conv2d(3, 400, 10, 10)], ids=str)
def test_layers_that_keep_the_variance(layer):
    torch.manual_seed(0)
    keep_variance(layer)
    x = torch.randn(64, 300) if isinstance(layer, nn.Linear) else torch.randn(64, 3, 10, 10)
    assert layer(x).std().item() == pytest.approx(1, rel=0.05)
    assert not layer.bias.any()
