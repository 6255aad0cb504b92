"""Pictures of training: learning curves, and the search for a learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from visus.text import digits, spoken, titled
from visus.viz import style

_SPLITS = {"train": style.MUTED, "val": style.BLUE, "test": style.ORANGE}
_POINTS = 12  # up to as many epochs are marked with a point each


def learning_curves(history: Sequence[Mapping[str, float]], best_epoch: int | None = None) -> Figure:
    """How training went: the loss, each other metric and the learning rate against the epoch.

    history: one row an epoch, with "epoch" and columns such as "train/loss", "val/loss", "val/accuracy" and "rate".
    A column "split/name" is a line of the panel "name"; columns without a split, other than the rate, aren't drawn.
    Values that are missing or not finite are left out. best_epoch: the epoch to mark.
    """
    epochs = np.array([row.get("epoch", number) for number, row in enumerate(history, 1)], dtype=float)
    panels = _panels(history)
    if not panels:
        drawn = style.figure(6, 2)
        style.panel(drawn.subplots(), "Learning curves").text(
            0.5, 0.5, "No epoch is finished yet", ha="center", va="center", **style.words(style.TEXT)
        )
        drawn.axes[0].set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        return drawn
    across = 2 if len(panels) == 4 else min(3, len(panels))
    down = -(-len(panels) // across)
    drawn = style.figure(max(4.6, 3.5 * across), 2.8 * down)
    grid = drawn.subplots(down, across, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, (name, columns) in zip(grid, panels.items(), strict=False):
        style.panel(axes, style.label(_title(name), 32), "epoch", note=_note(history, name, columns, best_epoch))
        for split, column in columns.items():
            _line(axes, epochs, _values(history, column), split, best_epoch if name != "rate" else None)
        _scale(axes, name)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
            axes.set_xticks(epochs)
        elif best_epoch is not None:
            axes.axvline(best_epoch, color=style.INK, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)
        if len(columns) > 1:
            style.legend(axes, loc="best")
    return drawn


def rate_curve(
    rates: Sequence[float], losses: Sequence[float], smooth: Sequence[float], suggestion: float | None = None
) -> Figure:
    """The search for a learning rate: the loss of each step, raw and smoothed, against its rate on a log scale.

    The loss that explodes at the end is cut off. suggestion: the rate to mark.
    """
    x, raw, even = (np.asarray(values, dtype=float) for values in (rates, losses, smooth))
    even = np.where(np.isfinite(even), even, np.nan)
    drawn = style.figure(6.4, 3.6)
    axes = style.panel(drawn.subplots(), "Learning-rate search", "learning rate", "loss", grid="both")
    mark = "o" if len(x) <= _POINTS else ""
    axes.plot(x, raw, color="#b9c0c9", linewidth=0.9, marker=mark, markersize=3, label="each step")
    axes.plot(x, even, color=style.BLUE, linewidth=2, marker=mark, markersize=4, label="smoothed")
    axes.set_xscale("log")
    if np.isfinite(even).any():
        lowest = int(np.nanargmin(even))
        low, high = even[lowest], np.nanmax(even[: lowest + 1])
        room = 0.15 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_ylim(low - room, high + 2 * room)
    if suggestion is not None:
        axes.axvline(suggestion, color=style.ORANGE, linewidth=1.4, label=f"suggested: {digits(suggestion, 2)}")
    style.legend(axes, loc="best")
    return drawn


def _panels(history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, str]]:
    """The columns to draw, as panel → split → column: the loss first, the learning rate last."""
    found: dict[str, dict[str, str]] = {}
    for column in dict.fromkeys(column for row in history for column in row):
        split, slash, name = column.partition("/")
        if slash:
            found.setdefault(name, {})[split] = column
        elif column == "rate":
            found["rate"] = {"rate": column}
    order = sorted(found, key=lambda name: (name == "rate", name != "loss"))
    return {name: found[name] for name in order}


def _title(name: str) -> str:
    return titled("learning rate" if name == "rate" else spoken(name))


def _values(history: Sequence[Mapping[str, float]], column: str) -> np.ndarray:
    """A column of the history, with NaN for what is missing or not finite."""
    values = np.array([row.get(column, np.nan) for row in history], dtype=float)
    return np.where(np.isfinite(values), values, np.nan)


def _note(history: Sequence[Mapping[str, float]], name: str, columns: Mapping[str, str], best: int | None) -> str:
    """The figure that matters: the value at the best epoch or else the last one; of a rate, the first and the last."""
    column = columns.get("val", list(columns.values())[-1])
    values = _values(history, column)
    known = values[np.isfinite(values)]
    if not len(known):
        return "no finite value"
    if name == "rate":
        first, last = digits(known[0], 2), digits(known[-1], 2)
        return f"from {first} to {last}" if first != last else first
    at_best = [row[column] for row in history if best is not None and row.get("epoch") == best and column in row]
    return f"{digits(at_best[-1], 4)} at the best epoch, {best}" if at_best else f"{digits(known[-1], 4)} at the end"


def _line(axes: Axes, epochs: np.ndarray, values: np.ndarray, split: str, best: int | None) -> None:
    """One curve, with a dot at the best epoch."""
    color = _SPLITS.get(split, style.GREEN)
    known = np.isfinite(values)
    mark = "o" if known.sum() <= _POINTS else ""
    name = style.label(split.lstrip("_"))
    axes.plot(epochs[known], values[known], color=color, linewidth=1.6, marker=mark, markersize=4, label=name)
    if best is not None and split != "train":
        chosen = known & (epochs == best)
        axes.plot(epochs[chosen], values[chosen], "o", color=color, markersize=6, markeredgecolor=style.PAPER, zorder=4)


def _scale(axes: Axes, name: str) -> None:
    """A log scale where a loss or rate falls more than a hundredfold."""
    values = np.concatenate([line.get_ydata() for line in axes.lines])
    if name.startswith(("loss", "rate")) and len(values) and values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if name == "rate" or axes.get_yscale() == "log":
        axes.yaxis.set_major_formatter(lambda value, _: digits(value))
