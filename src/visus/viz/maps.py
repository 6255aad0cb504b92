"""Samples on a plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from visus.viz import style

_MARKERS = "osD^vP"
_NAMED = 20  # classes: more than that are coloured, and not named


def sample_map(points: np.ndarray, labels: Sequence[int], classes: Sequence[str], title: str, note: str = "") -> Figure:
    """Where samples lie, coloured by class. points: N×2. labels: N, −1 where unknown. classes: their names."""
    drawn = style.figure(6.4, 5.2)
    axes = style.panel(drawn.subplots(), title, note=note, grid="")
    axes.set(xticks=[], yticks=[])
    axes.spines["bottom"].set_visible(False)
    numbers = np.asarray(labels)
    present = [number for number in np.unique(numbers).tolist() if number >= 0]
    size = float(np.clip(2600 / max(len(points), 1), 5, 26))
    if (unknown := numbers < 0).any():
        axes.scatter(points[unknown, 0], points[unknown, 1], size, style.MUTED, linewidths=0, alpha=0.7)
    for place, number in enumerate(present):
        if len(present) <= len(style.CYCLE):
            color: object = style.CYCLE[place]
        else:
            color = colormaps["turbo"](0.05 + 0.9 * place / (len(present) - 1))
        here, marker = points[numbers == number], _MARKERS[place // len(style.CYCLE) % len(_MARKERS)]
        name = style.label(classes[number], 22)
        axes.scatter(here[:, 0], here[:, 1], size, color=color, marker=marker, linewidths=0, alpha=0.8, label=name)
    if 1 <= len(present) <= _NAMED:
        style.legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=1)
    return drawn
