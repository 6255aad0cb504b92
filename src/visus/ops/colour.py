"""Changes of the values of whole batches; where Pillow's `ImageOps` and `ImageEnhance` have them, with its pixels.

All but `recolour` take N×C×H×W uint8, C of 1 (grey) or 3 (RGB), and give the same. What is said of each image has
length N, and may be on another device.
"""

from __future__ import annotations

import torch
from torch import Tensor

YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # the television's, of 1953
LUMA = (19595, 38470, 7471)  # of red, green and blue in grey, over 2¹⁶: ITU-R 601-2, as Pillow rounds it


def brightness(x_NCHW: Tensor, factor_N: Tensor) -> Tensor:
    """Values times a factor: 0 is black, 1 the image."""
    return _clipped(x_NCHW.float() * _each(factor_N, x_NCHW))


def contrast(x_NCHW: Tensor, factor_N: Tensor) -> Tensor:
    """Differences from the mean grey times a factor: 0 is one grey, 1 the image."""
    grey_N1HW = grey(x_NCHW)
    total_N = grey_N1HW.sum(3, dtype=torch.int32).sum((1, 2)).cpu().double()  # not every accelerator has doubles
    mean_N111 = _each((total_N / grey_N1HW[0].numel() + 0.5).floor().float(), x_NCHW)
    return _blended(mean_N111, x_NCHW, factor_N)


def saturation(x_NCHW: Tensor, factor_N: Tensor) -> Tensor:
    """Differences from each pixel's grey times a factor: 0 is a grey image, 1 the image."""
    return x_NCHW if x_NCHW.shape[1] == 1 else _blended(grey(x_NCHW), x_NCHW, factor_N)


def sharpness(x_NCHW: Tensor, factor_N: Tensor) -> Tensor:
    """Differences from the smoothed image times a factor: 0 is smooth, 1 the image. The outermost pixels stay."""
    height, width = x_NCHW.shape[-2:]
    if min(height, width) < 3:
        return x_NCHW
    x = x_NCHW.to(torch.int16)
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    around = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * x[..., 1:-1, 1:-1]
    smooth = (around * (1 / 13) + 0.5).floor_()  # a sum is never so near to a half that rounding could miss it
    out = x_NCHW.clone()
    out[..., 1:-1, 1:-1] = _blended(smooth, x_NCHW[..., 1:-1, 1:-1], factor_N)
    return out


def posterize(x_NCHW: Tensor, bits_N: Tensor) -> Tensor:
    """Only the first bits of each value are kept: 1 … 8 of them."""
    masks_N = (256 - 2 ** (8 - bits_N.long())).to(torch.uint8)
    return x_NCHW & _each(masks_N, x_NCHW)


def solarize(x_NCHW: Tensor, threshold_N: Tensor) -> Tensor:
    """Values from a threshold on are turned to 255 − value; from 256 on it changes nothing."""
    above = x_NCHW >= _each(threshold_N.to(torch.int16), x_NCHW)
    return x_NCHW ^ (above.view(torch.uint8) * 255)


def autocontrast(x_NCHW: Tensor) -> Tensor:
    """Each channel stretched so that its darkest value becomes 0 and its lightest 255; one of one value stays."""
    least_NC1, most_NC1 = (each[..., None].cpu() for each in (x_NCHW.amin((2, 3)), x_NCHW.amax((2, 3))))
    flat = most_NC1 <= least_NC1
    scale = torch.where(flat, 1.0, 255.0 / (most_NC1 - least_NC1).clamp_min(1).double())  # Pillow has doubles too
    offset = torch.where(flat, 0.0, -least_NC1.double() * scale)
    table_NCV = (torch.arange(256) * scale + offset).clamp(0, 255).to(torch.uint8)
    return _looked_up(x_NCHW, table_NCV.to(x_NCHW.device))


def equalize(x_NCHW: Tensor) -> Tensor:
    """Each channel's values moved so that all are about as frequent."""
    count, channels, height, width = x_NCHW.shape
    flat = x_NCHW.reshape(count * channels, height * width)
    found_RV = torch.stack([torch.bincount(row, minlength=256) for row in flat])
    below_RV = found_RV.cumsum(1) - found_RV
    last_R = found_RV.gather(1, flat.amax(1, keepdim=True).long())
    step_R1 = (height * width - last_R) // 255
    spread = ((below_RV + step_R1 // 2) // step_R1.clamp_min(1)).clamp_max(255)
    table = torch.where(step_R1 > 0, spread, torch.arange(256, device=x_NCHW.device)).to(torch.uint8)
    return _looked_up(x_NCHW, table.view(count, channels, 256))


def grey(x_NCHW: Tensor) -> Tensor:
    """N×C×H×W → N×1×H×W uint8, as Pillow turns colours to grey."""
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    red, green, blue = (x_NCHW[:, index : index + 1].int() * weight for index, weight in enumerate(LUMA))
    return red.add_(green).add_(blue).add_(1 << 15).bitwise_right_shift_(16).to(torch.uint8)


def recolour(x_NCHW: Tensor, factor_N: Tensor, angle_N: Tensor) -> Tensor:
    """Differences from each pixel's grey times a factor, and turned by an angle (radians) between YIQ's I and Q.

    N×C×H×W of values 0…255 → float32, not rounded; grey images as they are.
    """
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    count, channels, height, width = x_NCHW.shape
    to_yiq = torch.tensor(YIQ)
    turn_N33 = torch.zeros(count, 3, 3)
    turn_N33[:, 0, 0] = 1
    turn_N33[:, 1, 1] = turn_N33[:, 2, 2] = torch.cos(angle_N) * factor_N
    turn_N33[:, 2, 1] = torch.sin(angle_N) * factor_N
    turn_N33[:, 1, 2] = -turn_N33[:, 2, 1]
    matrix_N33 = (torch.linalg.inv(to_yiq) @ turn_N33 @ to_yiq).to(x_NCHW.device)
    changed = torch.bmm(matrix_N33, x_NCHW.float().view(count, channels, height * width))
    return changed.view(x_NCHW.shape).clamp_(0, 255)


def _each(value_N: Tensor, x_NCHW: Tensor) -> Tensor:
    return value_N.to(x_NCHW.device).view(-1, 1, 1, 1)


def _clipped(x_NCHW: Tensor) -> Tensor:
    """Cut off to whole numbers, as Pillow does."""
    return x_NCHW.clamp_(0, 255).to(torch.uint8)


def _blended(base: Tensor, x_NCHW: Tensor, factor_N: Tensor) -> Tensor:
    base = base.float()
    return _clipped((x_NCHW - base).mul_(_each(factor_N.float(), x_NCHW)).add_(base))


def _looked_up(x_NCHW: Tensor, table_NCV: Tensor) -> Tensor:
    """Each value's entry in the table of its channel."""
    rows = x_NCHW.reshape(-1, x_NCHW.shape[2] * x_NCHW.shape[3])
    out = torch.empty_like(rows)
    for row, table, place in zip(rows, table_NCV.view(-1, 256), out, strict=True):
        torch.index_select(table, 0, row.int(), out=place)
    return out.view_as(x_NCHW)
