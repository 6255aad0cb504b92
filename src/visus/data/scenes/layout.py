"""What is in a scene, and where.

A scene's objects are pairs of a colour and a kind. About a fifth of all pairs, `HELD_OUT`, are never seen in training;
each of their colours and kinds is:

| split | scenes with a held-out pair |
|---|---|
| train | none |
| val | every second: the odd ones |
| test | all |
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from visus.data.scenes.draw import Stamp, digit, shape
from visus.data.scenes.grammar import COLOURS, DIGITS, KINDS, Pair

SIDES = (12 / 64, 28 / 64)  # of an object's longer side, as shares of the picture's
LARGER = 1.2  # the largest object's box has at least this many times the area of the next
OVERLAP = 0.08  # the most IoU of two boxes as they are placed; once edges are hidden, it is 0.1 at most
HIDDEN = 0.2  # the largest share of an object's pixels that others may hide
APART = 3  # pixels between the boxes of objects of one colour, which would show no edge on each other
AGAIN = 0.35  # the chance that an object repeats an earlier one's colour and kind

PAIRS: tuple[Pair, ...] = tuple((colour, kind) for colour in COLOURS for kind in KINDS)
HELD_OUT = frozenset(
    (colour, kind) for i, colour in enumerate(COLOURS) for j, kind in enumerate(KINDS) if (3 * i + j) % 5 == 0
)
"""Every fifth kind of each colour, which are, for

red and purple: 0, 5, circle, heart; orange and white: 2, 7, triangle; yellow: 4, 9, cross; green: 1, 6, square;
blue: 3, 8, star.
"""

SEEN = tuple(pair for pair in PAIRS if pair not in HELD_OUT)
UNSEEN = tuple(pair for pair in PAIRS if pair in HELD_OUT)


@dataclass(frozen=True, slots=True)
class Thing:
    """An object: what it is and how it covers the pixels."""

    pair: Pair
    stamp: Stamp


def compose(rng: np.random.Generator, split: str, index: int, objects: tuple[int, int]) -> tuple[Pair, ...]:
    """What is in a scene: as many pairs as `objects` allows, from least to most, both included."""
    novel = split == "test" or (split == "val" and index % 2 == 1)
    pairs: list[Pair] = []
    for place in range(rng.integers(objects[0], objects[1] + 1)):
        if place and rng.random() < AGAIN:
            choice: tuple[Pair, ...] = tuple(pairs)
        elif novel:
            choice = PAIRS if place else UNSEEN
        else:
            choice = SEEN
        pairs.append(choice[rng.integers(len(choice))])
    return tuple(pairs[place] for place in rng.permutation(len(pairs)))


def arrange(rng: np.random.Generator, split: str, pairs: tuple[Pair, ...], size: int) -> tuple[Thing, ...]:
    """Where they are: each lies behind those before it. The first is the largest, and nothing hides it."""
    while (things := _attempt(rng, split, pairs, size)) is None:
        pass
    return things


def _attempt(rng: np.random.Generator, split: str, pairs: tuple[Pair, ...], size: int) -> tuple[Thing, ...] | None:
    """One try; None where an object finds no place."""
    least, most = (side * size for side in SIDES)
    things: list[Thing] = []
    for pair in pairs:
        low, high, limit = (least + most) / 2 if len(pairs) > 1 else least, most, np.inf
        if things:
            limit = things[0].stamp.height * things[0].stamp.width / LARGER
            low, high = least, min(most, limit**0.5)
        if high < low:
            return None
        side = low + (high - low) * rng.random()
        kind = pair[1]
        stamp = digit(rng, split, kind, side) if kind in DIGITS else shape(rng, kind, side)
        free = _free(pair, stamp, things, size)
        places = np.flatnonzero(free)
        if stamp.height * stamp.width > limit or not len(places):
            return None
        top, left = divmod(int(places[rng.integers(len(places))]), free.shape[1])
        things.append(Thing(pair, replace(stamp, left=left + 1, top=top + 1)))
    return tuple(things)


def _free(pair: Pair, stamp: Stamp, things: list[Thing], size: int) -> np.ndarray:
    """Whether the stamp may lie at [top − 1, left − 1], behind the things, a pixel from the picture's edges or more."""
    tops, lefts = np.arange(1, size - stamp.height), np.arange(1, size - stamp.width)
    free, hidden = np.ones((len(tops), len(lefts)), bool), np.zeros((len(tops), len(lefts)), np.int64)
    for thing in things:
        other = thing.stamp
        rows = _common(tops, stamp.height, other.top, other.height)
        columns = _common(lefts, stamp.width, other.left, other.width)
        if thing.pair[0] == pair[0]:
            free &= ~np.outer(rows > -APART, columns > -APART)
        else:
            shared = np.outer(np.maximum(rows, 0), np.maximum(columns, 0))
            both = stamp.height * stamp.width + other.height * other.width
            free &= shared <= OVERLAP / (1 + OVERLAP) * both
            hidden += shared
    return free & (hidden <= HIDDEN * stamp.area)


def _common(starts: np.ndarray, length: int, start: int, other: int) -> np.ndarray:
    """The length that intervals share with another one; where they share none, minus their distance."""
    common: np.ndarray = np.minimum(starts + length, start + other) - np.maximum(starts, start)
    return common
