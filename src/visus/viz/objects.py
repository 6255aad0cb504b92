"""Objects found in images: precision and recall, and images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import PurePosixPath

import numpy as np
from matplotlib.figure import Figure

from visus.viz import style
from visus.viz.bars import lowest
from visus.viz.sheets import colour, show

_CURVES = 12  # classes that have a curve of their own


def palette(number: int) -> str:
    """The colour of a class, the same in all pictures."""
    return style.CYCLE[number % len(style.CYCLE)]


def picture(image: np.ndarray, text: str, title: str = "Prediction") -> Figure:
    """One image (H×W×C uint8), as large as a page is wide, with a line under its title."""
    height, width = image.shape[:2]
    wide = 7.0 if width >= height else max(3.0, 7.0 * width / height)
    drawn = style.figure(wide, wide * height / width + 0.7)
    axes = style.panel(drawn.subplots(), style.label(title, 60), note=style.label(text, 90), grid="")
    pixels = colour(image)
    axes.imshow(pixels, interpolation="nearest" if max(height, width) <= 100 else "antialiased")
    axes.set(xticks=[], yticks=[])
    axes.spines["bottom"].set_visible(False)
    return drawn


def pairs(
    left: Sequence[np.ndarray], right: Sequence[np.ndarray], names: Sequence[str], heads: tuple[str, str],
    title: str = "",
) -> Figure:  # fmt: skip
    """Images in twos, two such pairs a row: what is left and right of each is said over it. N × (H×W×C uint8)."""
    across = min(2, len(left))
    down = -(-len(left) // across)
    drawn = style.figure(4.6 * across, 2.35 * down + 0.4)
    if title:
        drawn.suptitle(title, x=0.02, ha="left", **style.words(style.TITLE, style.INK, bold=True))
    grid = drawn.subplots(down, 2 * across, squeeze=False)
    for place, axes in enumerate(grid.ravel()):
        row, side = divmod(place, 2)
        style.panel(axes, grid="").set(xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)
        if row >= len(left):
            axes.set_axis_off()
            continue
        show(axes, (left, right)[side][row])
        name = style.label(PurePosixPath(names[row]).name, 26) if side == 0 else ""
        axes.set_title(heads[side], loc="left", pad=3, **style.words(style.SMALL, style.INK))
        axes.set_xlabel(name, loc="left", **style.words(7))
    return drawn


def histogram(values: Sequence[float], title: str, name: str, mark: float | None = None) -> Figure:
    """How many values in 0…1 lie where, in 20 bins. mark: from where on they are right."""
    drawn = style.figure(5.6, 3.2)
    mean = f"mean {np.mean(values):.3f}, median {np.median(values):.3f}" if len(values) else "no values"
    axes = style.panel(drawn.subplots(), title, name, "images", note=mean)
    counts, edges = np.histogram(values, np.linspace(0, 1, 21))
    right = edges[:-1] >= (0.0 if mark is None else mark) - 1e-9
    axes.bar(edges[:-1], counts, 0.046, align="edge", color=[style.RIGHT if each else style.WRONG for each in right])
    axes.set_xlim(0, 1)
    return drawn


def precision_recall(
    recall: Sequence[np.ndarray], precision: Sequence[np.ndarray], areas: Sequence[float], labels: Sequence[str]
) -> Figure:
    """Precision against recall, a curve for each of up to 12 classes: those with the most and the least area under it.

    recall, precision: K curves over the detections by score downwards. areas: K average precisions, NaN for a class
    that doesn't occur.
    """
    known = [each for each in np.argsort([-area for area in areas], kind="stable").tolist() if not isnan(areas[each])]
    shown = known if len(known) <= _CURVES else [*known[: _CURVES // 2], *known[-_CURVES // 2 :]]
    drawn = style.figure(7.6, 4.0)
    note = f"mean of {len(known)} classes: {np.mean([areas[each] for each in known]):.3f}" if known else "no objects"
    axes = style.panel(drawn.subplots(), "Precision and recall at IoU 0.5", "recall", "precision", note=note)
    for row, each in enumerate(shown):
        x = np.concatenate([[0.0], recall[each]])
        y = np.concatenate([precision[each][:1] if len(precision[each]) else [0.0], precision[each]])
        name = f"{style.label(labels[each], 20)}  {areas[each]:.3f}"
        line = "-" if row < len(style.CYCLE) else (0, (4, 2))
        axes.plot(x, y, color=palette(each), linewidth=1.6, linestyle=line, label=name)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03))
    if shown:
        fonts = {"family": list(style.families()), "size": style.SMALL}
        drawn.legend(loc="outside right center", frameon=False, labelcolor=style.INK, prop=fonts, handlelength=1.4)
    return drawn


def precisions(at_half: Sequence[float], mean: Sequence[float], labels: Sequence[str]) -> Figure:
    """Average precision of each class at IoU 0.5, and the mean over 0.5…0.95; of more than 60 classes the lowest."""
    found = {"IoU 0.5": at_half, "IoU 0.5…0.95": mean}
    return lowest(found, labels, "Average precision of each class", "lowest average precisions")
