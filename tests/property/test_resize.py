"""Resizing beside Pillow's, with its two passes in our order: columns, then rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_image

from visus.ops import resize

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
sides = st.integers(1, 70)


def pillow(pixels_HWC: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    image = Image.fromarray(pixels_HWC)
    first = image.resize((size[1], image.height), FILTERS[interpolation])
    return np.asarray(first.resize((size[1], size[0]), FILTERS[interpolation]))


def ours(pixels_HWC: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    x_NCHW = torch.from_numpy(pixels_HWC.copy()).permute(2, 0, 1)[None]
    return resize(x_NCHW, size, interpolation)[0].permute(1, 2, 0).numpy()


def furthest(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_bilinear_is_pillows_to_one_step_of_255(height, width, rows, columns, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert furthest(ours(noise, (rows, columns), "bilinear"), pillow(noise, (rows, columns), "bilinear")) <= 1


@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_bicubic_is_pillows_to_two_steps_on_noise(height, width, rows, columns, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert furthest(ours(noise, (rows, columns), "bicubic"), pillow(noise, (rows, columns), "bicubic")) <= 2


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize(
    ("interpolation", "size", "steps"),
    [
        *(("bilinear", size, 1) for size in [(256, 384), (224, 224), (32, 32), (97, 513), (640, 31), (500, 700)]),
        *(("bicubic", size, 1) for size in [(256, 384), (224, 224), (32, 32), (97, 513), (640, 31)]),
        ("bicubic", (500, 700), 2),  # enlarged, both round to whole numbers after each pass
    ],
)
def test_photographs_are_pillows(name, interpolation, size, steps):
    photo = load_sample_image(name)
    assert furthest(ours(photo, size, interpolation), pillow(photo, size, interpolation)) <= steps


@pytest.mark.parametrize("size", [(224, 224), (300, 200), (500, 700)])
def test_where_pillow_keeps_that_order_its_own_resize_is_equal_too(size):
    photo = load_sample_image("china.jpg")
    found = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR))
    assert furthest(ours(photo, size, "bilinear"), found) <= 1


@given(sides, sides, sides, sides)
def test_nearest_takes_the_pixel_under_each_centre(height, width, rows, columns):
    numbers = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    found = resize(numbers, (rows, columns), "nearest")[0, 0]
    assert torch.equal(found, found.round())
    row, column = found.numpy().astype(int) // width, found.numpy().astype(int) % width
    # the centre of pixel i of n is at (i + ½)·m/n of m; one on the border of two pixels may be either's
    for index, n, m in ((row, rows, height), (column.T, columns, width)):
        centre = ((2 * np.arange(n) + 1) * m / (2 * n))[:, None]
        assert (index <= centre).all()
        assert (centre <= index + 1).all()


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@given(height=st.integers(1, 40), rows=st.integers(1, 40), wide=st.integers(1, 5))
def test_an_image_of_one_column(memory, height, rows, wide):
    noise = np.random.default_rng(height).integers(0, 256, (height, wide, 3), dtype=np.uint8)
    x_NCHW = torch.from_numpy(noise).permute(2, 0, 1)[None].contiguous(memory_format=memory)
    found = resize(x_NCHW, (rows, 1))[0].permute(1, 2, 0).numpy()
    assert furthest(found, pillow(noise, (rows, 1), "bilinear")) <= 1


@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_an_image_is_resized_alike_alone_and_among_others(height, width, rows, columns, seed):
    x_NCHW = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, 3, height, width), dtype=np.uint8))
    together = resize(x_NCHW, (rows, columns))
    alone = torch.cat([resize(each[None], (rows, columns)) for each in x_NCHW])
    assert torch.equal(together, alone)
