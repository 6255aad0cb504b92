"""From codes back to inputs: every network has a mirror, and generators have the published sizes."""

from contextlib import suppress

import pytest
import torch

from visus.errors import ModelError
from visus.models import TINY
from visus.models.generators import Deconvolution, Dense, Mirror
from visus.models.mlp import MLP


def fit_for(network) -> tuple[int, int, int]:
    """The shape of an image that a network takes."""
    for side in (64, 96, 32, 128, 188):
        with suppress(ModelError), torch.device("meta"):
            network.build((3, side, side))
            return (3, side, side)
    raise AssertionError(network)


@pytest.mark.parametrize("name", sorted(TINY))
def test_a_mirror_gives_the_shape_that_the_network_takes(name):
    shape = fit_for(TINY[name])
    mirror = Mirror(most=16).build(TINY[name], shape, 5)
    assert mirror(torch.randn(2, 5)).shape == (2, *shape)


def test_a_mirror_has_the_network_s_maps_the_other_way_round():
    mirror = Mirror().build(TINY["resnet"], (3, 64, 64), 5)
    found = []
    for block in mirror.blocks:
        block.register_forward_hook(lambda module, inputs, output: found.append(tuple(output.shape[1:])))
    mirror(torch.randn(2, 5))
    with torch.no_grad():
        maps = [tuple(each.shape[1:]) for each in TINY["resnet"].build((3, 64, 64)).maps(torch.zeros(1, 3, 64, 64))]
    distinct = {each[1:]: each for each in maps}  # of several maps of a size the last
    there = sorted(distinct.values(), key=lambda each: each[1])
    assert found[: len(there)] == there
    assert found[-1] == (3, 64, 64)


def test_the_mirror_of_a_perceptron_is_one():
    mirror = Mirror(act="tanh").build(MLP(hidden=(20, 10)), (30,), 2)
    widths = [tuple(each.weight.shape) for each in mirror if isinstance(each, torch.nn.Linear)]
    assert widths == [(10, 2), (20, 10), (30, 20)]


def test_the_deck_s_generator():
    """z-1024-1024-784: SPEC §7."""
    found = Dense().build(MLP(), (1, 28, 28), 100)
    assert sum(each.numel() for each in found.parameters()) == 101 * 1024 + 1025 * 1024 + 1025 * 784
    assert found(torch.randn(2, 100)).shape == (2, 1, 28, 28)


def test_dcgan_s_generator():
    """Figure 1 of arXiv:1511.06434: 1024×4×4, 512×8×8, 256×16×16, 128×32×32, 3×64×64."""
    found = Deconvolution(width=128).build(MLP(), (3, 64, 64), 100)
    maps = []
    for block in found.blocks:
        block.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
    found(torch.randn(2, 100))
    assert maps == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 45, 70), (3, 4, 4), (3, 2, 3), (1, 105, 105)])
def test_deconvolution_gives_any_size(shape):
    assert Deconvolution(width=4).build(MLP(), shape, 7)(torch.randn(2, 7)).shape == (2, *shape)


@pytest.mark.parametrize("shape", [(30,), (1, 1, 1)])
def test_what_deconvolution_can_t_make(shape):
    with pytest.raises(ModelError, match="transposed convolutions make images"):
        Deconvolution().build(MLP(), shape, 7)
