"""Augmentation of whole batches, on the device; what moves pixels moves boxes and masks with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, radians
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from msgspec.structs import asdict
from torch import Tensor
from torch.nn import functional as F

from visus.data.mosaic import mosaic
from visus.data.patches import Patch
from visus.data.randaugment import Drawn, RandAugment
from visus.data.types import VOID, Batch, Boxes, Targets
from visus.errors import SpecError
from visus.ops.colour import recolour
from visus.ops.warp import displace, enlarge, put_rows, slide, warp
from visus.spec import Spec

Part = Annotated[float, msgspec.Meta(ge=0, le=1)]
Strength = Annotated[float, msgspec.Meta(ge=0)]
Degrees = Annotated[float, msgspec.Meta(ge=0, le=180)]
LEAST_SEEN = 0.25  # of a box's area: with less than this left inside the image its object is gone
TRIES = 10  # at a part of the image that fits into it


class Crop(Spec, frozen=True):
    """A part of each image enlarged to the whole, of random area, proportions and place (arXiv:1409.4842).

    least: the least share of the area. stretch: how far proportions may change: up to this many times either way.
    """

    least: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.08
    stretch: Annotated[float, msgspec.Meta(ge=1)] = 4 / 3


class Elastic(Spec, frozen=True):
    """Random smooth deformation (Simard et al. 2003; as U-Net has it: arXiv:1505.04597, §3.1).

    sd: of the displacements at the nodes of a coarse grid, in pixels, each way. grid: nodes a side, the outer ones in
    the image's corners. Between them displacements are interpolated (bicubic); beyond its edges an image is mirrored.
    """

    sd: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    grid: Annotated[int, msgspec.Meta(ge=2)] = 3


class Augment(Spec, frozen=True):
    """Random changes of training images, drawn anew for each image.

    patch: parts are cut out first, and the rest happens to them. flip: left and right, for half of the images.
    mosaic: the probability that an image becomes one of four that meet; for boxes and masks.
    crop: a part is enlarged to the whole. shift: up to this share of a side, in each direction. zoom, shrink: enlarged
    or reduced by up to this share, about the middle. rotate: up to this many degrees either way.
    elastic: deformed, after all other moves; not for boxes.
    randaugment: operations drawn for each image. saturation: up to this share either way. hue: turned by up to this
    many degrees either way, at the same luminance. brightness, contrast: up to this share either way.
    erase: the probability that a rectangle of 2–20 % of the image is filled with noise. mixup: α of Beta(α, α),
    blending pairs of images (arXiv:1710.09412). cutmix: likewise, pasting a rectangle (arXiv:1905.04899); where both
    are set each batch takes one of them. Both blend the labels.
    """

    patch: Patch | None = None
    mosaic: Part = 0.0
    flip: bool = False
    crop: Crop | None = None
    shift: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.0
    zoom: Strength = 0.0
    shrink: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    rotate: Degrees = 0.0
    elastic: Elastic | None = None
    randaugment: RandAugment | None = None
    saturation: Part = 0.0
    hue: Degrees = 0.0
    brightness: Part = 0.0
    contrast: Part = 0.0
    erase: Part = 0.0
    mixup: Strength = 0.0
    cutmix: Strength = 0.0

    def idle(self) -> bool:
        """Whether it changes nothing."""
        return not any(asdict(self).values())

    def apply(self, batch: Batch, draws: torch.Generator, fill: int) -> Batch:
        """Pixels moved, then their values changed: inputs N×C×H×W uint8 in, uint8 or float32 out, values 0…255."""
        if self.patch is not None:
            batch = self.patch.cut(batch, draws)
        drawn = None if self.randaugment is None else self.randaugment.draw(len(batch), draws)
        batch = self.geometry(batch, draws, fill, drawn)
        return replace(batch, inputs=self.colour(batch.inputs, draws, drawn))

    def geometry(self, batch: Batch, draws: torch.Generator, fill: int, drawn: Drawn | None = None) -> Batch:
        """Pixels moved: inputs N×C×H×W uint8 in and out (float32 where they are blends), values 0…255.

        drawn: what RandAugment does to these images. Raises SpecError where boxes would have to be deformed, and where
        four images would share a label.
        """
        if self.mosaic:
            batch = mosaic(batch, self.mosaic, draws, LEAST_SEEN)
        batch = self._moved(batch, draws, fill, drawn)
        return batch if self.elastic is None else _deformed(batch, self.elastic, draws)

    def _moved(self, batch: Batch, draws: torch.Generator, fill: int, drawn: Drawn | None) -> Batch:
        moves = self._moves(len(batch), batch.inputs.shape[-2], batch.inputs.shape[-1], draws, drawn)
        if not (self.flip or self.crop or self.shift or self.zoom or self.shrink or self.rotate or drawn):
            return batch
        moved = batch.target
        masks = moved.mask if moved.mask is None else moves.pixels(moved.mask[:, None], VOID, "nearest")[:, 0]
        pairs = moved.image if moved.image is None else moves.pixels(moved.image, fill)
        boxes = moved.boxes if moved.boxes is None else moves.boxes(moved.boxes)
        target = Targets(moved.label, moved.labels, moved.values, boxes, masks, moved.captions, pairs)
        return Batch(moves.pixels(batch.inputs, fill), target, batch.rows)

    def colour(self, x_NCHW: Tensor, draws: torch.Generator, drawn: Drawn | None = None) -> Tensor:
        """Values changed in place of pixels: 0…255 in and out, uint8 or float32.

        drawn: what RandAugment does to these images; it takes whole numbers.
        """
        count = len(x_NCHW)
        gain_N = 1 + (torch.rand(count, generator=draws) * 2 - 1) * self.contrast
        lift_N = (torch.rand(count, generator=draws) * 2 - 1) * self.brightness * 255
        if drawn is not None:
            x_NCHW = drawn.colour(_whole(x_NCHW))
        if self.saturation or self.hue:
            factor_N = 1 + (torch.rand(count, generator=draws) * 2 - 1) * self.saturation
            angle_N = (torch.rand(count, generator=draws) * 2 - 1) * radians(self.hue)
            x_NCHW = recolour(x_NCHW, factor_N, angle_N)
        if self.contrast or self.brightness:
            x_NCHW = x_NCHW.float()
            mean_N111 = x_NCHW.mean((1, 2, 3), keepdim=True)
            gain, lift = (each.to(x_NCHW.device).view(-1, 1, 1, 1) for each in (gain_N, lift_N))
            x_NCHW = (x_NCHW - mean_N111).mul_(gain).add_(mean_N111).add_(lift).clamp_(0, 255)
        return self._erased(x_NCHW, draws) if self.erase else x_NCHW

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
        if cut:
            height, width = batch.inputs.shape[-2:]
            ((top, left, bottom, right),) = _rectangles(torch.tensor([1 - share]), height, width, draws)
            x_NCHW = batch.inputs.float().clone()
            x_NCHW[..., top:bottom, left:right] = batch.inputs[..., top:bottom, left:right][other_N].float()
            share = 1 - (bottom - top) * (right - left) / (height * width)
        else:
            x_NCHW = batch.inputs[other_N].float().mul_(1 - share).add_(batch.inputs * share)
        mixed_NK = one_hot_NK * share + one_hot_NK[other_N] * (1 - share)
        return Batch(x_NCHW, Targets(label=mixed_NK), batch.rows)

    def _moves(self, count: int, height: int, width: int, draws: torch.Generator, drawn: Drawn | None) -> _Moves:
        flip_N = torch.rand(count, generator=draws) < (0.5 if self.flip else 0.0)
        reach = torch.tensor([self.shift * height, self.shift * width])
        shift_N2 = ((torch.rand(count, 2, generator=draws) * 2 - 1) * reach).round()
        zoom_N = 1 - self.shrink + torch.rand(count, generator=draws) * (self.zoom + self.shrink)
        angle_N = (torch.rand(count, generator=draws) * 2 - 1) * radians(self.rotate)
        parts_N4 = None if self.crop is None else _parts(self.crop, count, height, width, draws)
        matrix_N33 = _matrix(flip_N, shift_N2, zoom_N, angle_N, height, width)
        turned_N = torch.zeros(count, dtype=torch.bool)
        if drawn is not None:
            shift_N2 = shift_N2 + drawn.shift(height, width)
            matrix_N33 = drawn.matrix(height, width) @ matrix_N33
            turned_N = drawn.turned()
        every = bool(self.zoom or self.shrink or self.rotate)
        return _Moves((height, width), parts_N4, flip_N, shift_N2, matrix_N33, turned_N, every)

    def _erased(self, x_NCHW: Tensor, draws: torch.Generator) -> Tensor:
        """Rectangles of some images filled with noise."""
        count, channels, height, width = x_NCHW.shape
        rectangles = _rectangles(torch.rand(count, generator=draws) * 0.18 + 0.02, height, width, draws)
        chosen_N = torch.rand(count, generator=draws) < self.erase
        x_NCHW = x_NCHW.float().clone()
        for index in chosen_N.nonzero()[:, 0].tolist():
            top, left, bottom, right = rectangles[index]
            noise = torch.rand((channels, bottom - top, right - left), generator=draws) * 255
            x_NCHW[index, :, top:bottom, left:right] = noise.to(x_NCHW.device)
        return x_NCHW


@dataclass(frozen=True)
class _Moves:
    """Where the pixels of each image of a batch go: a part is enlarged, then mirrored and shifted, or turned as well.

    size: height, width. parts: N×4 top, left, height, width; None: all. flip: N bool. shift: N×2, down and right.
    matrix: N×3×3, of all that comes after the parts. turned: N bool, which images take more than a mirror and whole
    pixels. every: all of them do.
    """

    size: tuple[int, int]
    parts: Tensor | None
    flip: Tensor
    shift: Tensor
    matrix: Tensor
    turned: Tensor
    every: bool

    def pixels(self, x_NCHW: Tensor, fill: int, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
        """N×C×H×W, uint8 in and out; float32 where every image was turned, and its pixels are blends."""
        if self.parts is not None:
            x_NCHW = enlarge(x_NCHW, self.parts, mode)
        if self.every:
            return warp(x_NCHW, self.matrix, fill, mode)
        rows, out = self.turned.nonzero()[:, 0], x_NCHW
        if self.flip.any() or self.shift.any():
            out = slide(x_NCHW, self.flip, self.shift, fill)
        elif len(rows):
            out = x_NCHW.clone()
        if len(rows):
            found = warp(x_NCHW.index_select(0, rows.to(x_NCHW.device)), self.matrix[rows], fill, mode)
            put_rows(out, rows, _whole(found) if out.dtype == torch.uint8 else found)
        return out

    def boxes(self, boxes: tuple[Boxes, ...]) -> tuple[Boxes, ...]:
        """The boxes of each image."""
        steps = [self.matrix] if self.parts is None else [_enlarging(self.parts, *self.size), self.matrix]
        matrix_NS33 = torch.stack(steps, 1).numpy()
        return tuple(_move_boxes(each, m, *self.size) for each, m in zip(boxes, matrix_NS33, strict=True))


def _deformed(batch: Batch, elastic: Elastic, draws: torch.Generator) -> Batch:
    """All images of a batch deformed, each in its own way, with their masks and pairs."""
    target = batch.target
    if target.boxes is not None:
        raise SpecError("augment.elastic deforms images, and boxes can't follow", "leave augment.elastic out")
    x_NCHW = batch.inputs
    nodes = torch.randn(len(batch), 2, elastic.grid, elastic.grid, generator=draws) * elastic.sd
    field_N2HW = F.interpolate(nodes.to(x_NCHW.device), x_NCHW.shape[-2:], mode="bicubic", align_corners=True)
    mask = target.mask if target.mask is None else displace(target.mask[:, None], field_N2HW, "nearest")[:, 0]
    image = target.image if target.image is None else displace(target.image, field_N2HW)
    return Batch(displace(x_NCHW, field_N2HW), replace(target, mask=mask, image=image), batch.rows)


def _parts(crop: Crop, count: int, height: int, width: int, draws: torch.Generator) -> Tensor:
    """N×4 top, left, height, width in whole pixels: the first of some tries that fits; the whole if none does."""
    area_NT = crop.least + torch.rand(count, TRIES, generator=draws) * (1 - crop.least)
    stretch_NT = torch.exp((torch.rand(count, TRIES, generator=draws) * 2 - 1) * log(crop.stretch))
    place_N2 = torch.rand(count, 2, generator=draws)
    sides_NT2 = torch.stack([height * (area_NT / stretch_NT).sqrt(), width * (area_NT * stretch_NT).sqrt()], -1)
    sides_NT2 = sides_NT2.round().clamp_min(1)
    whole_2 = torch.tensor([height, width])
    fits_NT = (sides_NT2 <= whole_2).all(2)
    sides_N2 = sides_NT2[torch.arange(count), fits_NT.int().argmax(1)]
    sides_N2 = torch.where(fits_NT.any(1, keepdim=True), sides_N2, whole_2)
    corner_N2 = (place_N2 * (whole_2 - sides_N2 + 1)).floor().minimum(whole_2 - sides_N2)
    return torch.cat([corner_N2, sides_N2], 1).long()


def _enlarging(parts_N4: Tensor, height: int, width: int) -> Tensor:
    """N×3×3: where the points of each image go when a part of it becomes the whole."""
    top_N, left_N, tall_N, wide_N = parts_N4.float().T
    matrix_N33 = torch.zeros(len(parts_N4), 3, 3)
    matrix_N33[:, 0, 0], matrix_N33[:, 0, 2] = width / wide_N, -left_N * width / wide_N
    matrix_N33[:, 1, 1], matrix_N33[:, 1, 2] = height / tall_N, -top_N * height / tall_N
    matrix_N33[:, 2, 2] = 1
    return matrix_N33


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


def _move_boxes(boxes: Boxes, matrix_S33: np.ndarray, height: int, width: int) -> Boxes:
    """Boxes around the moved corners, clipped to the image; an object of which too little is left is dropped.

    What is outside after a step is lost for the next one. Masks of single objects aren't moved: they are left out.
    """
    clipped, seen = boxes.xyxy, np.ones(len(boxes))
    for matrix_33 in matrix_S33:
        x1, y1, x2, y2 = clipped.T
        corners_M42 = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 4, 2)
        moved_M42 = corners_M42 @ matrix_33[:2, :2].T + matrix_33[:2, 2]
        xyxy = np.concatenate([moved_M42.min(1), moved_M42.max(1)], 1)
        clipped = np.clip(xyxy, 0, [width, height, width, height])
        sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1e-6)
        seen *= (clipped[:, 2:] - clipped[:, :2]).clip(0).prod(1) / sides.prod(1)
    return replace(boxes, xyxy=clipped.astype(np.float32), masks=None).pick(seen >= LEAST_SEEN)


def _rectangles(area_N: Tensor, height: int, width: int, draws: torch.Generator) -> list[list[int]]:
    """Top, left, bottom, right of a rectangle of each image's proportions with about that share of its area."""
    half_N1 = area_N.sqrt()[:, None] / 2
    middle_N2 = torch.rand(len(area_N), 2, generator=draws)
    size_2 = torch.tensor([height, width])
    # a pixel is inside where its centre is
    first_N2 = ((middle_N2 - half_N1) * size_2 - 0.5).ceil().clamp_min(0)
    last_N2 = ((middle_N2 + half_N1) * size_2 - 0.5).floor().minimum(size_2 - 1)
    found: list[list[int]] = torch.cat([first_N2, last_N2.maximum(first_N2 - 1) + 1], 1).long().tolist()
    return found


def _whole(x_NCHW: Tensor) -> Tensor:
    """Values rounded to uint8."""
    return x_NCHW if x_NCHW.dtype == torch.uint8 else x_NCHW.round().clamp_(0, 255).to(torch.uint8)
