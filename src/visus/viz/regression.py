"""Pictures of a regression's results: predicted against true, and what is left over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from visus.viz import style

_TICKS = 5  # at most so many steps: values may have many digits
_DENSE = 5000  # more points than that are drawn as the density of hexagons


def scatter(
    predicted: np.ndarray | Sequence[float], true: np.ndarray | Sequence[float], name: str, unit: str = ""
) -> Figure:
    """Predicted against true values (N each) with the line of no error, R² and the mean absolute error."""
    guess, truth = _pair(predicted, true)
    drawn = style.figure(5.0, 5.2)
    axes = style.panel(
        drawn.subplots(), style.label(name, 36), _axis("true", name, unit), _axis("predicted", name, unit),
        note=_fit(guess, truth, unit), grid="both",
    )  # fmt: skip
    low, high = _range(np.concatenate([guess, truth]))
    axes.plot([low, high], [low, high], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    _points(axes, truth, guess, (low, high, low, high))
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.locator_params(nbins=_TICKS)
    return drawn


def residuals(
    predicted: np.ndarray | Sequence[float], true: np.ndarray | Sequence[float], name: str, unit: str = ""
) -> Figure:
    """Predicted minus true against the predicted value, and how these differences (N) are distributed."""
    guess, truth = _pair(predicted, true)
    left_over = guess - truth
    drawn = style.figure(7.4, 3.9)
    wide, narrow = drawn.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    style.panel(
        wide, style.label(f"Residuals of {name}", 44), _axis("predicted", name, unit),
        _axis("predicted − true", "", unit), note=_spread(left_over, unit), grid="both",
    )  # fmt: skip
    style.panel(narrow, "", "samples", grid="y")
    _points(wide, guess, left_over, (*_range(guess), *_range(left_over)))
    narrow.hist(
        left_over, bins=min(40, max(5, round(len(left_over) ** 0.5))), orientation="horizontal", color=style.BLUE,
        edgecolor=style.PAPER, linewidth=0.6,
    )  # fmt: skip
    narrow.locator_params(axis="x", nbins=3, integer=True)
    narrow.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    for axes in (wide, narrow):
        axes.axhline(0, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    wide.set(xlim=_range(guess), ylim=_range(left_over))
    wide.locator_params(axis="x", nbins=_TICKS)
    return drawn


def _fit(guess: np.ndarray, truth: np.ndarray, unit: str) -> str:
    """How good the predictions are, in words. R² needs true values that differ."""
    if not len(truth):
        return "no samples"
    error, spread = float(((guess - truth) ** 2).sum()), float(((truth - truth.mean()) ** 2).sum())
    score = f"R² {1 - error / spread:.3f}, ".replace("-", "−") if spread > 0 else ""
    mean = f"mean absolute error {np.abs(guess - truth).mean():.3g} {style.label(unit, 12)}".rstrip()
    return f"{score}{mean}, n = {len(truth):,}"


def _spread(left_over: np.ndarray, unit: str) -> str:
    """Where the residuals lie, in words."""
    if not len(left_over):
        return "no samples"
    about = f"mean {left_over.mean():.3g}, standard deviation {left_over.std():.3g}".replace("-", "−")
    return f"{about} {style.label(unit, 12)}".rstrip()


def _pair(predicted: np.ndarray | Sequence[float], true: np.ndarray | Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of numbers, without the pairs of which one isn't finite."""
    guess, truth = np.asarray(predicted, dtype=float).ravel(), np.asarray(true, dtype=float).ravel()
    if len(guess) != len(truth):
        raise ValueError(f"there are {len(guess)} predicted and {len(truth)} true values")
    known = np.isfinite(guess) & np.isfinite(truth)
    return guess[known], truth[known]


def _range(values: np.ndarray) -> tuple[float, float]:
    """From the lowest to the highest value, with some room."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _points(axes: Axes, x: np.ndarray, y: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """A dot a sample, or the density where there are too many dots to tell apart."""
    if len(x) > _DENSE:
        axes.hexbin(x, y, gridsize=60, extent=extent, bins="log", mincnt=1, cmap=style.DENSITY, linewidths=0.1)
    else:
        opacity = float(np.clip(60 / max(len(x), 1) ** 0.7, 0.15, 0.8))
        axes.plot(x, y, "o", color=style.BLUE, markersize=4.5, markeredgewidth=0, alpha=opacity)


def _axis(kind: str, name: str, unit: str) -> str:
    words = f"{kind} {style.label(name, 28)}".rstrip()
    return f"{words} ({style.label(unit, 16)})" if unit else words
