"""Bars: a single prediction, how well each class is met, and how many samples each has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from visus.viz import style
from visus.viz.sheets import show

_NAMED = 40  # up to as many classes get bars with their names
_LOWEST = 60  # classes that have a bar for how well they are met
_ENDS = 8
_ENDS_OF_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def top(
    labels: Sequence[str], probabilities: Sequence[float], image: np.ndarray | None = None, title: str = "Prediction"
) -> Figure:
    """One prediction: the image (H×W×C uint8), if given, beside a bar for each class, the likeliest on top.

    labels, probabilities: the k classes to show, in any order, and how likely each is (0 to 1). The scale begins at 0
    and ends at a round number above the likeliest.
    """
    chances = np.asarray(probabilities, dtype=float)
    order = np.argsort(-chances, kind="stable")
    height = max(1.0 + 0.34 * len(order), 1.7 if image is None else 2.4)
    wide = 0.0 if image is None else (height - 0.3) * min(max(image.shape[1] / image.shape[0], 0.4), 1.6)
    drawn = style.figure(5.4 + wide, height)
    if image is None:
        axes = drawn.subplots()
    else:
        beside, axes = drawn.subplots(1, 2, width_ratios=[wide, 5.4])
        show(style.panel(beside, grid=""), image)
        beside.set(xticks=[], yticks=[])
        beside.spines["bottom"].set_visible(False)
    style.panel(axes, style.label(title, 38), grid="x")
    y, shown = np.arange(len(order)), np.nan_to_num(chances[order])
    end = next(each for each in _ENDS_OF_SCALES if each >= min(max(shown, default=0.0), 1.0))
    thick = min(0.62, 0.3 * len(order) / (height - 0.9))  # at most 0.3 inches, however few there are
    axes.barh(y, shown, height=thick, color=[style.BLUE] + ["#a9cbe0"] * (len(order) - 1))
    halo = withStroke(linewidth=3, foreground=style.PAPER)  # a line of the grid may stand there
    for row, chance in enumerate(chances[order]):
        place = (shown[row], row)
        axes.annotate(
            _percent(chance), place, (4, 0), textcoords="offset points", va="center",
            path_effects=[halo], **style.words(style.SMALL, style.INK),
        )  # fmt: skip
    axes.set_yticks(y, [style.label(labels[each], 30) for each in order], color=style.INK, fontsize=style.TEXT)
    axes.set(xlim=(0, 1.16 * end), ylim=(len(order) - 0.5, -0.5), xticks=np.linspace(0, end, 5 if end == 0.2 else 6))
    axes.xaxis.set_major_formatter(lambda share, _: style.percent(share, 0 if end >= 0.05 else 1))
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(True)
    return drawn


def lowest(scores: Mapping[str, Sequence[float]], labels: Sequence[str], every: str, few: str) -> Figure:
    """Two scores in 0…1 of each class side by side, the lowest of the first on top; of more than 60 classes the lowest.

    Classes of which the first is NaN have none. every, few: titles, "The 60 …" of the second.
    """
    first = next(iter(scores.values()))
    order = [each for each in np.argsort(first, kind="stable").tolist() if not isnan(first[each])]
    cut = order[:_LOWEST]
    drawn = style.figure(6.4, 1.3 + 0.3 * max(len(cut), 1))
    axes = style.panel(drawn.subplots(), every if len(cut) == len(order) else f"The {_LOWEST} {few}", grid="x")
    y = np.arange(len(cut))
    for (name, values), shift, color in zip(scores.items(), (-0.19, 0.19), (style.BLUE, style.SKY), strict=True):
        bars = axes.barh(y + shift, [values[each] for each in cut], height=0.34, color=color, label=name)
        axes.bar_label(bars, [f"{values[each]:.3f}" for each in cut], padding=3, **style.words(style.SMALL))
    axes.set_yticks(y, [style.label(labels[each], 24) for each in cut], color=style.INK)
    axes.set(xlim=(0, 1.12), ylim=(len(cut) - 0.45, -0.55))
    if cut:
        drawn.legend(loc="outside lower left", ncols=2, **_legend())
    return drawn


def counts(labels: Sequence[str], splits: Mapping[str, Sequence[int]]) -> Figure:
    """How many samples each class has in each split ("train": K counts, …).

    Up to 40 classes have a bar each; more are drawn as a curve from the largest to the smallest class of the first
    split, with the names at both ends.
    """
    return _named(labels, splits) if len(labels) <= _NAMED else _curve(labels, splits)


def _named(labels: Sequence[str], splits: Mapping[str, Sequence[int]]) -> Figure:
    groups = max(len(splits), 1)
    thick = 0.8 / groups
    drawn = style.figure(7.0, 1.1 + len(labels) * (0.16 + 0.13 * groups))
    axes = style.panel(drawn.subplots(), "Samples of each class", grid="x")
    y = np.arange(len(labels))
    for row, (split, numbers) in enumerate(splits.items()):
        place = y + (row - (groups - 1) / 2) * thick
        bars = axes.barh(
            place, numbers, height=thick * 0.9, color=style.CYCLE[row % len(style.CYCLE)], label=_split(split)
        )
        axes.bar_label(
            bars, [f"{number:,}" for number in numbers], padding=3, **style.words(style.SMALL if groups < 3 else 6.5)
        )
    axes.set_yticks(y, [style.label(name, 28) for name in labels], color=style.INK)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.locator_params(axis="x", nbins=6, integer=True)
    if len(splits) > 1:
        drawn.legend(loc="outside lower left", ncols=4, **_legend())
    return drawn


def _curve(labels: Sequence[str], splits: Mapping[str, Sequence[int]]) -> Figure:
    numbers = {split: np.asarray(values) for split, values in splits.items()}
    first = next(iter(numbers.values()))
    order = np.argsort(-first, kind="stable")
    drawn = style.figure(8.6, 3.6)
    axes, side = drawn.subplots(1, 2, width_ratios=[2.2, 1])
    style.panel(
        axes, f"Samples of each of {len(labels):,} classes", f"classes, by {_split(next(iter(splits)))} samples"
    )
    for row, (split, values) in enumerate(numbers.items()):
        color = style.CYCLE[row % len(style.CYCLE)]
        axes.stairs(
            values[order], np.arange(len(order) + 1), baseline=None, color=color, linewidth=1.5, label=_split(split)
        )
    if first.min() > 0 and first.max() > 20 * first.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlim(0, len(order))
    if len(splits) > 1:
        style.legend(axes, loc="best")
    _ends(side, [(labels[each], int(first[each])) for each in order])
    return drawn


def _ends(side: Axes, ranked: Sequence[tuple[str, int]]) -> None:
    """The largest and the smallest classes, as text in axes of their own."""
    style.panel(side, "Most and fewest", grid="")
    side.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(2 * _ENDS + 0.5, -0.5))
    side.spines["bottom"].set_visible(False)
    rows = [*enumerate(ranked[:_ENDS]), *enumerate(ranked[-_ENDS:], _ENDS + 1)]
    for row, (name, number) in rows:
        side.text(0, row, style.label(name, 24), va="center", **style.words(style.SMALL, style.INK))
        side.text(1, row, f"{number:,}", va="center", ha="right", **style.words())
    side.axhline(_ENDS, color=style.LINE, linewidth=0.8)


def _split(name: str) -> str:
    return style.label(name.lstrip("_"), 20)


def _legend() -> dict[str, Any]:
    return {"frameon": False, "labelcolor": style.INK, "fontsize": style.SMALL}


def _percent(chance: float) -> str:
    if not np.isfinite(chance):
        return "not a number"
    return "< 0.1 %" if 0 < chance < 0.0005 else style.percent(chance, 1)
