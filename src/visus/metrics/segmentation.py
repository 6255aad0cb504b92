"""How well every pixel is named: overlaps of classes, their boundaries, and the objects that a boundary separates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from visus.metrics.score import Score, bootstrap
from visus.ops.objects import objects

NEAR = 0.0075  # of an image's diagonal: how far a boundary may be off (Csurka et al. 2013)
DRAWS = 1000  # resamplings of images for an interval


@final
class MaskMeter:
    """Figures of masks, gathered image by image; pixels that are void in the truth count nowhere.

    names: of the classes. void: the value of pixels of no known class. boundary: the number of the class that separates
    objects, where one does.
    """

    def __init__(self, names: Sequence[str], void: int, boundary: int | None = None) -> None:
        self.names, self.void, self.boundary = tuple(names), void, boundary
        self.confusion = np.zeros((len(self.names), len(self.names)), np.int64)  # true class by said class
        self._counts: list[np.ndarray] = []  # of each image, 3×K: pixels of a class that are right, true, said
        self._boundaries: list[float] = []  # of each image, over the classes that it has
        self._pairs: list[Pairs] = []

    def update(self, said_HW: np.ndarray, true_HW: np.ndarray) -> None:
        """Take in an image: class numbers, uint8."""
        known, count = true_HW != self.void, len(self.names)
        places = true_HW[known].astype(np.int64) * count + said_HW[known]
        confusion = np.bincount(places, minlength=count * count).reshape(count, count)
        self.confusion += confusion
        self._counts.append(np.stack([confusion.diagonal(), confusion.sum(1), confusion.sum(0)]))
        said_HW = np.where(known, said_HW, self.void).astype(np.uint8)
        there = np.flatnonzero(confusion.sum(1))
        each = [boundary_f(said_HW == label, true_HW == label, known) for label in there.tolist()]
        self._boundaries.append(float(np.mean(each)) if each else float("nan"))
        if self.boundary is not None:
            said, true = (objects(mask, known & (mask != self.boundary)) for mask in (said_HW, true_HW))
            self._pairs.append(pairs(said, true))

    def per_class(self) -> dict[str, np.ndarray]:
        """iou and dice of each class over all images, K; NaN for a class that no image has. count: its true pixels."""
        right, true, said = np.sum(self._counts, 0)
        iou, dice = _overlaps(right[None], true[None], said[None])
        return {"iou": iou[0], "dice": dice[0], "count": true}

    def scores(self) -> dict[str, Score]:
        """iou and dice (means over the classes that occur), accuracy (of pixels), boundary_f (the mean of images, of
        each the mean of its classes); of two classes foreground_iou and foreground_f1, of the second one; with a
        boundary rand_f, rand_split and rand_merge, means of images. Intervals are of resampled images.
        """
        found = {
            "iou": self._score(lambda iou, dice, _: _mean(iou)),
            "dice": self._score(lambda iou, dice, _: _mean(dice)),
            "accuracy": self._score(lambda iou, dice, share: share, share=True),
            "boundary_f": _of_images(self._boundaries),
        }
        if len(self.names) == 2:
            found["foreground_iou"] = self._score(lambda iou, dice, _: iou[:, 1])
            found["foreground_f1"] = self._score(lambda iou, dice, _: dice[:, 1])
        if self._pairs:
            found["rand_f"] = _of_images([each.f for each in self._pairs])
            found["rand_split"] = _of_images([each.split for each in self._pairs])
            found["rand_merge"] = _of_images([each.merge for each in self._pairs])
        return found

    def _score(
        self, figure: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], *, share: bool = False
    ) -> Score:
        """figure: D×K overlaps, D×K Dice coefficients and D shares of right pixels → D figures."""
        counts_N3K = np.stack(self._counts).astype(np.float64)
        n = len(counts_N3K)
        random = np.random.default_rng(0)
        times_DN = [np.ones(n), *(np.bincount(random.integers(0, n, n), minlength=n) for _ in range(DRAWS * (n > 1)))]
        right, true, said = np.tensordot(np.stack(times_DN), counts_N3K, 1).transpose(1, 0, 2)
        values = figure(*_overlaps(right, true, said), right.sum(1) / np.maximum(true.sum(1), 1))
        low, high = np.nanquantile(values[1:], [0.025, 0.975]) if n > 1 else (None, None)
        return Score(
            value=float(values[0]), n=n, low=None if low is None else float(low),
            high=None if high is None else float(high), share=share,
        )  # fmt: skip


def _overlaps(right: np.ndarray, true: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union, and Dice: NaN for classes without true pixels."""
    there = np.where(true > 0, true, np.nan)
    return right / (there + said - right), 2 * right / (there + said)


