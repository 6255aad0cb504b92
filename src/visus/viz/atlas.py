"""Pictures of the catalog: the ImageNet challenge year by year, and what accuracy costs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from visus.errors import NotFound, nearest
from visus.text import compact, counted
from visus.viz import style

if TYPE_CHECKING:
    from visus.models import Card, Entry

_BY_HAND = "#b9c0c9"
_MARKERS = "osD^vPXph<>"
_REST = "#d3d8de"
_SMALLEST, _LARGEST = 18.0, 560.0  # the area of a mark, in square points
_ROWS = 38  # families in one column of the legend
_AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7))
_AWAY = (2.0, 6.0, 12.0, 20.0)  # how far a name may stand from its mark, in points
_NAMES = 7.0  # the size of a name, in points
_COVERED = 0.12  # the share of a name that may stand on marks
_SPAN = (10.0, 10.0)  # what the axes show at least: a factor of cost, and points of accuracy


def errors_by_year(entries: Sequence[Entry], human: float | None = None) -> Figure:
    """The top-5 error of entries to the ImageNet challenge, a bar each, in percent.

    human: what a person errs, drawn as a line.
    """
    drawn = style.figure(8.4, 4.6)
    axes = style.panel(
        drawn.subplots(),
        "ImageNet challenge: top-5 error in percent",
        note="the best entry of each year to classification, and of 2014 the second too; on the test set",
    )
    x = np.arange(len(entries))
    colors = [style.BLUE if entry.families else _BY_HAND for entry in entries]
    bars = axes.bar(x, [entry.error for entry in entries], width=0.66, color=colors)
    halo = withStroke(linewidth=3, foreground=style.PAPER)
    top = 1.12 * max(entry.error for entry in entries)
    for bar, entry in zip(bars, entries, strict=True):
        # above a bar that is lower than the line, a number would touch it
        inside = human is not None and 0.06 * top < entry.error < human
        axes.annotate(
            f"{entry.error:.1f}", (bar.get_x() + bar.get_width() / 2, entry.error), (0, -3 if inside else 2),
            textcoords="offset points", ha="center", va="top" if inside else "bottom",
            path_effects=[] if inside else [halo],
            **style.words(style.TEXT, style.PAPER if inside else style.INK, bold=True),
        )  # fmt: skip
    axes.set_xticks(x, [_entry(entry) for entry in entries])
    axes.set_ylim(0, top)
    if human is not None:
        axes.axhline(human, color=style.ORANGE, linewidth=1.4, linestyle=(0, (5, 3)), zorder=2.5)
        axes.annotate(
            f"a trained person: about {human:g}", (1, human), (-2, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="bottom", **style.words(style.TEXT, style.ORANGE),
        )  # fmt: skip
    axes.set_xlabel("Sources: " + ", ".join(dict.fromkeys(entry.source for entry in entries)), labelpad=8)
    return drawn


def _entry(entry: Entry) -> str:
    what = f"{entry.layers} layers" if entry.layers else "several nets" if entry.families else "by hand"
    return f"{entry.year}\n{style.label(entry.network, 14)}\n{what}"


class _Point(NamedTuple):
    name: str
    family: str
    cost: float
    size: float
    accuracy: float


def accuracy_against_cost(
    cards: Mapping[str, Card],
    against: Literal["multiply-adds", "parameters"] = "multiply-adds",
    data: str = "ImageNet",
    among: Mapping[str, Card] | None = None,
) -> Figure:
    """Published top-1 accuracy of networks against what they cost, on a log scale; a mark's area is the other cost.

    cards: by name, as in the catalog; those without counts or without a published error on `data` are left out.
    Families have a colour and a mark each. Named are those that no other network beats at their cost, and the best of
    each family, as far as there is room. among: networks, such as the whole catalog, whose marks stand behind in grey.
    Raises NotFound where none is left.
    """
    points = _points(cards, against, data)
    rest = [point for point in _points(among or {}, against, data) if point.name not in cards]
    if not points:
        known = {card.published.data for card in cards.values() if card.published}
        raise NotFound(
            f"of {counted(len(cards), 'network')} none has counts and a published error on {data!r}",
            nearest(data, known) if known else "name networks with a published error: visus models",
        )
    other = "parameters" if against == "multiply-adds" else "multiply-adds"
    sources = dict.fromkeys(
        _publisher(card.published.source) for card in cards.values() if card.published and card.published.data == data
    )
    drawn = style.figure(10.4, 7.6)
    notes = [f"published figures, not ours; area of a mark: {other}, but at least a dot"]
    notes += ["dashed: nothing here is better for less"] if len(points) > 1 else []
    notes += ["grey: other networks"] if rest else []
    axes = style.panel(
        drawn.subplots(), f"What accuracy costs on {style.label(data)}",
        f"{against}\nSources: {style.label(', '.join(sources), 110)}", "top-1 accuracy in percent",
        note="; ".join(notes), grid="both",
    )  # fmt: skip
    largest = max(point.size for point in [*points, *rest])
    families = list(dict.fromkeys(point.family for point in points))
    looks = {name: (color, _MARKERS[index % len(_MARKERS)])
             for index, (name, color) in enumerate(zip(families, _colors(len(families)), strict=True))}  # fmt: skip
    if rest:
        _marks(axes, rest, largest, _REST, "o", 1)
    for name, (color, marker) in looks.items():
        _marks(axes, [point for point in points if point.family == name], largest, color, marker, 3)
    best = _frontier(points)
    axes.plot(
        [point.cost for point in best], [point.accuracy for point in best],
        color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5,
    )  # fmt: skip
    far = _limits(axes, points)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if far else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: _round(value))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legends(drawn, looks, largest, other)
    tops = [max((point for point in points if point.family == name), key=lambda each: each.accuracy) for name in looks]
    wanted = [*best[::-1], *sorted(tops, key=lambda point: -point.accuracy)]
    _name(drawn, axes, list(dict.fromkeys(wanted)), points, best, largest, looks)
    return drawn


def _points(cards: Mapping[str, Card], against: Literal["multiply-adds", "parameters"], data: str) -> list[_Point]:
    return [
        _Point(name, card.family, *_costs(card, against), 100 - error)
        for name, card in cards.items()
        if card.figures is not None and (error := card.error_on(data)) is not None
    ]


def _colors(count: int) -> list[str]:
    """A colour for each family: those that anyone can tell apart as long as they last, then a rainbow, darkened."""
    if count <= len(style.CYCLE):
        return list(style.CYCLE[:count])
    return [to_hex(0.85 * np.array(colormaps["turbo"](place)[:3])) for place in np.linspace(0.03, 0.97, count)]


def _marks(axes: Axes, points: Sequence[_Point], largest: float, color: str, marker: str, layer: float) -> None:
    axes.scatter(
        [point.cost for point in points], [point.accuracy for point in points],
        [_area(point.size, largest) for point in points], color=color, marker=marker, alpha=0.65,
        edgecolors=style.PAPER, linewidths=0.4, zorder=layer,
    )  # fmt: skip


def _limits(axes: Axes, points: Sequence[_Point]) -> bool:
    """Let the axes show these points, and around few of them as much that they can be compared with others; whether
    that is more than a hundredfold of cost."""
    costs, shares = [point.cost for point in points], [point.accuracy for point in points]
    room = max(1.0, float(np.sqrt(_SPAN[0] * min(costs) / max(costs))))
    low, high = min(costs) / room, max(costs) * room
    wide = (high / low) ** 0.09
    axes.set_xscale("log")
    axes.set_xlim(low / wide, high * wide)
    least, most = min(shares), max(shares)
    more = max(0.0, _SPAN[1] - (most - least)) / 2
    tall = 0.09 * (most - least + 2 * more)
    axes.set_ylim(least - more - tall, min(most + more + tall, 101))  # there is nothing above 100
    return high > 100 * low


def _costs(card: Card, against: Literal["multiply-adds", "parameters"]) -> tuple[float, float]:
    """What is drawn along the axis, and what the area of the mark is."""
    assert card.figures is not None
    macs, parameters = card.figures.multiply_adds, card.figures.parameters
    return (macs, parameters) if against == "multiply-adds" else (parameters, macs)


def _round(number: float) -> str:
    """A number without the zeros behind its point.

    >>> _round(5e9), _round(2.5e6)
    ('5 G', '2.5 M')
    """
    digits, _, unit = compact(number).partition(" ")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits} {unit}".strip()


def _publisher(source: str) -> str:
    """Who published a figure, without where and in which version.

    >>> _publisher("timm 1.0, weights augreg_in21k"), _publisher("the paper, table 2 (one crop)")
    ('timm', 'papers')
    """
    if source.startswith(("the paper", "arXiv:")):
        return "papers"
    return re.split(r"[,(]| \d", source)[0].strip()


def _frontier(points: Sequence[_Point]) -> list[_Point]:
    """Those that are more accurate than all that cost no more, cheapest first."""
    found: list[_Point] = []
    for point in sorted(points, key=lambda each: (each.cost, -each.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return found


def _area(size: float, largest: float) -> float:
    return max(_SMALLEST, _LARGEST * size / largest)


def _legends(drawn: Figure, looks: Mapping[str, tuple[str, str]], largest: float, other: str) -> None:
    """The families' colours and marks at the right; what the areas stand for below."""
    words = {"frameon": False, "labelcolor": style.INK, "prop": {"family": list(style.families()), "size": style.SMALL}}
    marks = [
        Line2D([], [], linestyle="", color=color, marker=marker, markersize=6, alpha=0.7, label=style.label(name, 20))
        for name, (color, marker) in looks.items()
    ]
    drawn.legend(
        handles=marks, loc="outside right upper", ncols=-(-len(marks) // _ROWS), handlelength=1.0, handletextpad=0.4,
        columnspacing=1.0, labelspacing=0.35, **words,
    )  # fmt: skip
    step = 10 ** int(np.log10(largest))
    sizes = [size for size in (step / 10, step, step * 2, step * 5)
             if _SMALLEST * largest <= _LARGEST * size <= _LARGEST * largest]  # fmt: skip
    areas = [
        Line2D([], [], linestyle="", color=style.MUTED, marker="o", alpha=0.5, label=f"{_round(size)} {other}",
               markersize=float(np.sqrt(_area(size, largest))), markeredgewidth=0)
        for size in sizes
    ]  # fmt: skip
    drawn.legend(handles=areas, loc="outside lower left", ncols=len(areas), handletextpad=0.8, columnspacing=2, **words)


def _name(
    drawn: Figure,
    axes: Axes,
    wanted: Sequence[_Point],
    points: Sequence[_Point],
    line: Sequence[_Point],
    largest: float,
    looks: Mapping[str, tuple[str, str]],
) -> None:
    """Write names beside marks, the first of them first, where no other name stands, as few marks as can be and not on
    the line through the points of `line`, if there is a place.

    A name for which there is no room is left out.
    """
    drawn.draw_without_rendering()  # so that places on the page are known
    scale = drawn.dpi / 72
    places = axes.transData.transform([(point.cost, point.accuracy) for point in points])
    radii = np.array([np.sqrt(_area(point.size, largest)) / 2 for point in points]) * scale
    marks = places[:, None] + 0.85 * radii[:, None, None] * np.array([[-1, -1], [1, 1]])
    ends = axes.transData.transform([(point.cost, point.accuracy) for point in line])
    share = np.linspace(0, 1, 60)[:, None]
    dashes = np.concatenate([ends[:1], *(a + share * (b - a) for a, b in pairwise(ends))])
    halo = withStroke(linewidth=2.5, foreground=style.PAPER)
    taken: list[Bbox] = []
    for point in wanted:
        index = points.index(point)
        text = axes.annotate(
            style.label(point.name, 26), (point.cost, point.accuracy), (0, 0), textcoords="offset points",
            ha="center", va="center", zorder=6, path_effects=[halo],
            **style.words(_NAMES, to_hex(0.7 * np.array(to_rgb(looks[point.family][0])))),
        )  # fmt: skip
        text.set_in_layout(False)
        size = text.get_window_extent()
        found = _place(places[index], radii[index], (size.width, size.height), axes.bbox, taken, marks, dashes, scale)
        if found is None:
            text.remove()
            continue
        taken.append(found)
        text.set_position((found.p0 + found.p1) / 2 / scale - places[index] / scale)
        lead = np.array([places[index], np.clip(places[index], found.p0, found.p1)])
        if np.hypot(*(lead[1] - lead[0])) > radii[index] + 6 * scale:
            axes.plot(*axes.transData.inverted().transform(lead).T, color=style.MUTED, linewidth=0.5, zorder=2.5)


def _place(
    at: np.ndarray,
    radius: float,
    size: tuple[float, float],
    within: Bbox,
    taken: Sequence[Bbox],
    marks: np.ndarray,
    dashes: np.ndarray,
    scale: float,
) -> Bbox | None:
    """Where a name of this size stands best around a mark, in pixels; None where there is no room for it.

    taken: by other names. marks: N×2×2, two corners of each. dashes: N×2, places on the dashed line.
    """
    best, least = None, np.inf
    for away in _AWAY:
        for way in np.array(_AROUND):
            x, y = at + way * (radius + away * scale) + (np.sign(way) - 1) * np.array(size) / 2
            box = Bbox.from_bounds(x, y, *size)
            if not (within.x0 <= box.x0 and box.x1 <= within.x1 and within.y0 <= box.y0 and box.y1 <= within.y1):
                continue
            if any(box.overlaps(other) for other in taken):
                continue
            shared = np.minimum(box.p1, marks[:, 1]) - np.maximum(box.p0, marks[:, 0])
            covered = float(shared.clip(0).prod(axis=1).sum()) / (size[0] * size[1])
            crossed = bool(((dashes >= box.p0) & (dashes <= box.p1)).all(axis=1).any())
            bad = covered + 0.01 * away + 0.15 * crossed
            if covered <= _COVERED and bad < least:
                best, least = box, bad
    return best
