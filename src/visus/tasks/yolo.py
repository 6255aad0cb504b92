"""Which objects, and where, as YOLO's first version has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from visus.data.types import Batch, Boxes, Schema
from visus.models import Network
from visus.models.parts import BatchNorm
from visus.nn import Yolo
from visus.ops.boxes import from_center, iou
from visus.tasks.objects import Count, Detecting
from visus.training import Player

Weight = Annotated[float, msgspec.Meta(ge=0)]


class YoloV1(Detecting, frozen=True, tag="yolo_v1"):
    """Every object with its class and box, by one look at a grid of cells (Redmon et al. 2016, arXiv:1506.02640).

    The cell in which the middle of an object lies learns its class and, by that of its boxes that fits it best, its
    place; of objects with their middles in one cell it learns the largest. Crowds and difficult objects are left out,
    as the authors do with VOC's difficult ones. All outputs are linear, and all of the loss is of squares (equation 3).

    With the network `yolo_v1` it is the paper's detector, of 271,703,550 parameters for 20 classes. With `fast_yolo`,
    strides = [1, 1] and narrow = 256 it is Fast YOLO as the authors configured it.

    boxes: of a cell, B. channels: of the head's 3×3 convolutions. strides: theirs; the second halves the map, so that
    448 pixels and a network of stride 32 give the paper's 7×7 cells. norm: between each of them and its rectifier (the
    paper: none); with it, it learns faster where it isn't pretrained. narrow: units of a linear layer before the hidden
    one; 0: none. hidden: units of the fully connected layer after the convolutions; 0: a convolution in its place, for
    few data. dropout: after it. coordinates, nothing: λ_coord and λ_noobj. overlap: IoU above which of two boxes of a
    class the surer is kept. threshold: the score from which an object is shown.
    """

    boxes: Count = 2
    channels: Count = 1024
    strides: Annotated[tuple[Literal[1, 2], ...], msgspec.Meta(min_length=1)] = (1, 2, 1, 1)
    norm: BatchNorm | None = None
    narrow: Annotated[int, msgspec.Meta(ge=0)] = 0
    hidden: Annotated[int, msgspec.Meta(ge=0)] = 4096
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.5
    coordinates: Weight = 5.0
    nothing: Weight = 0.5

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        with torch.device("meta"), torch.no_grad():
            shape = network.build(schema.shape).eval().maps(torch.empty(1, *schema.shape))[-1].shape[1:]
        return Yolo(
            network.build(schema.shape), (shape[0], shape[1], shape[2]), len(schema.labels), boxes=self.boxes,
            channels=self.channels, strides=self.strides, norm=None if self.norm is None else self.norm.build,
            narrow=self.narrow, hidden=self.hidden, dropout=self.dropout, size=schema.shape[1:],
        )  # fmt: skip

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Yolo)

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.boxes is not None
            return self._loss(model, model.cells_of(batch.inputs), batch.target.boxes)

        return (Player.of("detector", model, loss),)

    def _loss(self, model: Yolo, output_NSTV: Tensor, boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """Equation 3, the mean over the images."""
        height, width = model.size
        rows, columns = model.cells
        count, split = len(boxes), model.boxes * 5
        said_NSTB5 = model.each(output_NSTV)
        image_M, row_M, column_M, truth_M4, label_M = _cells(boxes, rows, columns, height, width, output_NSTV.device)
        own_MB5 = said_NSTB5[image_M, row_M, column_M]
        with torch.no_grad():
            placed_MB4 = model.placed(said_NSTB5)[image_M, row_M, column_M]
            fits_MB = iou(placed_MB4, from_center(truth_M4)[:, None])[..., 0]
            best_M = fits_MB.argmax(1)
        every_M = torch.arange(len(best_M), device=best_M.device)
        chosen_M5, fit_M = own_MB5[every_M, best_M], fits_MB[every_M, best_M]
        cell_2 = truth_M4.new_tensor([width / columns, height / rows])
        middle_M2 = truth_M4[:, :2] / cell_2 - torch.stack((column_M, row_M), 1)
        sides_M2 = (truth_M4[:, 2:] / truth_M4.new_tensor([width, height])).sqrt()
        place = (chosen_M5[:, :2] - middle_M2).square().sum() + (chosen_M5[:, 2:4] - sides_M2).square().sum()
        responsible_NSTB = torch.zeros_like(said_NSTB5[..., 4], dtype=torch.bool)
        responsible_NSTB[image_M, row_M, column_M, best_M] = True
        empty = said_NSTB5[..., 4].square().masked_fill(responsible_NSTB, 0.0).sum()
        classes_MK = output_NSTV[image_M, row_M, column_M, split:]
        wanted_MK = nn.functional.one_hot(label_M, model.classes).to(classes_MK.dtype)
        return {
            "place": self.coordinates * place / count,
            "object": (chosen_M5[:, 4] - fit_M).square().sum() / count,
            "nothing": self.nothing * empty / count,
            "class": (classes_MK - wanted_MK).square().sum() / count,
        }


def _cells(
    boxes: Sequence[Boxes], rows: int, columns: int, height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of each cell's object: image, row, column, box (middle and sides, in pixels) and label."""
    found: dict[tuple[int, int, int], tuple[list[float], int]] = {}
    for image, each in enumerate(boxes):
        told = np.ones(len(each), bool)
        for flags in (each.crowd, each.difficult):
            if flags is not None:
                told &= ~flags
        order = each.sizes.argsort(kind="stable")  # the largest comes last, and stays
        order = order[told[order]]
        for box, label in zip(each.xyxy[order].tolist(), each.labels[order].tolist(), strict=True):
            left, top, right, bottom = box
            middle = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
            row = min(int(middle[1] * rows / height), rows - 1)
            column = min(int(middle[0] * columns / width), columns - 1)
            found[image, row, column] = (middle, label)
    places = torch.tensor(list(found), dtype=torch.int64, device=device).reshape(-1, 3)
    truth = torch.tensor([box for box, _ in found.values()], device=device).reshape(-1, 4)
    labels = torch.tensor([label for _, label in found.values()], dtype=torch.int64, device=device)
    return places[:, 0], places[:, 1], places[:, 2], truth, labels
