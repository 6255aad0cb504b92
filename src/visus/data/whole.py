"""A split of whole images, of sizes of their own: read as they are, learnt from window by window."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from visus.data.image import Picture
from visus.data.preprocess import ImagePreprocess, Placing
from visus.data.samples import Samples
from visus.data.types import Batch, Schema, Skipped, Target, Targets
from visus.errors import DataError, UnreadableImage
from visus.machine import cores
from visus.ops.tiles import window

Read = tuple[Tensor, Target]  # a placed image, C×H×W uint8, and its target


@final
class Whole:
    """The placed images of a split, kept in memory as far as `room` bytes reach.

    rows: N int64, which samples are usable as far as is known. skipped: the others.
    """

    def __init__(self, samples: Samples, schema: Schema, placing: Placing, room: int) -> None:
        self.samples, self.schema, self.placing = samples, schema, placing
        self.skipped: list[Skipped] = []
        self._kept: dict[int, Read] = {}
        self._pixels: list[int] = []
        usable = []
        for start in range(0, len(samples), 64):
            rows = range(len(samples))[start : start + 64]
            for row, found in zip(rows, self._read_all(rows), strict=True):
                if isinstance(found, Skipped):
                    self.skipped.append(found)
                    continue
                usable.append(row)
                self._pixels.append(found[0].shape[-2] * found[0].shape[-1])
                size = found[0].numel() + sum(
                    each.nbytes for each in (found[1].mask, found[1].image) if each is not None
                )
                if size <= room:
                    self._kept[row] = found
                    room -= size
        self.rows = torch.tensor(usable, dtype=torch.int64)

    def gather(self, positions: Tensor) -> Batch:
        """Whole images, which must be of one size: inputs N×C×H×W uint8."""
        rows = self.rows[positions]
        return self._batch([self._usable(row) for row in rows.tolist()], rows)

    def often(self, preprocess: ImagePreprocess) -> int:
        """How many windows an image is taken for, so that their cores have about its pixels."""
        core = preprocess.core
        return max(1, round(float(np.mean(self._pixels)) / (core[0] * core[1])))

    def windows(self, positions: Tensor, preprocess: ImagePreprocess, draws: torch.Generator) -> Batch:
        """A window of each image, its core at a random place: inputs N×C×size uint8, with their targets' windows."""
        rows, found = self.rows[positions], []
        for row in rows.tolist():
            image, target = self._usable(row)
            free = [max(0, side - core) for side, core in zip(image.shape[-2:], preprocess.core, strict=True)]
            top, left = (int(torch.randint(each + 1, (), generator=draws)) - preprocess.margin for each in free)
            found.append(_windowed(image, target, top, left, preprocess.size))
        return self._batch(found, rows)

    def _batch(self, found: Sequence[Read], rows: Tensor) -> Batch:
        targets = Targets.collate([target for _, target in found], self.schema)
        return Batch(torch.stack([image for image, _ in found]), targets, rows)

    def _usable(self, row: int) -> Read:
        found = self._kept.get(row) or self._read(row)
        if isinstance(found, Skipped):
            raise DataError(f"{found.name}: {found.cause}, and could be read before", "mend it, or start again")
        return found

    def _read_all(self, rows: Sequence[int]) -> list[Read | Skipped]:
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(self._read, rows))

    def _read(self, row: int) -> Read | Skipped:
        try:
            found = self.samples.read(row)
            if not isinstance(found, Picture):
                raise DataError("windows are of images, and these data are vectors", "leave preprocess.fit out")
            image = self.placing.place(found.pixels)
        except UnreadableImage as problem:
            return Skipped(self.samples.name(row), problem.cause)
        height, width = found.pixels.shape[:2]
        return image, self.placing.place_target(self.samples.target(row), height, width)


def _windowed(image: Tensor, target: Target, top: int, left: int, size: tuple[int, int]) -> Read:
    mask, pair = target.mask, target.image
    if mask is not None:
        mask = window(torch.from_numpy(mask), top, left, size).numpy()
    if pair is not None:
        pair = window(torch.from_numpy(pair).permute(2, 0, 1), top, left, size).permute(1, 2, 0).numpy()
    return window(image, top, left, size), replace(target, mask=mask, image=pair)
