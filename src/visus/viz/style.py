"""One look for every picture: colours, sizes, panels, text that is safe to draw, and PNG files.

Figures are built without pyplot, so that nothing global changes and threads and servers can draw at once.
"""

from __future__ import annotations

import io
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any, Literal

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine

from visus.files import write_atomic

# Okabe and Ito's colours, which people with any kind of colour blindness can tell apart.
BLUE, ORANGE, GREEN, AMBER, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
CYCLE = (BLUE, ORANGE, GREEN, AMBER, PURPLE, SKY)
RIGHT, WRONG = BLUE, ORANGE
INK, MUTED, LINE, SHADE, PAPER = "#1f2328", "#6b7280", "#e3e6ea", "#f3f4f6", "#ffffff"
HITS = LinearSegmentedColormap.from_list("hits", ["#eef5fa", "#9cc7e1", BLUE])
ERRORS = LinearSegmentedColormap.from_list("errors", ["#fff4ec", "#fdc9a0", "#f08a4b", ORANGE, "#8f3a00"])
DENSITY = LinearSegmentedColormap.from_list("density", ["#dcebf5", "#7db8dc", BLUE, "#00324f"])

TITLE, TEXT, SMALL = 11.0, 9.0, 8.0  # font sizes in points
DPI = 150

# The first has nearly every letter but those of East Asia; the others are used where they are installed.
_FAMILIES = (
    "DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "PingFang SC",
    "Hiragino Sans", "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS",
)  # fmt: skip


def figure(width: float, height: float) -> Figure:
    """An empty figure on white; width and height in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.02, hspace=0.02)
    return Figure(figsize=(width, height), dpi=100, layout=layout, facecolor=PAPER)


def panel(
    axes: Axes,
    title: str = "",
    x: str = "",
    y: str = "",
    *,
    note: str = "",
    grid: Literal["x", "y", "both", ""] = "y",
) -> Axes:
    """Axes in the common look: a title at the left, a note under it, names of the axes, no box.

    The texts are drawn as given: what comes from a user passes through `label` first.
    grid: along which axis there are light lines.
    """
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(False)
    if grid:
        axes.grid(True, axis=grid, color=LINE, linewidth=0.8, linestyle="-")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set(color="#c4c9d0", linewidth=0.8)
    axes.tick_params(which="both", length=0, pad=4, labelsize=SMALL, labelcolor=MUTED, labelfontfamily=list(families()))
    axes.ticklabel_format(useOffset=False, style="plain")
    if title:
        axes.set_title(title, loc="left", pad=22 if note else 8, **words(TITLE, INK, bold=True))
    if note:
        axes.annotate(note, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", **words())
    axes.set_xlabel(x, **words())
    axes.set_ylabel(y, **words())
    return axes


def words(size: float = SMALL, color: str = MUTED, bold: bool = False) -> dict[str, Any]:
    """The settings of a piece of text in the common look."""
    return {"fontsize": size, "color": color, "fontweight": "bold" if bold else "normal", "family": list(families())}


def legend(axes: Axes, **place: Any) -> None:
    """A legend without a box, for the artists that have a label."""
    axes.legend(
        frameon=False, labelcolor=INK, prop={"family": list(families()), "size": SMALL}, handlelength=1.4, **place
    )


def label(text: str, width: int = 24) -> str:
    r"""A name as one line that is safe to draw: at most `width` columns, no mathematics, no letter that no font has.

    East Asian letters are two columns wide. White space and controls become a space, lone surrogates "\ufffd", and
    letters that no font at hand has become "□".

    >>> label("a very long name", 8), label("cost in $\n per $")
    ('a very …', 'cost in \\$ per \\$')
    """
    return shorten(plain(text), width).replace("$", r"\$")


def percent(share: float, decimals: int = 0) -> str:
    """A share as text.

    >>> percent(0.123), percent(0.123, 1)
    ('12 %', '12.3 %')
    """
    return f"{100 * share:.{decimals}f} %"


def plain(text: str) -> str:
    """A text as one line, with a substitute for each letter that can't be drawn. Not safe from mathematics."""
    letters = []
    for each in text:
        kind = unicodedata.category(each)
        if kind in ("Cc", "Zl", "Zp", "Zs"):
            letters.append(" ")
        elif kind == "Cs":
            letters.append("\ufffd")
        elif kind != "Cf" and not 0xFE00 <= ord(each) <= 0xFE0F:  # neither marks of direction nor variants of emoji
            letters.append(each if ord(each) in _drawable() else "□")
    return " ".join("".join(letters).split())


def shorten(text: str, width: int) -> str:
    """At most `width` columns of a text, with an ellipsis where something is left out."""
    if columns(text) <= width:
        return text
    kept, used = "", 1
    for each in text:
        used += columns(each)
        if used > width:
            break
        kept += each
    return kept + "…"


def columns(text: str) -> int:
    """How many columns wide a text is, as on a terminal."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


@cache
def families() -> tuple[str, ...]:
    """The font families that pictures use, in order of preference."""
    installed = {each.name for each in font_manager.fontManager.ttflist}
    return tuple(name for name in _FAMILIES if name in installed)


@cache
def font_file(family: str, weight: str = "normal") -> str:
    """The file of a font family."""
    return str(font_manager.findfont(font_manager.FontProperties(family=family, weight=weight)))


@cache
def letters(family: str) -> frozenset[int]:
    """The code points that a font family can draw, both normal and bold."""
    normal, bold = (FT2Font(font_file(family, weight)).get_charmap() for weight in ("normal", "bold"))
    return frozenset(normal) & frozenset(bold)


@cache
def _drawable() -> frozenset[int]:
    return frozenset().union(*map(letters, families()))


def png(drawn: Figure, dpi: float = DPI) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dpi, facecolor=PAPER, edgecolor="none", metadata={"Software": None})
    return buffer.getvalue()


def save(drawn: Figure, path: Path, dpi: float = DPI) -> Path:
    """Writes the figure as a PNG file, whole or not at all, and returns the path."""
    return write_atomic(path, png(drawn, dpi))
