"""Several trainings side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from visus.viz import style


def compared_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]], metric: str, title: str, note: str = ""
) -> Figure:
    """One metric of several runs on validation data, the higher the better, against the epoch and the seconds.

    histories: name of the run → a row an epoch, with "epoch", "seconds" and "val/<metric>".
    """
    drawn = style.figure(9.2, 3.9)
    left, right = drawn.subplots(1, 2, sharey=True)
    share = all(0 <= value <= 1 for rows in histories.values() for value in _column(rows, metric))
    style.panel(left, title, "epoch", note=note)
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.panel(right, "", "seconds of training, log scale")
    for axes, name in ((left, "epoch"), (right, "seconds")):
        for place, (run, rows) in enumerate(histories.items()):
            values = _column(rows, metric)
            at = [max(row[name], 1e-2) for row in rows]
            color = style.CYCLE[place % len(style.CYCLE)]
            axes.plot(at, values, color=color, linewidth=1.8, label=style.label(run, 32))
            best = int(np.argmax(values))
            axes.plot(at[best], values[best], "o", color=color, markersize=5)
            said = style.percent(values[best], 1) if share else f"{values[best]:.3g}"
            axes.annotate(said, (at[best], values[best]), (0, 6), textcoords="offset points", ha="center",
                          **style.words(color=color))  # fmt: skip
    if share:
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.percent(value)))
    right.set_xscale("log")
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    style.legend(right, loc="lower right")
    return drawn


def _column(rows: Sequence[Mapping[str, float]], metric: str) -> list[float]:
    return [row[f"val/{metric}"] for row in rows]
