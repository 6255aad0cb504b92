"""How well one object is named and found."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from visus.metrics.score import Score, bootstrap, wilson

ENOUGH = 0.5  # IoU from which a place is right


@final
class LocalisationMeter:
    """Figures of images with one object or none, gathered batch by batch.

    presence: the share of images where it is known whether there is an object. Of those with one: accuracy, of the
    class; iou, the mean, of the box that is said whether presence is or not; distance, the mean Euclidean one of the
    boxes' middles, in pixels of the images as they were read; joint: the share of all images where everything is right:
    presence, and class and a box of IoU 0.5 or more where there is an object.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []  # present, said to be, right class, IoU, distance

    def update(self, present_N: Tensor, said_N: Tensor, right_N: Tensor, iou_N: Tensor, distance_N: Tensor) -> None:
        """Take in a batch: bool, bool, bool, and two of float; the last three count only where present."""
        rows = [each.double() for each in (present_N, said_N, right_N, iou_N, distance_N)]
        self._rows.append(torch.stack(rows, 1))

    def scores(self) -> dict[str, Score]:
        """presence, accuracy, iou, distance, joint."""
        rows = torch.cat(self._rows)
        present, said, right = rows[:, 0] > 0, rows[:, 1] > 0, rows[:, 2] > 0
        there = int(present.sum())
        whole = (present == said) & (~present | (right & (rows[:, 3] >= ENOUGH)))
        found = {"joint": wilson(int(whole.sum()), len(whole))}
        found["presence"] = wilson(int((present == said).sum()), len(said))
        if there:
            iou, distance = rows[present, 3].numpy(), rows[present, 4].numpy()
            found["accuracy"] = wilson(int(right[present].sum()), there)
            found["iou"] = bootstrap(lambda chosen: float(iou[chosen].mean()), there, higher=True)
            found["distance"] = bootstrap(lambda chosen: float(distance[chosen].mean()), there, higher=False)
        return found

    @property
    def ious(self) -> Tensor:
        """Of the images with an object."""
        rows = torch.cat(self._rows)
        return rows[rows[:, 0] > 0, 3]
