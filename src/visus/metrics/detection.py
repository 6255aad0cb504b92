"""How well objects are found: average precision by COCO's rules and by VOC's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from visus.metrics.matching import Group, area, match, overlap
from visus.metrics.score import Score

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # detections of an image that count, of each class
EVERYWHERE = (0.0, 1e10)
RANGES = {"all": EVERYWHERE, "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
DRAWS = 200  # resamplings of images for an interval


class Objects(Protocol):
    """The objects of one image, as `visus.data.types.Boxes` has them."""

    @property
    def xyxy(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def areas(self) -> np.ndarray | None: ...
    @property
    def crowd(self) -> np.ndarray | None: ...
    @property
    def difficult(self) -> np.ndarray | None: ...
    @property
    def zoom(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one image: xyxy M×4 in the pixels of its true boxes, scores M, labels M."""

    xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Curve:
    """Precision and recall over detections by score downwards. objects: how many there are to be found."""

    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray
    objects: int


@final
class DetectionMeter:
    """Figures of detection, gathered batch by batch.

    Boxes may be in any frame that images were fitted to: intersection over union is the same in all, and areas, by
    which objects are small or large, are those of the images as they were read.
    labels: the names of the classes. Average precision is the mean of precision at 101 recalls, that of a class which
    no image has isn't counted: equal to the reference evaluation of COCO (pycocotools).
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._count = 0
        self._groups: list[Group] = []
        self._scores: list[np.ndarray] = []  # of each group's detections
        self._images: list[int] = []  # in which each group is
        self._places: list[list[int]] = [[] for _ in self.labels]  # of each class's groups
        self._clear()

    def _clear(self) -> None:
        self._matched: tuple[list[np.ndarray], list[np.ndarray]] | None = None
        self._known: dict[tuple[int, str, int], _Ranked] = {}
        self._draws: list[np.ndarray] | None = None

    def update(self, found: Sequence[Found], truth: Sequence[Objects]) -> None:
        """Take in some images: what was found, and what there is."""
        for each, boxes in zip(found, truth, strict=True):
            for label in np.union1d(each.labels, boxes.labels).astype(int).tolist():
                group, scores = _grouped(each, boxes, label)
                self._places[label].append(len(self._groups))
                self._groups.append(group)
                self._scores.append(scores)
                self._images.append(self._count)
            self._count += 1
        self._clear()

    def average_precision(self, *, area: str = "all", most: int = MOST, times: np.ndarray | None = None) -> np.ndarray:
        """K×T average precisions of classes at THRESHOLDS; NaN for a class without objects.

        area: a name of RANGES, of objects in square pixels. times: how often each image counts; once by default.
        """
        found = np.full((len(self.labels), len(THRESHOLDS)), np.nan)
        weights = np.ones(self._count) if times is None else times.astype(np.float64)
        for label in range(len(self.labels)):
            ranked = self._ranked(label, area, most)
            objects, of_N = float(ranked.objects @ weights), weights[ranked.image]
            if objects:
                found[label] = [
                    _at_recalls(hits, ~passed * of_N, objects)
                    for hits, passed in zip(ranked.hits, ranked.passed, strict=True)
                ]
        return found

    def average_recall(self, *, area: str = "all", most: int = MOST) -> np.ndarray:
        """K×T: the shares of objects that are found among the `most` best detections of each image and class."""
        found = np.full((len(self.labels), len(THRESHOLDS)), np.nan)
        for label in range(len(self.labels)):
            ranked = self._ranked(label, area, most)
            if objects := ranked.objects.sum():
                found[label] = (ranked.hits & ~ranked.passed).sum(1) / objects
        return found

    def curve(self, label: int, threshold: float = 0.5) -> Curve:
        """Precision and recall of a class at a threshold of IoU, one of THRESHOLDS."""
        where = THRESHOLDS.index(threshold)
        ranked = self._ranked(label, "all", MOST)
        counts, objects = ~ranked.passed[where], int(ranked.objects.sum())
        hits = ranked.hits[where][counts].cumsum()
        number = np.arange(1, len(hits) + 1)
        return Curve(hits / number, hits / max(objects, 1), ranked.scores[counts], objects)

    def mistakes(self) -> int:
        """Objects that nothing found at IoU 0.5, and detections that found none."""
        each = [self._ranked(label, "all", MOST) for label in range(len(self.labels))]
        wrong = sum(int((~ranked.hits[0] & ~ranked.passed[0]).sum()) for ranked in each)
        right = sum(int((ranked.hits[0] & ~ranked.passed[0]).sum()) for ranked in each)
        return wrong + sum(int(ranked.objects.sum()) for ranked in each) - right

    def voc(self, threshold: float = 0.5, *, points: bool = False) -> np.ndarray:
        """K average precisions by the rules of PASCAL VOC; NaN for a class without objects.

        Each detection belongs to the object that it overlaps most, and finds it if it is the first to do so; those of
        objects that don't count (VOC's difficult ones) don't count. The area under the curve, whose precision is made
        to fall monotonically (VOC from 2010 on); or with `points` the mean at 11 recalls (until 2009): Everingham et
        al. 2010, IJCV 88, §4.2.
        """
        return np.array([self._voc(label, threshold, points) for label in range(len(self.labels))])

    def scores(self) -> dict[str, Score]:
        """map (over THRESHOLDS), map50, map75, recall (of at most MOST detections, over THRESHOLDS): means over the
        classes that occur. The intervals are of resampled images.
        """
        found = {
            name: self._score(where)
            for name, where in (("map", slice(None)), ("map50", 0), ("map75", THRESHOLDS.index(0.75)))
        }
        return found | {"recall": Score(value=_mean(self.average_recall()), n=self._count)}

    def _score(self, where: int | slice) -> Score:
        n, value = self._count, _mean(self.average_precision()[:, where])
        if n < 2:
            return Score(value=value, n=n)
        low, high = np.nanquantile([_mean(each[:, where]) for each in self._resampled()], [0.025, 0.975])
        return Score(value=value, n=n, low=float(low), high=float(high))

    def _resampled(self) -> list[np.ndarray]:
        """Average precisions of images drawn with replacement."""
        if self._draws is None:
            random, n = np.random.default_rng(0), self._count
            times = [np.bincount(random.integers(0, n, n), minlength=n) for _ in range(DRAWS)]
            self._draws = [self.average_precision(times=each) for each in times]
        return self._draws

    def _ranked(self, label: int, area: str, most: int) -> _Ranked:
        """All detections of a class by score downwards, of equal scores those of earlier images first."""
        key = (label, area, most)
        if key not in self._known:
            matched, ignored = self._match()
            where = list(RANGES).index(area)
            low, high = RANGES[area]
            none = np.zeros((len(THRESHOLDS), 0), bool)
            hits, passed, scores, image = [none], [none], [np.zeros(0)], [np.zeros(0, np.int64)]
            objects = np.zeros(self._count)
            for place in self._places[label]:
                group = self._groups[place]
                counts = ~(group.crowd | group.ignored | (group.areas < low) | (group.areas > high))
                objects[self._images[place]] = counts.sum()
                hits.append(matched[place][where, :, :most])
                passed.append(ignored[place][where, :, :most])
                scores.append(self._scores[place][:most])
                image.append(np.full(len(scores[-1]), self._images[place]))
            values = np.concatenate(scores)
            order = np.argsort(-values, kind="stable")
            self._known[key] = _Ranked(
                np.concatenate(hits, 1)[:, order], np.concatenate(passed, 1)[:, order], values[order],
                np.concatenate(image)[order], objects,
            )  # fmt: skip
        return self._known[key]

    def _match(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        if self._matched is None:
            self._matched = match(self._groups, tuple(RANGES.values()), THRESHOLDS)
        return self._matched

    def _voc(self, label: int, threshold: float, points: bool) -> float:
        scores, right, objects = [], [], 0
        for place in self._places[label]:
            group, found = self._groups[place], self._scores[place]
            skipped = group.ignored | group.crowd
            objects += int((~skipped).sum())
            taken = np.zeros(len(group.true), bool)
            ious = overlap(group.found, group.true, np.zeros(len(group.true), bool))
            for score, iou_G in zip(found, ious, strict=True):
                best = int(iou_G.argmax()) if len(iou_G) else -1
                hit = best >= 0 and iou_G[best] > threshold
                if hit and skipped[best]:
                    continue
                scores.append(score)
                right.append(hit and not taken[best])
                if hit:
                    taken[best] = True
        if not objects:
            return float("nan")
        order = np.argsort(-np.array(scores), kind="stable")
        hits = np.array(right, bool)[order].cumsum()
        recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
        if points:
            return float(np.mean([precision[recall >= at].max(initial=0.0) for at in np.arange(11) / 10]))
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(recall, prepend=0.0) * falling).sum())


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Of a class: T×D whether each detection finds an object, and whether it counts neither way; D scores and images.
    objects: N, how many of its objects each image has.
    """

    hits: np.ndarray
    passed: np.ndarray
    scores: np.ndarray
    image: np.ndarray
    objects: np.ndarray


