"""Outlines of objects, polygons and runs as COCO's files have them, as masks of pixels.

pycocotools fills polygons, so that the pixels are those that COCO's own figures are of.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from visus.data.shards import Runs
from visus.data.types import VOID
from visus.errors import MissingPart, UnreadableImage

FARTHEST = 1e9  # pixels: a corner farther away, or one that is NaN, is none
FAR = 4  # sides of the image that a polygon's corner may lie away: more is a mistake, and takes memory to draw


def coco_masks(purpose: str) -> Any:
    """pycocotools.mask. Raises MissingPart."""
    try:
        return importlib.import_module("pycocotools.mask")
    except ImportError:
        raise MissingPart("pycocotools", purpose, "coco") from None


def outline_masks(
    outlines: Sequence[bytes | None], xyxy: np.ndarray, size: tuple[int, int], name: str
) -> np.ndarray:  # fmt: skip
    """M×H×W bool, of objects in an image of height and width `size`; of one without an outline the pixels of its box.

    xyxy: M×4. Raises UnreadableImage for what is no outline, which names the image.
    """
    height, width = size
    masks = np.zeros((len(outlines), height, width), bool)
    for row, outline in enumerate(outlines):
        if outline is None:
            left, top = np.floor(xyxy[row, :2]).astype(int).tolist()
            right, bottom = np.ceil(xyxy[row, 2:]).astype(int).tolist()
            masks[row, top:bottom, left:right] = True
        else:
            masks[row] = _mask(outline, height, width, name)
    return masks


def painted(masks_MHW: np.ndarray, labels: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """H×W uint8: one more than the class of the object at each pixel, the smaller one over the larger one; 0 elsewhere.

    known: M bool; the pixels of others are VOID where no object is known.
    """
    found = np.zeros(size, np.uint8)
    sizes = masks_MHW.sum((1, 2))
    for row in sorted(range(len(labels)), key=lambda row: (known[row], -sizes[row])):
        found[masks_MHW[row]] = int(labels[row]) + 1 if known[row] else VOID
    return found


def scaled(outline: bytes, width: float, height: float) -> bytes:
    """Polygons whose corners are shares of an image, in its pixels."""
    polygons: list[list[float]] = msgspec.json.decode(outline)
    sides = (width, height)
    return msgspec.json.encode([[each * sides[at % 2] for at, each in enumerate(one)] for one in polygons])


def is_outline(found: object) -> bool:
    """Whether a JSON value can be the outline of an object."""
    if isinstance(found, list):
        return bool(found) and all(
            isinstance(polygon, list)
            and len(polygon) >= 6
            and len(polygon) % 2 == 0
            and all(isinstance(each, int | float) and abs(each) < FARTHEST for each in polygon)
            for polygon in found
        )
    return isinstance(found, dict) and isinstance(found.get("counts"), str | list)


def _mask(outline: bytes, height: int, width: int, name: str) -> np.ndarray:
    found = msgspec.json.decode(outline)
    if not is_outline(found):
        raise UnreadableImage(name, "the outline of an object is neither polygons nor runs")
    if isinstance(found, dict):
        return _filled(found, height, width, name)
    sides = (width, height)
    if any(not -FAR * sides[at % 2] <= each <= (FAR + 1) * sides[at % 2] for polygon in found
           for at, each in enumerate(polygon)):  # fmt: skip
        raise UnreadableImage(name, "the outline of an object lies far outside of the image")
    tools = coco_masks("reading polygons")
    runs = tools.merge(tools.frPyObjects(found, height, width))
    return Runs((height, width), lengths(runs["counts"].decode())).mask()


def _filled(found: dict[str, Any], height: int, width: int, name: str) -> np.ndarray:
    """A mask of runs. pycocotools would leave unset what damaged runs don't reach."""
    counts, size = found["counts"], found.get("size")
    if size != [height, width]:
        raise UnreadableImage(name, f"the outline of an object is of a size {size}, and the image is {height}×{width}")
    try:
        return Runs((height, width), lengths(counts) if isinstance(counts, str) else counts).mask()
    except (ValueError, TypeError) as problem:
        raise UnreadableImage(name, f"the outline of an object is damaged: {problem}") from None


def lengths(text: str) -> list[int]:
    """The runs that COCO's text says: differences from the run before the last, in groups of five bits from 48 on.

    >>> lengths("=240005")
    [13, 2, 4, 2, 4, 2, 9]
    """
    found: list[int] = []
    value = place = 0
    for byte in text.encode():
        bits = byte - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{chr(byte)!r} is no digit of runs")
        value |= (bits & 31) << 5 * place
        place += 1
        if place > 7:
            raise ValueError("a run is longer than any image")
        if not bits & 32:
            if bits & 16:
                value -= 1 << 5 * place
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = place = 0
    if place:
        raise ValueError("its runs are cut off")
    return found
