"""Pictures of a classifier's results: the confusion matrix, the score of each class, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from visus.viz import style

_NUMBERED = 20  # up to as many classes, each cell of a confusion matrix holds its count
_NAMED = 40  # up to as many, each class is named
_CELLS = 250  # more classes than that share cells
_PAIRS = 15
_FULL = 0.1  # shades go to the largest error, but at least to this share: few errors stay pale


def confusion(matrix: np.ndarray, labels: Sequence[str]) -> Figure:
    """A confusion matrix: the darker a cell, the larger its share of the true class; right is blue, wrong is orange.

    matrix: K×K counts, row = true class, column = predicted class. labels: the K names.
    Up to 20 classes each cell shows its count, and shades go from none to all of a class; above that, only errors have
    a shade, up to the largest, and the pairs that are confused most are listed beside.
    """
    counts = np.asarray(matrix)
    size = len(labels)
    if counts.shape != (size, size) or not size:
        raise ValueError(f"a confusion matrix of {size} labels is {size}×{size}, not {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(size, dtype=bool), 0.0, shares)
    return _small(counts, shares, labels) if size <= _NUMBERED else _large(counts, errors, labels)


def confused_pairs(matrix: np.ndarray, labels: Sequence[str], most: int = _PAIRS) -> list[str]:
    """The errors made most often, as "shirt → coat: 123 (12 %)": true → predicted, count, share of the true class.

    >>> confused_pairs(np.array([[8, 2], [0, 5]]), ["cat", "dog"])
    ['cat → dog: 2 (20 %)']
    """
    counts = np.asarray(matrix)
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(place) // len(counts), int(place) % len(counts)) for place in order]
    return [
        f"{style.label(labels[true], 18)} → {style.label(labels[guess], 18)}: "
        f"{wrong[true, guess]:,} ({style.percent(wrong[true, guess] / counts[true].sum())})"
        for true, guess in pairs
        if wrong[true, guess]
    ]


def per_class(
    precision: Sequence[float],
    recall: Sequence[float],
    f1: Sequence[float],
    counts: Sequence[int],
    labels: Sequence[str],
) -> Figure:
    """Precision, recall and F1 (0 to 1) of each class, the best F1 on top, with the number of its samples.

    Of more than 40 classes, the worst 20 and the best 20 are shown. A score that isn't a number isn't drawn.
    """
    scores = np.array([precision, recall, f1], dtype=float)
    order = np.argsort(-np.nan_to_num(scores[2], nan=-1.0), kind="stable")
    parts = {"": order}
    if len(order) > _NAMED:
        half = _NAMED // 2
        parts = {f"The {half} best of {len(order)} classes": order[:half], f"The {half} worst": order[-half:]}
    rows = max(len(part) for part in parts.values())
    drawn = style.figure(4.85 * len(parts) + 0.8, 1.3 + 0.24 * rows)
    found = scores[np.isfinite(scores)]
    low = np.floor(10 * found.min()) / 10 if len(found) else 0.0
    low = min(low, 0.9)
    for axes, (title, part) in zip(drawn.subplots(1, len(parts), squeeze=False)[0], parts.items(), strict=True):
        style.panel(axes, title or "Scores by class", grid="x")
        _dots(axes, scores[:, part], low)
        axes.set_yticks(range(len(part)), [style.label(labels[row], 28) for row in part], color=style.INK)
        for y, row in enumerate(part):
            _beside(axes, y, f"{counts[row]:,}")
        _beside(axes, -0.95, "samples")
    handles, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(
        handles, names, loc="outside lower left", ncols=3, frameon=False, fontsize=style.SMALL, labelcolor=style.INK
    )
    return drawn


def calibration(
    confidence: Sequence[float], accuracy: Sequence[float], counts: Sequence[int], ece: float | None = None
) -> Figure:
    """A reliability diagram: how often predictions of a given confidence are right, over how many there are.

    confidence, accuracy, counts: the mean confidence, the share that is right and the number of the predictions in
    each of B equal bins of [0, 1]; empty bins hold 0 or NaN. Thin lines are 95 % intervals (Wilson's).
    ece: the expected calibration error, 0 to 1.
    """
    mean, right, number = (np.asarray(values, dtype=float) for values in (confidence, accuracy, counts))
    filled = number > 0
    drawn = style.figure(5.0, 5.8)
    upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
    error = "" if ece is None else f"expected calibration error {style.percent(ece, 1)}"
    style.panel(upper, "Calibration", "", "accuracy", note=error, grid="both")
    style.panel(lower, "", "confidence", "predictions", grid="y")
    upper.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
    low, high = _wilson(right[filled], number[filled])
    upper.vlines(mean[filled], low, high, color=style.SKY, linewidth=1.4)
    upper.plot(mean[filled], right[filled], "o-", color=style.BLUE, linewidth=1.4, markersize=5)
    upper.text(0.03, 0.95, "underconfident", va="top", **style.words())
    upper.text(0.97, 0.05, "overconfident", ha="right", **style.words())
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    edges = np.linspace(0, 1, len(number) + 1)
    lower.bar(edges[:-1], number, np.diff(edges), align="edge", color=style.BLUE, edgecolor=style.PAPER, linewidth=1)
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    lower.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    lower.locator_params(axis="y", nbins=3, integer=True)
    return drawn


def _small(counts: np.ndarray, shares: np.ndarray, labels: Sequence[str]) -> Figure:
    size = len(labels)
    names = [style.label(name, 24) for name in labels]
    cell = 0.62 if size <= 6 else 0.44 if size <= 12 else 0.37
    wide = max(style.columns(name) for name in names) * 0.075
    slanted = wide > cell - 0.06
    drawn = style.figure(
        max(3.6, size * cell + wide + 1.5), max(2.4, size * cell + (0.75 * wide if slanted else 0.2) + 1.05)
    )
    axes = style.panel(
        drawn.subplots(), "Confusion matrix", "predicted class\nshade: share of the true class", "true class", grid=""
    )
    axes.set_facecolor("#f7f8f9")
    right = np.eye(size, dtype=bool)
    for kind, colors in ((right, style.HITS), (~right, style.ERRORS)):
        axes.imshow(np.ma.masked_where(~kind | (counts == 0), shares), cmap=colors, vmin=0, vmax=1, aspect="equal")
    for row in range(size):
        for column in range(size):
            number = int(counts[row, column])
            color = style.PAPER if shares[row, column] > 0.6 else style.INK
            shown = f"{number:,}" if number or row == column else ""
            font = style.SMALL if size <= 6 or len(shown) < 5 else 7 if len(shown) < 6 else 5.5
            axes.text(column, row, shown, ha="center", va="center", **style.words(font, color))
        share = style.percent(shares[row, row]) if counts[row].sum() else "–"
        axes.text(size - 0.35, row, share, va="center", **style.words())
    axes.text(size - 0.35, -0.75, "recall", va="center", **style.words())
    axes.set_xticks(range(size), names, color=style.INK)
    axes.set_yticks(range(size), names, color=style.INK)
    if slanted:
        for tick in axes.get_xticklabels():
            tick.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    _separate(axes, size)
    return drawn


def _large(counts: np.ndarray, errors: np.ndarray, labels: Sequence[str]) -> Figure:
    size = len(labels)
    step = 1 if size <= _NAMED else -(-size // 25)
    shown = range(0, size, step)
    names = [style.label(labels[row], 16) for row in shown]
    text, square, beside = 0.5 + 0.062 * max(map(style.columns, names)), 5.9, 3.7  # inches
    width, height = text + square + 0.35 + beside, text + square + 0.45
    drawn = Figure(figsize=(width, height), dpi=100, facecolor=style.PAPER)  # squares confuse the layout of `figure`
    axes = drawn.add_axes((text / width, text / height, square / width, square / height))
    side = drawn.add_axes((1 - beside / width, text / height, (beside - 0.15) / width, square / height))
    style.panel(axes, f"Confusion matrix of {size:,} classes", "predicted class", "true class", grid="")
    axes.plot([-0.5, size - 0.5], [-0.5, size - 0.5], color="#c9dcea", linewidth=1.2, zorder=1)
    block = -(-size // _CELLS)
    starts = np.arange(0, size, block)
    pooled = np.maximum.reduceat(np.maximum.reduceat(errors, starts, axis=0), starts, axis=1)
    top = max(float(pooled.max()), _FULL)
    end = len(starts) * block - 0.5
    image = axes.imshow(
        np.ma.masked_equal(pooled, 0), cmap=style.ERRORS, norm=PowerNorm(0.5, 0, top), extent=(-0.5, end, end, -0.5),
        interpolation="nearest", zorder=2,
    )  # fmt: skip
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    for spine in axes.spines.values():
        spine.set_visible(True)
    axes.set_xticks(shown, names, rotation=90, fontsize=7)
    axes.set_yticks(shown, names, fontsize=7)
    _list(side, counts, labels, block)
    scale = style.panel(side.inset_axes((0, 0.03, 0.75, 0.02)), "", "share of the true class", grid="")
    bar = drawn.colorbar(image, cax=scale, orientation="horizontal", ticks=[0, top / 16, top / 4, top * 9 / 16, top])
    bar.outline.set_visible(False)
    scale.minorticks_off()
    scale.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    return drawn


def _list(side: Axes, counts: np.ndarray, labels: Sequence[str], block: int) -> None:
    """The pairs that are confused most, as text in axes of their own."""
    style.panel(side, "Confused most", grid="")
    side.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
    side.spines["bottom"].set_visible(False)
    pairs = confused_pairs(counts, labels) or ["nothing is confused"]
    for row, pair in enumerate(pairs):
        side.text(0, 0.985 - 0.042 * row, pair, va="top", **style.words(style.SMALL, style.INK))
    accuracy = style.percent(counts.trace() / max(counts.sum(), 1), 1)
    about = [f"{counts.sum():,} samples, accuracy {accuracy}", "true → predicted: count (share of the true class)"]
    about += [f"a cell is {block} × {block} classes, its largest error"] if block > 1 else []
    side.text(0, 0.985 - 0.042 * (len(pairs) + 0.6), "\n".join(about), va="top", linespacing=1.6, **style.words())


def _separate(axes: Axes, size: int) -> None:
    """White lines between the cells."""
    for place in range(size + 1):
        axes.axhline(place - 0.5, color=style.PAPER, linewidth=1.2)
        axes.axvline(place - 0.5, color=style.PAPER, linewidth=1.2)
    axes.spines["bottom"].set_visible(False)


def _beside(axes: Axes, y: float, text: str) -> None:
    """A text at the right of the axes, flush right."""
    place: Any = axes.get_yaxis_transform()
    axes.annotate(
        text, (1, y), (50, 0), xycoords=place, textcoords="offset points", ha="right", va="center", **style.words()
    )


def _dots(axes: Axes, scores: np.ndarray, low: float) -> None:
    precision, recall, f1 = scores
    y = np.arange(scores.shape[1])
    axes.hlines(y, np.fmin(precision, recall), np.fmax(precision, recall), color="#c9cfd6", linewidth=2, zorder=2)
    axes.plot(precision, y, "o", color=style.AMBER, markersize=5, label="precision", zorder=3)
    axes.plot(recall, y, "o", color=style.GREEN, markersize=5, label="recall", zorder=3)
    axes.plot(f1, y, "|", color=style.INK, markersize=9, markeredgewidth=1.8, label="F1", zorder=4)
    axes.set(xlim=(low - 0.02 * (1 - low), 1 + 0.02 * (1 - low)), ylim=(len(y) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _wilson(share: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval of a share seen in a number of trials."""
    z = 1.959964
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * np.sqrt(share * (1 - share) / number + z * z / (4 * number**2))
    return middle - half, middle + half
