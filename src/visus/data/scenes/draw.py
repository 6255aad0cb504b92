"""Antialiased drawing: stamps of shapes and digits, backgrounds, and the picture they make.

Edges are clipped distances, in pixels, so that pictures depend neither on fonts nor on how a library fills outlines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import cos, pi, radians, sin

import numpy as np
from PIL import Image

from visus.data.scenes.grammar import DIGITS

PALETTE = {
    "red": (214, 38, 44),
    "orange": (247, 132, 24),
    "yellow": (248, 222, 44),
    "green": (42, 166, 70),
    "blue": (46, 96, 226),
    "purple": (150, 62, 190),
    "white": (246, 246, 246),
}
JITTER = 9  # a colour's channels vary by this much
CONTRAST = 85  # the least distance in RGB of a background's tones from the colours, before both vary
GREYS = np.arange(30, 226, 3, dtype=np.float32)  # the middle tones of backgrounds
TINT = 10  # how far the channels of a background are from grey at most
SPREAD = 60  # how far apart, in grey levels, the two tones of a background are at most
GRAIN = 4  # every pixel varies by this much
PATTERNS = ("plain", "gradient", "stripes", "checker", "clouds")
SCANS = {"train": range(14), "val": range(14, 17), "test": range(17, 20)}  # of each 20 scans of a digit


def _star(points: int, inner: float) -> np.ndarray:
    corners = np.arange(2 * points)
    outline: np.ndarray = np.where(corners % 2, inner, 1.0) * np.exp(1j * pi * (corners / points - 0.5))
    return outline


def _cross(arm: float) -> np.ndarray:
    return np.outer([1, 1j, -1, -1j], [1 - 1j * arm, 1 + 1j * arm, arm + 1j * arm]).ravel()


def _heart(corners: int) -> np.ndarray:
    t = np.arange(corners) * (2 * pi / corners)
    down = 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t) - 13 * np.cos(t)
    outline: np.ndarray = 16 * np.sin(t) ** 3 + 1j * down
    return outline


OUTLINES = {
    "circle": (_star(12, 1.0), 0),
    "square": (_star(2, 1.0), 45),
    "triangle": (_star(3, 0.5), 60),
    "star": (_star(5, 0.45), 36),
    "cross": (_cross(0.34), 45),
    "heart": (_heart(22), 30),
}
"""Of each shape the corners, x + iy in any unit with y downwards, and the most degrees by which it is turned."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """How one object covers the pixels, and its place.

    alpha: (h+2)×(w+2) float32, the share of each pixel that it covers; what lies above 0.5 fills h×w exactly.
    area: the number of pixels above 0.5. left, top: the pixel where that h×w lies, at least 1.
    """

    alpha: np.ndarray
    area: int
    left: int = 1
    top: int = 1

    @property
    def height(self) -> int:
        return len(self.alpha) - 2

    @property
    def width(self) -> int:
        return len(self.alpha[0]) - 2

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the picture that alpha covers."""
        return slice(self.top - 1, self.top + self.height + 1), slice(self.left - 1, self.left + self.width + 1)


def shape(rng: np.random.Generator, kind: str, side: float) -> Stamp:
    """A shape, turned at random, whose longer side measures `side` pixels."""
    corners, turn = OUTLINES[kind]
    turned = corners * np.exp(1j * radians(turn * (2 * rng.random() - 1)))
    corners_V2 = np.stack([turned.real, turned.imag], 1)
    low, high = corners_V2.min(0), corners_V2.max(0)
    corners_V2 = (corners_V2 - low) * (side / (high - low).max()) + 2 + rng.random(2)
    return _trimmed(np.clip(0.5 - _distance(corners_V2.astype(np.float32), int(side) + 5), 0, 1))


def digit(rng: np.random.Generator, split: str, kind: str, side: float) -> Stamp:
    """A scanned digit of the split, enlarged until the scan's 8 pixels measure `side`."""
    scans = _scans()[split, kind]
    scan = scans[rng.integers(len(scans))]
    zoom = side / 8
    large = Image.fromarray(scan).resize((round(zoom * len(scan)),) * 2, Image.Resampling.BICUBIC)
    ink = np.asarray(large, np.float32) / 240
    return _trimmed(np.clip((ink - 0.42) * (0.85 * zoom) + 0.5, 0, 1))  # ink fades over about one scanned pixel


