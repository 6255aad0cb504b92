"""Scenes: pictures drawn on the fly, with every kind of target that a job may want.

One to four coloured shapes and real scanned digits lie on a background. Sample i of a split is a function of (seed,
split, i) alone, so reading is safe from several threads, in any order, and nothing is stored; machines may differ in a
pixel's last bit, where their floating-point functions do. The splits share no scan, and `HELD_OUT` pairs of a colour
and a kind occur in val and test only (see `layout`).

| target | is |
|---|---|
| label | the kind of the largest object: its box has at least 1.2 times the area of the next |
| values | (the number of objects,) |
| boxes | every object, from front to back: tight around the pixels that can be seen, with kinds, masks and phrases |
| mask | 0 where there is background, 1 + the kind where there is an object |
| captions | five sentences that count the objects (see `grammar`) |

The visible pixels of an object are those that it covers by more than half and that nothing before it covers so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from visus.data.dataset import Data, Dataset
from visus.data.image import Picture
from visus.data.samples import Samples
from visus.data.scenes.draw import Stamp, paint
from visus.data.scenes.grammar import COLOURS, KINDS, MOST, VOCABULARY, Pair, captions, parse, phrase
from visus.data.scenes.layout import HELD_OUT, Thing, arrange, compose
from visus.data.types import Boxes, Schema, Target
from visus.errors import SpecError

__all__ = ["COLOURS", "HELD_OUT", "KINDS", "VOCABULARY", "Pair", "Scene", "SceneSamples", "draw", "load", "parse"]

SEED = 0  # of the data set that `load` gives
DRAWING = 1  # raised whenever the same numbers give another picture
SIZE = 64
TRAIN = 10_000
SPLITS = ("train", "val", "test")
SMALLEST = 48  # pixels; below, the smallest digits can't be told apart
SCHEMA = Schema(
    shape=(3, SIZE, SIZE),
    targets=("label", "values", "boxes", "mask", "captions"),
    labels=KINDS,
    values=("objects",),
    masks=("background", *KINDS),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn sample. pixels: size×size×3 uint8."""

    pixels: np.ndarray
    target: Target


def load(data: Data) -> Dataset:
    """`data.count` scenes for training, or 10,000; a tenth as many, but at least 100, for val and for test each."""
    train = data.count or TRAIN
    counts = {"train": train, "val": max(100, train // 10), "test": max(100, train // 10)}
    return Dataset(
        "scenes",
        SCHEMA,
        {split: SceneSamples(SEED, split, count) for split, count in counts.items()},
        source="drawn; digits: scikit-learn's copy of the UCI optical recognition set (CC BY 4.0)",
    )


def draw(
    seed: int, index: int, split: str = "train", *, size: int = SIZE, objects: tuple[int, int] = (1, MOST)
) -> Scene:
    """One scene; the same for the same arguments.

    split: "train", "val" or "test". size: of the picture's sides, in pixels, 48 or more; objects grow with it.
    objects: the least and the most of them, within 0…4. A scene without any has no label, and its captions say so.
    Raises SpecError for anything else.
    """
    if split not in SPLITS or size < SMALLEST or not 0 <= objects[0] <= objects[1] <= MOST or min(seed, index) < 0:
        raise SpecError(
            f"there is no scene {index} of {split!r}, seed {seed}, {size} pixels wide, with {objects} objects",
            f"draw of {', '.join(SPLITS)}, {SMALLEST} pixels or more, with 0 to {MOST} objects",
        )
    plan = _planned(seed, index, split, size, objects)
    return Scene(_pixels(plan), _target(plan))


@final
class SceneSamples(Samples):
    """The first `count` scenes of a split, drawn whenever they are read."""

    def __init__(self, seed: int, split: str, count: int) -> None:
        self.seed, self.split, self.count = seed, split, count

    def __len__(self) -> int:
        return self.count

    def read(self, row: int) -> Picture:
        return Picture(_pixels(self._plan(row)))

    def target(self, row: int) -> Target:
        return _target(self._plan(row))

    def name(self, row: int) -> str:
        return f"scenes/{self.split}[{row}]"

    def digest(self, row: int) -> bytes:
        drawn_from = (
            f"scenes {DRAWING} {self.seed} {self.split} {row}"  # which settles the content, and is much cheaper
        )
        return hashlib.blake2b(drawn_from.encode(), digest_size=16).digest()

    def block(self) -> None:
        return None

    def stored(self, row: int) -> None:
        return None

    def shards(self) -> None:
        return None

    def origin(self, row: int) -> None:
        return None

    def _plan(self, row: int) -> _Plan:
        if not 0 <= row < self.count:
            raise IndexError(f"{self.split} has {self.count:,} scenes, and no row {row}")
        return _planned(self.seed, row, self.split, SIZE, (1, MOST))


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a scene shows, and the generator from which the look of it is still to be drawn."""

    size: int
    things: tuple[Thing, ...]
    captions: tuple[str, ...]
    rng: np.random.Generator


def _planned(seed: int, index: int, split: str, size: int, objects: tuple[int, int]) -> _Plan:
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index(split), index]))
    things = arrange(rng, split, compose(rng, split, index, objects), size)
    centres = [(stamp.left + stamp.width / 2, stamp.top + stamp.height / 2) for stamp in (it.stamp for it in things)]
    sentences = captions(rng, [thing.pair for thing in things], np.array(centres).reshape(-1, 2))
    return _Plan(size, things, sentences, rng)


def _pixels(plan: _Plan) -> np.ndarray:
    stamps, colours = [thing.stamp for thing in plan.things], [thing.pair[0] for thing in plan.things]
    return paint(plan.rng, plan.size, stamps, colours)


def _target(plan: _Plan) -> Target:
    masks = _masks([thing.stamp for thing in plan.things], plan.size)
    labels = np.array([KINDS.index(thing.pair[1]) for thing in plan.things], np.int64)
    semantic = np.zeros((plan.size, plan.size), np.uint8)
    for mask, label in zip(masks, labels, strict=True):
        semantic[mask] = label + 1
    return Target(
        label=int(labels[0]) if len(labels) else None,
        values=(float(len(labels)),),
        boxes=Boxes(_bounds(masks), labels, masks, tuple(phrase(thing.pair) for thing in plan.things)),
        mask=semantic,
        captions=plan.captions,
    )


def _masks(stamps: Sequence[Stamp], size: int) -> np.ndarray:
    """M×size×size bool: the pixels of each stamp that can be seen, the first stamp in front."""
    masks = np.zeros((len(stamps), size, size), bool)
    open_ = np.ones((size, size), bool)
    for place, stamp in enumerate(stamps):
        masks[place, *stamp.window] = (stamp.alpha > 0.5) & open_[stamp.window]
        open_[stamp.window] &= stamp.alpha <= 0.5
    return masks


def _bounds(masks_MHW: np.ndarray) -> np.ndarray:
    """M×4 float32: left, top, right, bottom of the pixels of each mask."""
    xyxy = np.empty((len(masks_MHW), 4), np.float32)
    for axis in (0, 1):
        occupied = np.asarray(masks_MHW.any(1 + axis))
        xyxy[:, axis] = occupied.argmax(1)
        xyxy[:, 2 + axis] = occupied.shape[1] - occupied[:, ::-1].argmax(1)
    return xyxy
