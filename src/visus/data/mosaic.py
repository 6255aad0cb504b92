"""Images put together from four of a batch, with their boxes and masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from visus.data.types import Batch, Boxes
from visus.errors import SpecError
from visus.ops.resize import Interpolation, resize

LEAST_SCALE = 0.5  # at which all four are seen whole


@dataclass(frozen=True, slots=True)
class Tile:
    """What is seen of one of the four: rows top…bottom and columns left…right of the new image show the image in row
    `source` of the batch, resized to height×width and laid with its corner at (y, x)."""

    source: int
    height: int
    width: int
    y: int
    x: int
    top: int
    bottom: int
    left: int
    right: int


def mosaic(batch: Batch, share: float, draws: torch.Generator, least_seen: float) -> Batch:
    """Of about that share of the images new ones, in which four of the batch meet at a random point
    (Bochkovskiy et al. 2020, arXiv:2004.10934, §3.3): the first is the image itself, in its upper left.

    All four are resized alike, to a half of their sides or more, so that they cover the new image wherever they meet.
    An object of whose box less than `least_seen` is left is gone. inputs: N×C×H×W. Raises SpecError for labels, which
    four images don't share.
    """
    target = batch.target
    if any(each is not None for each in (target.label, target.labels, target.values, target.captions, target.image)):
        raise SpecError("augment.mosaic is for boxes and masks, and the data have other targets", "set it to 0")
    count, (height, width) = len(batch), batch.inputs.shape[-2:]
    chosen = (torch.rand(count, generator=draws) < share).nonzero()[:, 0].tolist()
    others_N3 = torch.randint(count, (count, 3), generator=draws).tolist()
    scale_N = (LEAST_SCALE + (1 - LEAST_SCALE) * torch.rand(count, generator=draws)).tolist()
    place_N2 = torch.rand(count, 2, generator=draws).tolist()
    if not chosen:
        return batch
    tiles = {
        row: _tiles([row, *others_N3[row]], scale_N[row], place_N2[row], height, width) for row in chosen
    }  # fmt: skip
    boxes = target.boxes
    if boxes is not None:
        found = [_boxes(boxes, tiles[row], height, width, least_seen) if row in tiles else boxes[row]
                 for row in range(count)]  # fmt: skip
        boxes = tuple(found)
    mask = target.mask
    if mask is not None:
        mask = _pixels(mask[:, None], tiles, "nearest")[:, 0]
    return Batch(_pixels(batch.inputs, tiles, "bilinear"), replace(target, boxes=boxes, mask=mask), batch.rows)


def _tiles(sources: Sequence[int], scale: float, place: Sequence[float], height: int, width: int) -> list[Tile]:
    """The four, by rows."""
    tall, wide = max(round(height * scale), (height + 1) // 2), max(round(width * scale), (width + 1) // 2)
    y = height - tall + round(place[0] * (2 * tall - height))
    x = width - wide + round(place[1] * (2 * wide - width))
    corners = [(y - tall, x - wide), (y - tall, x), (y, x - wide), (y, x)]
    return [
        Tile(source, tall, wide, top, left, max(0, top), min(height, top + tall), max(0, left), min(width, left + wide))
        for source, (top, left) in zip(sources, corners, strict=True)
    ]


def _pixels(x_NCHW: Tensor, tiles: dict[int, list[Tile]], interpolation: Interpolation) -> Tensor:
    out = x_NCHW.clone()
    for row, four in tiles.items():
        for each in four:
            resized = resize(x_NCHW[each.source][None], (each.height, each.width), interpolation)[0]
            out[row, :, each.top : each.bottom, each.left : each.right] = resized[
                :, each.top - each.y : each.bottom - each.y, each.left - each.x : each.right - each.x
            ]
    return out


def _boxes(boxes: Sequence[Boxes], tiles: Sequence[Tile], height: int, width: int, least_seen: float) -> Boxes:
    seen = [_seen(boxes[each.source], each, height, width, least_seen) for each in tiles]

    def joined(column: Callable[[Boxes], np.ndarray | None]) -> np.ndarray | None:
        found = [column(each) for each in seen]
        if all(each is None for each in found):
            return None
        return np.concatenate(
            [np.zeros(len(of), bool) if each is None else each for of, each in zip(seen, found, strict=True)]
        )

    return Boxes(
        np.concatenate([each.xyxy for each in seen]), np.concatenate([each.labels for each in seen]),
        crowd=joined(lambda each: each.crowd), difficult=joined(lambda each: each.difficult),
    )  # fmt: skip


def _seen(boxes: Boxes, tile: Tile, height: int, width: int, least_seen: float) -> Boxes:
    """The boxes of one of the four, where its part of the new image shows them."""
    scale = np.array([tile.width / width, tile.height / height] * 2, np.float32)
    moved = boxes.xyxy * scale + np.array([tile.x, tile.y] * 2, np.float32)
    limits = np.array([tile.left, tile.top], np.float32), np.array([tile.right, tile.bottom], np.float32)
    clipped = np.clip(moved, np.tile(limits[0], 2), np.tile(limits[1], 2))
    whole = np.maximum(moved[:, 2:] - moved[:, :2], 1e-6).prod(1)
    left = (clipped[:, 2:] - clipped[:, :2]).clip(0).prod(1)
    return replace(boxes, xyxy=clipped.astype(np.float32)).pick(left >= least_seen * whole)