def paint(rng: np.random.Generator, size: int, stamps: Sequence[Stamp], colours: Sequence[str]) -> np.ndarray:
    """size×size×3 uint8: the stamps in their colours on a background, the first stamp in front."""
    base_M3 = np.array([PALETTE[colour] for colour in colours], np.float32).reshape(-1, 3)
    picture_3HW = _background(rng, size, base_M3)
    inks_M3 = base_M3 + _spread(rng, JITTER, base_M3.shape)
    for stamp, ink in zip(reversed(stamps), inks_M3[::-1], strict=True):
        window = picture_3HW[:, *stamp.window]
        window += stamp.alpha * (ink[:, None, None] - window)
    picture_3HW += _spread(rng, GRAIN, (size, size)) + np.float32(0.5)  # which rounds
    return np.ascontiguousarray(np.clip(picture_3HW, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _background(rng: np.random.Generator, size: int, colours_M3: np.ndarray) -> np.ndarray:
    """3×size×size float32: two nearly grey tones in a pattern, both clear of the colours."""
    spread = SPREAD * (0.4 + 0.6 * rng.random())
    apart = np.linalg.norm(colours_M3[:, None] - GREYS[:, None], axis=2).min(0, initial=np.inf)
    clear = GREYS[apart >= CONTRAST + 3**0.5 * spread / 2]  # the darkest always is
    middle = clear[rng.integers(len(clear))] + _spread(rng, TINT, (3, 1, 1))
    contrast = np.float32(spread * (rng.integers(2) - 0.5))
    mix = _pattern(rng, PATTERNS[rng.integers(len(PATTERNS))], size)
    picture_3HW: np.ndarray = middle + contrast * (2 * mix - 1)
    return picture_3HW


def _pattern(rng: np.random.Generator, name: str, size: int) -> np.ndarray:
    """size×size float32, 0…1."""
    if name == "plain":
        return np.full((size, size), np.float32(rng.random()))
    if name == "clouds":
        seeds = rng.integers(256, size=(int(rng.integers(4, 13)),) * 2, dtype=np.uint8)
        return np.asarray(Image.fromarray(seeds).resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
    angle, period = 2 * pi * rng.random(), size * (0.1 + 0.2 * rng.random())
    middles = np.arange(size, dtype=np.float32) + np.float32(0.5 - size / 2)
    right, down = np.float32(cos(angle)) * middles, np.float32(sin(angle)) * middles
    across = right + down[:, None]
    if name == "gradient":
        return across / np.float32(size * (abs(cos(angle)) + abs(sin(angle)))) + np.float32(0.5)
    stripes = _stripes(across, period, rng.random())
    if name == "stripes":
        return stripes
    others = _stripes(right[:, None] - down, period, rng.random())
    checks: np.ndarray = stripes + others - 2 * stripes * others
    return checks


def _stripes(across: np.ndarray, period: float, phase: float) -> np.ndarray:
    """0 and 1 in turn, half a period each, with edges of one pixel. across, period: in pixels."""
    turns = across / np.float32(period) + np.float32(phase)
    ramp: np.ndarray = np.abs(turns - np.floor(turns) - np.float32(0.5)) - np.float32(0.25)
    return np.asarray(np.clip(ramp * np.float32(period) + np.float32(0.5), 0, 1))


def _spread(rng: np.random.Generator, most: float, shape: tuple[int, ...]) -> np.ndarray:
    """float32, −most…most."""
    values: np.ndarray = (rng.random(shape, np.float32) * 2 - 1) * np.float32(most)
    return values


@cache
def _scans() -> dict[tuple[str, str], np.ndarray]:
    """Split, digit → N×10×10 uint8, 0…240: its scans with an empty border."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.pad((found.images * 15).astype(np.uint8), ((0, 0), (1, 1), (1, 1)))
    scans = {}
    for kind in DIGITS:
        rows = np.flatnonzero(found.target == int(kind))
        turn = 7 * np.arange(len(rows)) % 20  # mixes the writers, who come one after another
        for split, turns in SCANS.items():
            scans[split, kind] = images[rows[np.isin(turn, turns)]]
    return scans


def _trimmed(alpha: np.ndarray) -> Stamp:
    """The part of a drawing that is above 0.5, and one pixel around it."""
    solid = alpha > 0.5
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return Stamp(alpha[rows[0] - 1 : rows[-1] + 2, columns[0] - 1 : columns[-1] + 2], int(np.count_nonzero(solid)))


def _distance(corners_V2: np.ndarray, side: int) -> np.ndarray:
    """side×side float32: how far each pixel's middle is from the outline, negative inside."""
    middles = np.arange(side, dtype=np.float32) + np.float32(0.5)
    start, edge = corners_V2, np.roll(corners_V2, -1, 0) - corners_V2
    x, y = middles - start[:, :1], middles - start[:, 1:]  # V×side, from each edge's start
    edge_x, edge_y = edge[:, 0, None, None], edge[:, 1, None, None]
    length = edge_x**2 + edge_y**2
    along = np.clip((y * edge[:, 1:])[:, :, None] / length + (x * edge[:, :1])[:, None, :] / length, 0, 1)
    aside = (x[:, None, :] - along * edge_x) ** 2 + (y[:, :, None] - along * edge_y) ** 2
    # a pixel is inside if a ray to the right crosses the outline an odd number of times
    crossed = (y < 0) != (y < edge[:, 1:])
    where = y * (edge[:, :1] / np.where(edge[:, 1:] == 0, 1, edge[:, 1:]))
    inside = np.logical_xor.reduce(crossed[:, :, None] & (x[:, None, :] < where[:, :, None]))
    distance: np.ndarray = np.sqrt(aside.min(0))
    return np.where(inside, -distance, distance)
