"""Windows over images of any size, and what is put together from them."""

import numpy as np
import pytest
import torch
from torch import nn

from visus.errors import ModelError
from visus.ops.tiles import mirrored, tiled, window


@pytest.mark.parametrize(("before", "after", "length"), [(3, 2, 5), (0, 0, 7), (9, 11, 4), (2, 2, 1)])
def test_beyond_its_edges_a_side_goes_on_as_numpy_reflects_it(before, after, length):
    wanted = np.pad(np.arange(length), (before, after), mode="reflect")
    assert mirrored(-before, before + length + after, length).tolist() == wanted.tolist()


def test_a_window_is_cut_from_the_mirrored_image():
    x = torch.randn(2, 3, 6, 9)
    wanted = np.pad(x.numpy(), ((0, 0), (0, 0), (4, 4), (5, 5)), mode="reflect")[:, :, 1:9, 3:17]
    assert torch.equal(window(x, -3, -2, (8, 14)), torch.from_numpy(wanted))


def looking(pixels: int, padding: bool) -> nn.Module:
    """A network each of whose answers depends on so many pixels each way."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2 if i == 0 else 4, 4, 3, padding=int(padding)) for i in range(pixels)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.Tanh())]).eval()


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("sides", [(40, 57), (5, 31), (96, 16)])
def test_tiles_give_what_the_whole_mirrored_image_gives_wherever_they_lie(padding, sides):
    network, margin = looking(3, padding), 3
    x = torch.randn(2, 2, *sides)
    with torch.no_grad():
        around = window(x, -margin, -margin, (sides[0] + 2 * margin, sides[1] + 2 * margin))
        whole = network(around)
        if padding:
            whole = whole[..., margin:-margin, margin:-margin]
        assert whole.shape[-2:] == sides
        for size, wide in (((16, 16), 3), ((21, 34), 3), ((24, 24), 8), ((100, 100), 4)):
            assert torch.allclose(tiled(network, x, size, wide), whole, atol=1e-6)


def test_a_margin_that_is_too_narrow_shows():
    network, x = looking(3, True), torch.randn(1, 2, 40, 40)
    with torch.no_grad():
        one, other = (tiled(network, x, (size, size), 1) for size in (12, 22))
    assert not torch.allclose(one, other, atol=1e-3)


def test_whole_windows_without_a_margin_tile_exactly():
    x = torch.randn(1, 1, 9, 7)
    assert torch.equal(tiled(lambda part: part, x, (4, 4), 0), x)


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (lambda x: x.mean((2, 3)), "doesn't answer pixel by pixel"),
        (lambda x: x[..., 1:, 1:], "got answers for 15×15"),
        (lambda x: x[..., 4:-4, 4:-4], "fewer than their margin leaves"),
    ],
)
def test_other_answers_are_refused(run, problem):
    with pytest.raises(ModelError, match=problem) as raised:
        tiled(run, torch.zeros(1, 1, 20, 20), (16, 16), 2)
    if "margin" in problem:
        assert "preprocess.margin=4" in raised.value.remedy
