"""Cell membranes: the 30 annotated slices of the ISBI 2012 challenge, out of one tar."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from visus.data.dataset import Dataset
from visus.data.image import decode, printable
from visus.data.readers.tars import damage, members
from visus.data.samples import ArraySamples
from visus.data.types import Schema, Target
from visus.errors import DataError

FILE = "membrane.tar"
SIDE = 512
# Slices lie 50 nm apart, and neighbours are alike: so the splits are blocks of the stack, not slices drawn from it.
SPLITS = {"train": range(20), "val": range(20, 25), "test": range(25, 30)}
SCHEMA = Schema(shape=(1, SIDE, SIDE), targets=("mask",), masks=("cell", "membrane"))


def load(path: Path, source: str) -> Dataset:
    """The set from a tar of image/0.png … image/29.png and label/0.png … label/29.png, whose labels are 0 in membranes
    and 255 in cells. source: where it comes from, its licence. Raises DataError for anything else."""
    root = printable(path)
    found: dict[tuple[str, ...], np.ndarray] = {}
    with damage(root):
        for member in members(root, path):
            if not member.is_folder:
                found[member.parts] = decode(member.read(), member.name).pixels
    parts = [
        np.stack([_slice(found, root, kind, row) for row in range(SPLITS["test"].stop)]) for kind in ("image", "label")
    ]
    images, labels = parts
    if not np.isin(labels, (0, 255)).all():
        raise DataError(f"{root}: its labels have other values than 0 and 255", "fetch it again")
    targets = [Target(mask=(label[..., 0] == 0).astype(np.uint8)) for label in labels]
    splits = {
        name: ArraySamples(f"membrane/{name}", images[rows.start : rows.stop], targets[rows.start : rows.stop])
        for name, rows in SPLITS.items()
    }
    return Dataset("membrane", SCHEMA, splits, (f"read from {root}",), source=source)


def _slice(found: dict[tuple[str, ...], np.ndarray], root: str, kind: str, row: int) -> np.ndarray:
    pixels = found.get((kind, f"{row}.png"))
    if pixels is None or pixels.shape != (SIDE, SIDE, 1):
        what = "isn't there" if pixels is None else f"is {'×'.join(map(str, pixels.shape))}, not {SIDE}×{SIDE} and grey"
        raise DataError(f"{root}: {kind}/{row}.png {what}", "fetch it again")
    return pixels
