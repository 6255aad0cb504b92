"""Resizing in plain operations: pixel for pixel what torch's own 8-bit resizing gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visus.ops.resample import frame, integer_weights
from visus.ops.resize import resize

SIDE = st.integers(1, 300)


def number(value: int) -> torch.Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@given(height=SIDE, width=SIDE, rows=SIDE, columns=SIDE, seed=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_the_same_pixels_as_resize(interpolation, height, width, rows, columns, seed):
    draws = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=draws)
    found = frame(x, (number(rows), number(columns)), (number(0), number(0)), (rows, columns), interpolation, 0)
    assert torch.equal(found, resize(x, (rows, columns), interpolation))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("top", "left"), [(3, 10), (-4, 5), (-9, -8), (30, 0)])
def test_a_frame_is_cut_and_filled(interpolation, top, left):
    x = torch.randint(0, 256, (2, 1, 50, 70), dtype=torch.uint8)
    whole = resize(x, (20, 28), interpolation)
    found = frame(x, (number(20), number(28)), (number(top), number(left)), (16, 12), interpolation, 9)
    wanted = torch.full((2, 1, 16, 12), 9, dtype=torch.uint8)
    for row in range(16):
        for column in range(12):
            if 0 <= row + top < 20 and 0 <= column + left < 28:
                wanted[..., row, column] = whole[..., row + top, column + left]
    assert torch.equal(found, wanted)


def test_weights_by_hand():
    """Four pixels to two, bilinear: the kernel is 4 wide, 1/8 3/8 3/8 1/8, and the edge's share goes to the others."""
    weights, power = integer_weights(4, number(2), number(0), 2, "bilinear")
    shares = torch.tensor([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    assert torch.equal(weights, torch.floor(shares.double() * 2**power + 0.5))
    assert 2**14 <= weights.max() < 2**15