def _mean(each_DK: np.ndarray) -> np.ndarray:
    """Over the classes that occur; NaN where none does."""
    there = ~np.isnan(each_DK)
    return np.asarray(np.where(there, each_DK, 0).sum(1) / np.where(there.any(1), there.sum(1), np.nan))


def _of_images(values: Sequence[float]) -> Score:
    known = np.array([value for value in values if not np.isnan(value)])
    return bootstrap(lambda rows: float(known[rows].mean()) if len(known) else float("nan"), len(known), higher=True)


def boundary_f(said_HW: np.ndarray, true_HW: np.ndarray, known_HW: np.ndarray) -> float:
    """How well the outline of one class is met (Csurka et al. 2013, "What is a good evaluation measure for semantic
    segmentation?"): the harmonic mean of the share of its said boundary that is near the true one, and of the true one
    that is near the said one. Near is 0.75 % of the image's diagonal, at least one pixel. bool in; 1 where it has no
    boundary in either, 0 where only in one.
    """
    from scipy.ndimage import distance_transform_edt

    said, true = (edge(mask, known_HW) for mask in (said_HW, true_HW))
    if not said.any() or not true.any():
        return float(said.any() == true.any())
    near = max(1.0, NEAR * float(np.hypot(*said_HW.shape)))
    precision = float((distance_transform_edt(~true)[said] <= near).mean())
    recall = float((distance_transform_edt(~said)[true] <= near).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def edge(mask_HW: np.ndarray, known_HW: np.ndarray) -> np.ndarray:
    """The pixels of a mask beside which, in a row or column, is a known one that isn't in it: H×W bool."""
    other = ~mask_HW & known_HW
    found = np.zeros_like(mask_HW)
    found[1:] |= other[:-1]
    found[:-1] |= other[1:]
    found[:, 1:] |= other[:, :-1]
    found[:, :-1] |= other[:, 1:]
    return np.asarray(found & mask_HW)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of pixels: in one object by both, by the truth, by what was said."""

    both: int
    true: int
    said: int

    @property
    def split(self) -> float:
        """Of the pairs in one true object, how many are in one said object: low where objects are split."""
        return self.both / self.true if self.true else float("nan")

    @property
    def merge(self) -> float:
        """Of the pairs in one said object, how many are in one true object: low where objects are merged."""
        return self.both / self.said if self.said else float("nan")

    @property
    def f(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.both / (self.true + self.said) if self.true + self.said else float("nan")


def pairs(said_HW: np.ndarray, true_HW: np.ndarray) -> Pairs:
    """The Rand score of two divisions into objects (Arganda-Carreras et al. 2015, "Crowdsourcing the creation of image
    segmentation algorithms for connectomics", V^Rand), restricted to the pixels of true objects.

    Object numbers in, 0 outside of objects; what is said to be outside counts as one more object, as in scikit-image's
    adapted_rand_error, which is 1 − f.
    """
    inside = true_HW > 0
    said, true = said_HW[inside].astype(np.int64), true_HW[inside].astype(np.int64)
    joint = true * (int(said.max(initial=0)) + 1) + said
    both, by_true, by_said = (_pairs_in(np.unique(each, return_counts=True)[1]) for each in (joint, true, said))
    return Pairs(both, by_true, by_said)


def _pairs_in(counts: np.ndarray) -> int:
    return int((counts * (counts - 1)).sum())
