"""Sheets of images with captions, and boxes drawn on an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageColor, ImageDraw, ImageFont

from visus.viz import style

_CELL, _GAP, _EDGE, _ROW = 1.5, 0.16, 0.14, 0.155  # inches: side of a cell, space between, margin, line of a caption
_LINES = 3
_LETTERS = 24  # columns of a caption's line that fit under a cell
_PIXELS = 400  # larger images are shrunk to this before they are drawn


def sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str = "",
    columns: int = 6,
    colors: Sequence[str | None] = (),
) -> Figure:
    """Images of any size in equal cells, each with a caption under it.

    images: N × (H×W×C or H×W) uint8, C 1 or 3. captions: N, of one to three lines; longer lines are cut.
    colors: N colours of the frames (`style.RIGHT`, `style.WRONG`, …), None for none; or empty.
    Small images are enlarged with sharp pixels.
    """
    if len(captions) != len(images) or len(colors) not in (0, len(images)):
        raise ValueError(f"{len(images)} images have {len(captions)} captions and {len(colors)} colours")
    lines = [[style.label(line, _LETTERS) for line in caption.split("\n")[:_LINES]] for caption in captions]
    across = max(1, min(columns, len(images)))
    down = -(-len(images) // across)
    head = 0.34 if title else 0.0
    below = 0.06 + _ROW * max((len(each) for each in lines), default=0)
    width = max(2 * _EDGE + across * (_CELL + _GAP) - _GAP, 0.095 * min(len(title), 60))
    height = max(2 * _EDGE + head + down * (_CELL + below + _GAP) - _GAP, 0.6)
    drawn = Figure(figsize=(width, height), dpi=100, facecolor=style.PAPER)
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    if title:
        fits = max(12, int(width / 0.095))
        axes.text(_EDGE, _EDGE, style.label(title, fits), va="top", **style.words(style.TITLE, style.INK, bold=True))
    for number, image in enumerate(images):
        row, column = divmod(number, across)
        x, y = _EDGE + column * (_CELL + _GAP), _EDGE + head + row * (_CELL + below + _GAP)
        _cell(axes, image, x, y, colors[number] if colors else None)
        room = Rectangle((x - _GAP / 2, y), _CELL + _GAP, _CELL + below, transform=axes.transData)
        for place, line in enumerate(lines[number]):
            color = style.MUTED if place else style.INK
            text = axes.text(x, y + _CELL + 0.07 + place * _ROW, line, va="top", **style.words(7.5, color))
            text.set_clip_path(room)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return drawn


def show(axes: Axes, image: np.ndarray, extent: tuple[float, float, float, float] | None = None) -> None:
    """An image (H×W×C or H×W uint8) in axes: grey as grey, small ones with sharp pixels, large ones shrunk first.

    extent: left, right, bottom, top in the units of the axes; where it is given, the axes keep their own aspect.
    """
    pixels = colour(image)
    long = max(pixels.shape[:2])
    if long > _PIXELS:
        small = Image.fromarray(pixels)
        small.thumbnail((_PIXELS, _PIXELS), Image.Resampling.LANCZOS)
        pixels = np.asarray(small)
    axes.imshow(
        pixels, interpolation="nearest" if long <= 100 else "antialiased", extent=extent,
        aspect="auto" if extent else "equal",
    )  # fmt: skip


def colour(image: np.ndarray) -> np.ndarray:
    """An image of H×W, H×W×1 or H×W×3 uint8 as H×W×3."""
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"an image to draw is H×W×1 or H×W×3 uint8, not {pixels.shape} {pixels.dtype}")
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def draw_boxes(
    image: np.ndarray,
    xyxy: np.ndarray,
    texts: Sequence[str] = (),
    colors: Sequence[str] = (),
) -> np.ndarray:
    """A copy of an image (H×W×C uint8), as H×W×3 uint8, with boxes on it.

    xyxy: M×4, left, top, right, bottom in pixels; what lies outside of the image is cut off.
    texts: M labels or none; each is shortened to the width of its box, or left out where that is too narrow.
    colors: M colours, or none for one after another of the palette.
    """
    canvas = Image.fromarray(colour(image))
    pen = ImageDraw.Draw(canvas)
    width, height = canvas.size
    line = max(1, round(min(width, height) / 180))
    size = max(9, round(min(width, height) / 26))
    boxes = np.asarray(xyxy, dtype=float).reshape(-1, 4)
    if len(texts) not in (0, len(boxes)) or len(colors) not in (0, len(boxes)):
        raise ValueError(f"{len(boxes)} boxes have {len(texts)} texts and {len(colors)} colours")
    for row, box in enumerate(boxes):
        if not np.isfinite(box).all():
            continue
        left, right = (round(float(value)) for value in np.clip(box[[0, 2]], 0, width))
        upper, lower = (round(float(value)) for value in np.clip(box[[1, 3]], 0, height))
        if right <= left or lower <= upper:
            continue
        color = colors[row] if colors else style.CYCLE[row % len(style.CYCLE)]
        pen.rectangle((left, upper, right - 1, lower - 1), outline=color, width=line)
        if texts:
            _tag(pen, texts[row], (left, upper, right), color, size, canvas.size)
    return np.asarray(canvas)


def _cell(axes: Axes, image: np.ndarray, x: float, y: float, color: str | None) -> None:
    """One image, as large as fits, in the middle of its cell."""
    high, wide = np.asarray(image).shape[:2]
    scale = _CELL / max(high, wide, 1)
    left, upper = x + (_CELL - wide * scale) / 2, y + (_CELL - high * scale) / 2
    axes.add_patch(Rectangle((x, y), _CELL, _CELL, facecolor=style.SHADE, edgecolor="none", zorder=-1))
    show(axes, image, (left, left + wide * scale, upper + high * scale, upper))
    thick = 1.0 if color is None else 3.0
    axes.add_patch(
        Rectangle((x, y), _CELL, _CELL, fill=False, edgecolor=color or style.LINE, linewidth=thick, zorder=3)
    )


def _tag(
    pen: ImageDraw.ImageDraw,
    text: str,
    box: tuple[int, int, int],
    color: str,
    size: int,
    limits: tuple[int, int],  # width and height of the image
) -> None:
    """A label over the upper edge of a box (left, upper, right), or inside of it where there is no room above."""
    left, upper, right = box
    words = style.plain(text)
    font = _font(words, size)
    pad = max(1, size // 5)
    room = max(right - left, 2 * limits[0] // 5) - 2 * pad
    while words and pen.textlength(words, font) > room:
        words = style.shorten(words, style.columns(words) - 1) if len(words) > 4 else ""
    tall = size + 2 * pad
    if not words or tall > limits[1] // 2:
        return
    left = max(0, min(left, limits[0] - int(pen.textlength(words, font)) - 2 * pad))
    above = upper - tall if upper >= tall else upper
    pen.rectangle((left, above, left + int(pen.textlength(words, font)) + 2 * pad, above + tall), fill=color)
    red, green, blue = ImageColor.getrgb(color)[:3]
    ink = style.INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else style.PAPER
    pen.text((left + pad, above + tall / 2), words, fill=ink, font=font, anchor="lm")


def _font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The first font that has every letter of the text, or else the first."""
    families = style.families()
    family = next((each for each in families if style.letters(each).issuperset(map(ord, text))), families[0])
    return ImageFont.truetype(style.font_file(family), size)
