"""Which objects, and where: regions of the image, looked at on one map."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.types import Batch, Schema
from visus.errors import ModelError
from visus.models import Network
from visus.nn import Pooled, Pyramid
from visus.nn.rcnn import SPREAD
from visus.ops.boxes import offsets
from visus.ops.regions import propose
from visus.ops.sampling import Sampled, sample
from visus.tasks.objects import Count, Detecting, Part, columns
from visus.training import Player

OBJECTS = 0.25  # the share of the regions learnt from that are objects, at most
NEAR = 0.1  # the IoU with an object from which background is learnt from


class FastRCNN(Detecting, frozen=True, tag="fast_rcnn"):
    """Every object with its class and box, by regions that may be one (`visus.ops.regions`): all are looked at on one
    map of the image, scored and moved (Girshick 2015, arXiv:1504.08083).

    Class and box are learnt together: log loss of K classes and background, and smooth L1 of the true class's offsets.

    regions: of an image, in training and in prediction (the paper has 2000). samples: of them, and of the true boxes,
    that are learnt from in a step, a quarter of them objects of IoU ≥ 0.5, the others background of 0.1…0.5. stride: of
    the map, in pixels of the input; None: of the coarsest one up to 16. pool: of each region the greatest values in
    grid×grid parts as published, or "align" (He et al. 2017, arXiv:1703.06870). hidden: units of the two fully
    connected layers (4096 in the paper's VGG-16). dropout: after each. box: λ, the weight of the boxes' loss.
    """

    regions: Count = 300
    samples: Count = 64
    stride: Count | None = None
    pool: Literal["pool", "align"] = "pool"
    grid: Count = 7
    hidden: Count = 1024
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.5
    box: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    overlap: Part = 0.3
    threshold: Part = 0.5

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        backbone = network.build(schema.shape)
        level = self._level(backbone.strides)
        backbone = Pyramid(
            list(backbone.stages)[: level + 1], backbone.channels[: level + 1], backbone.strides[: level + 1],
            backbone.grid,
        )  # fmt: skip
        return Pooled(
            backbone, len(schema.labels), regions=self.regions, pool=self.pool, grid=self.grid, hidden=self.hidden,
            dropout=self.dropout,
        )  # fmt: skip

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Pooled)

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.boxes is not None
            boxes_NR4, real_NR = propose(batch.inputs, self.regions)
            true_NM4, labels_NM, there_NM, void_NM = columns(batch.target.boxes, boxes_NR4.device)
            taken = sample(
                boxes_NR4, real_NR, true_NM4, labels_NM, there_NM, void_NM, count=self.samples, share=OBJECTS,
                least=NEAR,
            )  # fmt: skip
            scores_NSK, offsets_NSK4 = model.looked(batch.inputs, taken.boxes)
            return self._loss(taken, true_NM4, scores_NSK, offsets_NSK4)

        return (Player.of("detector", model, loss),)

    def _loss(self, taken: Sampled, true_NM4: Tensor, scores_NSK: Tensor, offsets_NSK4: Tensor) -> dict[str, Tensor]:
        """Equation 1, the mean over the regions."""
        count = (taken.label >= 0).sum().clamp_min(1)
        image_P, region_P = (taken.label > 0).nonzero(as_tuple=True)
        truth_P4 = true_NM4[image_P, taken.object[image_P, region_P]]
        wanted_P4 = offsets(taken.boxes[image_P, region_P], truth_P4) / truth_P4.new_tensor(SPREAD)
        said_P4 = offsets_NSK4[image_P, region_P, taken.label[image_P, region_P] - 1]
        return {
            "class": F.cross_entropy(scores_NSK.mT, taken.label, ignore_index=-1, reduction="sum") / count,
            "box": self.box * F.smooth_l1_loss(said_P4, wanted_P4, reduction="sum") / count,
        }

    def _level(self, strides: tuple[int, ...]) -> int:
        """The number of the last map of the stride. Raises ModelError where there is none."""
        known = sorted(set(strides))
        wanted = self.stride or max((each for each in known if each <= 16), default=min(known, default=0))
        if wanted not in known:
            have = ", ".join(map(str, known)) or "none"
            raise ModelError(
                f"this network has no map of a stride of {wanted} pixels, only {have}",
                f"--set task.stride={max(known, default=16)}, or another --model",
            )
        return max(level for level, each in enumerate(strides) if each == wanted)
