"""Resize with antialiasing, equal to Pillow's `Image.resize` to ±1 of 255 (bicubic on noise or enlarged: ±2)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

Interpolation = Literal["nearest", "bilinear", "bicubic"]


def resize(x_NCHW: Tensor, size: tuple[int, int], interpolation: Interpolation = "bilinear") -> Tensor:
    """Images at another size: N×C×H×W (uint8 or float) → N×C×size.

    "bilinear" and "bicubic" widen their kernel when shrinking (antialiasing), as Pillow does; "nearest" takes
    the pixel under each centre and is for masks, whose values must not mix. uint8 in, uint8 out.
    Columns are resized first, then rows, each rounded to uint8: Pillow's order up to version 12 (from 13 on, Pillow
    takes the rows first where they shrink much more than the columns).
    Raises ValueError for a size under 1.
    """
    height, width = size
    if min(size) < 1:
        raise ValueError(f"can't resize to {height}×{width} pixels")
    if interpolation == "nearest":
        return F.interpolate(x_NCHW, size, mode="nearest-exact") if x_NCHW.shape[-2:] != size else x_NCHW
    if x_NCHW.shape[-2:] == size:
        return x_NCHW
    if width > 1 and x_NCHW.shape[-1] > 1:
        return F.interpolate(x_NCHW, size, mode=interpolation, antialias=True)
    # torch takes the three channels of a uint8 image of width 1 for its pixels, so each channel goes by itself
    alone = F.interpolate(x_NCHW, (x_NCHW.shape[-2], width), mode=interpolation, antialias=True)
    alone = alone.reshape(-1, 1, *alone.shape[-2:])
    return F.interpolate(alone, size, mode=interpolation, antialias=True).reshape(*x_NCHW.shape[:2], *size)
