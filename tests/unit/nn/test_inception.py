"""Layers of the Inception networks beside the same arithmetic written out by hand."""

import pytest
import torch
from torch import nn

from visus.nn.inception import Concatenate, Scale, max_pool


def test_branches_are_concatenated_along_the_channels():
    one, other, x = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 4, 6)
    found = Concatenate([one, other])(x)
    assert found.shape == (2, 7, 4, 6)
    assert torch.equal(found[:, :2], one(x))
    assert torch.equal(found[:, 2:], other(x))


def test_branches_of_different_sizes_are_refused():
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        Concatenate([nn.Identity(), nn.MaxPool2d(2)])(torch.randn(1, 3, 4, 4))


def test_scale_is_a_constant():
    x = torch.randn(2, 3)
    assert torch.equal(Scale(0.17)(x), x * 0.17)
    assert not list(Scale(0.17).parameters())
    assert not Scale(0.17).state_dict()


def windows(side: int, size: int, stride: int, padding: str) -> list[range]:
    """The pixels of each window along one axis, by the definition of each padding."""
    if padding == "symmetric":
        count, first = (side + 2 * ((size - 1) // 2) - size) // stride + 1, -((size - 1) // 2)
    elif padding == "tensorflow":  # as many windows as strides begin; the smaller part of what is missing comes first
        count = -(-side // stride)
        first = -(max((count - 1) * stride + size - side, 0) // 2)
    elif padding == "valid":
        count, first = (side - size) // stride + 1, 0
    else:  # Caffe: as many as are begun
        count, first = -(-(side - size) // stride) + 1, 0
    starts = [first + number * stride for number in range(count)]
    return [range(max(start, 0), min(start + size, side)) for start in starts]


@pytest.mark.parametrize(
    ("padding", "size", "stride"),
    [
        *((padding, *window) for padding in ("tensorflow", "valid", "ceil") for window in ((3, 2), (2, 2), (3, 1))),
        ("symmetric", 3, 2),  # an even window has no middle
        ("symmetric", 3, 1),
    ],
)
@pytest.mark.parametrize("sides", [(7, 8), (10, 5)])
def test_max_pooling(padding, size, stride, sides):
    x = torch.randn(2, 3, *sides) - 10  # so that a zero from outside would win
    rows, columns = (windows(side, size, stride, padding) for side in sides)
    wanted = torch.stack(
        [torch.stack([x[:, :, list(row)][..., list(column)].amax((2, 3)) for column in columns], -1) for row in rows],
        -2,
    )
    assert torch.equal(max_pool(size, stride, padding)(x), wanted)


@pytest.mark.parametrize("side", range(1, 12))
def test_tensorflow_pooling_gives_a_pixel_for_every_stride_begun(side):
    assert max_pool(3, 2, "tensorflow")(torch.zeros(1, 1, side, side)).shape[2:] == (-(-side // 2),) * 2
