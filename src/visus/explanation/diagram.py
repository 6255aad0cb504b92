"""A network's stages as a drawing: a box for each map, as high and deep as the map and as thick as its channels."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10, sqrt

from visus.explanation.blocks import Block
from visus.explanation.summary import Stage, Summary
from visus.text import compact

# The front, top and side of a box; they can be told from a light and from a dark page.
_COLORS = {
    "input": ("#9aa3ad", "#c5cad0", "#7b838d"),
    "stage": ("#4f97c9", "#93c4e4", "#34749f"),
    "head": ("#e08a4b", "#f2be98", "#b5642b"),
}
_WIDTH, _COLUMN, _WIDEST = 760.0, 106.0, 150.0  # of the drawing; of a column at least and at most; in pixels
_LETTER, _LINE, _GAP = 5.7, 13.0, 7.0  # the width of a letter, the height of a line, what arrows keep from boxes


@dataclass(frozen=True, slots=True)
class _Box:
    """kind: a key of _COLORS. shape: C×H×W, T×D or K. lines, blocks: what is said below. tip: what a pointer shows."""

    kind: str
    shape: tuple[int, ...]
    name: str
    tip: str
    lines: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


def diagram(summary: Summary, title: str, *, paper: bool = False) -> str:
    """A classifier's input, stages and head as an SVG drawing.

    Text takes the colour and the font of the page that it stands on. title: for those who can't see it, with the
    shapes. paper: draw on white, in a font of its own, for a file that is looked at by itself.
    """
    boxes = [
        _Box("input", summary.input, "input", f"input {_shape(summary.input)}"),
        *(_box(stage, index) for index, stage in enumerate(summary.stages)),
    ]
    down = ceil(len(boxes) / (_WIDTH // _COLUMN))
    across = ceil(len(boxes) / down)
    column = min(_WIDTH / across, _WIDEST)
    largest = max(side for box in boxes for side in box.shape[1:] or (1,))
    drawn, top = [], 6.0
    for row in range(down):
        texts, bottom = _row(boxes[row * across : (row + 1) * across], top, column, largest, row > 0, row < down - 1)
        drawn += texts
        top = bottom + 18
    width, height = ceil(column * across), ceil(top - 10)
    about = f"{title}: " + ", ".join(f"{box.name} {_shape(box.shape)}" for box in boxes)
    look = ' color="#1f2328" font-family="system-ui, \'DejaVu Sans\', sans-serif"' if paper else ""
    back = [f'<rect width="{width}" height="{height}" fill="#ffffff"/>'] if paper else []
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="stages" viewBox="0 0 {width} {height}" width="{width}"'
            f' height="{height}" role="img" aria-label="{escape(about)}"{look}>',
            *back,
            *drawn,
            "</svg>\n",
        ]
    )


def _box(stage: Stage, index: int) -> _Box:
    head = stage.name == "head"
    lines = [f"stride {stage.stride}"] if stage.stride else []
    if stage.map != stage.shape:
        lines.append(f"{stage.shape[0]} tokens")
    name = "head" if head else f"stage {index}"
    costs = [f"{compact(stage.parameters)} parameters", f"{compact(stage.multiply_adds)} multiply-adds"]
    return _Box(
        kind="head" if head else "stage",
        shape=stage.map,
        name=name,
        tip="; ".join([f"{name}: {_shape(stage.map)}", *lines, *map(str, stage.blocks), *costs]),
        lines=tuple(lines),
        blocks=stage.blocks,
    )


def _row(
    boxes: Sequence[_Box], top: float, column: float, largest: int, before: bool, after: bool
) -> tuple[list[str], float]:
    """Boxes side by side, arrows between them, what they are below; and where that ends.

    before, after: whether there is a row above and a row below.
    """
    sizes = [_size(box.shape, largest) for box in boxes]
    tall = max(height + depth for _, height, depth in sizes)
    middle, ends, found, deepest = top + tall / 2, [], [], 0.0
    for index, (box, (thick, height, depth)) in enumerate(zip(boxes, sizes, strict=True)):
        center = (index + 0.5) * column
        left, upper = center - (thick + depth) / 2, middle - (height + depth) / 2
        ends.append((left - _GAP, left + thick + depth + _GAP))
        lines, bottom = _words(box, center, top + tall + 16, column)
        found += [
            f"<g><title>{escape(box.tip)}</title>",
            *_solid(_COLORS[box.kind], left, upper, thick, height, depth),
            *lines,
            "</g>",
        ]
        deepest = max(deepest, bottom)
    starts = [(0.0 if before else None), *(right for _, right in ends)]
    stops = [*(left for left, _ in ends), (column * len(boxes) if after else None)]
    arrows = [
        _arrow(start, stop, middle)
        for start, stop in zip(starts, stops, strict=True)
        if start is not None and stop is not None
    ]
    return [*arrows, *found], deepest


def _size(shape: tuple[int, ...], largest: int) -> tuple[float, float, float]:
    """Thickness, height and depth of a map's box; a vector is a rod whose length follows its logarithm."""
    if len(shape) == 1:
        return 8.0, 22 + 17 * log10(shape[0]), 4.0
    channels, height, width = shape if len(shape) == 3 else (shape[1], shape[0], 1)
    high, deep = (9 + 112 * sqrt(side / largest) for side in (height, width))
    return min(5 + 1.15 * sqrt(channels), 58.0), high, 0.32 * deep


