"""What shards are: tars of some thousand samples each, in the layout of WebDataset, and a list of them, `shards.json`.

A sample is an image and what is said of it, in members that share a key, the path up to the first dot of the last part:
`KEY.jpg` (or another ending of images) and `KEY.cls`, the number of its class, or `KEY.json`, an object of these
fields, as far as they are known:

| field | what |
|---|---|
| label | the class, by number; by name in the shards of others |
| labels | the numbers of the classes that apply |
| values | numbers, for regression |
| captions | sentences; or `caption`, one |
| boxes | objects, each with `xyxy` (left, top, right, bottom, in pixels), `label`; where known, more |
| mask | the class of each pixel |

What more is known of an object is `phrase`, `mask`, `area` in pixels, `crowd`, `difficult`.

A mask is `{"size": [height, width], "counts": […]}`, the lengths of runs of pixels, column by column. An object's
begins with a run outside of it, and runs change sides from there on, as in COCO's. `values` gives the class of each run
in the mask of the whole image. `KEY.txt` is a caption too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from math import prod
from pathlib import Path

import msgspec
import numpy as np

from visus.data.image import MAX_PIXELS, printable
from visus.data.types import Boxes, Schema, Target
from visus.errors import DataError
from visus.spec import Spec

MANIFEST = "shards.json"
JOURNAL = "shards.unfinished.jsonl"  # of shards that are being written: what is asked for, and what is there
LEFT_OUT = "left_out.csv"
FORMAT = 1
DIGEST_BYTES = 16  # BLAKE2b, of each encoded image


class Shard(Spec, frozen=True):
    """One tar.

    size: in bytes. digest: the BLAKE2b of all of it. said: of what is said of its images, see `digest_said`.
    contents: of the digests of its images, which lie beside it, `DIGEST_BYTES` each, in its order.
    """

    file: str
    split: str
    samples: int
    size: int
    digest: str
    said: str
    contents: str


class Manifest(Spec, frozen=True):
    """All shards of a set.

    seed: of the order in which samples were dealt to shards. fingerprint: of the data set that they were made from.
    left_out: how many of its images couldn't be read. source: where it came from.
    """

    format: int
    name: str
    schema: Schema
    seed: int
    fingerprint: str
    left_out: int
    shards: tuple[Shard, ...]
    source: str = ""


class _Version(msgspec.Struct):
    format: int


class Runs(msgspec.Struct, omit_defaults=True):
    """A mask as the lengths of its runs."""

    size: tuple[int, int]
    counts: list[int]
    values: list[int] | None = None

    @staticmethod
    def of(mask_HW: np.ndarray) -> Runs:
        """Of a bool mask, or of uint8 classes."""
        flat = mask_HW.T.reshape(-1)
        starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1)) if len(flat) else np.zeros(0, int)
        counts = np.diff(np.append(starts, len(flat))).tolist()
        height, width = mask_HW.shape
        if mask_HW.dtype != bool:
            return Runs((height, width), counts, flat[starts].tolist())
        return Runs((height, width), [0, *counts] if len(flat) and flat[0] else counts)

    def mask(self) -> np.ndarray:
        """H×W, bool for an object, else uint8. Raises ValueError for what is no mask."""
        total = prod(self.size)
        if min(self.size) < 0 or total > MAX_PIXELS or min(self.counts, default=0) < 0 or sum(self.counts) != total:
            raise ValueError(f"runs that don't fill {self.size[1]}×{self.size[0]} pixels")
        if self.values is None:
            values = np.arange(len(self.counts)) % 2 == 1
        elif len(self.values) != len(self.counts) or not all(0 <= each < 256 for each in self.values):
            raise ValueError("a class from 0 to 255 for each run is wanted")
        else:
            values = np.array(self.values, np.uint8)
        return np.repeat(values, self.counts).reshape(self.size[::-1]).T


class Thing(msgspec.Struct, omit_defaults=True):
    """An object in an image."""

    xyxy: tuple[float, float, float, float]
    label: int
    phrase: str | None = None
    mask: Runs | None = None
    area: float | None = None
    crowd: bool = False
    difficult: bool = False


class Said(msgspec.Struct, omit_defaults=True):
    """What a `.json` says of its image; fields that aren't known are passed over."""

    label: int | str | None = None
    labels: list[int] | None = None
    values: list[float] | None = None
    captions: list[str] | None = None
    caption: str | None = None
    boxes: list[Thing] | None = None
    mask: Runs | None = None

    @staticmethod
    def of(target: Target) -> Said:
        """What is known of a sample."""
        return Said(
            label=target.label,
            labels=None if target.labels is None else list(target.labels),
            values=None if target.values is None else list(target.values),
            captions=None if target.captions is None else list(target.captions),
            boxes=None if target.boxes is None else _things(target.boxes),
            mask=None if target.mask is None else Runs.of(target.mask),
        )

    def target(self, label: int | None, captions: tuple[str, ...]) -> Target:
        """The same as a target. label: the number of the class. captions: those that are said beside it."""
        said = (*(self.captions or ()), *(() if self.caption is None else (self.caption,)), *captions)
        return Target(
            label=label,
            labels=None if self.labels is None else tuple(self.labels),
            values=None if self.values is None else tuple(self.values),
            captions=said or None,
            boxes=None if self.boxes is None else _boxes(self.boxes),
            mask=None if self.mask is None else self.mask.mask(),
        )


