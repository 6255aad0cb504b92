"""Resizing and cutting in plain tensor operations, which any exporter writes down: `resize`, pixel for pixel.

Along each side an output pixel is a weighted sum of input pixels, so a side is a matrix. Its weights are integers, as
those of torch's 8-bit resizing are: scaled by the power of two with which the largest still fits into 15 bits. Images
are resized to a size that depends on theirs, and a frame of a fixed size is cut out; only the frame is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BITS = 15  # of the largest weight
MOST = 22  # the greatest power of two
LOW = 256  # weights are multiplied in two parts, so that sums of products stay exact in float32


def frame(
    x_NCHW: Tensor, resized: tuple[Tensor, Tensor], start: tuple[Tensor, Tensor], size: tuple[int, int],
    interpolation: str, fill: int,
) -> Tensor:  # fmt: skip
    """N×C×H×W uint8 → N×C×size uint8: `resize(x, resized)[start : start + size]`, `fill` where that doesn't reach.

    resized, start: height and width, top and left as float64 scalars of whole numbers; start may be negative.
    """
    height, width = size
    if interpolation == "nearest":
        rows = _nearest(x_NCHW.shape[2], resized[0], start[0], height)
        columns = _nearest(x_NCHW.shape[3], resized[1], start[1], width)
        found = x_NCHW.index_select(3, columns).index_select(2, rows)
    else:
        found = _along(x_NCHW, 3, resized[1], start[1], width, interpolation)
        found = _along(found, 2, resized[0], start[0], height, interpolation)
    inside = _inside(resized[0], start[0], height)[:, None] & _inside(resized[1], start[1], width)
    return torch.where(inside, found, torch.full_like(found, fill))


def _along(x_NCHW: Tensor, side: int, resized: Tensor, start: Tensor, count: int, interpolation: str) -> Tensor:
    """One side resized and cut, rounded to 8 bits."""
    length = x_NCHW.shape[side]
    weights_JI, power = integer_weights(length, resized, start, count, interpolation)
    high = torch.floor(weights_JI / LOW)
    x, low = x_NCHW.float(), weights_JI - high * LOW
    sums = [x @ part.float().mT if side == 3 else part.float() @ x for part in (high, low)]
    one = torch.exp2(power).to(torch.int32)
    total = sums[0].to(torch.int32) * LOW + sums[1].to(torch.int32) + torch.div(one, 2, rounding_mode="trunc")
    return torch.div(total, one, rounding_mode="trunc").clamp(0, 255).to(torch.uint8)


def integer_weights(
    length: int, resized: Tensor, start: Tensor, count: int, interpolation: str
) -> tuple[Tensor, Tensor]:
    """The matrix of a side, count×length whole numbers in float64, and the power of two that they are multiplied by."""
    whole = torch.arange(length, dtype=torch.float64)
    scale = whole.new_tensor(1.0) * length / resized
    power = _power(length, resized, scale, interpolation)
    weights_JI = _weights(whole, torch.arange(count, dtype=torch.float64) + start, scale, interpolation)
    scaled = weights_JI * torch.exp2(power)
    return torch.where(scaled < 0, torch.ceil(scaled - 0.5), torch.floor(scaled + 0.5)), power


def _power(length: int, resized: Tensor, scale: Tensor, interpolation: str) -> Tensor:
    """How often the largest weight of all output pixels, in the frame or not, can be doubled."""
    # between them, the output pixels around every input pixel are all that there are, or all that have large weights
    outputs = torch.floor((torch.arange(length, dtype=torch.float64) + 0.5) / scale)
    outputs_J = torch.cat([outputs - 1, outputs, outputs + 1]).clamp(min=0).minimum(resized - 1)
    centre_J = scale * (outputs_J + 0.5)
    wide = scale.clamp(min=1)
    kernel, _ = KERNELS[interpolation]
    nearest_J = torch.floor(centre_J).clamp(min=0, max=length - 1) + 0.5 - centre_J
    largest = (kernel((nearest_J / wide).abs()) / _total(length, centre_J, wide, interpolation)).max()
    return torch.floor(torch.log2((2**BITS - 0.5) / largest)).clamp(max=MOST)


def _weights(whole_I: Tensor, outputs_J: Tensor, scale: Tensor, interpolation: str) -> Tensor:
    """The share of each input pixel in each output pixel."""
    kernel, support = KERNELS[interpolation]
    wide = scale.clamp(min=1)
    centre_J1 = (scale * (outputs_J + 0.5))[:, None]
    first = torch.floor(centre_J1 - support * wide + 0.5)
    last = torch.floor(centre_J1 + support * wide + 0.5)
    weights_JI = kernel(((whole_I - centre_J1 + 0.5) * (1 / wide)).abs())  # in torch's order: ties are rounded alike
    weights_JI = torch.where((whole_I >= first) & (whole_I < last), weights_JI, torch.zeros_like(weights_JI))
    total = weights_JI.cumsum(1)[:, -1:]  # one after the other, as torch adds
    return weights_JI / torch.where(total == 0, torch.ones_like(total), total)  # far outside of the image


def _total(length: int, centre_J: Tensor, wide: Tensor, interpolation: str) -> Tensor:
    """The sum of an output pixel's kernel over the input pixels, piece by piece: sums of powers in closed form."""
    pieces = PIECES[interpolation]
    found = torch.zeros_like(centre_J)
    for first_J, count_J in (
        (torch.ceil(centre_J - 0.5) + 0.5 - centre_J, length - torch.ceil(centre_J - 0.5)),  # to the right
        (centre_J - (torch.ceil(centre_J - 0.5) - 0.5), torch.ceil(centre_J - 0.5)),  # to the left
    ):
        for number, powers in enumerate(pieces):
            begin = torch.ceil(number * wide - first_J).clamp(min=0).minimum(count_J)
            end = torch.ceil((number + 1) * wide - first_J).clamp(min=0).minimum(count_J)
            n, u = end - begin, first_J + begin
            triangle, pyramid = n * (n - 1) / 2, (n - 1) * n * (2 * n - 1) / 6
            sums = (
                n, n * u + triangle, n * u**2 + 2 * u * triangle + pyramid,
                n * u**3 + 3 * u**2 * triangle + 3 * u * pyramid + triangle**2,
            )  # fmt: skip
            for power, factor in enumerate(powers):
                found = found + factor * sums[power] / wide**power
    return found


def _bilinear(x: Tensor) -> Tensor:
    return (1 - x).clamp(min=0)


def _bicubic(x: Tensor) -> Tensor:
    """Keys' kernel with a = −1/2, of distances x ≥ 0."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _nearest(length: int, resized: Tensor, start: Tensor, count: int) -> Tensor:
    """The input pixel under the centre of each output pixel, in float32 as torch finds it."""
    outputs = (torch.arange(count, dtype=torch.float64) + start).float()
    return torch.floor((outputs + 0.5) * (length / resized).float()).clamp(min=0, max=length - 1).to(torch.int64)


def _inside(resized: Tensor, start: Tensor, count: int) -> Tensor:
    places = torch.arange(count, dtype=torch.float64) + start
    return (places >= 0) & (places < resized)


# the kernel of distances, in input pixels or, shrinking, in as many as become one; and how far it reaches
KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {"bilinear": (_bilinear, 1), "bicubic": (_bicubic, 2)}
PIECES = {"bilinear": ((1, -1),), "bicubic": ((1, 0, -2.5, 1.5), (2, -4, 2.5, -0.5))}  # factors of the powers of x
