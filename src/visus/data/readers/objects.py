"""The objects in images, as annotations give them: gathered, mended, and turned into targets when they are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, final

import numpy as np

from visus.data.image import header, printable, upright
from visus.data.readers.frames import Headers, Made, turn_boxes
from visus.data.readers.outlines import outline_masks, painted, scaled
from visus.data.samples import Stored
from visus.data.types import VOID, Boxes, Skipped, Target
from visus.errors import DataError, UnreadableImage

LONGEST = 1 << 30  # pixels a side: what is said to be longer is no size
ROUNDING = 2e-6  # shares of an image's side by which a box may leave it for its digits alone

Way = Literal["boxes", "objects", "mask"]


class Object(NamedTuple):
    """One object, as a file says.

    image: its row. at: where it stands, for people. box: left, top, right, bottom. outline: JSON, as COCO has it.
    """

    image: int
    at: str
    box: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False
    area: float = np.nan
    outline: bytes | None = None


@dataclass(frozen=True, slots=True)
class Marks:
    """The objects of one image, in the frame that the annotation is of.

    size: height and width of that frame, in pixels; None: of the upright image, and coordinates are shares of it.
    xyxy: M×4 float64. labels: M int64. crowd, difficult, truncated: M bool. areas: M float64, NaN where it isn't said.
    outlines: M, JSON of polygons or runs as COCO has it, None where it isn't known.
    """

    size: tuple[int, int] | None
    xyxy: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    truncated: np.ndarray
    areas: np.ndarray
    outlines: tuple[bytes | None, ...]


def gathered(
    objects: Sequence[Object], sizes: Sequence[tuple[int, int] | None], files: Sequence[Stored]
) -> tuple[list[Marks], list[Skipped]]:
    """The objects of each image, and what was left out or clipped, box by box.

    sizes: height and width of each image's frame; None: coordinates are shares. files: of the images.
    """
    xyxy = np.array([each.box for each in objects], np.float64).reshape(-1, 4)
    owner = np.array([each.image for each in objects], np.int64)
    frames = np.array([(1, 1) if size is None else size for size in sizes], np.float64).reshape(-1, 2)[:, ::-1]
    limits = np.tile(frames[owner], 2)
    finite = np.asarray(np.isfinite(xyxy).all(axis=1))
    clipped = np.clip(np.where(finite[:, None], xyxy, 0), 0, limits)
    flat = finite & ~np.asarray((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))
    out = finite & ~flat & ~np.asarray((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    moved = finite & ~flat & ~out & np.asarray((np.abs(clipped - xyxy) > ROUNDING * limits).any(axis=1))
    causes = ((~finite, "isn't of numbers"), (flat, "has no area"), (out, "lies outside of the image"))
    told = []
    for row in np.flatnonzero(~finite | flat | out | moved).tolist():
        cause = next((text + ": left out" for wrong, text in causes if wrong[row]), None)
        width, height = frames[owner[row]]
        if cause is None:
            cause = "leaves the image" + ("" if sizes[owner[row]] is None else f" of {width:g}×{height:g} pixels")
            cause += ": clipped"
        box = ", ".join(f"{value:g}" for value in xyxy[row])
        told.append(
            Skipped(
                f"{printable(files[owner[row]].name)}: {objects[row].at}", f"the box ({box}) {cause}", bool(moved[row])
            )
        )
    rows = np.flatnonzero(finite & ~flat & ~out)
    rows = rows[np.argsort(owner[rows], kind="stable")]
    ends = np.searchsorted(owner[rows], np.arange(len(sizes) + 1))
    columns = [np.array([getattr(each, name) for each in objects]) for name in ("label", "crowd", "difficult",
                                                                                 "truncated", "area")]  # fmt: skip
    kinds = (np.int64, bool, bool, bool, np.float64)
    label, crowd, difficult, truncated, area = (
        column.astype(kind) for column, kind in zip(columns, kinds, strict=True)
    )
    marks = []
    for image, size in enumerate(sizes):
        own = rows[ends[image] : ends[image + 1]]
        outlines = tuple(objects[row].outline for row in own.tolist())
        marks.append(
            Marks(size, clipped[own], label[own], crowd[own], difficult[own], truncated[own], area[own], outlines)
        )
    return marks, told


def size_of(file: Stored, height: object, width: object) -> tuple[int, int]:
    """Height and width of what an annotation is of: as it says, or else of the image as it is stored."""
    said = [int(each) for each in (height, width) if isinstance(each, int | float) and 1 <= each <= LONGEST]
    if len(said) == 2:
        return said[0], said[1]
    try:
        found = header(file.read(), printable(file.name))
    except UnreadableImage:
        return 1, 1  # it is reported, with its cause, when it is read as a sample
    return (found.width, found.height) if found.orientation >= 5 else (found.height, found.width)


def number(value: float) -> float:
    """A number as float64; NaN for one with so many digits that it can't be."""
    try:
        return float(value)
    except OverflowError:
        return np.nan


