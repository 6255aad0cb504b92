"""Sizes, kinds and bad input; the pixels themselves are held to Pillow's in tests/property/test_resize.py."""

import pytest
import torch

from visus.ops import resize


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [(5, 9), (12, 4), (1, 1), (8, 6)])
def test_shape_and_kind(interpolation, kind, size):
    x_NCHW = torch.arange(2 * 3 * 8 * 6).remainder(256).reshape(2, 3, 8, 6).to(kind)
    found = resize(x_NCHW, size, interpolation)
    assert found.shape == (2, 3, *size)
    assert found.dtype == kind


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_the_same_size_changes_nothing(interpolation):
    x_NCHW = torch.randint(256, (1, 3, 7, 5), dtype=torch.uint8)
    assert torch.equal(resize(x_NCHW, (7, 5), interpolation), x_NCHW)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_flat_image_stays_flat(interpolation):
    x_NCHW = torch.full((1, 1, 13, 29), 171, dtype=torch.uint8)
    assert (resize(x_NCHW, (5, 40), interpolation) == 171).all()


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-3, 4)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_sizes_under_one_are_refused(size, interpolation):
    with pytest.raises(ValueError, match=f"{size[0]}×{size[1]}"):
        resize(torch.zeros(1, 1, 4, 4), size, interpolation)


def test_gradients_pass():
    x_NCHW = torch.rand(1, 1, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize(x, (3, 6)), x_NCHW)
