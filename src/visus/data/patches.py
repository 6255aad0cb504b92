"""Patches: parts of training images in their own scale, for jobs where every pixel is to be said something of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
import torch
from torch import Tensor

from visus.data.types import Batch, Targets
from visus.errors import SpecError
from visus.spec import Spec

Count = Annotated[int, msgspec.Meta(ge=1)]


class Patch(Spec, frozen=True):
    """Squares cut out of each training image at random places, in place of the whole: batches become `count` times as
    many, and smaller.

    size: of a side, in pixels. count: of an image. turn: each is mirrored and turned by quarters, in one of the eight
    ways that there are.
    """

    size: Count = 48
    count: Count = 1
    turn: bool = False

    def cut(self, batch: Batch, draws: torch.Generator) -> Batch:
        """N×C×H×W → N·count × C×size×size, with masks and wanted images alike. Raises SpecError for images that are
        smaller, and for boxes, which belong to whole objects."""
        height, width = batch.inputs.shape[-2:]
        if min(height, width) < self.size:
            raise SpecError(
                f"augment.patch.size is {self.size}, and images are {width}×{height}",
                f"--set augment.patch.size={min(height, width)}, or larger images with --size",
            )
        if batch.target.boxes is not None:
            raise SpecError("augment.patch cuts objects in two, and the task has boxes", "take augment.crop")
        owner_P = torch.arange(len(batch)).repeat_interleave(self.count)
        top_P = torch.randint(height - self.size + 1, (len(owner_P),), generator=draws).tolist()
        left_P = torch.randint(width - self.size + 1, (len(owner_P),), generator=draws).tolist()
        way_P = (
            torch.randint(8, (len(owner_P),), generator=draws) if self.turn else torch.zeros(len(owner_P))
        ).tolist()

        def cut(x_NHW: Tensor) -> Tensor:
            places = zip(owner_P.tolist(), top_P, left_P, way_P, strict=True)
            return torch.stack([
                _turned(x_NHW[row, ..., top : top + self.size, left : left + self.size], int(way))
                for row, top, left, way in places
            ])  # fmt: skip

        return Batch(cut(batch.inputs), _each(batch.target, owner_P, cut), batch.rows[owner_P])


def _each(target: Targets, owner_P: Tensor, cut: Callable[[Tensor], Tensor]) -> Targets:
    """The targets of patches: masks and images are cut, what is said of all of an image is said of its parts."""
    chosen = Targets(target.label, target.labels, target.values, captions=target.captions).pick(owner_P)
    mask, image = (None if each is None else cut(each) for each in (target.mask, target.image))
    return Targets(chosen.label, chosen.labels, chosen.values, None, mask, chosen.captions, image)


def _turned(x_HW: Tensor, way: int) -> Tensor:
    """One of the eight ways in which a square lies on itself."""
    turned = torch.rot90(x_HW, way % 4, (-2, -1))
    return turned.flip(-1) if way >= 4 else turned
