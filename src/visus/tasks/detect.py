"""Which objects, and where: one stage, no anchors."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.types import Batch, Schema
from visus.errors import ModelError, SpecError
from visus.models import Network
from visus.nn import Detector
from visus.ops.assign import Assigned, align
from visus.ops.boxes import giou, soft_nms
from visus.tasks.objects import Count, Detecting, Part, columns
from visus.training import Player

SMALL = 160  # pixels: the shorter side of inputs in which objects are small
STRIDES, FINE = (8, 16, 32), (4, 8, 16)


class Detect(Detecting, frozen=True, tag="detect"):
    """Every object with its class and box, by one look: each point of three maps or more says of which class the object
    there is and where its sides are (Tian et al. 2019, arXiv:1904.01355); which points learn an object is decided by
    how well they see it (Feng et al. 2021, arXiv:2108.07755).

    strides: of the maps, in pixels of the input; None: 8, 16 and 32, or 4, 8 and 16 for inputs under 160 pixels.
    width: channels of the pyramid and the heads. depth: convolutions of a head. box: the weight of the boxes' loss
    (1 − GIoU), where that of classes (binary cross-entropy) has 1. points: that learn one object, at most. overlap: the
    IoU above which of two boxes of a class the surer is kept. soft: the other's score is lowered instead
    (arXiv:1704.04503).
    threshold: the score from which an object is shown. most: objects of an image.
    """

    strides: tuple[Count, ...] | None = None
    width: Count = 96
    depth: Count = 2
    box: Annotated[float, msgspec.Meta(gt=0)] = 2.5
    points: Count = 10
    overlap: Part = 0.6
    soft: bool = False
    threshold: Part = 0.35
    exact: ClassVar[bool] = False

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        backbone = network.build(schema.shape)
        wanted = self.strides or (FINE if min(schema.shape[1:]) < SMALL else STRIDES)
        last = {stride: level for level, stride in enumerate(backbone.strides)}
        levels = [last[stride] for stride in wanted if stride in last]
        if not levels:
            have = ", ".join(map(str, sorted(last))) or "none"
            raise ModelError(
                f"this network has no map of a stride of {', '.join(map(str, wanted))} pixels, only {have}",
                f"--set task.strides=[{max(last, default=16)}], or another --model",
            )
        extra = sum(stride > max(last) for stride in wanted)
        return Detector(backbone, levels, len(schema.labels), width=self.width, depth=self.depth, extra=extra)

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Detector)

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.boxes is not None
            scores_NAK, boxes_NA4, points_A2 = model.dense(batch.inputs)
            true_NM4, labels_NM, real_NM, void_NM = columns(batch.target.boxes, scores_NAK.device)
            found = align(
                scores_NAK.detach().sigmoid(), boxes_NA4.detach(), points_A2, true_NM4, labels_NM, real_NM & ~void_NM,
                points=self.points,
            )  # fmt: skip
            wanted_NAK, counts_NA = _wanted(found, scores_NAK, points_A2, true_NM4, labels_NM, real_NM & void_NM)
            total = found.share.sum().clamp_min(1.0)
            each_NAK = F.binary_cross_entropy_with_logits(scores_NAK, wanted_NAK, reduction="none")
            image_P, point_P = (found.object >= 0).nonzero(as_tuple=True)
            true_P4 = true_NM4[image_P, found.object[image_P, point_P]]
            apart_P = 1 - giou(boxes_NA4[image_P, point_P], true_P4)
            return {
                "classes": (each_NAK * counts_NA[..., None]).sum() / total,
                "boxes": self.box * (apart_P * found.share[image_P, point_P]).sum() / total,
            }

        return (Player.of("detector", model, loss),)

    def answered(self, output: Any) -> dict[str, Tensor]:
        if self.soft:
            raise SpecError("soft suppression goes box by box, and that is no graph", "--raw, or train with soft=false")
        return super().answered(output)

    def _shares(self, output: Any) -> tuple[Tensor, Tensor]:
        return output[0].float().sigmoid(), output[1].float()

    def _kept(self, boxes_M4: Tensor, scores_M: Tensor, labels_M: Tensor) -> tuple[Tensor, Tensor]:
        if self.soft:
            return soft_nms(boxes_M4, scores_M, labels_M=labels_M)
        return super()._kept(boxes_M4, scores_M, labels_M)


def _wanted(
    found: Assigned, scores_NAK: Tensor, points_A2: Tensor, true_NM4: Tensor, labels_NM: Tensor, void_NM: Tensor
) -> tuple[Tensor, Tensor]:
    """N×A×K scores that are wanted, and N×A how much each point counts: not at all where something isn't told."""
    wanted_NAK = torch.zeros_like(scores_NAK)
    label_NA = labels_NM.gather(1, found.object.clamp_min(0))
    wanted_NAK.scatter_(2, label_NA[..., None], found.share[..., None])
    inside_NMA = ((points_A2 > true_NM4[:, :, None, :2]) & (points_A2 < true_NM4[:, :, None, 2:])).all(-1)
    silent_NA = (inside_NMA & void_NM[..., None]).any(1) & (found.object < 0)
    return wanted_NAK, (~silent_NA).to(wanted_NAK.dtype)
