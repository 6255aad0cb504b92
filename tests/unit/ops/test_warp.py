"""Moved images: copied pixel by pixel, enlarged as Pillow does, turned as SciPy does."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from visus.ops.warp import displace, enlarge, slide, warp


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.booleans(),
    st.lists(st.tuples(st.booleans(), st.integers(-12, 12), st.integers(-12, 12)), min_size=1, max_size=5),
)  # fmt: skip
def test_each_pixel_slides_where_it_is_said_to(height, width, channels, floats, moves):
    flips, down, right = zip(*moves, strict=True)
    x = torch.randint(256, (len(moves), channels, height, width)).to(torch.float32 if floats else torch.uint8)
    found = slide(x, torch.tensor(flips), torch.tensor([down, right]).T, 77)
    wanted = torch.full_like(x, 77)
    for n, (flip, dy, dx) in enumerate(moves):
        for row in range(height):
            for column in range(width):
                across = width - 1 - column if flip else column
                if 0 <= row + dy < height and 0 <= across + dx < width:
                    wanted[n, :, row + dy, across + dx] = x[n, :, row, column]
    assert torch.equal(found, wanted)
    assert found.dtype == x.dtype


def test_images_that_lie_otherwise_in_memory_slide_alike():
    x = torch.randint(256, (4, 3, 8, 6), dtype=torch.uint8)
    given = torch.tensor([True, False, True, False]), torch.tensor([[1, -2], [0, 3], [-4, 0], [2, 2]])
    assert torch.equal(slide(x.contiguous(memory_format=torch.channels_last), *given, 0), slide(x, *given, 0))


@pytest.mark.parametrize(
    ("mode", "pillows"), [("bilinear", Image.Resampling.BILINEAR), ("nearest", Image.Resampling.NEAREST)]
)
def test_a_part_is_enlarged_as_pillow_does(mode, pillows):
    x = torch.randint(256, (3, 3, 30, 40), dtype=torch.uint8)
    parts = [(0, 0, 30, 40), (7, 11, 13, 20), (29, 0, 1, 9)]
    found = enlarge(x, torch.tensor(parts), mode)
    assert torch.equal(found[0], x[0])
    for each, image, (top, left, height, width) in zip(found, x, parts, strict=True):
        part = Image.fromarray(image[:, top : top + height, left : left + width].permute(1, 2, 0).numpy())
        wanted = np.asarray(part.resize((40, 30), pillows)).astype(int)
        assert np.abs(each.permute(1, 2, 0).numpy() - wanted).max() <= (1 if mode == "bilinear" else 0)


def test_an_image_of_one_column_keeps_its_channels_apart():
    x = torch.tensor([10, 200, 60], dtype=torch.uint8).view(1, 3, 1, 1).repeat(1, 1, 8, 1)
    found = enlarge(x, torch.tensor([[2, 0, 3, 1]]), "bilinear")
    assert found[0, :, :, 0].T.tolist() == [[10, 200, 60]] * 8


@pytest.mark.parametrize(("mode", "order"), [("bilinear", 1), ("nearest", 0)])
def test_a_matrix_moves_points_as_scipy_does(mode, order):
    draws = np.random.default_rng(0)
    x = torch.from_numpy(draws.integers(0, 200, (4, 2, 17, 23))).to(torch.uint8)
    matrix = np.tile(np.eye(3), (4, 1, 1))
    matrix[:, :2, :2] += draws.uniform(-0.4, 0.4, (4, 2, 2))
    matrix[:, :2, 2] = draws.uniform(-4, 4, (4, 2))
    found = warp(x, torch.from_numpy(matrix).float(), 9, mode).numpy()
    for n in range(4):
        # output (row, column) → input, of pixel centres: swap x and y, and move the origin by half a pixel
        inverse = np.linalg.inv(matrix[n])
        turned, offset = inverse[:2, :2][::-1, ::-1], inverse[:2, 2][::-1]
        offset = offset + turned @ [0.5, 0.5] - 0.5
        for channel in range(2):
            wanted = ndimage.affine_transform(
                x[n, channel].numpy().astype(float), turned, offset, order=order, mode="grid-constant", cval=9
            )
            assert (np.abs(found[n, channel] - wanted) < 0.02).mean() > (0.999 if order else 0.98)  # ties in halves


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_displaced_pixels_are_scipys(mode):
    random = np.random.default_rng(0)
    x = random.random((2, 3, 12, 17))
    field = random.normal(0, 4, (2, 2, 12, 17))
    found = displace(torch.from_numpy(x).float(), torch.from_numpy(field).float(), mode)
    rows, columns = np.mgrid[:12, :17]
    for n in range(2):
        at = [rows + field[n, 1], columns + field[n, 0]]
        for c in range(3):
            wanted = ndimage.map_coordinates(x[n, c], at, order=int(mode == "bilinear"), mode="reflect")
            assert np.isclose(found[n, c].numpy(), wanted, atol=1e-4).mean() > 0.995  # nearest: a tie may go either way


def test_displaced_masks_keep_their_values_and_type():
    mask = torch.randint(0, 256, (2, 1, 9, 9), dtype=torch.uint8)
    found = displace(mask, torch.randn(2, 2, 9, 9), "nearest")
    assert found.dtype == torch.uint8
    assert set(found.unique().tolist()) <= set(mask.unique().tolist())
    assert torch.equal(displace(mask, torch.zeros(2, 2, 9, 9), "nearest"), mask)
