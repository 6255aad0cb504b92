"""Where objects may be: regions that grow from pixels, and the boxes around them.

In the manner of selective search (Uijlings et al. 2013, IJCV 104): neighbours that are alike are merged again and again
until the image is one region, and every region on the way gives a box. What is alike is said in several ways, each of
which gives a hierarchy of its own.

N: images. R: regions, of all images and hierarchies. E: pairs of neighbours. F: features. B: boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 200  # pixels: of the longer side of the image in which regions grow
LEAST = 6  # pixels there: no box has a shorter side
SAME = 0.1  # the share of its shorter side by which a box may differ from one that stands for it
AT_ONCE = 1 << 17  # pixels whose regions grow together
FLAT = 1e-3  # a squared distance, in variances of the image, that says nothing: where all is alike, size decides
EXACT = 1024.0  # to one part in so many features are rounded: then sums of them are exact, and alike on all machines
CHANCE = 1e-6  # the share of a cost that is by chance, so that of many equal ones some are the least around
START = 2.0  # the cost up to which pixels are merged before the hierarchies part


@dataclass(frozen=True)
class Likeness:
    """What neighbours are compared by: the weights of the squared distances of their mean intensity, colour and
    texture; the power of their sizes' harmonic mean (1: Ward's criterion, how much the sum of squares grows); and how
    much the part of the box around both counts that neither fills."""

    intensity: float = 1.0
    colour: float = 1.0
    texture: float = 1.0
    size: float = 1.0
    fill: float = 1.0


LIKENESSES = (
    Likeness(),
    Likeness(texture=4.0, fill=4.0),
    Likeness(intensity=0.1, colour=4.0, fill=0.0),
    Likeness(texture=0.0, size=0.5, fill=4.0),
)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def propose(images_NCHW: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """N×B×4 boxes in pixels, B = most, and N×B, whether there is one: large ones come rather first.

    What the mean of a channel is makes no difference, nor the scale of all, so normalised pixels give what 8-bit ones
    do. An image's boxes depend on nothing but its pixels; they are found on the processor. Of meta tensors, which have
    no values, only the shapes are right.
    """
    count, _, height, width = images_NCHW.shape
    if images_NCHW.is_meta:
        return images_NCHW.new_empty(count, most, 4), images_NCHW.new_empty(count, most, dtype=torch.bool)
    small = min(1.0, SIDE / max(height, width))
    rows, columns = max(1, round(height * small)), max(1, round(width * small))
    back_4 = torch.tensor([width / columns, height / rows]).repeat(2)
    boxes_NB4, real_NB = torch.zeros(count, most, 4), torch.zeros(count, most, dtype=torch.bool)
    several = max(1, AT_ONCE // (rows * columns))
    for start in range(0, count, several):
        part = images_NCHW[start : start + several].detach().to("cpu", torch.float64)
        pixels = F.interpolate(part, (rows, columns), mode="area") if small < 1 else part
        for place, found in enumerate(_boxes(pixels), start):
            boxes = torch.from_numpy(found[:most]).float() * back_4
            boxes_NB4[place, : len(boxes)], real_NB[place, : len(boxes)] = boxes, True
    return boxes_NB4.to(images_NCHW.device), real_NB.to(images_NCHW.device)


@dataclass
class _Regions:
    """Regions and which of them are neighbours. Of two that are merged the first goes on as both.

    sums: R×F of their pixels' features, weighted. size: R, in pixels. box: R×4. power, fill: R, as `Likeness` has them.
    key: R, what a region is called inside of its image and hierarchy. home: R, which hierarchy of which image it is of.
    pairs: 2×E. joined: R, the region that each has become part of, or itself.
    """

    sums: np.ndarray
    size: np.ndarray
    box: np.ndarray
    power: np.ndarray
    fill: np.ndarray
    key: np.ndarray
    home: np.ndarray
    pairs: np.ndarray
    joined: np.ndarray

    def grow(self, limit: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Merge all pairs of which each is the other's most alike neighbour, round by round, at costs up to a limit.
        Gives the regions that each round makes, and their costs."""
        least_R, chosen_R = np.empty(len(self.size)), np.empty(len(self.size), np.int64)
        while self.pairs.shape[1]:
            cost_E, (a_E, b_E) = self._costs(), self.pairs
            least_R[a_E] = least_R[b_E] = np.inf
            np.minimum.at(least_R, a_E, cost_E)
            np.minimum.at(least_R, b_E, cost_E)
            (at,) = ((cost_E == least_R[a_E]) & (cost_E == least_R[b_E]) & (cost_E <= limit)).nonzero()
            if not len(at):
                return
            chosen_R[a_E[at]] = at
            chosen_R[b_E[at]] = at
            at = at[(chosen_R[a_E[at]] == at) & (chosen_R[b_E[at]] == at)]  # of equal ones that share a region, one
            self._merge(a_E[at], b_E[at])
            yield a_E[at], cost_E[at]

    def _costs(self) -> np.ndarray:
        a_E, b_E = self.pairs
        one_E, other_E = self.size[a_E], self.size[b_E]
        apart_EF = self.sums[a_E] / one_E[:, None] - self.sums[b_E] / other_E[:, None]
        cost_E = np.einsum("ef,ef->e", apart_EF, apart_EF) + FLAT
        cost_E *= (one_E * other_E / (one_E + other_E)) ** self.power[a_E]
        if self.fill.any():
            low = np.minimum(self.box[a_E, :2], self.box[b_E, :2])
            high = np.maximum(self.box[a_E, 2:], self.box[b_E, 2:])
            cost_E *= 1 + self.fill[a_E] * (1 - (one_E + other_E) / (high - low).prod(1))
        return np.asarray(cost_E * (1 + CHANCE * _chance(self.key[a_E], self.key[b_E])))

    def _merge(self, one: np.ndarray, other: np.ndarray) -> None:
        self.sums[one] += self.sums[other]
        self.size[one] += self.size[other]
        self.box[one, :2] = np.minimum(self.box[one, :2], self.box[other, :2])
        self.box[one, 2:] = np.maximum(self.box[one, 2:], self.box[other, 2:])
        self.joined[other] = one
        a, b = self.joined[self.pairs]
        self.pairs = _distinct(a, b, len(self.size))

    def settled(self) -> np.ndarray:
        """R: the region that each is part of by now."""
        while True:
            further = self.joined[self.joined]
            if np.array_equal(further, self.joined):
                return np.asarray(further)
            self.joined = further