def _grouped(found: Found, truth: Objects, label: int) -> tuple[Group, np.ndarray]:
    """What an image has of a class, with the scores of what was found, downwards."""
    mine = np.flatnonzero(found.labels == label)
    mine = mine[np.argsort(-found.scores[mine], kind="stable")][:MOST]
    there = truth.labels == label
    xyxy = truth.xyxy[there]
    areas = area(xyxy) / truth.zoom if truth.areas is None else truth.areas[there]
    crowd, ignored = (
        np.zeros(len(xyxy), bool) if each is None else each[there] for each in (truth.crowd, truth.difficult)
    )
    return Group(found.xyxy[mine], xyxy, areas, crowd, ignored, truth.zoom), found.scores[mine]


def _at_recalls(hits: np.ndarray, weights: np.ndarray, objects: float) -> float:
    """The mean of precision, made to fall monotonically, at RECALLS. weights: how much each detection counts."""
    counted = weights > 0
    right, number = (hits[counted] * weights[counted]).cumsum(), weights[counted].cumsum()
    falling = np.append(np.maximum.accumulate((right / number)[::-1])[::-1], 0.0)
    return float(falling[np.searchsorted(right / objects, RECALLS, side="left")].mean())


def _mean(values: np.ndarray) -> float:
    """Over the classes that occur; NaN where none does."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
