"""What is said of the objects in an image, by whichever task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from visus.data.preprocess import Placement
from visus.data.types import Batch, Boxes, Schema, Targets
from visus.errors import DataError, ModelError, SpecError
from visus.metrics import DetectionMeter, Found
from visus.ops.boxes import nms, suppressed
from visus.spec import Variant
from visus.tasks.base import Case, How

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 3  # objects in the line that stands for a prediction
NONE = "nothing found"
DRAWN = 384  # pixels: about the longer side of small images when they are drawn
LEAST = 1e-3  # the score under which nothing is a detection
CANDIDATES = 1000  # of an image, before those that overlap are left out
Count = Annotated[int, msgspec.Meta(ge=1)]
Part = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclass(frozen=True, slots=True, repr=False)
class Detection:
    """Objects, the surest first: boxes M×4 (left, top, right, bottom, in pixels of the image), scores M in 0…1,
    labels M, numbers of the names."""

    xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    image: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"Detection({self.text()})"

    def __len__(self) -> int:
        return len(self.xyxy)

    @property
    def each(self) -> list[tuple[str, float, tuple[float, float, float, float]]]:
        """Name, score and box of every object."""
        rows = zip(self.labels.tolist(), self.scores.tolist(), self.xyxy.tolist(), strict=True)
        return [(self.names[label], score, (box[0], box[1], box[2], box[3])) for label, score, box in rows]

    def row(self) -> dict[str, Any]:
        return {
            "objects": [{"label": name, "score": score, "box": list(box)} for name, score, box in self.each]
        }  # fmt: skip

    def text(self) -> str:
        counts = Counter(self.names[label] for label in self.labels.tolist())
        said = [f"{count} × {name}" if count > 1 else name for name, count in counts.most_common(SHOWN)]
        return ", ".join(said) + (", …" if len(counts) > SHOWN else "") if said else NONE

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        return viz.picture(self.drawn(), self.text(), title)

    def drawn(self, *, sure: bool = True) -> np.ndarray:
        """The image with the boxes on it, H×W×3 uint8; a small one is enlarged a whole number of times first, so that
        there is room for names. On a white one where there is none. sure: whether scores are told."""
        from visus import viz

        image = self.image
        if image is None:
            right, bottom = np.ceil(self.xyxy[:, 2:].max(0)).astype(int) if len(self) else (8, 8)
            image = np.full((max(8, bottom), max(8, right), 3), 255, np.uint8)
        times = max(1, round(DRAWN / max(image.shape[:2])))
        image = image.repeat(times, 0).repeat(times, 1)
        texts = [f"{name} {score:.0%}" if sure else name for name, score, _ in self.each]
        return viz.draw_boxes(image, times * self.xyxy, texts, [viz.palette(label) for label in self.labels.tolist()])

    def crop(self) -> list[np.ndarray]:
        """The part of the image in each box, h×w×C uint8; a box smaller than a pixel gives one pixel."""
        if self.image is None:
            return []
        height, width = self.image.shape[:2]
        found = []
        for left, top, right, bottom in self.xyxy:
            x, y = min(int(left), width - 1), min(int(top), height - 1)
            found.append(self.image[y : max(y + 1, int(np.ceil(bottom))), x : max(x + 1, int(np.ceil(right)))].copy())
        return found

    def to_coco(self, image_id: int = 1, categories: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO's list of results. categories: the id of each name; by default 1, 2, …"""
        return [
            {
                "image_id": image_id,
                "category_id": label + 1 if categories is None else categories[label],
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "score": score,
            }
            for label, (_, score, box) in zip(self.labels.tolist(), self.each, strict=True)
        ]

    def above(self, threshold: float) -> Detection:
        """Those that are at least so sure."""
        kept = self.scores >= threshold
        return replace(self, xyxy=self.xyxy[kept], scores=self.scores[kept], labels=self.labels[kept])

    def on(self, image: np.ndarray, placement: Placement) -> Detection:
        height, width = image.shape[:2]
        xyxy = np.clip(placement.original(self.xyxy), 0, np.array([width, height, width, height], np.float32))
        inside = ((xyxy[:, 2:] - xyxy[:, :2]) > 0).all(1)  # of what was filled in around an image nothing is said
        return replace(
            self, xyxy=xyxy[inside], scores=self.scores[inside], labels=self.labels[inside], image=image
        )  # fmt: skip


