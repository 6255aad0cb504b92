"""Augmentation of whole batches, on the device; what moves pixels moves boxes and masks with them."""

from __future__ import annotations

from math import radians
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec.structs import asdict
from torch import Tensor
from torch.nn import functional as F

from visus.data.types import VOID, Batch, Boxes, Targets
from visus.errors import SpecError
from visus.spec import Spec

Part = Annotated[float, msgspec.Meta(ge=0, le=1)]
Strength = Annotated[float, msgspec.Meta(ge=0)]
LEAST_SEEN = 0.25  # of a box's area: with less than this left inside the image its object is gone


class Augment(Spec, frozen=True):
    """Random changes of training images, drawn anew for each image.

    flip: left and right, for half of the images. shift: up to this share of a side, in each direction.
    zoom: enlarged by up to this share. rotate: up to this many degrees either way.
    brightness, contrast: up to this share either way. erase: the probability that a rectangle of 2–20 % of the image
    is filled with grey noise. mixup: α of Beta(α, α), blending pairs of images (arXiv:1710.09412). cutmix: likewise,
    pasting a rectangle (arXiv:1905.04899); where both are set each batch takes one of them. Both blend the labels.
    """

    flip: bool = False
    shift: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    zoom: Strength = 0.0
    rotate: Annotated[float, msgspec.Meta(ge=0, le=180)] = 0.0
    brightness: Part = 0.0
    contrast: Part = 0.0
    erase: Part = 0.0
    mixup: Strength = 0.0
    cutmix: Strength = 0.0

    def idle(self) -> bool:
        """Whether it changes nothing."""
        return not any(asdict(self).values())

    def geometry(self, batch: Batch, draws: torch.Generator, fill: int) -> Batch:
        """Pixels moved: inputs N×C×H×W uint8 in and out (float32 after a zoom or rotation), values 0…255."""
        x_NCHW = batch.inputs
        count, (height, width) = len(x_NCHW), x_NCHW.shape[-2:]
        flip_N = torch.rand(count, generator=draws) < (0.5 if self.flip else 0.0)
        reach = torch.tensor([self.shift * height, self.shift * width])
        shift_N2 = ((torch.rand(count, 2, generator=draws) * 2 - 1) * reach).round()
        zoom_N = 1 + torch.rand(count, generator=draws) * self.zoom
        angle_N = (torch.rand(count, generator=draws) * 2 - 1) * radians(self.rotate)
        moved = batch.target
        if self.zoom or self.rotate:
            matrix_N33 = _matrix(flip_N, shift_N2, zoom_N, angle_N, height, width)
            x_NCHW = _warp(x_NCHW, matrix_N33, fill, "bilinear")
            masks = moved.mask if moved.mask is None else _warp(moved.mask[:, None], matrix_N33, VOID, "nearest")[:, 0]
            pairs = moved.image if moved.image is None else _warp(moved.image, matrix_N33, fill, "bilinear")
        elif self.flip or self.shift:
            matrix_N33 = _matrix(flip_N, shift_N2, zoom_N, angle_N, height, width)
            x_NCHW = _slide(x_NCHW, flip_N, shift_N2, fill)
            masks = moved.mask if moved.mask is None else _slide(moved.mask[:, None], flip_N, shift_N2, VOID)[:, 0]
            pairs = moved.image if moved.image is None else _slide(moved.image, flip_N, shift_N2, fill)
        else:
            return batch
        boxes = moved.boxes
        if boxes is not None:
            boxes = tuple(
                _move_boxes(each, m, height, width) for each, m in zip(boxes, matrix_N33.numpy(), strict=True)
            )
        target = Targets(moved.label, moved.labels, moved.values, boxes, masks, moved.captions, pairs)
        return Batch(x_NCHW, target, batch.rows)

    def colour(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """Values changed in place of pixels: 0…255 in (uint8 or float32), float32 out."""
        count = len(x_NCHW)
        gain_N = 1 + (torch.rand(count, generator=draws) * 2 - 1) * self.contrast
        lift_N = (torch.rand(count, generator=draws) * 2 - 1) * self.brightness * 255
        if self.contrast or self.brightness:
            x_NCHW = x_NCHW.float()
            mean_N111 = x_NCHW.mean((1, 2, 3), keepdim=True)
            gain, lift = (each.to(x_NCHW.device).view(-1, 1, 1, 1) for each in (gain_N, lift_N))
            x_NCHW = ((x_NCHW - mean_N111) * gain + mean_N111 + lift).clamp(0, 255)
        if self.erase:
            x_NCHW = x_NCHW.float()
            inside_NHW = _rectangles(torch.rand(count, generator=draws) * 0.18 + 0.02, x_NCHW, draws)
            chosen_N = torch.rand(count, generator=draws) < self.erase
            noise_NCHW = torch.rand(x_NCHW.shape, generator=draws) * 255
            hit = (inside_NHW & chosen_N.view(-1, 1, 1))[:, None].to(x_NCHW.device)
            x_NCHW = torch.where(hit, noise_NCHW.to(x_NCHW.device), x_NCHW)
        return x_NCHW

    def mix(self, batch: Batch, classes: int, draws: torch.Generator) -> Batch:
        """Images blended in pairs, and their labels: N int64 becomes N×K float32."""
        if not (self.mixup or self.cutmix):
            return batch
        if batch.target.label is None:
            raise SpecError(
                "augment.mixup and augment.cutmix blend class labels, and this task has none", "set both to 0"
            )
        one_hot_NK = F.one_hot(batch.target.label, classes).float()
        cut = self.cutmix > 0 and (not self.mixup or bool(torch.rand((), generator=draws) < 0.5))
        alpha = self.cutmix if cut else self.mixup
        seed = int(torch.randint(2**31, (), generator=draws))
        share = float(np.random.default_rng(seed).beta(alpha, alpha))
        other_N = torch.randperm(len(batch), generator=draws).to(batch.inputs.device)
        x_NCHW = batch.inputs.float() if cut else batch.inputs
        if cut:
            inside_1HW = _rectangles(torch.tensor([1 - share]), x_NCHW[:1], draws).to(x_NCHW.device)
            x_NCHW = torch.where(inside_1HW[:, None], x_NCHW[other_N], x_NCHW)
            share = 1 - inside_1HW.float().mean().item()
        else:
            x_NCHW = x_NCHW * share + x_NCHW[other_N] * (1 - share)
        mixed_NK = one_hot_NK * share + one_hot_NK[other_N] * (1 - share)
        return Batch(x_NCHW, Targets(label=mixed_NK), batch.rows)


def _matrix(flip_N: Tensor, shift_N2: Tensor, zoom_N: Tensor, angle_N: Tensor, height: int, width: int) -> Tensor:
    """N×3×3: where a point (x, y, 1) of the image goes. Turned and enlarged about the middle, flipped, then shifted."""
    cos_N, sin_N = torch.cos(angle_N) * zoom_N, torch.sin(angle_N) * zoom_N
    mirror_N = torch.where(flip_N, -1.0, 1.0)
    middle_x, middle_y = width / 2, height / 2
    a, b, c, d = cos_N * mirror_N, -sin_N * mirror_N, sin_N, cos_N
    matrix_N33 = torch.zeros(len(flip_N), 3, 3)
    matrix_N33[:, 0, 0], matrix_N33[:, 0, 1], matrix_N33[:, 1, 0], matrix_N33[:, 1, 1] = a, b, c, d
    matrix_N33[:, 0, 2] = middle_x - a * middle_x - b * middle_y + shift_N2[:, 1]
    matrix_N33[:, 1, 2] = middle_y - c * middle_x - d * middle_y + shift_N2[:, 0]
    matrix_N33[:, 2, 2] = 1
    return matrix_N33


def _slide(x_NCHW: Tensor, flip_N: Tensor, shift_N2: Tensor, fill: int) -> Tensor:
    """Flips and whole-pixel shifts by gathering, which keeps uint8 and costs no arithmetic."""
    count, channels, height, width = x_NCHW.shape
    device = x_NCHW.device
    row_NH = (torch.arange(height) - shift_N2[:, :1].long()).to(device)
    column_NW = torch.arange(width) - shift_N2[:, 1:].long()
    column_NW = torch.where(flip_N[:, None], width - 1 - column_NW, column_NW).to(device)
    inside_row_NH = (row_NH >= 0) & (row_NH < height)
    inside_column_NW = (column_NW >= 0) & (column_NW < width)
    index_NHW = row_NH.clamp(0, height - 1)[:, :, None] * width + column_NW.clamp(0, width - 1)[:, None, :]
    flat = x_NCHW.reshape(count, channels, -1)
    out = flat.gather(2, index_NHW.reshape(count, 1, -1).expand(-1, channels, -1)).view_as(x_NCHW)
    return out.masked_fill_(~(inside_row_NH[:, None, :, None] & inside_column_NW[:, None, None, :]), fill)


def _warp(x_NCHW: Tensor, matrix_N33: Tensor, fill: int, mode: str) -> Tensor:
    """Pixels fetched from where the inverse of the matrix says; what lies outside is filled."""
    height, width = x_NCHW.shape[-2:]
    # pixels → grid_sample's −1…1, pixel centres at halves
    to_unit = torch.tensor([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1.0]])
    theta_N23 = (to_unit @ torch.linalg.inv(matrix_N33) @ torch.linalg.inv(to_unit))[:, :2].to(x_NCHW.device)
    grid = F.affine_grid(theta_N23, list(x_NCHW.shape), align_corners=False)
    values = F.grid_sample(x_NCHW.float() - fill, grid, mode=mode, align_corners=False) + fill
    return values.to(x_NCHW.dtype) if mode == "nearest" else values


