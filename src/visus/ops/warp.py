"""Whole batches of images moved, each in its own way: mirrored and shifted, cut out, or by a matrix.

Points are (x, y, 1) in pixels, as boxes are: pixel (column i, row j) covers [i, i+1) × [j, j+1).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def slide(x_NCHW: Tensor, flip_N: Tensor, shift_N2: Tensor, fill: int) -> Tensor:
    """Each image mirrored or not, then shifted by whole pixels (down, right); values and type stay.

    Rows of the output are runs of bytes of a batch with margins, and of its mirror image: copied, not computed.
    """
    count, channels, height, width = x_NCHW.shape
    shift_N2 = shift_N2.long().maximum(-torch.tensor([height, width])).minimum(torch.tensor([height, width]))
    if not shift_N2.any():
        chosen = (flip_N.long() * count + torch.arange(count)).to(x_NCHW.device)
        return torch.cat([x_NCHW, x_NCHW.flip(3)]).index_select(0, chosen)
    beside = int(shift_N2[:, 1].abs().amax())
    wide = width + 2 * beside
    rows = x_NCHW.new_full((2 * count * channels * height + 1, wide), fill)  # the last one for what is above and below
    inner = rows[:-1].view(2, count, channels, height, wide)[..., beside : beside + width]
    inner[0], inner[1] = x_NCHW, x_NCHW.flip(3)
    row_NH = torch.arange(height) - shift_N2[:, :1]
    image_NC = (flip_N.long()[:, None] * count + torch.arange(count)[:, None]) * channels + torch.arange(channels)
    row_NCH = image_NC[:, :, None] * height + row_NH[:, None]
    row_NCH = torch.where(((row_NH >= 0) & (row_NH < height))[:, None], row_NCH, len(rows) - 1)
    starts = (row_NCH * wide + beside - shift_N2[:, 1, None, None]).view(-1).to(x_NCHW.device)
    runs = rows.view(-1).as_strided((rows.numel() - width + 1, width), (1, 1))
    return runs.index_select(0, starts).view(x_NCHW.shape)


def enlarge(x_NCHW: Tensor, parts_N4: Tensor, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """A part of each image (top, left, height, width: whole pixels) enlarged to the size of the image; the type stays.

    Nothing is shrunk, so that there is nothing to smooth before. Pixels outside of a part have no say in it.
    """
    out, size = torch.empty_like(x_NCHW), x_NCHW.shape[-2:]
    blended = mode == "bilinear" and x_NCHW.dtype == torch.uint8
    for index, (top, left, height, width) in enumerate(parts_N4.tolist()):
        part = x_NCHW[index, :, None, top : top + height, left : left + width]
        if size[1] > 1:  # else torch takes the channels of a uint8 image for its pixels, unless each is by itself
            part = part.transpose(0, 1)
        if blended and x_NCHW.device.type != "cpu":  # accelerators blend floats alone
            found = F.interpolate(part.float(), size, mode="bilinear").round()
        else:
            found = F.interpolate(part, size, mode="nearest-exact" if mode == "nearest" else mode)
        out[index] = found.reshape(out.shape[1:])
    return out


def warp(x_NCHW: Tensor, matrix_N33: Tensor, fill: int, mode: Literal["bilinear", "nearest"]) -> Tensor:
    """Each image moved by its matrix, which says where its points go; what comes from outside is filled.

    "bilinear" gives float32; "nearest" keeps values and type.
    """
    height, width = x_NCHW.shape[-2:]
    # pixels → grid_sample's −1…1, pixel centres at halves
    to_unit = torch.tensor([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1.0]])
    theta_N23 = (to_unit @ torch.linalg.inv(matrix_N33) @ torch.linalg.inv(to_unit))[:, :2].to(x_NCHW.device)
    x_W, y_H = ((torch.arange(side, device=x_NCHW.device) * 2 + 1) / side - 1 for side in (width, height))
    grid = torch.empty(len(x_NCHW), height, width, 2, device=x_NCHW.device)  # ten times as fast as F.affine_grid
    for axis in (0, 1):
        along_x = theta_N23[:, axis, 0, None] * x_W + theta_N23[:, axis, 2, None]
        along_y = theta_N23[:, axis, 1, None] * y_H
        torch.add(along_x[:, None, :], along_y[:, :, None], out=grid[..., axis])
    values = F.grid_sample(x_NCHW.float() - fill, grid, mode=mode, align_corners=False).add_(fill)
    return values.to(x_NCHW.dtype) if mode == "nearest" else values


def displace(x_NCHW: Tensor, field_N2HW: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
    """Each pixel taken from so many pixels to the right and below: field_N2HW, x and y. Beyond its edges an image goes
    on as in a mirror. "bilinear" gives float32; "nearest" keeps values and type.
    """
    height, width = x_NCHW.shape[-2:]
    y_H, x_W = (torch.arange(side, device=x_NCHW.device) + 0.5 for side in (height, width))
    from_x, from_y = x_W + field_N2HW[:, 0], y_H[:, None] + field_N2HW[:, 1]
    grid = torch.stack((from_x * 2 / width - 1, from_y * 2 / height - 1), -1)
    values = F.grid_sample(x_NCHW.float(), grid, mode=mode, padding_mode="reflection", align_corners=False)
    return values.to(x_NCHW.dtype) if mode == "nearest" else values


def put_rows(x_NCHW: Tensor, rows: Tensor, images: Tensor) -> None:
    """Images put in place of some of a batch: each copied as a whole, where indexing would take byte by byte."""
    for row, image in zip(rows.tolist(), images, strict=True):
        x_NCHW[row] = image
