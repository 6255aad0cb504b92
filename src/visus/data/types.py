"""Samples, targets and batches: one set of types for every job.

A reader fills in what it knows of a sample; a task uses the fields that it needs. Pixel coordinates are (x, y) with
the origin at the image's upper left corner: pixel (column i, row j) covers [i, i+1) × [j, j+1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from visus.spec import Spec

VOID = 255  # in a mask: no class is known here, the pixel counts nowhere


class Schema(Spec, frozen=True):
    """What the samples of a data set are.

    inputs: "image" or "vector". shape: C×H×W (H and W are 0 where sizes differ), or (F,).
    targets: the fields of `Target` that every sample has. labels: the names of the classes, in order.
    values: the names of regression values. features: the names of a vector's columns. masks: the names of the classes
    that a mask's pixels have, by number.
    """

    inputs: Literal["image", "vector"] = "image"
    shape: tuple[int, ...] = (3, 0, 0)
    targets: tuple[str, ...] = ("label",)
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Boxes:
    """The objects of one image.

    xyxy: M×4 float32, left, top, right, bottom, in pixels. labels: M int64.
    masks: M×H×W bool, which pixels are each object's. phrases: what each object is called.
    areas: M float64, in square pixels of the image as it was read, where they aren't the boxes'. crowd: M bool, many
    objects that aren't told apart. difficult: M bool, objects that count neither as found nor as missed.
    zoom: how often the area of an object as it was read goes into its area here.
    """

    xyxy: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None = None
    phrases: tuple[str, ...] | None = None
    areas: np.ndarray | None = None
    crowd: np.ndarray | None = None
    difficult: np.ndarray | None = None
    zoom: float = 1.0

    def __len__(self) -> int:
        return len(self.xyxy)

    def pick(self, rows: np.ndarray) -> Boxes:
        """Some of the objects: int64 rows, or a bool for each."""
        chosen = np.arange(len(self))[rows]
        columns = (self.masks, self.areas, self.crowd, self.difficult)
        masks, areas, crowd, difficult = (None if each is None else each[chosen] for each in columns)
        phrases = None if self.phrases is None else tuple(self.phrases[row] for row in chosen.tolist())
        return replace(
            self, xyxy=self.xyxy[chosen], labels=self.labels[chosen], masks=masks, phrases=phrases, areas=areas,
            crowd=crowd, difficult=difficult,
        )  # fmt: skip

    @property
    def sizes(self) -> np.ndarray:
        """M float64 areas of the boxes, in square pixels."""
        sides = self.xyxy[:, 2:].astype(np.float64) - self.xyxy[:, :2]
        return np.asarray(sides.clip(0).prod(1))


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be said of one sample; every field that isn't known is None.

    label: the class. labels: the classes that apply (multi-label). values: numbers (regression).
    boxes: objects. mask: H×W uint8, the class of each pixel, VOID where unknown.
    captions: sentences. image: H×W×C uint8, the image wanted; or F float32, the vector.
    """

    label: int | None = None
    labels: tuple[int, ...] | None = None
    values: tuple[float, ...] | None = None
    boxes: Boxes | None = None
    mask: np.ndarray | None = None
    captions: tuple[str, ...] | None = None
    image: np.ndarray | None = None


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device. CUDA fetches it from memory that stays in place, so that nobody waits for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of many samples, a column a field.

    label: N int64, or N×K float32 once mixed. labels: N×K float32 of 0 and 1. values: N×V float32.
    boxes, captions: one entry a sample. mask: N×H×W uint8. image: N×C×H×W uint8, or N×F float32.
    """

    label: Tensor | None = None
    labels: Tensor | None = None
    values: Tensor | None = None
    boxes: tuple[Boxes, ...] | None = None
    mask: Tensor | None = None
    captions: tuple[tuple[str, ...], ...] | None = None
    image: Tensor | None = None

    @staticmethod
    def collate(targets: Sequence[Target], schema: Schema) -> Targets:
        """Columns of the schema's target fields. Masks and images must have one size."""
        columns: dict[str, Any] = {}
        for name in schema.targets:
            found = [getattr(target, name) for target in targets]
            if name == "label":
                columns[name] = torch.tensor(found, dtype=torch.int64)
            elif name == "labels":
                columns[name] = torch.zeros(len(found), len(schema.labels))
                for row, present in enumerate(found):
                    columns[name][row, list(present)] = 1.0
            elif name == "values":
                columns[name] = torch.tensor(found, dtype=torch.float32).reshape(len(found), len(schema.values))
            elif name == "mask":
                columns[name] = torch.from_numpy(np.stack(found))
            elif name == "image":
                columns[name] = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
            else:
                columns[name] = tuple(found)
        return Targets(**columns)

    @staticmethod
    def joined(parts: Sequence[Targets]) -> Targets:
        """The targets of several batches, one after the other."""
        columns: dict[str, Any] = {}
        for field in fields(Targets):
            found = [column for part in parts if (column := getattr(part, field.name)) is not None]
            if found:
                columns[field.name] = torch.cat(found) if isinstance(found[0], Tensor) else tuple(chain(*found))
        return Targets(**columns)

    def pick(self, rows: Tensor) -> Targets:
        """The targets of some rows (int64)."""
        chosen = rows.tolist() if self.boxes is not None or self.captions is not None else ()
        return self._each(
            lambda column: column[rows.to(column.device)], lambda column: tuple(column[row] for row in chosen)
        )

    def to(self, device: torch.device) -> Targets:
        """The tensors on a device."""
        return self._each(lambda column: sent(column, device), lambda column: column)

    def _each(self, tensor: Callable[[Tensor], Tensor], ragged: Callable[[Any], Any]) -> Targets:
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {
            name: tensor(column) if isinstance(column, Tensor) else ragged(column)
            for name, column in columns.items()
            if column is not None
        }
        return Targets(**changed)


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as a network gets them.

    inputs: N×C×H×W or N×F float32, preprocessed. target: the columns. rows: N int64, which samples of the split.
    """

    inputs: Tensor
    target: Targets
    rows: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, row or box that was left out, and why. mended: it was kept, with the change that the cause says."""

    name: str
    cause: str
    mended: bool = False
