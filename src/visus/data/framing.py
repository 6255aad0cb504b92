"""Resizing and cutting as plain operations for exported graphs: `ImagePreprocess.place_many`, pixel for pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from visus.data.preprocess import ImagePreprocess
from visus.ops.resample import frame


def framed(preprocess: ImagePreprocess, x_NHWC: Tensor) -> Tensor:
    """N×H×W×channels uint8, of any size → N×channels×size uint8.

    Every choice that depends on an image's size is arithmetic, so that a traced graph holds for other sizes too.
    Images that are so thin that `place_many` refuses them are resized all the same.
    """
    height, width = (_number(side) for side in x_NHWC.shape[1:3])
    resized = _resized(preprocess, height, width)
    return frame(
        x_NHWC.permute(0, 3, 1, 2), resized, _start(preprocess, resized), preprocess.size, preprocess.interpolation,
        preprocess.fill,
    )  # fmt: skip


def unframed(preprocess: ImagePreprocess, boxes_NM4: Tensor, x_NHWC: Tensor) -> Tensor:
    """N×M×4 boxes (xyxy) of the frames that `framed` makes, in pixels of the images and cut off at their edges."""
    height, width = (_number(side) for side in x_NHWC.shape[1:3])
    resized = _resized(preprocess, height, width)
    top, left = _start(preprocess, resized)
    scale_4 = torch.stack((resized[1] / width, resized[0] / height)).repeat(2)
    moved_NM4 = (boxes_NM4.double() + torch.stack((left, top)).repeat(2)) / scale_4
    return moved_NM4.clamp_min(0).minimum(torch.stack((width, height)).repeat(2)).to(boxes_NM4.dtype)


def _start(preprocess: ImagePreprocess, resized: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Where the frame begins on the resized image, downwards and to the right."""
    top, left = (
        torch.round((side - window) * 0.5)  # half to even, as Python rounds
        for side, window in zip(resized, preprocess.size, strict=True)
    )
    return top, left


def _resized(preprocess: ImagePreprocess, height: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    share = preprocess.crop if preprocess.fit == "crop" else 1.0
    want_h, want_w = (_number(max(1, int(side / share))) for side in preprocess.size)
    if preprocess.fit == "center":
        return height, width
    if preprocess.fit == "stretch":
        return want_h, want_w
    if preprocess.fit == "pad":
        scale = torch.minimum(want_h / height, want_w / width)
        return (
            torch.round(height * scale).clamp(min=1).minimum(want_h),
            torch.round(width * scale).clamp(min=1).minimum(want_w),
        )
    wider = want_h * width >= want_w * height  # its height decides
    return (
        torch.where(wider, want_h, torch.maximum(want_h, torch.floor(want_w * height / width))),
        torch.where(wider, torch.maximum(want_w, torch.floor(want_h * width / height)), want_w),
    )


def _number(value: int) -> Tensor:
    return torch.scalar_tensor(value, dtype=torch.float64)