def mask_names(root: str, labels: Sequence[str]) -> tuple[str, ...]:
    """The classes of masks in which objects are painted. Raises DataError where a byte can't hold them."""
    if len(labels) >= VOID:
        raise DataError(
            f"{root}: {len(labels)} classes don't fit into a mask, which holds {VOID - 1} and the background",
            "data.target = objects gives each object its own mask",
        )
    return ("background", *labels)


def shared_names(labels: Sequence[str]) -> list[str]:
    """Notes on classes that have one name."""
    return [f"{count} classes are called {name}" for name, count in Counter(labels).items() if count > 1]


@final
class ObjectTargets(Made):
    """Boxes, outlines or painted masks of images, made when they are asked for, upright as the images are.

    way: "boxes"; "objects", boxes with the mask of each; "mask", the class of each pixel: 0 where there is no object,
    one more than an object's class where it is. A file's header is read once, to learn how it is turned.
    """

    def __init__(self, files: Sequence[Stored], marks: Sequence[Marks], way: Way) -> None:
        self.files, self.marks, self.way = files, marks, way
        self.headers = Headers(files)

    def __len__(self) -> int:
        return len(self.marks)

    def made(self, row: int) -> Target:
        marks, height, width = self.turned(row)
        crowd, difficult = (each if each.any() else None for each in (marks.crowd, marks.difficult))
        areas = np.where(np.isnan(marks.areas), (marks.xyxy[:, 2:] - marks.xyxy[:, :2]).prod(1), marks.areas)
        boxes = Boxes(
            marks.xyxy.astype(np.float32), marks.labels, areas=None if np.isnan(marks.areas).all() else areas,
            crowd=crowd, difficult=difficult,
        )  # fmt: skip
        if self.way == "boxes":
            return Target(boxes=boxes)
        own = self.marks[row].xyxy if self.marks[row].size is not None else marks.xyxy
        masks = outline_masks(self.outlines(row), own, self.frame(row), printable(self.files[row].name))
        pixels = masks.transpose(1, 2, 0)  # the last is of objects, so that they are turned as an image is
        turned = upright(pixels, self.headers[row][2]) if self.is_stored(row) else pixels
        masks_MHW = np.ascontiguousarray(turned.transpose(2, 0, 1))
        if self.way == "objects":
            return Target(boxes=replace(boxes, masks=masks_MHW))
        known = np.array([each is not None for each in marks.outlines], bool)
        return Target(mask=painted(masks_MHW, marks.labels, known, (height, width)))

    def is_stored(self, row: int) -> bool:
        """Whether an annotation is of the image as it is stored, not as it is seen. Raises UnreadableImage.

        Where both have one size it is taken to be of what is stored, which is what most programs read.
        """
        height, width, orientation = self.headers[row]
        size = self.marks[row].size
        stored = (width, height) if orientation >= 5 else (height, width)
        if size is None or (size == (height, width) and size != stored):
            return False
        if size != stored:
            raise UnreadableImage(
                printable(self.files[row].name),
                f"its annotation is of {size[1]}×{size[0]} pixels, and the image has {width}×{height}",
            )
        return orientation != 1

    def frame(self, row: int) -> tuple[int, int]:
        """Height and width, in pixels, of the frame that an annotation is of. Raises UnreadableImage."""
        size = self.marks[row].size
        return self.headers[row][:2] if size is None else size

    def outlines(self, row: int) -> tuple[bytes | None, ...]:
        """The outlines of objects in pixels of the frame that the annotation is of. Raises UnreadableImage."""
        marks = self.marks[row]
        if marks.size is not None:
            return marks.outlines
        height, width, _ = self.headers[row]
        return tuple(None if each is None else scaled(each, width, height) for each in marks.outlines)

    def turned(self, row: int) -> tuple[Marks, int, int]:
        """The objects in pixels of the upright image, and its height and width. Raises UnreadableImage."""
        marks, (height, width, orientation) = self.marks[row], self.headers[row]
        if marks.size is None:
            return replace(marks, xyxy=marks.xyxy * [width, height, width, height]), height, width
        if self.is_stored(row):
            return replace(marks, xyxy=turn_boxes(marks.xyxy, orientation, marks.size)), height, width
        return marks, height, width
