"""Images before and after, whole and from near."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from visus.viz import style
from visus.viz.sheets import colour, show

_PART = 5  # of a side: what is magnified
_LEAST = 24  # pixels of it, at least
_PLACES = 8  # a side, among which the part with the most in it is looked for


def close_up(
    cases: Sequence[Sequence[np.ndarray]], names: Sequence[str], heads: Sequence[str], title: str = ""
) -> Figure:
    """A row for each case: its last image whole, and the same part of all of them magnified.

    cases: each some images of one size, H×W×C uint8, one for each of `heads`. The part is where the last of them has
    the most detail.
    """
    drawn = style.figure(2.3 * (1 + len(heads)), 2.5 * len(cases) + 0.4)
    if title:
        drawn.suptitle(style.label(title, 60), x=0.02, ha="left", **style.words(style.TITLE, style.INK, bold=True))
    grid = drawn.subplots(len(cases), 1 + len(heads), squeeze=False)
    for row, (images, name) in enumerate(zip(cases, names, strict=True)):
        top, left, side = _part(images[-1])
        for axes in grid[row]:
            style.panel(axes, grid="").set(xticks=[], yticks=[])
            axes.spines["bottom"].set_visible(False)
        height, width = images[-1].shape[:2]
        show(grid[row, 0], images[-1], (0, width, height, 0))
        grid[row, 0].set_aspect("equal")
        frame = Rectangle((left, top), side, side, fill=False, edgecolor=style.AMBER, linewidth=1.5)
        grid[row, 0].add_patch(frame)
        grid[row, 0].set_xlabel(style.label(name, 60), loc="left", **style.words(7))
        for axes, image, head in zip(grid[row, 1:], images, heads, strict=True):
            axes.imshow(colour(image)[top : top + side, left : left + side], interpolation="nearest")
            axes.set_title(head, loc="left", pad=3, **style.words(style.SMALL, style.INK))
    return drawn


def _part(image: np.ndarray) -> tuple[int, int, int]:
    """Top, left and side of the square in which neighbouring pixels differ the most."""
    grey = image.astype(np.float64).mean(2)
    height, width = grey.shape
    side = min(height, width, max(_LEAST, min(height, width) // _PART))
    down, right = np.abs(np.diff(grey, axis=0, append=grey[-1:])), np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    change = down + right
    tops, lefts = (np.unique(np.linspace(0, length - side, _PLACES).astype(int)) for length in (height, width))
    places = [(int(top), int(left)) for top in tops for left in lefts]
    return (*max(places, key=lambda at: change[at[0] : at[0] + side, at[1] : at[1] + side].sum()), side)
