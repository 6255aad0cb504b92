"""What a map says of regions of interest, as grids of one size.

N: images. R: regions an image. C: channels. H, W: rows and columns of the map. P: rows and columns of the grid.
Boxes are xyxy in pixels of the input, and lie on it. step: the height and width, there, of a pixel of the map.
"""

from __future__ import annotations

import torch
from torch import Tensor


def roi_pool(map_NCHW: Tensor, boxes_NR4: Tensor, grid: int, step: tuple[float, float]) -> Tensor:
    """N×R×C×P×P: the greatest value in each of P×P parts of every box (Girshick 2015, arXiv:1504.08083, §2.1).

    Boxes are rounded to whole pixels of the map, of which they have at least one. Parts of h/P × w/P pixels are rounded
    outwards, so neighbours may share some; a part beyond the map is 0.

    The maxima over windows of 1, 2, 4 … rows and columns are found once for all of the map, and four of them that
    overlap make up a part of any size: there is nothing in it whose shape depends on the boxes.
    """
    count, channels, height, width = map_NCHW.shape
    y_NRP, tall_NRP = _parts(boxes_NR4[..., 1], boxes_NR4[..., 3], grid, step[0], height)
    x_NRP, wide_NRP = _parts(boxes_NR4[..., 0], boxes_NR4[..., 2], grid, step[1], width)
    deep, long = _levels(grid, height), _levels(grid, width)
    table_XC = _maxima(map_NCHW.permute(0, 2, 3, 1), deep, long).reshape(-1, channels)
    image_N111 = torch.arange(count, device=map_NCHW.device).view(-1, 1, 1, 1)
    down_NRP, across_NRP = _level(tall_NRP, deep), _level(wide_NRP, long)
    maxima_NRPP = (down_NRP[..., :, None] * long + across_NRP[..., None, :]) * count + image_N111
    best = None
    for top_NRP in (y_NRP, y_NRP + tall_NRP - (1 << down_NRP)):
        for left_NRP in (x_NRP, x_NRP + wide_NRP - (1 << across_NRP)):
            row, column = top_NRP.clamp(0, height - 1), left_NRP.clamp(0, width - 1)
            at_NRPP = (maxima_NRPP * height + row[..., :, None]) * width + column[..., None, :]
            found = table_XC.index_select(0, at_NRPP.flatten())
            best = found if best is None else torch.maximum(best, found)
    assert best is not None
    there_NRPP1 = ((tall_NRP > 0)[..., :, None] & (wide_NRP > 0)[..., None, :])[..., None]
    return best.view(*there_NRPP1.shape[:-1], channels).masked_fill(~there_NRPP1, 0.0).movedim(-1, 2)


def roi_align(
    map_NCHW: Tensor,
    boxes_NR4: Tensor,
    grid: int,
    step: tuple[float, float],
    *,
    samples: int = 2,
    aligned: bool = True,
) -> Tensor:
    """N×R×C×P×P: the mean of samples² bilinearly interpolated values in each of P×P parts of every box, of which
    nothing is rounded (He et al. 2017, arXiv:1703.06870, §3).

    aligned: whether the middle of the map's first pixel lies at half a step, as it does, or in the image's corner, as
    the first implementations had it, whose boxes are at least a pixel of the map wide.
    Interpolation is separable, so it is two products with matrices.
    """
    height, width = map_NCHW.shape[-2:]
    rows_NRPH = _weights(boxes_NR4[..., 1], boxes_NR4[..., 3], grid, step[0], height, samples, aligned)
    columns_NRPW = _weights(boxes_NR4[..., 0], boxes_NR4[..., 2], grid, step[1], width, samples, aligned)
    wide_NHX = map_NCHW.permute(0, 2, 3, 1).flatten(2)
    tall_NRPWC = (rows_NRPH.flatten(1, 2) @ wide_NHX).view(*rows_NRPH.shape[:3], width, -1)
    return (columns_NRPW[:, :, None] @ tall_NRPWC).movedim(-1, 2)


def _parts(low_NR: Tensor, high_NR: Tensor, grid: int, step: float, size: int) -> tuple[Tensor, Tensor]:
    """N×R×P: where the parts of boxes begin along one side of the map, and how long they are there, 0 beyond it."""
    first_NR1 = (low_NR / step + 0.5).floor().long()[..., None]
    last_NR1 = (high_NR / step + 0.5).floor().long()[..., None]
    length_NR1 = (last_NR1 - first_NR1 + 1).clamp_min(1)
    number_P = torch.arange(grid, device=low_NR.device)
    begin_NRP = (first_NR1 + number_P * length_NR1 // grid).clamp(0, size)
    end_NRP = (first_NR1 + ((number_P + 1) * length_NR1 + grid - 1) // grid).clamp(0, size)
    return begin_NRP, end_NRP - begin_NRP


def _levels(grid: int, size: int) -> int:
    """How many windows of 1, 2, 4 … are no longer than the longest part of a box on the map."""
    return min(size, -(-(size + 1) // grid) + 1).bit_length()


def _level(length_NRP: Tensor, levels: int) -> Tensor:
    """The number of the longest window that fits in a length: ⌊log₂⌋, 0 of 0."""
    longer = [(length_NRP >= 1 << level).long() for level in range(1, levels)]
    return torch.stack(longer).sum(0) if longer else torch.zeros_like(length_NRP)


def _maxima(map_NHWC: Tensor, deep: int, long: int) -> Tensor:
    """deep × long × N×H×W×C: the maxima over windows of 2ⁱ rows and 2ʲ columns, each where its first pixel is."""
    found = []
    for level in range(deep):
        if level:
            map_NHWC = _doubled(map_NHWC, 1 << (level - 1), 1)
        row = [map_NHWC]
        for further in range(1, long):
            row.append(_doubled(row[-1], 1 << (further - 1), 2))
        found += row
    return torch.stack(found)


def _doubled(window: Tensor, reach: int, dim: int) -> Tensor:
    """The maxima of windows and of those `reach` further; where there is none any more they stay."""
    size = window.shape[dim]
    both = torch.maximum(window.narrow(dim, 0, size - reach), window.narrow(dim, reach, size - reach))
    return torch.cat((both, window.narrow(dim, size - reach, reach)), dim)


def _weights(low_NR: Tensor, high_NR: Tensor, grid: int, step: float, size: int, samples: int, aligned: bool) -> Tensor:
    """N×R×P×size: what each pixel along a side of the map counts in each part. More than a pixel beyond the map there
    is nothing, and nearer its edge goes on."""
    half = 0.5 if aligned else 0.0
    begin_NR11 = (low_NR / step - half)[..., None, None]
    length_NR11 = (high_NR / step - half)[..., None, None] - begin_NR11
    if not aligned:
        length_NR11 = length_NR11.clamp_min(1)
    part_P1 = torch.arange(grid, device=low_NR.device)[:, None]
    share_PS = (part_P1 + (torch.arange(samples, device=low_NR.device) + 0.5) / samples) / grid
    at_NRPS1 = (begin_NR11 + share_PS * length_NR11)[..., None]
    there_NRPS1 = (at_NRPS1 >= -1) & (at_NRPS1 <= size)
    near = 1 - (at_NRPS1.clamp(0, size - 1) - torch.arange(size, device=low_NR.device)).abs()
    return (near.clamp_min(0) * there_NRPS1).mean(-2).to(low_NR.dtype)
