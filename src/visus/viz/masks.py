"""Masks: over their images, and how well each class is met."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from visus.viz import style
from visus.viz.bars import lowest
from visus.viz.objects import picture
from visus.viz.sheets import colour

_OVER = 0.55  # of a pixel's colour over an image is its class's
_NAMED = 20  # classes that a legend names


def mask_palette() -> np.ndarray:
    """The colours of class numbers, 256×3 uint8: those of PASCAL VOC, whose bits are spread over red, green and blue.

    >>> mask_palette()[:4].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    numbers = np.arange(256)
    found = np.zeros((256, 3), np.int64)
    for place in range(3):
        for channel in range(3):
            found[:, channel] |= (numbers >> (3 * place + channel) & 1) << (7 - place)
    return found.astype(np.uint8)


def draw_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of an image (H×W×C uint8), as H×W×3 uint8, with the colours of a mask's classes (H×W uint8) over it.

    The first class, the background as a rule, leaves it as it is.
    """
    pixels = colour(image)
    over = mask_palette()[mask] * _OVER + pixels * (1 - _OVER)
    return np.where((mask > 0)[..., None], over.round().astype(np.uint8), pixels)


def masked(image: np.ndarray, mask: np.ndarray, names: Sequence[str], text: str, title: str = "Prediction") -> Figure:
    """An image with a mask over it, and a legend of the classes that occur, the largest first."""
    drawn = picture(draw_mask(image, mask), text, title)
    counts = np.bincount(mask.ravel(), minlength=256)[: len(names)]
    shown = [each for each in np.argsort(-counts, kind="stable").tolist() if each and counts[each]][:_NAMED]
    if shown:
        patches = [Patch(color=mask_palette()[each] / 255, label=style.label(names[each], 22)) for each in shown]
        drawn.legend(
            handles=patches, loc="outside lower left", ncols=min(4, len(shown)), frameon=False,
            labelcolor=style.INK, fontsize=style.SMALL,
        )  # fmt: skip
    return drawn


def overlaps(iou: Sequence[float], dice: Sequence[float], names: Sequence[str]) -> Figure:
    """Intersection over union and Dice coefficient of each class that occurs; of more than 60 the lowest."""
    found = {"intersection over union": iou, "Dice (F1)": dice}
    return lowest(found, names, "How well each class is met", "classes that are met worst")
