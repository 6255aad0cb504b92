"""How well objects are found: average precision by COCO's rules and by VOC's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from visus.metrics.matching import Group, area, counted, match, overlap
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
        self._classes: list[int] = []  # of which each group is
        self._clear()

    def _clear(self) -> None:
        self._found: list[_Class] | None = None
        self._known: dict[tuple[int, str, int], _Ranked] = {}
        self._draws: list[np.ndarray] | None = None

    def update(self, found: Sequence[Found], truth: Sequence[Objects]) -> None:
        """Take in some images: what was found, and what there is."""
        for each, boxes in zip(found, truth, strict=True):
            for label, group, scores in _grouped(each, boxes):
                self._classes.append(label)
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
            if ranked.objects @ weights:
                found[label] = ranked.precisions(weights)
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
            self._known[key] = self._by_class()[label].ranked(list(RANGES).index(area), most)
        return self._known[key]

    def _by_class(self) -> list[_Class]:
        """What there is of each class, matched."""
        if self._found is None:
            ranges = tuple(RANGES.values())
            matched, ignored = match(self._groups, ranges, THRESHOLDS)
            depths = np.array([len(scores) for scores in self._scores], np.int64)
            image, label = np.array(self._images, np.int64), np.array(self._classes, np.int64)
            owner, there = np.repeat(np.arange(len(depths)), depths), counted(self._groups, ranges)
            scores = np.concatenate([*self._scores, np.zeros(0)])
            place = np.arange(len(scores)) - np.repeat(depths.cumsum() - depths, depths)
            self._found = []
            for number in range(len(self.labels)):
                rows = np.flatnonzero(label[owner] == number)
                rows = rows[np.argsort(-scores[rows], kind="stable")]
                objects = np.zeros((len(ranges), self._count))
                objects[:, image[label == number]] = there[:, label == number]
                self._found.append(
                    _Class(
                        matched[..., rows], ignored[..., rows], scores[rows], image[owner[rows]], place[rows], objects
                    )
                )
        return self._found

    def _voc(self, label: int, threshold: float, points: bool) -> float:
        scores, right, objects = [], [], 0
        for own, group, found in zip(self._classes, self._groups, self._scores, strict=True):
            if own != label:
                continue
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
class _Class:
    """Of a class, by score downwards: A×T×D whether each detection finds an object, and whether it counts neither way;
    D scores, images, and places among those of its image. objects: A×N, how many there are in each image.
    """

    hits: np.ndarray
    passed: np.ndarray
    scores: np.ndarray
    image: np.ndarray
    place: np.ndarray
    objects: np.ndarray

    def ranked(self, where: int, most: int) -> _Ranked:
        """Of one range of areas, and of so many detections of an image."""
        rows = slice(None) if most >= MOST else self.place < most
        hits, passed = self.hits[where][:, rows], self.passed[where][:, rows]
        found, skipped = _places(hits & ~passed), _places(passed)
        before = np.array([np.searchsorted(*row) for row in zip(skipped, found, strict=True)])
        scores, image, objects = self.scores[rows], self.image[rows], self.objects[where]
        return _Ranked(hits, passed, scores, image, objects, found, skipped, before)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """T×D whether each detection finds an object, and whether it counts neither way; D scores and images. objects: N,
    how many each image has. found: T×H places of those that find one and count. skipped: T×P of those that don't count.
    before: T×H, how many of these come before each found one.
    """

    hits: np.ndarray
    passed: np.ndarray
    scores: np.ndarray
    image: np.ndarray
    objects: np.ndarray
    found: np.ndarray
    skipped: np.ndarray
    before: np.ndarray

    def precisions(self, weights: np.ndarray) -> np.ndarray:
        """T means of precision, made to fall monotonically, at RECALLS. weights: N, how often each image counts.

        Precision is highest where an object has just been found, so it is looked at there alone.
        """
        each_D = np.append(weights[self.image], 0.0)  # the last one stands for no detection
        right_TH = each_D[self.found].cumsum(1)
        lost_TP = np.pad(each_D[self.skipped].cumsum(1), ((0, 0), (1, 0)))
        number_TH = each_D.cumsum()[self.found] - np.take_along_axis(lost_TP, self.before, 1)
        precision_TH = np.divide(right_TH, number_TH, out=np.zeros_like(right_TH), where=number_TH > 0)
        falling_TH = np.pad(np.maximum.accumulate(precision_TH[:, ::-1], 1)[:, ::-1], ((0, 0), (0, 1)))
        recall_TH = right_TH / (self.objects @ weights)
        at_TR = np.array([np.searchsorted(recall_H, RECALLS) for recall_H in recall_TH])
        return np.asarray(np.take_along_axis(falling_TH, at_TR, 1).mean(1))


def _places(mask_TD: np.ndarray) -> np.ndarray:
    """T×H: where each row is true, ascending; rows with fewer such places end in D."""
    counts = mask_TD.sum(1)
    row, place = np.nonzero(mask_TD)
    found = np.full((len(mask_TD), int(counts.max(initial=0))), mask_TD.shape[1])
    found[row, np.arange(len(row)) - (counts.cumsum() - counts)[row]] = place
    return found


def _grouped(found: Found, truth: Objects) -> Iterator[tuple[int, Group, np.ndarray]]:
    """What an image has of each class, with the scores of what was found, downwards."""
    order, there = np.lexsort((-found.scores, found.labels)), np.argsort(truth.labels, kind="stable")
    xyxy, true = found.xyxy[order], truth.xyxy[there]
    scores, names, labels = found.scores[order], found.labels[order], truth.labels[there]
    areas = area(true) / truth.zoom if truth.areas is None else truth.areas[there]
    crowd, ignored = (
        np.zeros(len(true), bool) if each is None else each[there] for each in (truth.crowd, truth.difficult)
    )
    present = np.union1d(names, labels).astype(int)
    ends = zip(
        present.tolist(),
        *(np.searchsorted(each, present, side).tolist() for each in (names, labels) for side in ("left", "right")),
        strict=True,
    )
    for label, first, last, start, stop in ends:
        mine, own = slice(first, min(last, first + MOST)), slice(start, stop)
        yield label, Group(xyxy[mine], true[own], areas[own], crowd[own], ignored[own], truth.zoom), scores[mine]


def _mean(values: np.ndarray) -> float:
    """Over the classes that occur; NaN where none does."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