class Detecting(Variant, frozen=True):
    """What all tasks have in common that find objects.

    Their output is N×A×K scores and N×A×4 boxes, or N×A×K×4, one for each class; a score of at most `LEAST` says
    nothing. overlap: IoU above which of two boxes of a class the surer is kept. threshold: the score from which an
    object is shown. most: objects of an image.
    """

    overlap: Part = 0.5
    threshold: Part = 0.2
    most: Count = 100
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("boxes",),)
    exact: ClassVar[bool] = True

    def goal(self, schema: Schema) -> str:
        return "map50"

    def fitted(self, schema: Schema, targets: Targets) -> Self:
        if not schema.labels:
            raise DataError("detection needs the names of the classes, and the data have none")
        if len(schema.shape) != 3:
            raise ModelError("detection takes images, and the data are vectors")
        return self

    def calibrate(self, model: nn.Module, batches: Iterable[Batch], held: Iterable[Batch]) -> None:
        return

    def decode(self, output: Any, schema: Schema) -> list[Detection]:
        return [
            Detection(each.xyxy, each.scores, each.labels, schema.labels).above(self.threshold)
            for each in self._found(output)
        ]

    def meter(self, schema: Schema) -> DetectionMeter:
        return DetectionMeter(schema.labels)

    def measure(self, meter: DetectionMeter, output: Any, target: Targets) -> None:
        assert target.boxes is not None
        meter.update(self._found(output), target.boxes)

    def errors(self, output: Any, target: Targets) -> Tensor:
        assert target.boxes is not None
        pairs = zip(self._found(output), target.boxes, strict=True)
        return torch.tensor([float(mistakes(found, truth, self.threshold)) for found, truth in pairs])

    def fuse(self, outputs: Sequence[Any], weights: Tensor, how: How, schema: Schema) -> Any:
        raise SpecError("what several detectors say can't be averaged", "ask them one by one")

    def draw(
        self, meter: DetectionMeter, worst: Sequence[Case], some: Sequence[Case], schema: Schema
    ) -> dict[str, Figure]:
        return pictures(meter, worst, some, self.threshold)

    def answered(self, output: Any) -> dict[str, Tensor]:
        """boxes N×T×4, scores N×T and labels N×T of the T = `most` surest objects; a score of 0: there are no more."""
        scores_NAK, boxes = self._shares(output)
        classes = scores_NAK.shape[2]
        values_NM, at_NM = scores_NAK.flatten(1).topk(min(CANDIDATES, scores_NAK.shape[1] * classes), 1)
        own_NB4, at_NB = (boxes, at_NM // classes) if boxes.ndim == 3 else (boxes.flatten(1, 2), at_NM)
        own_NM4, labels_NM = own_NB4.gather(1, at_NB[..., None].expand(-1, -1, 4)), at_NM % classes
        kept_NM = suppressed(own_NM4, labels_NM, self.overlap) & (values_NM > LEAST)
        scores_NT, place_NT = (values_NM * kept_NM).topk(min(self.most, values_NM.shape[1]), 1)
        return {
            "boxes": own_NM4.gather(1, place_NT[..., None].expand(-1, -1, 4)), "scores": scores_NT,
            "labels": labels_NM.gather(1, place_NT),
        }  # fmt: skip

    def _shares(self, output: Any) -> tuple[Tensor, Tensor]:
        """Scores in 0…1, and boxes."""
        return output[0].float(), output[1].float()

    def _found(self, output: Any) -> list[Found]:
        return [self._of_one(*each) for each in zip(*self._shares(output), strict=True)]

    def _of_one(self, scores_AK: Tensor, boxes: Tensor) -> Found:
        classes = scores_AK.shape[1]
        values, at = scores_AK.flatten().topk(min(CANDIDATES, scores_AK.numel()))
        at, values = at[values > LEAST], values[values > LEAST]
        labels = at % classes
        own = boxes[at // classes] if boxes.ndim == 2 else boxes[at // classes, labels]
        kept, values = (each[: self.most] for each in self._kept(own, values, labels))
        return Found(*(each.cpu().numpy() for each in (own[kept], values, labels[kept])))

    def _kept(self, boxes_M4: Tensor, scores_M: Tensor, labels_M: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the boxes that are kept where several are of one object, and their scores."""
        kept = nms(boxes_M4, scores_M, self.overlap, labels_M)
        return kept, scores_M[kept]


def columns(boxes: Sequence[Boxes], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """N×M×4 boxes, N×M labels, whether each is one, and whether it says nothing of what is in it."""
    most = max(1, *(len(each) for each in boxes)) if boxes else 1
    xyxy = np.zeros((len(boxes), most, 4), np.float32)
    labels, real, void = (np.zeros((len(boxes), most), kind) for kind in (np.int64, bool, bool))
    for row, each in enumerate(boxes):
        xyxy[row, : len(each)], labels[row, : len(each)], real[row, : len(each)] = each.xyxy, each.labels, True
        for flags in (each.crowd, each.difficult):
            if flags is not None:
                void[row, : len(each)] |= flags
    a, b, c, d = (torch.from_numpy(each).to(device) for each in (xyxy, labels, real, void))
    return a, b, c, d


def mistakes(found: Found, truth: Boxes, threshold: float) -> int:
    """How many objects are missed or invented, at IoU 0.5, of what is at least as sure as the threshold."""
    sure = found.scores >= threshold
    meter = DetectionMeter([str(label) for label in range(int(max([0, *found.labels, *truth.labels])) + 1)])
    meter.update([Found(found.xyxy[sure], found.scores[sure], found.labels[sure])], [truth])
    return meter.mistakes()


def pictures(meter: DetectionMeter, worst: Sequence[Case], some: Sequence[Case], threshold: float) -> dict[str, Figure]:
    """Precision against recall, precision by class, and images with what was found in them."""
    from visus import viz

    drawn: dict[str, Figure] = {}
    names = meter.labels
    curves = [meter.curve(label) for label in range(len(names))]
    precisions = meter.average_precision()
    drawn["precision_recall"] = viz.precision_recall(
        [curve.recall for curve in curves], [curve.precision for curve in curves], precisions[:, 0].tolist(), names
    )
    drawn["per_class"] = viz.precisions(precisions[:, 0].tolist(), precisions.mean(1).tolist(), names)
    for name, title, cases in (("worst", "The most mistakes", worst), ("samples", "What was found", some)):
        shown = [case for case in cases if case.image is not None][:12]
        if shown:
            drawn[name] = viz.pairs(
                [_truth(case, names) for case in shown],
                [case.prediction.above(threshold).drawn() for case in shown],  # type: ignore[attr-defined]
                [case.name for case in shown], ("truth", "found"), title,
            )  # fmt: skip
    return drawn


def _truth(case: Case, names: Sequence[str]) -> np.ndarray:
    boxes = case.target.boxes
    assert boxes is not None
    scores = np.ones(len(boxes), np.float32)
    return Detection(boxes.xyxy, scores, boxes.labels, tuple(names), case.image).drawn(sure=False)
