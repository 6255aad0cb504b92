"""What the one object is, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.data.preprocess import Placement
from visus.data.types import Batch, Boxes, Schema, Target, Targets
from visus.errors import DataError, ModelError, SpecError
from visus.metrics import ENOUGH, LocalisationMeter
from visus.models import Network
from visus.nn import Localizer
from visus.ops.boxes import from_center, giou, paired_iou, to_center
from visus.spec import Variant
from visus.tasks.base import Case, How
from visus.tasks.objects import NONE, Detection
from visus.training import Player

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRESENT = 0.5  # the probability from which there is an object
Count = Annotated[int, msgspec.Meta(ge=1)]
Weight = Annotated[float, msgspec.Meta(gt=0)]


@dataclass(frozen=True, slots=True, repr=False)
class Localisation:
    """One object, or none: how likely there is one, its box (left, top, right, bottom, in pixels of the image), and
    the probabilities K of its class, which sum to 1."""

    presence: float
    xyxy: np.ndarray
    probabilities: np.ndarray
    names: tuple[str, ...]
    image: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Localisation({self.text()})"

    @property
    def present(self) -> bool:
        """Whether there is an object."""
        return self.presence >= PRESENT

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.names[int(self.probabilities.argmax())]

    @property
    def vector(self) -> np.ndarray:
        """[p, x, y, w, h, c₁ … c_K]: the middle and the sides in pixels of the image."""
        left, top, right, bottom = self.xyxy.tolist()
        box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        return np.array([self.presence, *box, *self.probabilities])

    def row(self) -> dict[str, Any]:
        found: dict[str, Any] = {"present": self.present, "presence": self.presence}
        if self.present:
            found |= {"label": self.label, "confidence": float(self.probabilities.max()), "box": self.xyxy.tolist()}
        return found

    def text(self) -> str:
        return f"{self.label} {self.probabilities.max():.1%}" if self.present else NONE

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        return viz.picture(self.objects.drawn(), self.text(), title)

    @property
    def objects(self) -> Detection:
        """The same as one object or none."""
        count = int(self.present)
        score = np.array([self.presence * self.probabilities.max()], np.float32)
        label = self.probabilities.argmax(0, keepdims=True)
        return Detection(self.xyxy[None][:count], score[:count], label[:count], self.names, self.image)

    def on(self, image: np.ndarray, placement: Placement) -> Localisation:
        height, width = image.shape[:2]
        moved = placement.original(self.xyxy[None])[0]
        return replace(self, xyxy=np.clip(moved, 0, np.array([width, height] * 2, np.float32)), image=image)


class Localise(Variant, frozen=True, tag="localise"):
    """The one object of an image, or that there is none: [p, x, y, w, h, c₁ … c_K], of which nothing but p is learnt
    where there is no object. Of several objects it is the one with the largest box.

    loss: of the box: "l2" or "smooth_l1" of its middle and sides as shares of the image's, or "giou", 1 − GIoU.
    box: its weight; that of presence (logistic) and class (softmax cross-entropy) is 1. width: channels that the
    network's last map is reduced to. hidden: units of each of the two heads.
    """

    loss: Literal["l2", "smooth_l1", "giou"] = "l2"
    box: Weight = 10.0
    width: Count = 64
    hidden: Count = 256
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("boxes",),)
    exact: ClassVar[bool] = False

    def goal(self, schema: Schema) -> str:
        return "joint"

    def fitted(self, schema: Schema, targets: Targets) -> Localise:
        if not schema.labels:
            raise DataError("localisation needs the names of the classes, and the data have none")
        return self

    def assemble(self, network: Network, schema: Schema) -> nn.Module:
        if len(schema.shape) != 3:
            raise ModelError("localisation takes images, and the data are vectors")
        backbone = network.build(schema.shape)
        with torch.device("meta"), torch.no_grad():
            shape = network.build(schema.shape).eval().maps(torch.empty(1, *schema.shape))[-1].shape[1:]
        return Localizer(
            backbone, (shape[0], shape[1], shape[2]), len(schema.labels), width=self.width, hidden=self.hidden
        )

    def players(self, model: nn.Module) -> tuple[Player, ...]:
        assert isinstance(model, Localizer)

        def loss(batch: Batch) -> dict[str, Tensor]:
            assert batch.target.boxes is not None
            found_NV = model(batch.inputs)
            present_N, box_N4, label_N = _wanted(batch.target.boxes, found_NV.device)
            count = present_N.sum().clamp_min(1)
            height, width = batch.inputs.shape[-2:]
            sides = found_NV.new_tensor([width, height] * 2)
            apart_N = self._apart(found_NV[:, 1:5] / sides, to_center(box_N4) / sides)
            classes_N = F.cross_entropy(found_NV[:, 5:], label_N, reduction="none")
            return {
                "presence": F.binary_cross_entropy_with_logits(found_NV[:, 0], present_N),
                "class": (classes_N * present_N).sum() / count,
                "box": self.box * (apart_N * present_N).sum() / count,
            }

        return (Player.of("localiser", model, loss),)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        return

    def decode(self, output: Tensor, schema: Schema) -> list[Localisation]:
        output = output.float()
        presence = output[:, 0].sigmoid().cpu().numpy()
        boxes = from_center(output[:, 1:5]).cpu().numpy()
        classes = output[:, 5:].softmax(1).cpu().numpy()
        return [
            Localisation(float(each), box, shares, schema.labels)
            for each, box, shares in zip(presence, boxes, classes, strict=True)
        ]

    def meter(self, schema: Schema) -> LocalisationMeter:
        return LocalisationMeter()

    def measure(self, meter: LocalisationMeter, output: Tensor, target: Targets) -> None:
        assert target.boxes is not None
        output = output.float()
        present_N, box_N4, label_N = _wanted(target.boxes, output.device)
        said_N4 = output[:, 1:5]
        zoom_N = output.new_tensor([each.zoom for each in target.boxes])
        distance_N = (said_N4 - to_center(box_N4))[:, :2].norm(dim=1) / zoom_N.sqrt()
        meter.update(
            present_N > 0, output[:, 0].sigmoid() >= PRESENT, output[:, 5:].argmax(1) == label_N,
            paired_iou(from_center(said_N4), box_N4), distance_N,
        )  # fmt: skip

    def errors(self, output: Tensor, target: Targets) -> Tensor:
        """−log p of presence and of the class, and 1 − IoU."""
        assert target.boxes is not None
        output = output.float()
        present_N, box_N4, label_N = _wanted(target.boxes, output.device)
        presence_N = F.binary_cross_entropy_with_logits(output[:, 0], present_N, reduction="none")
        class_N = F.cross_entropy(output[:, 5:], label_N, reduction="none")
        return presence_N + present_N * (class_N + 1 - paired_iou(from_center(output[:, 1:5]), box_N4))

    def fuse(self, outputs: Sequence[Tensor], weights: Tensor, how: How, schema: Schema) -> Tensor:
        raise SpecError("what several localisers say can't be averaged", "ask them one by one")

    def draw(
        self, meter: LocalisationMeter, worst: Sequence[Case], some: Sequence[Case], schema: Schema
    ) -> dict[str, Figure]:
        from visus import viz

        drawn = {"overlap": viz.histogram(meter.ious.tolist(), "How well boxes fit", "IoU", mark=ENOUGH)}
        for name, title, cases in (("worst", "The worst errors", worst), ("samples", "What was found", some)):
            shown = [case for case in cases if case.image is not None][:12]
            if shown:
                drawn[name] = viz.pairs(
                    [_truth(case.target, schema.labels, case.image).drawn(sure=False) for case in shown],
                    [case.prediction.objects.drawn() for case in shown],  # type: ignore[attr-defined]
                    [case.name for case in shown], ("truth", "found"), title,
                )  # fmt: skip
        return drawn

    def _apart(self, found_N4: Tensor, wanted_N4: Tensor) -> Tensor:
        if self.loss == "giou":
            return 1 - giou(from_center(found_N4), from_center(wanted_N4))
        each = F.mse_loss if self.loss == "l2" else F.smooth_l1_loss
        return each(found_N4, wanted_N4, reduction="none").sum(1)


def largest(boxes: Boxes) -> Boxes:
    """The object with the largest box, or none; of equal ones the first."""
    return boxes.pick(boxes.sizes.argmax(0, keepdims=True)) if len(boxes) else boxes


def _wanted(boxes: Sequence[Boxes], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """N float, 1 where there is an object; N×4 boxes and N labels, of which those of no object mean nothing."""
    xyxy, label = np.zeros((len(boxes), 4), np.float32), np.zeros(len(boxes), np.int64)
    for row, each in enumerate(boxes):
        if len(each):
            chosen = largest(each)
            xyxy[row], label[row] = chosen.xyxy[0], chosen.labels[0]
    present = torch.tensor([float(len(each) > 0) for each in boxes])
    return present.to(device), torch.from_numpy(xyxy).to(device), torch.from_numpy(label).to(device)


def _truth(target: Target, names: tuple[str, ...], image: np.ndarray | None) -> Detection:
    assert target.boxes is not None
    chosen = largest(target.boxes)
    return Detection(chosen.xyxy, np.ones(len(chosen), np.float32), chosen.labels, names, image)