def _boxes(pixels_NCHW: Tensor) -> list[np.ndarray]:
    """Of each image different boxes, B×4, from the top of the hierarchies down, shaken (Uijlings et al. 2013, §4.2)."""
    count = len(pixels_NCHW)
    grains, features = _pixels(pixels_NCHW)
    for _ in grains.grow(START):
        pass
    forest = _together([_hierarchy(grains, features, each, kind * count) for kind, each in enumerate(LIKENESSES)])
    box, cost, home = [forest.box.copy()], [np.zeros(len(forest.size))], [forest.home]
    for made, costs in forest.grow(np.inf):
        box.append(forest.box[made])
        cost.append(costs)
        home.append(forest.home[made])
    return _ordered(np.concatenate(box), np.concatenate(cost), np.concatenate(home), count)


def _pixels(pixels_NCHW: Tensor) -> tuple[_Regions, np.ndarray]:
    """Every pixel as a region, to be compared by intensity and colour; and R×F features of all kinds."""
    count, _, rows, columns = pixels_NCHW.shape
    centred = pixels_NCHW - pixels_NCHW.mean((2, 3), keepdim=True)
    spread = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    centred = centred / torch.where(spread > 0, spread, 1.0)
    grey = centred.mean(1, keepdim=True)
    wide = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    steps = torch.cat((wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2], wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]), 1)
    busy = F.avg_pool2d(F.pad(steps.abs(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    known = torch.cat((grey, centred - grey, busy), 1).permute(0, 2, 3, 1).flatten(0, 2)
    features = np.rint(known.numpy() * EXACT) / EXACT
    place = np.arange(count * rows * columns).reshape(count, rows, columns)
    beside, below = (place[:, :, :-1], place[:, :, 1:]), (place[:, :-1], place[:, 1:])
    pairs = np.stack([np.concatenate((one.ravel(), other.ravel())) for one, other in zip(beside, below, strict=True)])
    y, x = np.divmod(np.arange(rows * columns), columns)
    box = np.tile(np.stack((x, y, x + 1, y + 1), 1), (count, 1))
    ones = np.ones(len(box))
    key, home = np.tile(np.arange(rows * columns), count), np.repeat(np.arange(count), rows * columns)
    own = features[:, :-2].copy()
    return _Regions(own, ones.copy(), box, ones, 0 * ones, key, home, pairs, np.arange(len(box))), features


def _hierarchy(grains: _Regions, features: np.ndarray, likeness: Likeness, home: int) -> _Regions:
    """The regions that pixels have become, to be compared in one way. home: the number of the first image's."""
    leaves, leaf = np.unique(grains.settled(), return_inverse=True)
    colours = features.shape[1] - 3
    weights = np.array([likeness.intensity, *[likeness.colour] * colours, *[likeness.texture] * 2])
    sums = np.stack([np.bincount(leaf, column) for column in features.T], 1) * np.sqrt(weights)
    return _Regions(
        sums, grains.size[leaves], grains.box[leaves], np.full(len(leaves), likeness.size),
        np.full(len(leaves), likeness.fill), grains.key[leaves], grains.home[leaves] + home,
        np.searchsorted(leaves, grains.pairs), np.arange(len(leaves)),
    )  # fmt: skip


def _together(parts: list[_Regions]) -> _Regions:
    """Several graphs as one whose parts aren't connected."""
    first = np.cumsum([0, *(len(part.size) for part in parts)])

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    pairs = np.concatenate([part.pairs + start for part, start in zip(parts, first, strict=False)], 1)
    return _Regions(
        all_of("sums"), all_of("size"), all_of("box"), all_of("power"), all_of("fill"), all_of("key"), all_of("home"),
        pairs, np.arange(first[-1]),
    )  # fmt: skip


def _ordered(box: np.ndarray, cost: np.ndarray, home: np.ndarray, images: int) -> list[np.ndarray]:
    """B×4 of each image. The last region of a hierarchy is number 1; places are by number times chance."""
    order = np.lexsort((-cost, home))
    box, home = box[order], home[order]
    _, begin, several = np.unique(home, return_index=True, return_counts=True)
    number = np.arange(len(home)) - np.repeat(begin, several) + 1
    large = ((box[:, 2:] - box[:, :2]) >= LEAST).all(1)
    found = []
    for image in range(images):
        (own,) = ((home % images == image) & large).nonzero()
        place = number[own] * np.random.default_rng(0).random(len(own))
        shaken = box[own[place.argsort(kind="stable")]]
        _, first = np.unique(_coarse(shaken), axis=0, return_index=True)
        found.append(shaken[np.sort(first)])
    return found


def _coarse(box: np.ndarray) -> np.ndarray:
    """Boxes by which nearly equal ones are equal: sides in steps of 1, 2, 4 … pixels, `SAME` of the shorter at most."""
    shorter = (box[:, 2:] - box[:, :2]).min(1)
    step = 2.0 ** np.floor(np.log2(np.maximum(1.0, SAME * shorter)))
    return np.asarray(np.rint(box / step[:, None]) * step[:, None])


def _distinct(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """The pairs of different regions, each once. count: of the regions."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    code = np.sort((low * count + high)[low != high])
    code = code[np.diff(code, prepend=-1) > 0]
    return np.stack(np.divmod(code, count))


def _chance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of pairs of numbers something in [0, 1) that looks random: always the same, in any company."""
    mixed = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ b.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ mixed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(40)) / 2.0**24)
