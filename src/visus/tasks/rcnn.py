"""Which objects, and where: regions of the image, each looked at as an image of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.types import Batch, Schema
from visus.models import Network, signed
from visus.nn import Classifier, Windowed, parted
from visus.nn.rcnn import GRID, pooled
from visus.ops.boxes import iou, offsets
from visus.ops.regions import propose
from visus.ops.sampling import sample
from visus.tasks.fitting import Machines, Moves
from visus.tasks.objects import Count, Detecting, Part, columns
from visus.training import Player

OBJECTS = 0.25  # the share of the windows learnt from that are objects, at most
CLOSE = 0.6  # the IoU with an object over which a region tells where the object is from there


class RCNN(Detecting, frozen=True, tag="rcnn"):
    """Every object with its class and box, by regions that may be one (`visus.ops.regions`): each is warped to a window
    and goes through the whole network (Girshick et al. 2014, arXiv:1311.2524).

    The network learns to tell K classes and background. When it has learnt, each class's boxes are moved by ridge
    regression on its last map, and with the head "svm" a linear machine of each class gives the scores, by features of
    true boxes and of the regions that were hardest to tell from them; "softmax": the network's own probabilities.

    regions: of an image, in training and in prediction (the paper has 2000). samples: of them, and of the true boxes,
    that are learnt from in a step, a quarter of them objects of IoU ≥ 0.5: 16 of each of 8 images are the published
    128. window: its sides, in pixels; None: those of the network's input. context: the share of the window on every
    side that lies around the region, 16 of 227 pixels as published. cost: C of the machines, what an error costs;
    the usual value is for thousands of objects, and by it little is learnt of few. ridge: λ of the regression.
    """

    regions: Count = 300
    samples: Count = 16
    window: Count | None = None
    context: Annotated[float, msgspec.Meta(ge=0, lt=0.5)] = 16 / 227
    head: Literal["softmax", "svm"] = "svm"
    cost: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    ridge: Annotated[float, msgspec.Meta(gt=0)] = 1000.0
    overlap: Part = 0.3
    threshold: Part = 0.5

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        height, width = schema.shape[1:] if self.window is None else (self.window, self.window)
        shape, classes, plain = (schema.shape[0], height, width), len(schema.labels), signed(network)
        with torch.device("meta"), torch.no_grad():
            backbone = plain.build(shape).eval()
            output = backbone(torch.empty(1, *shape))
            before, _ = parted(plain.head(output.shape[1:], 1 + classes).eval())
            features = pooled(before(output), 1).shape[1], pooled(output, GRID).shape[1]
        classifier = Classifier(plain.build(shape), plain.head(output.shape[1:], 1 + classes))
        return Windowed(
            classifier, features, classes, regions=self.regions, window=(height, width), context=self.context,
            head=self.head,
        )  # fmt: skip

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Windowed)

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.boxes is not None
            boxes_NR4, real_NR = propose(batch.inputs, self.regions)
            truth = columns(batch.target.boxes, boxes_NR4.device)
            taken = sample(boxes_NR4, real_NR, *truth, count=self.samples, share=OBJECTS)
            (of_B,) = (taken.label.flatten() >= 0).nonzero(as_tuple=True)
            windows_BCHW = model.windows(batch.inputs, taken.boxes)[of_B]
            scores_BK: Tensor = model.classifier(windows_BCHW).float()
            return {"class": F.cross_entropy(scores_BK, taken.label.flatten()[of_B])}

        return (Player.of("detector", model, loss),)

    @torch.no_grad()
    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        """Fit machines and moves, on one look at every window of the training images."""
        assert isinstance(model, Windowed)
        model.eval()
        machines = Machines(model.classes, self.cost) if self.head == "svm" else None
        moves = Moves(model.classes, self.ridge)
        for batch in batches:
            assert batch.target.boxes is not None
            boxes_NR4, real_NR = propose(batch.inputs, self.regions)
            truth = columns(batch.target.boxes, boxes_NR4.device)
            for row, there_M in enumerate(truth[2]):
                true_M4, label_M, void_M = (each[row][there_M] for each in (truth[0], truth[1], truth[3]))
                regions_R4 = boxes_NR4[row][real_NR[row]]
                _, found_BF, coarse_BG = model.seen_in(batch.inputs[row : row + 1], torch.cat((true_M4, regions_R4)))
                fits_RM, count = iou(regions_R4, true_M4), len(true_M4)
                if machines is not None:
                    fits_RK = fits_RM.new_zeros(len(regions_R4), model.classes)
                    fits_RK.scatter_reduce_(1, label_M.expand_as(fits_RM), fits_RM, "amax")
                    machines.add(found_BF[:count][~void_M], label_M[~void_M], found_BF[count:], fits_RK)
                if count:
                    best_R, nearest_R = fits_RM.max(1)
                    (close,) = ((best_R > CLOSE) & ~void_M[nearest_R]).nonzero(as_tuple=True)
                    wanted_P4 = offsets(regions_R4[close], true_M4[nearest_R[close]])
                    moves.add(coarse_BG[count:][close], wanted_P4, label_M[nearest_R[close]])
        model.settle(None if machines is None else machines.fitted(), *moves.fitted())
