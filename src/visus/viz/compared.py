"""Several trainings side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from visus.viz import style

_SHORTEST = 1e-3  # seconds; a log scale has no place for none


def compared_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    best: Mapping[str, int],
    metric: str,
    title: str,
    note: str = "",
) -> Figure:
    """One metric of several runs on validation data against the epoch and the seconds.

    histories: name of the run → a row an epoch, with "epoch", "seconds" and "val/<metric>". best: name → the row to
    mark, of the epoch that was kept.
    """
    drawn = style.figure(9.2, 4.0 + 0.2 * len(histories))
    left, right = drawn.subplots(1, 2, sharey=True)
    share = all(0 <= row[f"val/{metric}"] <= 1 for rows in histories.values() for row in rows)
    style.panel(left, title, "epoch", note=note)
    left.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    style.panel(right, "", "seconds of training, log scale")
    right.set_xscale("log")
    for place, (run, rows) in enumerate(histories.items()):
        values = [row[f"val/{metric}"] for row in rows]
        color, chosen = style.CYCLE[place % len(style.CYCLE)], best[run]
        said = style.percent(values[chosen], 1) if share else f"{values[chosen]:.3g}"
        name = f"{style.label(run, 32)}: {said} after epoch {rows[chosen]['epoch']:g}, which was kept"
        for axes, along in ((left, "epoch"), (right, "seconds")):
            at = [max(row[along], _SHORTEST) for row in rows]
            axes.plot(at, values, color=color, linewidth=1.8, marker="o", markersize=2.5, label=name)
            axes.plot(at[chosen], values[chosen], "o", color=color, markersize=7, markeredgecolor=style.PAPER, zorder=4)
    if share:
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.percent(value)))
    low, high = right.get_xlim()
    right.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0)))
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    right.xaxis.set_minor_formatter(NullFormatter())
    handles, names = left.get_legend_handles_labels()
    drawn.legend(
        handles, names, loc="outside lower left", frameon=False, labelcolor=style.INK, handlelength=1.4,
        prop={"family": list(style.families()), "size": style.SMALL},
    )  # fmt: skip
    return drawn
