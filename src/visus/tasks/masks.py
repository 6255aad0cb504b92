"""What is said of every pixel of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from visus.data.preprocess import Placement
from visus.data.types import VOID
from visus.errors import RunError
from visus.metrics import MaskMeter
from visus.tasks.base import Case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 3  # classes in the line that stands for a prediction
BAND = 1 << 22  # scores that are resized at a time


@dataclass(frozen=True, slots=True, repr=False)
class Segmentation:
    """The class of each pixel: mask H×W uint8, numbers of the names; VOID where the network saw nothing of the image.

    scores: K×h×w, of the network's frame, from which the image's own mask is still to be made; None once it is.
    """

    mask: np.ndarray
    names: tuple[str, ...]
    image: np.ndarray | None = None
    scores: Tensor | None = None

    def __repr__(self) -> str:
        return f"Segmentation({self.text()})"

    @property
    def shares(self) -> dict[str, float]:
        """The classes that occur with their shares of the pixels, the largest first."""
        counts = np.bincount(self.mask.ravel(), minlength=VOID + 1)[: len(self.names)]
        order = np.argsort(-counts, kind="stable")
        return {self.names[each]: float(counts[each] / self.mask.size) for each in order.tolist() if counts[each]}

    def row(self) -> dict[str, Any]:
        return {"size": list(self.mask.shape), "shares": self.shares}

    def text(self) -> str:
        said = [f"{name} {share:.1%}" for name, share in self.shares.items()]
        return ", ".join(said[:SHOWN]) + (", …" if len(said) > SHOWN else "") if said else "nothing seen"

    def plot(self, title: str = "Prediction") -> Figure:
        from visus import viz

        return viz.masked(self._ground(), self.mask, self.names, self.text(), title)

    def drawn(self) -> np.ndarray:
        """The image with the mask's colours over it, H×W×3 uint8; over white where there is no image."""
        from visus import viz

        return viz.draw_mask(self._ground(), self.mask)

    def to_png(self, path: str | Path) -> Path:
        """Write the mask as a PNG of class numbers with a palette, as PASCAL VOC has them. Raises RunError."""
        from visus import viz

        png = Image.fromarray(self.mask)
        png.putpalette(viz.mask_palette().tobytes())
        try:
            png.save(path, "PNG")
        except OSError as problem:
            raise RunError(f"{path}: can't be written: {problem.strerror or problem}") from None
        return Path(path)

    def to_coco(self, image_id: int = 1, categories: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """A mask in COCO's run lengths, not compressed, for each class that occurs. categories: the id of each name; by
        default 1, 2, …"""
        return [
            {
                "image_id": image_id,
                "category_id": label + 1 if categories is None else categories[label],
                "segmentation": {"size": list(self.mask.shape), "counts": run_lengths(self.mask == label)},
            }
            for label in np.unique(self.mask[self.mask != VOID]).tolist()
        ]

    def on(self, image: np.ndarray, placement: Placement) -> Segmentation:
        scores = self.scores
        if scores is None:
            return replace(self, image=image)
        mask = at_size(scores, image.shape[0], image.shape[1], placement)
        return replace(self, mask=mask, image=image, scores=None)

    def _ground(self) -> np.ndarray:
        return np.full((*self.mask.shape, 1), 255, np.uint8) if self.image is None else self.image


def at_size(scores_Khw: Tensor, height: int, width: int, placement: Placement) -> np.ndarray:
    """The best class of each pixel of an image, H×W uint8, by scores that are interpolated (bilinear), not labels.

    scores: of the middle of the frame in which the image was placed. VOID where the image lies outside of it.
    """
    rows, columns = scores_Khw.shape[-2:]
    top = placement.top - (placement.height - rows) / 2
    left = placement.left - (placement.width - columns) / 2
    if (rows, columns, top, left, placement.scale_x, placement.scale_y) == (height, width, 0, 0, 1, 1):
        return scores_Khw.argmax(0).to(torch.uint8).cpu().numpy()
    y_H = (torch.arange(height, device=scores_Khw.device) + 0.5) * placement.scale_y + top
    x_W = (torch.arange(width, device=scores_Khw.device) + 0.5) * placement.scale_x + left
    seen_HW = ((y_H > 0) & (y_H < rows))[:, None] & ((x_W > 0) & (x_W < columns))
    unit_y, unit_x = y_H * 2 / rows - 1, x_W * 2 / columns - 1
    found, band = [], max(1, BAND // (len(scores_Khw) * width))
    for part_y in torch.split(unit_y, band):
        grid = torch.stack((unit_x.expand(len(part_y), -1), part_y[:, None].expand(-1, width)), -1)
        values = F.grid_sample(scores_Khw[None].float(), grid[None], padding_mode="border", align_corners=False)
        found.append(values[0].argmax(0).to(torch.uint8))
    return torch.where(seen_HW, torch.cat(found), VOID).cpu().numpy()


def run_lengths(mask_HW: np.ndarray) -> list[int]:
    """Lengths of runs of 0 and 1 in turn, column by column, the first of 0 (it may be 0): COCO's.

    >>> run_lengths(np.array([[0, 1], [1, 1]], bool))
    [1, 3]
    """
    flat = mask_HW.T.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], ends, [flat.size]))
    lengths: list[int] = np.diff(bounds).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def pictures(meter: MaskMeter, worst: Sequence[Case], some: Sequence[Case]) -> dict[str, Figure]:
    """Which classes are taken for which, how well each is met, and images with truth and prediction."""
    from visus import viz

    each = meter.per_class()
    drawn = {
        "confusion": viz.confusion(meter.confusion, meter.names),
        "per_class": viz.overlaps(each["iou"].tolist(), each["dice"].tolist(), meter.names),
    }
    for name, title, cases in (("worst", "The worst errors", worst), ("samples", "What was found", some)):
        shown = [case for case in cases if case.image is not None][:12]
        if shown:
            drawn[name] = viz.pairs(
                [_truth(case, meter.names) for case in shown],
                [case.prediction.drawn() for case in shown],  # type: ignore[attr-defined]
                [case.name for case in shown], ("truth", "found"), title,
            )  # fmt: skip
    return drawn


def _truth(case: Case, names: tuple[str, ...]) -> np.ndarray:
    assert case.target.mask is not None
    return Segmentation(case.target.mask, names, case.image).drawn()