def _move_boxes(boxes: Boxes, matrix_33: np.ndarray, height: int, width: int) -> Boxes:
    """Boxes around the moved corners, clipped to the image; an object of which too little is left is dropped.

    Masks of single objects aren't moved: they are left out.
    """
    x1, y1, x2, y2 = boxes.xyxy.T
    corners_M42 = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 4, 2)
    moved_M42 = corners_M42 @ matrix_33[:2, :2].T + matrix_33[:2, 2]
    xyxy = np.concatenate([moved_M42.min(1), moved_M42.max(1)], 1)
    clipped = np.clip(xyxy, 0, [width, height, width, height])
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1e-6)
    seen = (clipped[:, 2:] - clipped[:, :2]).clip(0).prod(1) / sides.prod(1)
    kept = np.flatnonzero(seen >= LEAST_SEEN)
    phrases = boxes.phrases and tuple(boxes.phrases[index] for index in kept)
    return Boxes(clipped[kept].astype(np.float32), boxes.labels[kept], None, phrases)


def _rectangles(area_N: Tensor, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
    """N×H×W bool: in each image a rectangle of the image's proportions with about that share of its area."""
    height, width = x_NCHW.shape[-2:]
    side_N = area_N.sqrt()
    middle_N2 = torch.rand(len(area_N), 2, generator=draws)
    row_N, column_N = middle_N2[:, 0] * height, middle_N2[:, 1] * width
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    in_rows = (rows - row_N[:, None]).abs() <= side_N[:, None] * height / 2
    in_columns = (columns - column_N[:, None]).abs() <= side_N[:, None] * width / 2
    return in_rows[:, :, None] & in_columns[:, None, :]