def _things(boxes: Boxes) -> list[Thing]:
    return [
        Thing(
            xyxy=(box[0], box[1], box[2], box[3]),
            label=label,
            phrase=None if boxes.phrases is None else boxes.phrases[at],
            mask=None if boxes.masks is None else Runs.of(boxes.masks[at]),
            area=None if boxes.areas is None else float(boxes.areas[at]),
            crowd=boxes.crowd is not None and bool(boxes.crowd[at]),
            difficult=boxes.difficult is not None and bool(boxes.difficult[at]),
        )
        for at, (box, label) in enumerate(zip(boxes.xyxy.tolist(), boxes.labels.tolist(), strict=True))
    ]


def _boxes(things: list[Thing]) -> Boxes:
    xyxy = np.array([thing.xyxy for thing in things], np.float32).reshape(-1, 4)
    masks = [thing.mask.mask() for thing in things if thing.mask is not None]
    phrases = tuple(thing.phrase for thing in things if thing.phrase is not None)
    sides = xyxy.astype(np.float64).reshape(-1, 2, 2)
    own = (sides[:, 1] - sides[:, 0]).clip(0).prod(1)
    areas = [size if thing.area is None else thing.area for thing, size in zip(things, own.tolist(), strict=True)]
    crowd, difficult = (np.array([getattr(thing, kind) for thing in things], bool) for kind in ("crowd", "difficult"))
    return Boxes(
        xyxy,
        np.array([thing.label for thing in things], np.int64),
        np.stack(masks) if masks and len(masks) == len(things) else None,
        phrases if phrases and len(phrases) == len(things) else None,
        np.array(areas, np.float64) if any(thing.area is not None for thing in things) else None,
        crowd if crowd.any() else None,
        difficult if difficult.any() else None,
    )


def read_manifest(folder: Path) -> Manifest:
    """What `shards.json` says, held against what lies there: every shard, with as many bytes as were written.

    Raises DataError, which names the shard.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Version).format
        if version > FORMAT:
            raise DataError(
                f"{printable(path)}: is of format {version}, and this version of Visus reads up to {FORMAT}",
                "update Visus",
            )
        found = msgspec.json.decode(data, type=Manifest)
    except OSError as problem:
        raise DataError(f"{printable(path)}: {(problem.strerror or str(problem)).lower()}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise DataError(
            f"{printable(path)}: isn't a list of shards: {problem}", "fetch or make the shards again"
        ) from None
    names = sorted(shard.file for shard in found.shards)
    for one, other in pairwise([*names, ""]):
        if one == other or one != Path(one).name or "\\" in one:
            raise DataError(f"{printable(path)}: {printable(one)} is no name of a shard, or is there twice")
    for shard in found.shards:
        _require(folder / shard.file, shard.size)
        _require(digests_of(folder / shard.file), shard.samples * DIGEST_BYTES)
    return found


def digest_said(said: Iterable[bytes]) -> str:
    """A hash of the contents of the `.cls` and `.json` of a shard, in order."""
    total = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for each in said:
        total.update(each + b"\0")
    return total.hexdigest()


def digests_of(shard: Path) -> Path:
    """Where the digests of a shard's images lie."""
    return shard.with_suffix(".digests")


def _require(path: Path, size: int) -> None:
    try:
        there = path.stat().st_size
    except OSError as problem:
        cause = (problem.strerror or str(problem)).lower()
        raise DataError(
            f"{printable(path)}: the shard is missing: {cause}", "copy it again: a set is whole or not used"
        ) from None
    if there != size:
        raise DataError(
            f"{printable(path)}: has {there:,} bytes, and {size:,} were written",
            "copy it again: it is cut short or changed",
        )