def _solid(
    colors: tuple[str, str, str], left: float, top: float, thick: float, height: float, depth: float
) -> Iterator[str]:
    """A box seen from the front, its top and its right side behind."""
    right, bottom, back = left + thick, top + depth + height, left + thick + depth
    front, above, beside = colors
    yield _polygon(above, (left, top + depth), (left + depth, top), (back, top), (right, top + depth))
    yield _polygon(beside, (right, top + depth), (back, top), (back, top + height), (right, bottom))
    yield _polygon(front, (left, top + depth), (right, top + depth), (right, bottom), (left, bottom))


def _polygon(color: str, *points: tuple[float, float]) -> str:
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon points="{places}" fill="{color}" stroke="{color}" stroke-width="0.5" stroke-linejoin="round"/>'


def _arrow(start: float, stop: float, y: float) -> str:
    shaft = f"M{start:.1f} {y:.1f}H{stop - 3:.1f}"
    head = f"M{stop - 4.5:.1f} {y - 3:.1f}L{stop:.1f} {y:.1f}L{stop - 4.5:.1f} {y + 3:.1f}"
    return f'<path d="{shaft}{head}" fill="none" stroke="currentColor" stroke-opacity="0.45" stroke-width="1.2"/>'


def _words(box: _Box, center: float, top: float, column: float) -> tuple[list[str], float]:
    """What a box is: its name, its shape and the rest; and where that ends."""
    letters = int(column / _LETTER)
    rest = [*box.lines, *(line for block in box.blocks for line in _brief(block, letters))]
    lines = [
        (box.name, 'font-size="11" font-weight="600"'),
        (_shape(box.shape), 'font-size="11"'),
        *((each, 'font-size="10" fill-opacity="0.7"') for each in rest),
    ]
    found = [
        f'<text x="{center:.1f}" y="{top + index * _LINE:.1f}" text-anchor="middle" fill="currentColor" {look}>'
        f"{escape(text)}</text>"
        for index, (text, look) in enumerate(lines)
    ]
    return found, top + (len(lines) - 1) * _LINE


def _brief(block: Block, letters: int) -> list[str]:
    """Blocks in lines of so many letters; windows that take more than two lines are left out.

    >>> _brief(Block(3, "residual", ("1×1", "3×3", "1×1")), 18), _brief(Block(2, "", ("1×1", "3×3 depthwise") * 2), 18)
    (['3 × residual', '1×1 · 3×3 · 1×1'], ['2 × block'])
    """
    if not block.windows or len(str(block)) <= letters:
        return _wrapped(str(block), letters)
    windows = _wrapped(" · ".join(block.windows), letters)
    kind = block.kind or "block"
    return [*_wrapped(str(Block(block.count, kind)), letters), *(windows if len(windows) <= 2 else [])]


def _wrapped(text: str, letters: int) -> list[str]:
    bound = re.sub(r"(?<=\d) (?=conv|in |depthwise|groups)|(?<=in|de) (?=\d)| (?=·)", "\xa0", text)
    found = textwrap.wrap(bound, letters, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in found]


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
